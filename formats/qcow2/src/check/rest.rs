//! References that no L1 table makes: snapshot table, refcount table and blocks, LUKS header, bitmaps.

use alloc::vec::Vec;

use instar_disk::{Fault, Findings, Result, fault};

use super::bitmaps::Bitmap;
use super::blocks::{Blocks, RESERVED};
use super::cells::{Cells, Claim};
use super::frame::{Frame, errno, failed};
use super::snapshots::Snapshots;
use super::totals::Totals;
use crate::raw::entry;

/// The rest of an image.
pub(super) struct Rest<'a, 'b, 'h, 'f> {
    pub(super) frame: &'a Frame<'h>,
    pub(super) cells: &'b mut Cells,
    pub(super) totals: &'b mut Totals,
    pub(super) findings: &'b mut Findings<'f>,
    /// Findings are said and counted; in a second look they have been.
    pub(super) aloud: bool,
    /// What does not depend on the window is said now; in later windows it has been.
    pub(super) first: bool,
    pub(super) corruptions: u64,
    pub(super) corruptions_fixed: u64,
    /// Refcounts cannot be put right where they are: a block is not where it can be, or something else uses it, too.
    pub(super) rebuild: bool,
}

impl Rest<'_, '_, '_, '_> {
    /// Counts and says.
    ///
    /// # Errors
    /// `EINVAL` for bitmaps that cannot be followed, as in qemu-img; the host's.
    pub(super) fn run(
        &mut self,
        snapshots: &Snapshots,
        bitmaps: &[Bitmap],
        blocks: &mut Blocks,
    ) -> Result<()> {
        let header = &self.frame.header;
        self.refer(header.snapshots.offset, snapshots.bytes);
        let table = header.refcount_table;
        self.refer(table.offset, table.entries.saturating_mul(8));
        if let Some((offset, length)) = header.extensions.crypto_header {
            self.refer(offset, length);
        }
        if let Some(directory) = header.extensions.bitmaps {
            self.refer(directory.offset, directory.bytes);
            for bitmap in bitmaps {
                self.bitmap(bitmap)?;
            }
        }
        self.blocks(blocks)
    }

    fn bitmap(&mut self, bitmap: &Bitmap) -> Result<()> {
        self.refer(bitmap.table.offset, bitmap.table.entries.saturating_mul(8));
        let mut clusters = Vec::new();
        let sound = bitmap.each_entry(self.frame, |offset| clusters.push(offset))?;
        if !sound {
            return Err(failed(errno::INVALID));
        }
        for offset in clusters {
            self.refer(offset, self.frame.cluster_size());
        }
        Ok(())
    }

    fn blocks(&mut self, blocks: &mut Blocks) -> Result<()> {
        for number in 0..blocks.entries() {
            let value = blocks.raw(self.frame, number)?;
            if value == 0 {
                continue;
            }
            let offset = value & entry::REFCOUNT_BLOCK;
            let cluster = self.frame.cluster(offset);
            let wrong = if value & RESERVED != 0 {
                Some(fault::check::REFCOUNT_TABLE_RESERVED)
            } else if self.frame.within(offset) != 0 {
                Some(fault::check::REFCOUNT_BLOCK_UNALIGNED)
            } else if cluster >= self.frame.clusters.saturating_add(u64::from(self.totals.grown)) {
                Some(fault::check::REFCOUNT_BLOCK_OUTSIDE)
            } else {
                None
            };
            if let Some(code) = wrong {
                let outside = code == fault::check::REFCOUNT_BLOCK_OUTSIDE;
                // Counts there are 0, and nobody writes to it: only who repairs everything puts it right.
                self.rebuild |= !outside || self.frame.repairs_all;
                if self.first && outside && self.frame.repairs_all {
                    self.corruptions_fixed = self.corruptions_fixed.saturating_add(1);
                    self.say(Fault::new(fault::check::REPAIRING_BLOCK_OUTSIDE).with([number]));
                } else if self.first {
                    self.found(Fault::new(code).with([number]));
                }
                continue;
            }
            self.refer(offset, self.frame.cluster_size());
            if self.cells.holds(cluster) {
                let count = self.cells.get(cluster).count.min(self.frame.most());
                if count != 1 {
                    self.rebuild = true;
                    self.found(Fault::new(fault::check::REFCOUNT_BLOCK_SHARED).with([number, count]));
                }
            }
        }
        Ok(())
    }

    fn refer(&mut self, offset: u64, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let Some((first, clusters)) = self.frame.clusters_of(offset, bytes) else {
            self.totals.overhangs |= offset < self.frame.length;
            if self.first {
                self.found(Frame::past_end(offset, bytes));
            }
            return;
        };
        let end = first.saturating_add(clusters);
        self.totals.grown |= end > self.frame.clusters;
        let most = self.frame.most();
        for cluster in first..end.min(self.cells.end()) {
            if self.cells.holds(cluster) && self.cells.get(cluster).count >= most {
                self.found(self.frame.overflow(cluster));
            }
            self.cells.add(cluster, 1, 1, Claim::Silent);
        }
    }

    fn found(&mut self, fault: Fault) {
        if self.aloud {
            self.corruptions = self.corruptions.saturating_add(1);
        }
        self.say(fault);
    }

    fn say(&mut self, fault: Fault) {
        if self.aloud {
            self.findings.say(fault);
        }
    }
}
