//! Write-behind: where memory is short, what was written goes to the disk early and leaves the page cache.
//!
//! ```text
//!   written ─► half of the window ─► sent to the disk ─► the other half ─► on the disk, dropped from the page cache
//! ```
//!
//! Pages of a target count as memory of the process that writes it. Left alone they pile up until the kernel has to reclaim them, from a
//! container that then looks as if it needed them, or from the cache of everybody else on the machine.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use instar_abi::request::status;
use instar_abi::{RawResult, Request, Slot};
use rustix::fs::{Advice, fadvise};
use rustix::io::Errno;

use crate::file::{Failure, Outcome};
use crate::slots::Slots;
use crate::stop::Stop;
use crate::sys::{send_range, wait_for_range};

/// Bytes that are sent together: as many as a disk takes in a moment, but no more than this part of the window. Ours.
const TOGETHER: u64 = 32 << 20;
const PARTS: u64 = 16;

/// How much of what is written stays in memory.
#[derive(Debug, Default)]
pub(crate) struct Behind {
    /// Bytes; 0: all of it.
    window: u64,
    written: Mutex<Written>,
}

#[derive(Debug, Default)]
struct Written {
    /// Still growing; one for each target.
    growing: Vec<Part>,
    /// Not sent yet, oldest first, and bytes of them.
    held: VecDeque<Part>,
    held_bytes: u64,
    /// On their way, oldest first, and bytes of them.
    sent: VecDeque<Part>,
    sent_bytes: u64,
}

/// What was written to one file between two offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    slot: Slot,
    start: u64,
    end: u64,
    bytes: u64,
}

impl Behind {
    pub(crate) fn new(window: u64) -> Self {
        Self {
            window,
            ..Self::default()
        }
    }

    /// Takes note of what a batch wrote, and waits for the oldest of it if there is more than the window.
    ///
    /// # Errors
    /// What the disk says of bytes that were written before: nothing else will hear of it.
    pub(crate) fn note(
        &self,
        slots: &Slots,
        requests: &[Request],
        results: &[[u8; size_of::<RawResult>()]],
        stop: &Stop,
    ) -> Outcome<()> {
        if self.window == 0 {
            return Ok(());
        }
        for (request, result) in requests.iter().zip(results) {
            let ok = RawResult::from_bytes(*result).status == status::OK;
            if let Some(part) = written(request).filter(|_| ok) {
                self.add(slots, part, stop)?;
            }
        }
        Ok(())
    }

    fn add(&self, slots: &Slots, part: Part, stop: &Stop) -> Outcome<()> {
        let (mut send, mut drop) = (Vec::new(), Vec::new());
        {
            let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
            written.take(part, self.window, &mut send, &mut drop);
        }
        for part in send {
            stop.check()?;
            on_file(slots, &part, send_range)?;
        }
        for part in drop {
            stop.check()?;
            on_file(slots, &part, wait_for_range)?;
            if let Some(file) = slots.get(part.slot) {
                let length = std::num::NonZeroU64::new(part.end.saturating_sub(part.start));
                // A hint: pages that stay cost only memory.
                let _: Result<(), Errno> = fadvise(&file.fd, part.start, length, Advice::DontNeed);
            }
        }
        Ok(())
    }
}

impl Written {
    /// Adds what was written. Adds what is to be sent now to `send`, and what is to leave the page cache to `drop`.
    fn take(&mut self, part: Part, window: u64, send: &mut Vec<Part>, drop: &mut Vec<Part>) {
        let at = match self.growing.iter().position(|held| held.slot == part.slot) {
            Some(at) => at,
            None => {
                self.growing.push(Part { bytes: 0, ..part });
                self.growing.len().saturating_sub(1)
            }
        };
        let Some(growing) = self.growing.get_mut(at) else {
            return;
        };
        growing.start = growing.start.min(part.start);
        growing.end = growing.end.max(part.end);
        growing.bytes = growing.bytes.saturating_add(part.bytes);
        if growing.bytes < TOGETHER.min(window / PARTS) {
            return;
        }
        let full = self.growing.swap_remove(at);
        shift(&mut self.held, &mut self.held_bytes, full, window / 2, send);
        for part in send.iter() {
            shift(&mut self.sent, &mut self.sent_bytes, *part, window / 2, drop);
        }
    }
}

