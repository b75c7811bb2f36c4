//! Counts of another width.

use core::ops::Range;

use instar_disk::fault::amend as faults;
use instar_disk::{Fault, File, Result};

use crate::edit::counts::Runs;
use crate::edit::ledger::each_block;
use crate::edit::transaction::{Look, Release};
use crate::header::TableRange;
use crate::num::{add, shl, shr};
use crate::packed;
use crate::raw::limit;

/// The counts of an image that shall have them in another width.
pub(super) struct Counted {
    /// What is known of them.
    pub(super) known: Runs,
    /// Refcount blocks that there are.
    blocks: u64,
}

impl Counted {
    /// Looks at all of them.
    ///
    /// # Errors
    /// `WIDTH_NARROW` for the first that has no room; the host's.
    pub(super) fn of(look: &mut Look<'_>, order: u32) -> Result<Self> {
        let mut counted = Self {
            known: Runs::default(),
            blocks: look.blocks,
        };
        if order < look.layout.refcount_order() {
            counted.fit(look, order)?;
        }
        Ok(counted)
    }

    /// Whether each count fits the width.
    fn fit(&mut self, look: &mut Look<'_>, order: u32) -> Result<()> {
        let most = packed::limit(order);
        let end = look.ledger.counted_end()?;
        let mut at = 0;
        while at < end {
            let (count, run) = look.ledger.run(&(at..end))?;
            if count > most {
                let offset = shl(at, look.layout.cluster_bits())?;
                let bits = 1_u64.wrapping_shl(order);
                return Err(Fault::new(faults::WIDTH_NARROW).with([bits, offset, count]));
            }
            let next = add(at, run)?;
            if at == self.known.end() {
                self.known.add(next, count);
            }
            at = next;
        }
        Ok(())
    }

    /// Bytes that they take in that width at most.
    pub(super) fn room(&self, look: &Look<'_>, order: u32) -> u64 {
        let wider = order.saturating_sub(look.layout.refcount_order());
        let blocks = self.blocks.saturating_mul(1_u64.wrapping_shl(wider));
        let bytes = blocks.saturating_mul(look.layout.cluster());
        // They count themselves.
        let all = bytes.saturating_add(shr(bytes, 3));
        all.saturating_add(limit::REFCOUNT_TABLE_BYTES)
    }
}

/// Gives up the structure whose table that was.
pub(super) fn release(release: &mut Release<'_>, file: File<'_>, table: TableRange) -> Result<()> {
    each_block(file, table, &mut |offset| {
        let clusters = release.clusters(offset, 1)?;
        release.lower_counted(clusters)
    })?;
    let clusters: Range<u64> = release.clusters(table.offset, shl(table.entries, 3)?)?;
    release.lower_counted(clusters)
}
