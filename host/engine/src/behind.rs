//! Write-behind: where memory is short, what was written goes to the disk early and leaves the page cache.
//!
//! ```text
//!   written ─► gathered, a part of the window ─► sent to the disk ─► on the disk ─► dropped from the page cache
//!              └──────────────── at most the window stays in memory ───────────────┘
//! ```
//!
//! Pages of a target count as memory of whoever writes it. Left alone they pile up until the kernel has to reclaim them, from a
//! container that then looks as if it needed them, or from the cache of everybody else on the machine.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use instar_abi::request::status;
use instar_abi::{RawResult, Request, Slot};
use rustix::fs::{Advice, fadvise};
use rustix::io::Errno;

use crate::file::{Failure, Outcome};
use crate::slots::Slots;
use crate::sys::{send_range, wait_for_range};

/// Parts of the window: one is gathered, the others are on their way.
const PARTS: u64 = 8;

/// How much of what is written stays in memory.
#[derive(Debug, Default)]
pub(crate) struct Behind {
    /// Bytes; 0: all of it.
    window: u64,
    written: Mutex<Written>,
}

#[derive(Debug, Default)]
struct Written {
    /// Not sent yet; one for each target.
    gathered: Vec<Part>,
    /// On their way, oldest first.
    sent: VecDeque<Part>,
    /// Bytes of them.
    bytes: u64,
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
        requests: impl Iterator<Item = Request>,
        results: &[[u8; size_of::<RawResult>()]],
    ) -> Outcome<()> {
        if self.window == 0 {
            return Ok(());
        }
        for (request, result) in requests.zip(results) {
            let ok = RawResult::from_bytes(*result).status == status::OK;
            if let Some(part) = written(&request).filter(|_| ok) {
                self.add(slots, part)?;
            }
        }
        Ok(())
    }

    fn add(&self, slots: &Slots, part: Part) -> Outcome<()> {
        let mut due = Vec::new();
        let full = {
            let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
            written.take(part, self.window, &mut due)
        };
        if let Some(part) = full {
            on_file(slots, &part, send_range)?;
        }
        for part in due {
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
    /// Adds what was written. Gives the part that is to be sent now, and adds those to be waited for to `due`.
    fn take(&mut self, part: Part, window: u64, due: &mut Vec<Part>) -> Option<Part> {
        let at = match self.gathered.iter().position(|held| held.slot == part.slot) {
            Some(at) => at,
            None => {
                self.gathered.push(Part { bytes: 0, ..part });
                self.gathered.len().saturating_sub(1)
            }
        };
        let held = self.gathered.get_mut(at)?;
        held.start = held.start.min(part.start);
        held.end = held.end.max(part.end);
        held.bytes = held.bytes.saturating_add(part.bytes);
        if held.bytes < window / PARTS {
            return None;
        }
        let full = self.gathered.swap_remove(at);
        self.bytes = self.bytes.saturating_add(full.bytes);
        self.sent.push_back(full);
        while self.bytes > window - window / PARTS {
            let Some(oldest) = self.sent.pop_front() else {
                break;
            };
            self.bytes = self.bytes.saturating_sub(oldest.bytes);
            due.push(oldest);
        }
        Some(full)
    }
}

/// What a request that was carried out has written, through the page cache or not.
const fn written(request: &Request) -> Option<Part> {
    let (slot, start, bytes) = match *request {
        Request::Write { slot, offset, from } => (slot, offset, from.length),
        Request::Copy {
            target,
            target_offset,
            length,
            ..
        } => (target, target_offset, length),
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
    fn at_most_the_window_stays() {
        let (mut written, mut due, window) = (Written::default(), Vec::new(), 80);
        let mut all = 0;
        for step in 0..1000 {
            let sent = written.take(part(step % 2, u64::from(step) * 3, 3), window, &mut due);
            all += 3;
            if let Some(sent) = sent {
                assert!(sent.bytes >= window / PARTS);
            }
            let waited: u64 = due.iter().map(|part| part.bytes).sum();
            assert!(all - waited <= window + 2 * (window / PARTS + 3), "{step}");
        }
        assert!(due.windows(2).all(|pair| {
            let [one, two] = pair else { return false };
            one.start < two.end
        }));
    }

    #[test]
    fn a_part_covers_all_that_was_written_to_its_file() {
        let (mut written, mut due) = (Written::default(), Vec::new());
        assert_eq!(written.take(part(7, 1000, 4), 80, &mut due), None);
        assert_eq!(written.take(part(8, 0, 4), 80, &mut due), None);
        let sent = written.take(part(7, 10, 6), 80, &mut due);
        assert_eq!(
            sent,
            Some(Part {
                slot: Slot(7),
                start: 10,
                end: 1004,
                bytes: 10
            })
        );
        assert!(due.is_empty());
    }
}
