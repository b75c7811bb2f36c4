//! Refcounts of a file that only grows: nearly all are 1, so that they need no memory.
//!
//! Only clusters that hold compressed streams are counted one by one, and only as long as another stream may still be
//! added to the last of them; blocks that cannot change any more are written out in between. The rest is written
//! at the end, followed by the table.

use alloc::vec::Vec;

use instar_disk::{Fault, File, Result, fault};

use crate::layout::{Layout, RefcountSpace};
use crate::num::{add, index, internal, length, shl, shr, sub};
use crate::packed;
use crate::raw::limit;
use crate::space::Space;

/// The counts of a new image.
pub(crate) struct Refcounts {
    layout: Layout,
    /// The blocks of clusters below this one are written; first of a block.
    first: u64,
    /// Packed counts of the clusters from `first` on; what follows them is counted once.
    counts: Vec<u8>,
    counted: u64,
    /// Where the blocks are, in order.
    runs: Vec<Run>,
}

/// Blocks that follow one another in the file.
struct Run {
    offset: u64,
    blocks: u64,
}

/// Where the refcount table went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    pub(crate) offset: u64,
    pub(crate) clusters: u64,
}

impl Refcounts {
    pub(crate) const fn new(layout: Layout) -> Self {
        Self {
            layout,
            first: 0,
            counts: Vec::new(),
            counted: 0,
            runs: Vec::new(),
        }
    }

    /// Whether `cluster`, which holds streams, has no count left for one more.
    pub(crate) fn is_full(&self, cluster: u64) -> bool {
        match cluster.checked_sub(self.first) {
            Some(at) if at < self.counted => {
                packed::get(&self.counts, self.order(), at) >= packed::limit(self.order())
            }
            Some(_) => false,
            None => true,
        }
    }

    /// Counts a stream that touches `cluster`.
    pub(crate) fn add_stream(&mut self, cluster: u64) -> Result<()> {
        let (at, order) = (sub(cluster, self.first)?, self.order());
        if at < self.counted {
            let count = packed::get(&self.counts, order, at);
            packed::set(&mut self.counts, order, at, add(count, 1)?);
            return Ok(());
        }
        let counted = add(at, 1)?;
        self.counts.resize(index(packed::bytes(counted, order)), 0);
        packed::fill_ones(&mut self.counts, order, self.counted, counted);
        self.counted = counted;
        Ok(())
    }

    /// Writes out blocks when those that are due would take much memory. Clusters below the returned one must get no more
    /// streams.
    pub(crate) fn relieve(&mut self, file: &File<'_>, space: &mut Space) -> Result<u64> {
        let used = space.clusters();
        let due = used.saturating_sub(self.first);
        let blocks = shr(due, self.layout.block_bits());
        if packed::bytes(due, self.order()) < HELD_BYTES || blocks == 0 {
            return Ok(self.first);
        }
        let offset = space.take(blocks)?;
        let covered = shl(blocks, self.layout.block_bits())?;
        self.write_blocks(file, offset, blocks, used)?;
        self.runs.push(Run { offset, blocks });
        self.first = add(self.first, covered)?;
        let gone = index(packed::bytes(covered, self.order())).min(self.counts.len());
        self.counts.drain(..gone);
        self.counted = self.counted.saturating_sub(covered);
        Ok(self.first)
    }

    /// Whether a file of `used` clusters can be counted; gives what that takes.
    pub(crate) fn check(&self, used: u64) -> Result<RefcountSpace> {
        let needed = self.layout.refcount_space(used, self.first)?;
        if shl(needed.table, self.layout.cluster_bits())? > limit::REFCOUNT_TABLE_BYTES {
            return Err(Fault::new(fault::qcow2_write::REFCOUNT_TABLE)
                .with([needed.table, limit::REFCOUNT_TABLE_BYTES]));
        }
        Ok(needed)
    }