/// Adds a part to a queue; what the queue then has above `limit` bytes goes on to `next`, oldest first.
fn shift(queue: &mut VecDeque<Part>, bytes: &mut u64, part: Part, limit: u64, next: &mut Vec<Part>) {
    queue.push_back(part);
    *bytes = bytes.saturating_add(part.bytes);
    while *bytes > limit {
        let Some(oldest) = queue.pop_front() else {
            break;
        };
        *bytes = bytes.saturating_sub(oldest.bytes);
        next.push(oldest);
    }
}

/// What a request that was carried out has written, through the page cache or not.
const fn written(request: &Request) -> Option<Part> {
    let (slot, start, bytes) = match *request {
        Request::Write { slot, offset, from } => (slot, offset, from.length),
        Request::Copy(copy) => (copy.target, copy.target_offset, copy.length),
        _ => return None,
    };
    Some(Part {
        slot,
        start,
        end: start.saturating_add(bytes),
        bytes,
    })
}

/// Does something about a part; a failure is remembered by its file, whose next flush repeats it.
fn on_file(
    slots: &Slots,
    part: &Part,
    call: fn(std::os::fd::BorrowedFd<'_>, u64, u64) -> Result<(), Errno>,
) -> Outcome<()> {
    let Some(file) = slots.get(part.slot).filter(|file| file.direct.is_none()) else {
        return Ok(());
    };
    match call(file.fd(), part.start, part.end.saturating_sub(part.start)) {
        // Files without a page cache behind them, or a filesystem that has no such thing: nothing to be early with.
        Ok(()) | Err(Errno::INVAL | Errno::SPIPE | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(()),
        Err(errno) => {
            file.lost();
            Err(Failure::from(errno))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(slot: u32, start: u64, bytes: u64) -> Part {
        Part {
            slot: Slot(slot),
            start,
            end: start + bytes,
            bytes,
        }
    }

    #[test]
    fn nothing_is_sent_while_half_of_the_window_is_enough() {
        let (mut written, mut send, mut drop) = (Written::default(), Vec::new(), Vec::new());
        for step in 0..32 {
            written.take(part(0, step, 1), 64, &mut send, &mut drop);
        }
        assert!(send.is_empty() && drop.is_empty());
        for step in 32..40 {
            written.take(part(0, step, 1), 64, &mut send, &mut drop);
        }
        assert!(!send.is_empty() && drop.is_empty());
    }

    #[test]
    fn at_most_the_window_stays() {
        let window = 160;
        let mut written = Written::default();
        let (mut all, mut gone, mut sent) = (0, 0, 0);
        for step in 0..1000_u32 {
            let (mut send, mut drop) = (Vec::new(), Vec::new());
            written.take(
                part(step % 2, u64::from(step) * 3, 3),
                window,
                &mut send,
                &mut drop,
            );
            all += 3;
            sent += send.iter().map(|part| part.bytes).sum::<u64>();
            gone += drop.iter().map(|part| part.bytes).sum::<u64>();
            assert!(gone <= sent && sent <= all);
            // Besides the queues, a growing part for each of two files, and the one that tips the scale.
            assert!(all - gone <= window + 3 * (window / PARTS + 3), "{step}");
        }
        assert!(gone > all / 2);
    }

    #[test]
    fn a_part_covers_all_that_was_written_to_its_file() {
        let (mut written, mut send, mut drop) = (Written::default(), Vec::new(), Vec::new());
        written.take(part(7, 1000, 4), 160, &mut send, &mut drop);
        written.take(part(8, 0, 4), 160, &mut send, &mut drop);
        written.take(part(7, 10, 6), 160, &mut send, &mut drop);
        let whole = Part {
            slot: Slot(7),
            start: 10,
            end: 1004,
            bytes: 10,
        };
        assert_eq!(written.held, [whole]);
        assert!(send.is_empty() && drop.is_empty());
    }
}
