//! Clusters, tables, and which of them can be in a file.

use instar_disk::{Levels, align_down, job};

use crate::raw::{entry, limit};

/// How the disk is cut into clusters and tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    cluster_bits: u32,
    /// log2 of the clusters of a table.
    table_bits: u32,
}

impl Geometry {
    /// Clusters of `cluster` bytes, tables of `table` clusters; none if the format has no such things.
    #[must_use]
    pub fn new(cluster: u64, table: u64) -> Option<Self> {
        let fits = cluster.is_power_of_two() && limit::CLUSTER.contains(&cluster);
        let fits = fits && table.is_power_of_two() && limit::TABLE.contains(&table);
        fits.then_some(Self {
            cluster_bits: cluster.trailing_zeros(),
            table_bits: table.trailing_zeros(),
        })
    }

    /// What the options of a new image say.
    #[must_use]
    pub fn of(options: &job::QedCreate) -> Option<Self> {
        Self::new(options.cluster_size, options.table_size)
    }

    /// The tables of an image with L1 at this offset.
    #[must_use]
    pub const fn levels(self, l1_offset: u64) -> Levels {
        Levels {
            l1_offset,
            l1_bytes: self.table_bytes(),
            table_bytes: self.table_bytes(),
            align: self.cluster(),
            big_endian: false,
        }
    }

    /// Bytes of a cluster.
    #[must_use]
    pub const fn cluster(self) -> u64 {
        1_u64.wrapping_shl(self.cluster_bits)
    }

    /// Clusters of a table.
    #[must_use]
    pub const fn table_clusters(self) -> u64 {
        1_u64.wrapping_shl(self.table_bits)
    }

    /// Bytes of a table.
    #[must_use]
    pub const fn table_bytes(self) -> u64 {
        1_u64.wrapping_shl(self.cluster_bits.saturating_add(self.table_bits))
    }

    /// Entries of a table.
    #[must_use]
    pub const fn entries(self) -> u64 {
        self.table_bytes() / entry::BYTES
    }

    /// Bytes of the disk that one L2 table stands for.
    #[must_use]
    pub const fn span(self) -> u64 {
        self.entries().saturating_mul(self.cluster())
    }

    /// Bytes of the largest disk, in the reference tool's arithmetic: where the tables could describe 2^64 bytes and more, it takes that
    /// for none, and opens no such image.
    #[must_use]
    pub const fn most(self) -> u64 {
        self.entries().wrapping_mul(self.span())
    }

    /// The cluster of the disk with byte `offset`.
    #[must_use]
    pub const fn cluster_of(self, offset: u64) -> u64 {
        offset.wrapping_shr(self.cluster_bits)
    }

    /// Clusters of a disk or file of so many bytes, the last one whole or not.
    #[must_use]
    pub const fn clusters(self, bytes: u64) -> u64 {
        bytes.div_ceil(self.cluster())
    }

    /// The start of the cluster with byte `offset`.
    #[must_use]
    pub const fn start_of(self, offset: u64) -> u64 {
        align_down(offset, self.cluster())
    }

    /// The L2 table that has the entry of `cluster`, by number, and which entry that is.
    #[must_use]
    pub const fn place_of(self, cluster: u64) -> (u64, u64) {
        let bits = self.entries().trailing_zeros();
        (
            cluster.wrapping_shr(bits),
            cluster & self.entries().saturating_sub(1),
        )
    }
}
