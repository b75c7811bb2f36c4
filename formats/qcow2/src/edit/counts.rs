//! Counts of many clusters at once.

use core::ops::Range;

use instar_disk::Result;

use super::ledger::Ledger;
use super::pages::Level;
use super::rebuild::Counts;
use crate::num::{add, shl, shr, sub};
use crate::packed;

/// All counts, for a structure of another width.
impl Counts for Ledger<'_> {
    fn run(&mut self, clusters: &Range<u64>) -> Result<(u64, u64)> {
        Self::run(self, clusters)
    }
}

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
