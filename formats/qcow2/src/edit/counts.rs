//! Counts of many clusters at once.

use alloc::vec::Vec;
use core::ops::Range;

use instar_disk::Result;

use super::ledger::Ledger;
use super::pages::Level;
use super::rebuild::Counts;
use crate::num::{add, internal, shl, shr, sub};
use crate::packed;

/// Counts from cluster 0 on, those that are alike as one run: where it ends, and the count.
#[derive(Clone, Default)]
pub(crate) struct Runs(Vec<(u64, u64)>);

impl Runs {
    /// One more than the last cluster whose count is known.
    pub(crate) fn end(&self) -> u64 {
        self.0.last().map_or(0, |(end, _)| *end)
    }

    /// What follows the counts that are known, as far as there is room for it.
    pub(crate) fn add(&mut self, end: u64, count: u64) {
        let room = self.0.len() < RUNS_MOST;
        match self.0.last_mut() {
            Some((known, same)) if *same == count => *known = end,
            _ if room => self.0.push((end, count)),
            _ => {}
        }
    }
}

/// The counts of a ledger for somebody who asks for all of them more than once.
pub(crate) struct Remembered<'a, 'h> {
    ledger: &'a mut Ledger<'h>,
    runs: Runs,
    /// The run that was asked for last.
    at: usize,
}

impl<'a, 'h> Remembered<'a, 'h> {
    /// What is known already is `runs`.
    pub(crate) const fn new(ledger: &'a mut Ledger<'h>, runs: Runs) -> Self {
        Self { ledger, runs, at: 0 }
    }
}

impl Counts for Remembered<'_, '_> {
    fn run(&mut self, clusters: &Range<u64>) -> Result<(u64, u64)> {
        let first = clusters.start;
        if first >= self.runs.end() {
            let (count, run) = self.ledger.run(clusters)?;
            if first == self.runs.end() {
                self.runs.add(add(first, run)?, count);
            }
            return Ok((count, run));
        }
        let Runs(runs) = &self.runs;
        let end_of = |at: usize| runs.get(at).map(|(end, _)| *end);
        // From front to back, and again.
        let passed = self.at.checked_sub(1).and_then(end_of);
        if passed.is_some_and(|end| first < end) {
            self.at = runs.partition_point(|(end, _)| *end <= first);
        }
        while end_of(self.at).is_some_and(|end| end <= first) {
            self.at = self.at.saturating_add(1);
        }
        let (end, count) = runs.get(self.at).ok_or_else(|| internal(line!()))?;
        Ok((*count, sub((*end).min(clusters.end), first)?))
    }
}

/// Runs that are remembered. Ours: 16 MiB.
const RUNS_MOST: usize = 1 << 20;

impl Ledger<'_> {
    /// The count of the first cluster, and for how many clusters of the range it is the same; at least one.
    pub(crate) fn run(&mut self, clusters: &Range<u64>) -> Result<(u64, u64)> {
        let (block, within, to) = self.piece(clusters)?;
        let offset = if block < self.table.entries {
            self.block(block)?
        } else {
            None
        };
        let Some(offset) = offset else {
            return Ok((0, sub(to, within)?));
        };
        let order = self.layout.refcount_order();
        let bytes = self.pages.get(offset)?;
        let count = packed::get(bytes, order, within);
        Ok((count, packed::run(bytes, order, within, to)))
    }

    /// Counts each cluster of the range once more.
    ///
    /// # Errors
    /// `TARGET_REFCOUNT` where a count has no room for it.
    pub(crate) fn raise(&mut self, clusters: Range<u64>) -> Result<()> {
        let most = packed::limit(self.layout.refcount_order());
        self.alter(clusters, &mut |_, count| {
            (count < most).then(|| count.saturating_add(1))
        })
    }

    /// Counts each cluster of the range once less; tells `freed` which ones are free now.
    ///
    /// # Errors
    /// `TARGET_REFCOUNT` where a cluster is not counted.
    pub(crate) fn lower(&mut self, clusters: Range<u64>, freed: &mut dyn FnMut(u64)) -> Result<()> {
        self.alter(clusters, &mut |cluster, count| {
            let less = count.checked_sub(1);
            if less == Some(0) {
                freed(cluster);
            }
            less
        })
    }

    /// Gives each cluster of the range this count, which fits.
    pub(crate) fn count_as(&mut self, clusters: Range<u64>, count: u64) -> Result<()> {
        self.alter(clusters, &mut |_, _| Some(count))
    }

    /// The same, where a count may be too low already: what was released was looked at then.
    pub(crate) fn lower_any(&mut self, clusters: Range<u64>, freed: &mut dyn FnMut(u64)) -> Result<()> {
        self.alter(clusters, &mut |cluster, count| {
            if count == 1 {
                freed(cluster);
            }
            Some(count.saturating_sub(1))
        })
    }

    /// Takes blocks out of the refcount table that count nothing but themselves. What they are is free then, and nothing says so.
    pub(crate) fn forget_empty_blocks(&mut self) -> Result<()> {
        let (order, bits) = (self.layout.refcount_order(), self.layout.cluster_bits());
        for block in 1..self.table.entries {
            let Some(offset) = self.block(block)? else {
                continue;
            };
            let (own, place) = self.place(shr(offset, bits));
            let bytes = self.pages.get(offset)?;
            let alone = own == block
                && packed::get(bytes, order, place) == 1
                && packed::last(bytes, order) == Some(place)
                && (place == 0
                    || packed::run(bytes, order, 0, place) == place && packed::get(bytes, order, 0) == 0);
            if alone {
                self.pages
                    .set_word(Level::CountTable, self.table.offset, block, 0)?;
            }
        }
        Ok(())
    }

    /// Replaces each count of the range by what `change` makes of it.
    fn alter(&mut self, clusters: Range<u64>, change: &mut dyn FnMut(u64, u64) -> Option<u64>) -> Result<()> {
        let order = self.layout.refcount_order();
        let mut at = clusters.start;
        while at < clusters.end {
            let (block, within, to) = self.piece(&(at..clusters.end))?;
            let offset = self.block_to_edit(block)?;
            let bytes = self.pages.edit(offset)?;
            let mut refused = None;
            for place in within..to {
                let count = packed::get(bytes, order, place);
                let cluster = at.saturating_add(place.saturating_sub(within));
                match change(cluster, count) {
                    Some(new) => packed::set(bytes, order, place, new),
                    None => {
                        refused = Some((cluster, count));
                        break;
                    }
                }
            }
            if let Some((cluster, count)) = refused {
                return Err(self.wrong_count(cluster, count));
            }
            at = add(at, sub(to, within)?)?;
        }
        Ok(())
    }

    /// What of the range one refcount block counts: the number of the block, the first place in it, and the one behind the last.
    fn piece(&self, clusters: &Range<u64>) -> Result<(u64, u64, u64)> {
        let (block, within) = self.place(clusters.start);
        let end = shl(add(block, 1)?, self.layout.block_bits())?.min(clusters.end);
        Ok((block, within, add(within, sub(end, clusters.start)?)?))
    }
}
