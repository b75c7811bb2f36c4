//! Size arithmetic: how much of a file each structure of an image takes.
//!
//! Everything here is a pure function of the options and the virtual size, so that `create` and `measure` agree.

use instar_disk::job::Qcow2Create;
use instar_disk::{Fault, Result, align_up, fault};

use crate::header::Header;
use crate::num::{add, shl, shr, shr_up};
use crate::raw::limit;

/// The geometry of an image: its options and size, known to fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    cluster_bits: u32,
    refcount_order: u32,
    extended_l2: bool,
    size: u64,
}

/// Clusters that describe how often clusters are used, themselves included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefcountSpace {
    pub blocks: u64,
    /// Clusters of the refcount table.
    pub table: u64,
}

impl Layout {
    /// The layout of an image of `size` bytes, rounded up to 512.
    ///
    /// # Errors
    /// A cluster size, refcount width or L1 table beyond the format's limits, in the words of the reference.
    pub fn new(options: &Qcow2Create, size: u64) -> Result<Self> {
        if !(limit::MIN_CLUSTER_BITS..=limit::MAX_CLUSTER_BITS).contains(&options.cluster_bits) {
            return Err(Fault::new(fault::qcow2_write::CLUSTER_SIZE));
        }
        if options.refcount_order > limit::MAX_REFCOUNT_ORDER {
            return Err(Fault::new(fault::qcow2_write::REFCOUNT_WIDTH));
        }
        if options.extended_l2 && options.cluster_bits < MIN_EXTENDED_BITS {
            return Err(Fault::new(fault::qcow2_write::EXTENDED_CLUSTER));
        }
        let too_large = || Fault::new(fault::qcow2_write::TOO_LARGE);
        let layout = Self {
            cluster_bits: options.cluster_bits,
            refcount_order: options.refcount_order,
            extended_l2: options.extended_l2,
            size: align_up(size, SECTOR).map_err(|_| too_large())?,
        };
        if layout.l1_bytes() > limit::L1_BYTES {
            return Err(too_large());
        }
        Ok(layout)
    }

    /// The layout of an existing image.
    pub(crate) const fn of(header: &Header) -> Self {
        Self {
            cluster_bits: header.cluster_bits,
            refcount_order: header.refcount_order,
            extended_l2: header.features.extended_l2(),
            size: header.virtual_size(),
        }
    }

    /// The same image with counts of another width.
    pub(crate) const fn with_refcount_order(self, refcount_order: u32) -> Self {
        Self {
            refcount_order,
            ..self
        }
    }

    /// Virtual size in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// log2 of the cluster size.
    #[must_use]
    pub const fn cluster_bits(&self) -> u32 {
        self.cluster_bits
    }

    /// log2 of the refcount width in bits.
    #[must_use]
    pub const fn refcount_order(&self) -> u32 {
        self.refcount_order
    }

    /// Clusters have subclusters.
    #[must_use]
    pub const fn extended_l2(&self) -> bool {
        self.extended_l2
    }

    /// Cluster size in bytes.
    #[must_use]
    pub const fn cluster(&self) -> u64 {
        1_u64.wrapping_shl(self.cluster_bits)
    }

    /// log2 of the size of what can be allocated by itself: a cluster, or a 32nd of it.
    #[must_use]
    pub const fn unit_bits(&self) -> u32 {
        if self.extended_l2 {
            self.cluster_bits.saturating_sub(SUBCLUSTER_BITS)
        } else {
            self.cluster_bits
        }
    }

    /// log2 of the size of an L2 entry in bytes.
    #[must_use]
    pub const fn entry_bits(&self) -> u32 {
        if self.extended_l2 { 4 } else { 3 }
    }

    /// log2 of the number of entries in an L2 table.
    #[must_use]
    pub const fn table_bits(&self) -> u32 {
        self.cluster_bits.saturating_sub(self.entry_bits())
    }

    /// log2 of the guest bytes that one L2 table maps.
    #[must_use]
    pub const fn reach_bits(&self) -> u32 {
        self.table_bits().saturating_add(self.cluster_bits)
    }

    /// Guest clusters, the last perhaps partial.
    #[must_use]
    pub const fn clusters(&self) -> u64 {
        shr_up(self.size, self.cluster_bits)
    }

    /// Entries of the L1 table: as many as there are L2 tables when all of the disk is mapped.
    #[must_use]
    pub const fn l1_entries(&self) -> u64 {
        shr_up(self.size, self.reach_bits())
    }

    /// Bytes of the L1 table.
    #[must_use]
    pub const fn l1_bytes(&self) -> u64 {
        self.l1_entries().saturating_mul(8)
    }

