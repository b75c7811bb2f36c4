//! Numbers that reading and writing share.

/// 1 MiB: everything but the headers is aligned to it.
pub(crate) const MIB: u64 = 1 << 20;

/// Bytes of the header section, in which nothing else may lie.
pub(crate) const HEADER_SECTION: u64 = MIB;

/// Where the two headers are.
pub(crate) const HEADERS: [u64; 2] = [64 << 10, 128 << 10];

/// Where the two region tables are.
pub(crate) const REGION_TABLES: [u64; 2] = [192 << 10, 256 << 10];

/// Bytes of a region table, and of the metadata table.
pub(crate) const TABLE_BYTES: usize = 64 << 10;

/// Entries of a region table or metadata table at most, by the specification.
pub(crate) const TABLE_ENTRIES: usize = 2047;

/// Bytes of a disk at most, by the specification.
pub(crate) const DISK_MAX: u64 = 64 << 40;

/// Sectors that one bitmap block speaks for, by the specification.
pub(crate) const CHUNK_SECTORS: u64 = 1 << 23;

/// States of a payload block.
pub(crate) mod state {
    /// In the parent, or nowhere.
    pub(crate) const NOT_PRESENT: u64 = 0;
    /// Zeros.
    pub(crate) const ZERO: u64 = 2;
    /// In this file.
    pub(crate) const FULLY_PRESENT: u64 = 6;
    /// Partly in this file: the bitmap tells.
    pub(crate) const PARTIALLY_PRESENT: u64 = 7;
}

/// How blocks are counted in a BAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunks {
    /// Bytes of a block, a power of two.
    pub(crate) block_size: u64,
    /// Payload blocks between two bitmap blocks, a power of two.
    pub(crate) ratio: u64,
}

impl Chunks {
    /// For blocks of `block_size` bytes (1 MiB to 256 MiB) and sectors of `sector_size` (512 or 4096).
    pub(crate) fn new(block_size: u64, sector_size: u64) -> Self {
        let chunk = CHUNK_SECTORS.saturating_mul(sector_size);
        Self {
            block_size,
            ratio: chunk.checked_div(block_size).unwrap_or(1).max(1),
        }
    }

    /// Payload blocks of a disk of `size` bytes.
    pub(crate) const fn blocks(&self, size: u64) -> u64 {
        size.div_ceil(if self.block_size == 0 { 1 } else { self.block_size })
    }

    /// The BAT entry of payload block `block`.
    pub(crate) fn entry(&self, block: u64) -> u64 {
        block.saturating_add(block.checked_div(self.ratio).unwrap_or(0))
    }

    /// The BAT entry of the bitmap that speaks for payload block `block`.
    pub(crate) fn bitmap_entry(&self, block: u64) -> u64 {
        let chunk = block.checked_div(self.ratio).unwrap_or(0);
        chunk
            .saturating_mul(self.ratio.saturating_add(1))
            .saturating_add(self.ratio)
    }

    /// Whether BAT entry `entry` is a bitmap's.
    pub(crate) fn is_bitmap(&self, entry: u64) -> bool {
        entry
            .checked_rem(self.ratio.saturating_add(1))
            .is_some_and(|rest| rest == self.ratio)
    }

    /// Entries that the BAT of a disk of `size` bytes has.
    pub(crate) fn entries(&self, size: u64, differencing: bool) -> u64 {
        let blocks = self.blocks(size);
        if differencing {
            let chunks = blocks.div_ceil(self.ratio.max(1));
            return chunks.saturating_mul(self.ratio.saturating_add(1));
        }
        match blocks.checked_sub(1) {
            Some(last) => self.entry(last).saturating_add(1),
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payload_and_bitmap_entries_interleave() {
        let chunks = Chunks::new(1 << 20, 512);
        assert_eq!(chunks.ratio, 4096);
        assert_eq!((chunks.entry(4095), chunks.entry(4096)), (4095, 4097));
        assert_eq!(
            (
                chunks.bitmap_entry(0),
                chunks.bitmap_entry(4095),
                chunks.bitmap_entry(4096)
            ),
            (4096, 4096, 8193)
        );
        assert!(chunks.is_bitmap(4096) && !chunks.is_bitmap(4095) && !chunks.is_bitmap(4097));
        assert_eq!(
            (
                chunks.entries(0, false),
                chunks.entries(1, false),
                chunks.entries(4097 << 20, false)
            ),
            (0, 1, 4098)
        );
        assert_eq!(
            (chunks.entries(1, true), chunks.entries(4097 << 20, true)),
            (4097, 8194)
        );
        assert_eq!(Chunks::new(256 << 20, 4096).ratio, 128);
    }
}
