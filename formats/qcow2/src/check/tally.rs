//! Counting: each table is looked at once, with the number of pointers that lead to it.

use instar_disk::{Fault, from_usize};
use zerocopy::big_endian::U64;

use super::cells::{Cells, Claim};
use super::entry::{self, Place, Sink};
use super::frame::Frame;
use super::totals::Totals;
use crate::raw::entry as bit;

/// How many pointers lead to something: those of the active state, and all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Weight {
    pub(super) active: u32,
    pub(super) total: u32,
}

/// Counters being filled.
pub(super) struct Tally<'a, 'h> {
    pub(super) frame: &'a Frame<'h>,
    pub(super) cells: &'a mut Cells,
    pub(super) totals: &'a mut Totals,
    weight: Weight,
    /// The table being looked at.
    at: u64,
}

/// Entries of a table that lead to clusters in a row.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    first: u64,
    entries: u64,
}

impl<'a, 'h> Tally<'a, 'h> {
    pub(super) fn new(frame: &'a Frame<'h>, cells: &'a mut Cells, totals: &'a mut Totals) -> Self {
        Self {
            frame,
            cells,
            totals,
            weight: Weight { active: 0, total: 1 },
            at: 0,
        }
    }

    /// What follows counts so often.
    pub(super) const fn weigh(&mut self, weight: Weight) {
        self.weight = weight;
    }

    /// The L2 table at `at`.
    pub(super) fn table(&mut self, at: u64, words: &[U64]) {
        self.at = at;
        if self.frame.header.features.extended_l2() {
            self.wide(words);
        } else {
            self.narrow(words);
        }
    }

    fn wide(&mut self, words: &[U64]) {
        let mut next = 0;
        for (number, pair) in (0..).zip(words.chunks_exact(2)) {
            if let [value, bits] = pair {
                let (value, bits) = (value.get(), bits.get());
                if value != 0 || bits != 0 {
                    next = self.one(number, value, bits, next);
                }
            }
        }
    }

    /// Runs of clusters are counted as runs: a sound table has few.
    fn narrow(&mut self, words: &[U64]) {
        let step = self.frame.cluster_size();
        let odd = entry::RESERVED | bit::COMPRESSED | bit::ZERO | (step.saturating_sub(1) & bit::OFFSET);
        let (mut run, mut expected, mut next) = (Run::default(), 0, 0);
        for (number, word) in words.iter().enumerate() {
            let value = word.get();
            if value == expected && value & odd == 0 && run.entries > 0 {
                expected = expected.wrapping_add(step);
                run.entries = run.entries.saturating_add(1);
                continue;
            }
            if run.entries > 0 {
                next = self.run(run, next);
                run.entries = 0;
            }
            if value == 0 {
                continue;
            }
            if value & odd == 0 && value & bit::OFFSET != 0 {
                run = Run {
                    first: value,
                    entries: 1,
                };
                expected = value.wrapping_add(step);
            } else {
                next = self.one(from_usize(number), value, 0, next);
            }
        }
        if run.entries > 0 {
            self.run(run, next);
        }
    }

    /// Plain entries, the first of which is `run.first`. `next` is where the cluster after the last one would have been;
    /// gives the new one.
    fn run(&mut self, run: Run, next: u64) -> u64 {
        let offset = run.first & bit::OFFSET;
        let copied = run.first & bit::COPIED != 0;
        let bits = self.frame.header.cluster_bits;
        self.allocate(run.entries, next != 0 && offset != next);
        if self.frame.external {
            self.totals.suspicious |= !copied && self.weight.active > 0;
        } else {
            let inside = self.frame.length.saturating_sub(offset).div_ceil(1 << bits);
            let inside = inside.min(run.entries);
            self.cells.add(
                self.frame.cluster(offset),
                inside,
                self.weight.total,
                self.claim(copied),
            );
            let outside = run.entries.saturating_sub(inside);
            if outside > 0 {
                self.blame(outside);
                self.totals.suspicious = true;
            }
        }
        offset.saturating_add(run.entries.wrapping_shl(bits))
    }

    fn one(&mut self, number: u64, value: u64, bits: u64, next: u64) -> u64 {
        let frame = self.frame;
        let copied = value & bit::COPIED != 0;
        match entry::look(frame, number, value, bits, self) {
            Place::Nowhere => next,
            Place::Packed => {
                let active = u64::from(self.weight.active);
                self.totals.compressed = self.totals.compressed.saturating_add(active);
                self.allocate(1, true);
                next
            }
            Place::At(offset) => {
                self.totals.suspicious |=
                    frame.within(offset) != 0 || (frame.external && !copied && self.weight.active > 0);
                self.allocate(1, next != 0 && offset != next);
                offset.saturating_add(frame.cluster_size())
            }
        }
    }

    fn allocate(&mut self, clusters: u64, broken: bool) {
        let active = u64::from(self.weight.active);
        let totals = &mut *self.totals;
        totals.allocated = totals.allocated.saturating_add(clusters.saturating_mul(active));
        if broken {
            totals.fragmented = totals.fragmented.saturating_add(active);
        }
    }

    fn blame(&mut self, times: u64) {
        let times = times.saturating_mul(u64::from(self.weight.total));
        self.totals.findings = self.totals.findings.saturating_add(times);
    }

    const fn claim(&self, copied: bool) -> Claim {
        if self.weight.active > 0 {
            Claim::of(copied)
        } else {
            Claim::Silent
        }
    }
}

impl Sink for Tally<'_, '_> {
    fn found(&mut self, _: Fault) {
        self.blame(1);
    }

    fn zeroed(&mut self, _: Fault) {
        self.totals.zeroed.add(self.at, self.weight.total);
    }

    fn refer(&mut self, offset: u64, bytes: u64, claim: Claim) {
        if bytes == 0 {
            return;
        }
        let Some((first, clusters)) = self.frame.clusters_of(offset, bytes) else {
            self.blame(1);
            self.totals.suspicious = true;
            self.totals.overhangs |= offset < self.frame.length;
            return;
        };
        let claim = match claim {
            Claim::Silent => Claim::Silent,
            other => self.claim(other == Claim::Copied),
        };
        self.totals.grown |= first.saturating_add(clusters) > self.frame.clusters;
        self.cells.add(first, clusters, self.weight.total, claim);
    }
}