    /// Clusters of the L1 table.
    #[must_use]
    pub const fn l1_clusters(&self) -> u64 {
        shr_up(self.l1_bytes(), self.cluster_bits)
    }

    /// log2 of the number of counts in a refcount block.
    #[must_use]
    pub const fn block_bits(&self) -> u32 {
        // A block has 8 << cluster_bits bits; a count takes 1 << refcount_order of them.
        self.cluster_bits
            .saturating_add(3)
            .saturating_sub(self.refcount_order)
    }

    /// What it takes to count `used` clusters, the first `counted` of which have their blocks already.
    ///
    /// The blocks and the table are counted too, hence the iteration; it grows to a fixed point and stays below the
    /// sum of a geometric series with a ratio of at most 1/8 (64-bit counts in 512-byte clusters: 1/64).
    ///
    /// # Errors
    /// `OVERFLOW` for a file of more than 2^64 bytes.
    pub fn refcount_space(&self, used: u64, counted: u64) -> Result<RefcountSpace> {
        let mut space = RefcountSpace { blocks: 1, table: 1 };
        for _ in 0..REFCOUNT_STEPS {
            let total = add(used, add(space.blocks, space.table)?)?;
            let all = shr_up(total, self.block_bits());
            let next = RefcountSpace {
                blocks: all.saturating_sub(shr(counted, self.block_bits())),
                table: shr_up(all, self.cluster_bits.saturating_sub(TABLE_ENTRY_BITS)),
            };
            if next == space {
                shl(total, self.cluster_bits)?;
                return Ok(space);
            }
            space = next;
        }
        Err(crate::num::internal(line!()))
    }
}

/// Bytes of a sector: virtual sizes are multiples of it. The format's.
pub(crate) const SECTOR: u64 = 512;
/// log2 of the smallest cluster that can have subclusters: these have at least a sector. The format's.
const MIN_EXTENDED_BITS: u32 = 14;
/// log2 of the subclusters in a cluster. The format's.
pub(crate) const SUBCLUSTER_BITS: u32 = 5;
/// log2 of the size of an entry of the L1 and refcount tables. The format's.
pub(crate) const TABLE_ENTRY_BITS: u32 = 3;
/// Steps to the fixed point of [`Layout::refcount_space`]. Ours: each adds at most an eighth of the one before.
const REFCOUNT_STEPS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(cluster_bits: u32, refcount_order: u32, size: u64) -> Layout {
        let options = Qcow2Create {
            cluster_bits,
            refcount_order,
            ..Qcow2Create::default()
        };
        Layout::new(&options, size).unwrap()
    }

    #[test]
    fn refcounts_count_themselves() {
        for bits in limit::MIN_CLUSTER_BITS..=limit::MAX_CLUSTER_BITS {
            for order in 0..=limit::MAX_REFCOUNT_ORDER {
                let layout = layout(bits, order, 0);
                for used in [1, 2, 63, 64, 65, 4095, 4096, 100_000, 1 << 30] {
                    let space = layout.refcount_space(used, 0).unwrap();
                    let total = used + space.blocks + space.table;
                    let counts = space.blocks << layout.block_bits();
                    assert!(counts >= total, "{bits} {order} {used}");
                    assert!(counts - (1 << layout.block_bits()) < total);
                    assert!(space.table << (bits - 3) >= space.blocks);
                }
            }
        }
    }

    #[test]
    fn the_largest_l1_table_is_32_mib() {
        let options = Qcow2Create {
            cluster_bits: 9,
            ..Qcow2Create::default()
        };
        assert_eq!(Layout::new(&options, 128 << 30).unwrap().l1_entries(), 4 << 20);
        for size in [(128 << 30) + 1, u64::MAX] {
            let fault = Layout::new(&options, size).unwrap_err();
            assert_eq!(fault.code, fault::qcow2_write::TOO_LARGE);
        }
    }

    #[test]
    fn metadata_of_a_gibibyte_is_what_the_reference_measures() {
        // `qemu-img measure -O qcow2 --size 1G` says 393216 required and 1074135040 fully allocated.
        let layout = layout(16, 4, 1 << 30);
        let metadata = 1 + layout.l1_clusters() + layout.l1_entries();
        let space = layout.refcount_space(metadata + layout.clusters(), 0).unwrap();
        assert_eq!((metadata + space.blocks + space.table) << 16, 393_216);
        assert_eq!(
            (metadata + layout.clusters() + space.blocks + space.table) << 16,
            1_074_135_040
        );
    }
}
