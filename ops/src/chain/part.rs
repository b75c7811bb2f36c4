//! A part of a chain's disk that counts as the disk: a partition.

use core::ops::Range;

use super::Chain;

impl Chain<'_> {
    /// From now on the disk consists of these bytes of it.
    pub(crate) fn narrow(&mut self, part: Range<u64>) {
        self.part = Some(part);
    }

    /// Whether it is a part of a disk.
    pub(crate) const fn is_part(&self) -> bool {
        self.part.is_some()
    }

    /// The bytes of the top layer that are the disk.
    pub(super) fn shown(&self) -> Range<u64> {
        let whole = || 0..self.layers.first().map_or(0, |layer| layer.size);
        self.part.clone().unwrap_or_else(whole)
    }

    /// Where a byte of the disk is in the top layer.
    pub(super) fn placed(&self, offset: u64) -> u64 {
        self.shown().start.saturating_add(offset)
    }
}
