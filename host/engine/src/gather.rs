//! Many small copies to one place after the other: read one by one, written at once.
//!
//! An image in small or scattered clusters makes batches of such copies. What they cost is new pages of the page cache, and
//! those are cheaper by the large piece.

use std::sync::atomic::Ordering;

use instar_abi::{Request, Sieve};

use crate::buffer::Buffer;
use crate::copy::Copy;
use crate::file::{Outcome, PAGE, bytes, to_usize};
use crate::sift::{Sifter, Window};
use crate::slots::Slots;
use crate::stop::Stop;

/// Copies whose targets adjoin.
#[derive(Debug)]
pub(crate) struct Gathered<'a> {
    copies: Vec<Copy<'a>>,
    length: u64,
}

impl<'a> Gathered<'a> {
    /// As many of `requests`, from the first on, as belong together; none if that is only one.
    pub(crate) fn take(slots: &'a Slots, requests: &[Request]) -> Option<Self> {
        let mut gathered = Self {
            copies: Vec::new(),
            length: 0,
        };
        for request in requests {
            let Some(copy) = small_copy(slots, request) else {
                break;
            };
            if !gathered.accepts(&copy) {
                break;
            }
            gathered.length += copy.length;
            gathered.copies.push(copy);
        }
        (gathered.copies.len() > 1).then_some(gathered)
    }

    fn accepts(&self, copy: &Copy<'_>) -> bool {
        let Some(first) = self.copies.first() else {
            return copy.length <= Buffer::payload(false);
        };
        std::ptr::eq(first.target, copy.target)
            && first.sparse == copy.sparse
            && first.target_is_zero == copy.target_is_zero
            && first.target_offset + self.length == copy.target_offset
            && self.length + copy.length <= Buffer::payload(false)
    }

    /// Carries them out; gives what each of the copies gives, up to the first that fails. A write that fails is the first
    /// one's failure.
    pub(crate) fn carry_out(&self, buffer: &mut Buffer, stop: &Stop) -> Vec<Outcome<u64>> {
        let Some(first) = self.copies.first() else {
            return Vec::new();
        };
        let end = first.target_offset + self.length;
        let _change = match first.target.writable_to(end) {
            Ok(change) => change,
            Err(failure) => return vec![Err(failure)],
        };
        let cell = Buffer::payload(false);
        let whole = buffer.scratch(first.target_offset % PAGE, self.length);
        let mut outcomes = Vec::with_capacity(self.copies.len());
        let mut at = 0;
        for copy in &self.copies {
            let end = at + to_usize(copy.length);
            let place = whole.get_mut(at..end).unwrap_or_default();
            match copy.source.read_into(place, copy.source_offset) {
                Ok(read) => place.get_mut(read..).unwrap_or_default().fill(0),
                Err(failure) => {
                    outcomes.push(Err(failure));
                    break;
                }
            }
            outcomes.push(Ok(0));
            at = end;
        }
        let whole = whole.get(..at).unwrap_or_default();
        let mut ends = first.target_offset;
        let mut starts = self.copies.iter().zip(&mut outcomes).map(|(copy, outcome)| {
            let start = ends;
            ends += copy.length;
            (start..ends, outcome)
        });
        let mut current = starts.next();
        let note = |from: u64, length: u64| {
            // Runs ascend, and so do the copies: each run is shared out among those that it touches.
            let to = from + length;
            while let Some((range, outcome)) = &mut current {
                let shared = to.min(range.end).saturating_sub(from.max(range.start));
                if let Ok(value) = outcome {
                    *value += shared;
                }
                if range.end > to {
                    break;
                }
                current = starts.next();
            }
        };
        match self.write(whole, cell, stop, note) {
            Ok(()) => outcomes,
            Err(failure) => vec![Err(failure)],
        }
    }

    /// Writes `whole`, the bytes of as many copies as were read; tells `note` what was written as data.
    fn write(&self, whole: &[u8], cell: u64, stop: &Stop, mut note: impl FnMut(u64, u64)) -> Outcome<()> {
        let Some(first) = self.copies.first() else {
            return Ok(());
        };
        let (target, at) = (first.target, first.target_offset);
        let Some(sparse) = first.sparse else {
            target.write_from(whole, at)?;
            note(at, bytes(whole.len()));
            return Ok(());
        };
        let window = Window { at, bytes: whole };
        let end = at + bytes(whole.len());
        let mut sifter = Sifter::new(target, first.target_is_zero, stop, note);
        for copy in self.copies.iter().take_while(|copy| copy.target_offset < end) {
            let mut sieve = Sieve::new(sparse, copy.target_offset);
            sifter.take(&mut sieve, sparse, cell, copy.length, window)?;
            sifter.end(sieve, window)?;
        }
        sifter.finish(window)
    }
}

/// A copy that is worth gathering.
fn small_copy<'a>(slots: &'a Slots, request: &Request) -> Option<Copy<'a>> {
    let Request::Copy(asked) = request else {
        return None;
    };
    let copy = Copy::new(slots.get(asked.source)?, slots.get(asked.target)?, *asked);
    // What is read must not be what an earlier one of them is about to write.
    let apart = copy.source.identity != copy.target.identity;
    // Sharing extents costs less than any copy, but for a file that cannot it is no reason to go one by one.
    let copied = !copy.may_clone || copy.target.state.no_clone.load(Ordering::Relaxed);
    let plain = copied && apart && (1..=SMALL).contains(&copy.length) && copy.source.direct.is_none();
    let allowed = plain && copy.target.writable_to(copy.target_offset + copy.length).is_ok();
    allowed.then_some(Copy {
        may_clone: false,
        ..copy
    })
}

/// Larger copies gain nothing. Ours.
const SMALL: u64 = 64 << 10;
