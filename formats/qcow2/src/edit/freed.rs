//! Clusters that nothing refers to any more: given back to the filesystem once the counts that say so are on stable storage.

use alloc::vec::Vec;
use core::ops::Range;

use instar_disk::{Action, File, Io};

/// Those whose counts may not be on disk yet.
#[derive(Debug, Default)]
pub(crate) struct Freed(Vec<Range<u64>>);

impl Freed {
    /// None.
    pub(crate) const fn none() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn push(&mut self, cluster: u64) {
        match self.0.last_mut() {
            Some(last) if last.end == cluster => last.end = cluster.saturating_add(1),
            _ => self.0.push(cluster..cluster.saturating_add(1)),
        }
    }

    /// All of a range.
    pub(crate) fn push_all(&mut self, clusters: Range<u64>) {
        match self.0.last_mut() {
            Some(last) if last.end == clusters.start => last.end = clusters.end,
            _ => self.0.push(clusters),
        }
    }

    /// There are so many that they are to be given back now.
    pub(crate) const fn is_full(&self) -> bool {
        self.0.len() >= MOST
    }

    /// Gives them back. All counts have been flushed.
    pub(crate) fn drop_all(&mut self, file: File<'_>, cluster_bits: u32) {
        let bytes =
            |range: Range<u64>| range.start.wrapping_shl(cluster_bits)..range.end.wrapping_shl(cluster_bits);
        drop_ranges(file, self.0.drain(..).map(bytes));
    }
}

/// Gives byte ranges that nothing refers to back to the filesystem. Space that is not given back is no fault of the change.
pub(crate) fn drop_ranges(file: File<'_>, ranges: impl Iterator<Item = Range<u64>>) {
    let discard = |range: Range<u64>| {
        Io::new(Action::Discard {
            slot: file.slot(),
            offset: range.start,
            length: range.end.saturating_sub(range.start),
        })
    };
    let mut batch: Vec<Io<'_>> = ranges.map(discard).collect();
    file.host().submit(&mut batch);
}

/// Ranges that are kept. Ours: 64 KiB.
const MOST: usize = 4096;
