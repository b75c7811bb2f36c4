//! Clusters, tables, and what an L2 entry says.

use instar_disk::{Levels, align_down};

use crate::raw::{entry, limit};

/// How the disk is cut into clusters and tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    cluster_bits: u32,
    l2_bits: u32,
}

/// What an L2 entry says of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    None,
    /// Its bytes, from there on.
    At(u64),
    /// A stream, from there on, of so many bytes.
    Stream(u64, u64),
}

impl Geometry {
    /// Clusters and tables of these sizes, which the header or we have found good.
    #[must_use]
    pub fn new(cluster_bits: u8, l2_bits: u8) -> Self {
        Self {
            cluster_bits: u32::from(cluster_bits).clamp(
                (*limit::CLUSTER_BITS.start()).into(),
                (*limit::CLUSTER_BITS.end()).into(),
            ),
            l2_bits: u32::from(l2_bits)
                .clamp((*limit::L2_BITS.start()).into(), (*limit::L2_BITS.end()).into()),
        }
    }

    /// The tables of an image with L1 of so many bytes at this offset.
    #[must_use]
    pub const fn levels(self, l1_offset: u64, l1_bytes: u64) -> Levels {
        Levels {
            l1_offset,
            l1_bytes,
            table_bytes: self.table_bytes(),
            align: self.cluster(),
            big_endian: true,
        }
    }

    /// Bytes of a cluster.
    #[must_use]
    pub const fn cluster(self) -> u64 {
        1_u64.wrapping_shl(self.cluster_bits)
    }

    /// Entries of an L2 table.
    #[must_use]
    pub const fn entries(self) -> u64 {
        1_u64.wrapping_shl(self.l2_bits)
    }

    /// Bytes of an L2 table.
    #[must_use]
    pub const fn table_bytes(self) -> u64 {
        self.entries().saturating_mul(entry::BYTES)
    }

    /// Bytes of the disk that one L2 table stands for: at most 2^29.
    #[must_use]
    pub const fn span(self) -> u64 {
        1_u64.wrapping_shl(self.cluster_bits.saturating_add(self.l2_bits))
    }

    /// Entries of the L1 table of a disk of `size` bytes.
    #[must_use]
    pub const fn l1_entries(self, size: u64) -> u64 {
        size.div_ceil(self.span())
    }

    /// The cluster of the disk with byte `offset`.
    #[must_use]
    pub const fn cluster_of(self, offset: u64) -> u64 {
        offset.wrapping_shr(self.cluster_bits)
    }

    /// The start of the cluster with byte `offset`.
    #[must_use]
    pub const fn start_of(self, offset: u64) -> u64 {
        align_down(offset, self.cluster())
    }

    /// The L2 table that has the entry of `cluster`, by number, and which entry that is.
    #[must_use]
    pub const fn place_of(self, cluster: u64) -> (u64, u64) {
        (
            cluster.wrapping_shr(self.l2_bits),
            cluster & self.entries().saturating_sub(1),
        )
    }

    /// What an entry says.
    #[must_use]
    pub const fn entry(self, value: u64) -> Entry {
        if value == entry::NONE {
            return Entry::None;
        }
        if value & entry::COMPRESSED == 0 {
            return Entry::At(value);
        }
        let bits = 63_u32.saturating_sub(self.cluster_bits);
        let length = value.wrapping_shr(bits) & self.cluster().saturating_sub(1);
        let offset = value & 1_u64.wrapping_shl(bits).saturating_sub(1);
        Entry::Stream(offset, length)
    }

    /// The entry of a stream; none if it cannot stand there.
    #[must_use]
    pub const fn stream(self, offset: u64, length: u64) -> Option<u64> {
        let bits = 63_u32.saturating_sub(self.cluster_bits);
        if length >= self.cluster() || offset >= 1_u64.wrapping_shl(bits) {
            return None;
        }
        Some(entry::COMPRESSED | length.wrapping_shl(bits) | offset)
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, Geometry};

    #[test]
    fn a_stream_is_found_where_it_was_put() {
        for bits in [9, 12, 16] {
            let geometry = Geometry::new(bits, 9);
            for (offset, length) in [(48, 1), (77, (1 << bits) - 1), ((1 << (63 - bits)) - 1, 5)] {
                let value = geometry.stream(offset, length).unwrap();
                assert_eq!(geometry.entry(value), Entry::Stream(offset, length));
            }
            assert_eq!(geometry.stream(1 << (63 - bits), 1), None);
            assert_eq!(geometry.stream(0, 1 << bits), None);
        }
    }
}
