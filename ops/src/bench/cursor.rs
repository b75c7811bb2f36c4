//! Which requests come next, and where flushes stand between them.

use alloc::collections::VecDeque;
use core::ops::Range;

use instar_abi::job::Bench;

/// Where the next request starts, and how many are left.
#[derive(Debug)]
pub(super) struct Cursor {
    at: u64,
    left: u64,
    taken: u64,
    size: u64,
    step: u64,
    depth: u64,
    /// Bytes of the disk.
    disk: u64,
    /// Bytes after which the next start is counted from 0 again.
    round: u64,
    /// Requests between flushes; 0: none.
    interval: u64,
    drain: bool,
    /// Requests up to the next flush, or to the end.
    stage: u64,
}

/// What `take` came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Some requests, or none if the stage is over.
    Taken,
    /// The same, and after them comes a flush that waits for nobody.
    FlushAfter,
    /// The next one does not lie on the disk.
    PastTheEnd,
}

impl Cursor {
    /// Before the first request to a disk of `disk` bytes.
    pub(super) fn new(job: &Bench, disk: u64) -> Self {
        let (interval, drain) = job
            .writes
            .map_or((0, false), |writes| (writes.flush_interval, writes.drain));
        let mut cursor = Self {
            at: job.offset,
            left: job.count,
            taken: 0,
            size: job.size,
            step: job.step,
            depth: job.depth,
            disk,
            round: if job.keeps_inside {
                disk.saturating_sub(job.size)
            } else {
                disk
            },
            interval,
            drain,
            stage: 0,
        };
        cursor.begin_stage();
        cursor
    }

    /// Where the next one starts.
    pub(super) const fn at(&self) -> u64 {
        self.at
    }

    /// Up to `most` requests of this stage.
    pub(super) fn take(&mut self, most: u64, into: &mut VecDeque<Range<u64>>) -> Next {
        for _ in 0..most.min(self.stage) {
            let end = self.at.saturating_add(self.size);
            if end > self.disk {
                // Those before it come first.
                return if into.is_empty() {
                    Next::PastTheEnd
                } else {
                    Next::Taken
                };
            }
            into.push_back(self.at..end);
            self.at = self
                .at
                .saturating_add(self.step)
                .checked_rem(self.round)
                .unwrap_or(0);
            self.left = self.left.saturating_sub(1);
            self.taken = self.taken.saturating_add(1);
            self.stage = self.stage.saturating_sub(1);
        }
        if self.stage == 0 && self.left > 0 && !self.drain {
            self.begin_stage();
            return Next::FlushAfter;
        }
        Next::Taken
    }

    /// Goes on behind a flush; `false` if nothing is left.
    ///
    /// Flushes stand where the reference tool has them: it counts from the end, once as many requests have been sent as the queue
    /// holds. The one behind the last request is not its own: it comes when the image is closed.
    pub(super) fn begin_stage(&mut self) -> bool {
        self.stage = match self.left.checked_rem(self.interval) {
            None => self.left,
            Some(0) => self.interval,
            Some(rest) => rest,
        };
        if self.taken.saturating_add(self.stage) < self.depth {
            self.stage = self.stage.saturating_add(self.interval);
        }
        self.stage = self.stage.min(self.left);
        self.left > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use instar_abi::Slot;
    use instar_abi::job::{BenchWrites, Source};

    fn job(count: u64, depth: u64, interval: u64, drain: bool) -> Bench {
        Bench {
            image: Source::new(Slot(0), None),
            count,
            depth,
            size: 10,
            step: 10,
            keeps_inside: false,
            offset: 0,
            writes: Some(BenchWrites {
                pattern: 0,
                flush_interval: interval,
                drain,
            }),
        }
    }

    /// After how many requests the reference tool's code flushes, if each request is answered before the next is looked at.
    fn reference(count: u64, depth: u64, interval: u64) -> Vec<u64> {
        let (mut left, mut flight, mut flushes) = (count, 0, Vec::new());
        while left > 0 {
            while left > flight && flight < depth {
                flight += 1;
            }
            loop {
                let unsent = left - flight;
                left -= 1;
                flight -= 1;
                if unsent.is_multiple_of(interval) {
                    if flight > 0 {
                        continue;
                    }
                    flushes.push(count - left);
                }
                break;
            }
        }
        flushes
    }

    #[test]
    fn flushes_stand_where_the_reference_has_them() {
        for count in 1..60 {
            for depth in 1..12 {
                for interval in depth..20 {
                    let mut cursor = Cursor::new(&job(count, depth, interval, true), 1000);
                    let (mut taken, mut flushes) = (VecDeque::new(), Vec::new());
                    loop {
                        while cursor.stage > 0 {
                            assert_eq!(cursor.take(3, &mut taken), Next::Taken);
                        }
                        flushes.push(u64::try_from(taken.len()).unwrap());
                        if !cursor.begin_stage() {
                            break;
                        }
                    }
                    assert_eq!(
                        flushes,
                        reference(count, depth, interval),
                        "{count} {depth} {interval}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_flush_that_waits_for_nobody_is_told_of_once() {
        let mut cursor = Cursor::new(&job(10, 2, 4, false), 1000);
        let mut taken = VecDeque::new();
        let told: Vec<_> = (0..7).map(|_| cursor.take(2, &mut taken)).collect();
        use Next::{FlushAfter, Taken};
        assert_eq!(told, [FlushAfter, Taken, FlushAfter, Taken, Taken, Taken, Taken]);
        assert_eq!(taken.len(), 10);
    }

    #[test]
    fn requests_go_round_the_disk_and_none_passes_its_end() {
        let mut cursor = Cursor::new(
            &Bench {
                step: 25,
                ..job(100, 1, 0, true)
            },
            60,
        );
        let mut taken = VecDeque::new();
        assert_eq!(cursor.take(100, &mut taken), Next::Taken);
        assert_eq!(
            taken,
            [0..10, 25..35, 50..60, 15..25, 40..50, 5..15, 30..40]
                .iter()
                .cloned()
                .collect::<VecDeque<_>>()
        );
        taken.clear();
        assert_eq!(cursor.take(1, &mut taken), Next::PastTheEnd);
    }

    #[test]
    fn requests_that_are_kept_inside_never_start_where_they_would_pass_the_end() {
        let starts = |disk, size| {
            let mut cursor = Cursor::new(
                &Bench {
                    keeps_inside: true,
                    size,
                    step: size,
                    ..job(6, 1, 0, true)
                },
                disk,
            );
            let mut taken = VecDeque::new();
            assert_eq!(cursor.take(6, &mut taken), Next::Taken);
            taken.iter().map(|range| range.start).collect::<Vec<_>>()
        };
        assert_eq!(starts(60, 25), [0, 25, 15, 5, 30, 20]);
        assert_eq!(starts(60, 60), [0; 6], "a request as long as the disk");
    }

    #[test]
    fn a_disk_without_bytes_has_no_place_for_a_request() {
        let mut cursor = Cursor::new(&job(1, 1, 0, true), 0);
        assert_eq!(cursor.take(1, &mut VecDeque::new()), Next::PastTheEnd);
    }
}
