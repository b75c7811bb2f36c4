//! Where things stand from now on, and what entries say then.

use alloc::vec::Vec;

use instar_disk::Result;
use zerocopy::big_endian::U64;

use super::survey::Kind;
use crate::entry::{compressed_range, moved};
use crate::layout::Layout;
use crate::num::{add, shl, shr};
use crate::raw::entry;

/// Clusters that follow one another, before and after.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shift {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) clusters: u64,
    /// How often each of them is counted.
    pub(super) count: u64,
    pub(super) kind: Kind,
}

/// Compressed data of one cluster of the disk, before and after.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    /// First byte in the file.
    pub(super) offset: u64,
    /// Where its last sector ends.
    pub(super) end: u64,
    /// How many entries lead to it.
    pub(super) times: u64,
    /// Its first byte then.
    pub(super) to: u64,
}

/// What one round moves.
#[derive(Default)]
pub(super) struct Moves {
    /// In the order of the old places.
    pub(super) shifts: Vec<Shift>,
    /// Likewise.
    pub(super) streams: Vec<Stream>,
}

impl Moves {
    pub(super) const fn is_empty(&self) -> bool {
        self.shifts.is_empty() && self.streams.is_empty()
    }

    /// The new number of a cluster that moves.
    pub(super) fn cluster(&self, cluster: u64) -> Option<u64> {
        let behind = self.shifts.partition_point(|shift| shift.from <= cluster);
        let shift = self.shifts.get(behind.checked_sub(1)?)?;
        let within = cluster.checked_sub(shift.from)?;
        (within < shift.clusters).then(|| shift.to.saturating_add(within))
    }

    fn stream(&self, range: (u64, u64)) -> Option<u64> {
        let at = self
            .streams
            .binary_search_by_key(&range, |stream| (stream.offset, stream.end));
        self.streams.get(at.ok()?).map(|stream| stream.to)
    }

    /// The new entry of an L1 table, or of a bitmap's.
    fn root(&self, bits: u32, word: u64) -> Result<u64> {
        let offset = word & entry::OFFSET;
        match self.cluster(shr(offset, bits)) {
            Some(cluster) if offset != 0 => Ok(word & !entry::OFFSET | shl(cluster, bits)?),
            _ => Ok(word),
        }
    }

    /// The new entry of an L2 table.
    fn leaf(&self, bits: u32, word: u64) -> Result<u64> {
        if word & entry::COMPRESSED == 0 {
            return self.root(bits, word);
        }
        let to = self.stream(compressed_range(bits, word));
        Ok(to.map_or(word, |to| moved(bits, word, to)))
    }

    /// The new entries of an L1 table, or of a bitmap's.
    pub(super) fn roots(&self, layout: Layout, words: &[U64]) -> Result<Vec<U64>> {
        let new = |word: &U64| Ok(U64::new(self.root(layout.cluster_bits(), word.get())?));
        words.iter().map(new).collect()
    }

    /// The new entries of an L2 table.
    pub(super) fn leaves(&self, layout: Layout, words: &[U64]) -> Result<Vec<U64>> {
        let mut new = words.to_vec();
        let step = if layout.extended_l2() { 2 } else { 1 };
        for word in new.iter_mut().step_by(step) {
            *word = U64::new(self.leaf(layout.cluster_bits(), word.get())?);
        }
        Ok(new)
    }

    /// Bytes that move.
    pub(super) fn bytes(&self, layout: Layout) -> Result<u64> {
        let mut bytes = 0;
        for shift in &self.shifts {
            bytes = add(bytes, shl(shift.clusters, layout.cluster_bits())?)?;
        }
        for stream in &self.streams {
            bytes = add(bytes, stream.end.saturating_sub(stream.offset))?;
        }
        Ok(bytes)
    }
}