    /// Writes all blocks that are due, then the table.
    pub(crate) fn finish(&mut self, file: &File<'_>, space: &mut Space, trim: bool) -> Result<Table> {
        let needed = self.check(space.clusters())?;
        let bytes = shl(needed.table, self.layout.cluster_bits())?;
        let offset = space.take(needed.blocks)?;
        let table = space.take(needed.table)?;
        self.runs.push(Run {
            offset,
            blocks: needed.blocks,
        });
        self.write_blocks(file, offset, needed.blocks, space.clusters())?;
        self.write_table(file, table, bytes, trim)?;
        Ok(Table {
            offset: table,
            clusters: needed.table,
        })
    }

    /// Writes `blocks` blocks that count the clusters from `first` on; those from `end` on are free.
    fn write_blocks(&self, file: &File<'_>, offset: u64, blocks: u64, end: u64) -> Result<()> {
        let each = shr(PIECE_BYTES, self.layout.cluster_bits()).clamp(1, blocks);
        let piece = shl(each, self.layout.block_bits())?;
        let end = sub(end, self.first)?;
        let mut buffer: Vec<u8> = Vec::new();
        let (mut at, mut left, mut offset) = (0_u64, blocks, offset);
        // Pieces in which every count is 1 are all alike: filled once, written again and again.
        let mut uniform = false;
        while left > 0 {
            let now = each.min(left);
            let bytes = index(shl(now, self.layout.cluster_bits())?);
            let stop = add(at, piece)?;
            if !uniform || bytes != buffer.len() || stop > end {
                buffer.clear();
                buffer.resize(bytes, 0);
                self.fill(&mut buffer, at, stop.min(end));
                uniform = at >= self.counted && stop <= end;
            }
            file.write(offset, &buffer)?;
            offset = add(offset, length(&buffer))?;
            at = stop;
            left = left.saturating_sub(now);
        }
        Ok(())
    }

    /// Fills `buffer` with the counts from `at` up to `stop`, relative to `first`.
    fn fill(&self, buffer: &mut [u8], at: u64, stop: u64) {
        let order = self.order();
        let single = self.counted.clamp(at, stop.max(at));
        packed::fill_ones(buffer, order, single.saturating_sub(at), stop.saturating_sub(at));
        let start = index(packed::bytes(at, order));
        let Some(counts) = self.counts.get(start..).filter(|_| at < self.counted) else {
            return;
        };
        // The last byte of narrow counts may be shared with counts that were filled just now: it has them already.
        let whole = single.saturating_sub(at);
        for count in instar_disk::align_down(whole, 8)..whole {
            packed::set(buffer, order, count, packed::get(counts, order, count));
        }
        let bytes = index(packed::bytes(instar_disk::align_down(whole, 8), order));
        if let (Some(to), Some(from)) = (buffer.get_mut(..bytes), counts.get(..bytes)) {
            to.copy_from_slice(from);
        }
    }

    fn write_table(&self, file: &File<'_>, offset: u64, bytes: u64, trim: bool) -> Result<()> {
        let mut buffer: Vec<u8> = Vec::new();
        let mut at = offset;
        let end = add(offset, bytes)?;
        for run in &self.runs {
            for block in 0..run.blocks {
                let place = add(run.offset, shl(block, self.layout.cluster_bits())?)?;
                buffer.extend_from_slice(&place.to_be_bytes());
                if length(&buffer) >= PIECE_BYTES {
                    file.write(at, &buffer)?;
                    at = add(at, length(&buffer))?;
                    buffer.clear();
                }
            }
        }
        if add(at, length(&buffer))? > end {
            return Err(internal(line!()));
        }
        if !trim {
            buffer.resize(index(sub(end, at)?), 0);
        }
        if buffer.is_empty() {
            return Ok(());
        }
        file.write(at, &buffer)
    }

    const fn order(&self) -> u32 {
        self.layout.refcount_order()
    }
}

/// Bytes of counts that may wait in memory. Ours: 64 KiB clusters with 16-bit counts make that 32 GiB of file.
const HELD_BYTES: u64 = 1 << 20;
/// Bytes of one write. Ours: large enough that the request itself costs nothing.
const PIECE_BYTES: u64 = 1 << 20;
