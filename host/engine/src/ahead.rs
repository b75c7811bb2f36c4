//! Asking the kernel, before a batch is carried out, for what it will read here and there from a disk.
//!
//! One read after the other keeps one request under way, and the kernel's own readahead has nothing to follow where clusters lie in
//! no order. A batch names up to 256 ranges: asked for at once, they are the queue that a slow device needs. What is in the page
//! cache must not be asked for, which costs as much as a tenth of copying it; so the last byte is looked for first, without waiting.
//! Ranges in order are left to the kernel: measured, it does as well or better with those.

use std::io::IoSliceMut;
use std::sync::atomic::Ordering;

use instar_abi::{Request, Slot};
use rustix::fs::{Advice, fadvise};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use crate::file::OpenFile;
use crate::slots::Slots;
use crate::stop::Stop;

/// A batch that reads less is not looked at: metadata, mostly, which comes when it is asked for. Ours.
const ENOUGH: u64 = 256 << 10;
/// Gaps up to this length are still in order. Ours.
const GAP: u64 = 1 << 20;

/// A range that is about to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    slot: Slot,
    offset: u64,
    length: u64,
}

/// Asks for all that `requests` read, if it lies scattered and is not at hand.
pub(crate) fn ask(slots: &Slots, requests: &[Request], stop: &Stop) {
    let reads = requests.iter().filter_map(read);
    let (total, last) = reads.clone().fold((0_u64, None), |(sum, _), range| {
        (sum.saturating_add(range.length), Some(range))
    });
    let Some(last) = last.filter(|_| total >= ENOUGH) else {
        return;
    };
    // What is at hand is found out first: it is the usual case.
    let absent = slots.get(last.slot).is_some_and(|file| !is_at_hand(file, &last));
    if absent && !is_in_order(reads.clone()) {
        reads
            .take_while(|_| !stop.is_set())
            .for_each(|range| advise(slots, range));
    }
}

impl Range {
    const fn end(&self) -> u64 {
        self.offset.saturating_add(self.length)
    }
}

/// What a request reads from a file.
const fn read(request: &Request) -> Option<Range> {
    match *request {
        Request::Read { slot, offset, into } => Some(Range {
            slot,
            offset,
            length: into.length,
        }),
        Request::Copy(copy) => Some(Range {
            slot: copy.source,
            offset: copy.source_offset,
            length: copy.length,
        }),
        _ => None,
    }
}

/// Whether ranges follow each other in one file, without large gaps.
fn is_in_order(ranges: impl Iterator<Item = Range>) -> bool {
    let mut before: Option<Range> = None;
    for range in ranges {
        if let Some(before) = before {
            let near = before.end()..=before.end().saturating_add(GAP);
            if before.slot != range.slot || !near.contains(&range.offset) {
                return false;
            }
        }
        before = Some(range);
    }
    true
}

/// Whether the last byte of `range` can be had without waiting; true where nothing would be gained by asking.
fn is_at_hand(file: &OpenFile, range: &Range) -> bool {
    let end = range.end().min(file.size);
    let unasked = file.direct.is_some() || file.state.no_probe.load(Ordering::Relaxed);
    if unasked || end <= range.offset {
        return true;
    }
    let mut byte = [0];
    let mut into = [IoSliceMut::new(&mut byte)];
    match preadv2(&file.fd, &mut into, end - 1, ReadWriteFlags::NOWAIT) {
        Ok(_) => true,
        Err(Errno::AGAIN) => false,
        // A filesystem that cannot tell.
        Err(_) => {
            file.state.no_probe.store(true, Ordering::Relaxed);
            true
        }
    }
}

/// Requests a range. This is a hint, and its result is ignored.
fn advise(slots: &Slots, range: Range) {
    let Some(file) = slots.get(range.slot) else {
        return;
    };
    let end = range.end().min(file.size);
    let Some(length) = std::num::NonZeroU64::new(end.saturating_sub(range.offset).min(MOST)) else {
        return;
    };
    let _: Result<(), Errno> = fadvise(&file.fd, range.offset, Some(length), Advice::WillNeed);
}

/// Bytes of one range that are asked for: what a hostile guest can make us read in vain. Ours.
const MOST: u64 = 32 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn range(slot: u32, offset: u64, length: u64) -> Range {
        Range {
            slot: Slot(slot),
            offset,
            length,
        }
    }

    #[test]
    fn ranges_in_order_are_told_from_others() {
        let ordered = |ranges: &[Range]| is_in_order(ranges.iter().copied());
        assert!(ordered(&[range(0, 0, 10), range(0, 10, 10), range(0, 5000, 1)]));
        assert!(ordered(&[range(3, u64::MAX, 1)]));
        assert!(!ordered(&[range(0, 10, 10), range(0, 0, 10)]));
        assert!(!ordered(&[range(0, 0, 10), range(1, 10, 10)]));
        assert!(!ordered(&[range(0, 0, 10), range(0, 1 << 40, 10)]));
    }
}
