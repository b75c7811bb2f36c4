//! What a new image would take: the reference tool's formulas, which `measure` must repeat to the byte.

use instar_disk::job::Qcow2Create;
use instar_disk::report::Bitmap;
use instar_disk::{Fault, Result, align_up, fault, from_usize};

use crate::layout::Layout;
use crate::num::{add, shl, shr, shr_up, sub};
use crate::raw::limit;

/// Bytes of an image of `size` bytes in which every cluster is allocated, and of the disk in whole clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    pub file: u64,
    /// What of it is guest data.
    pub data: u64,
}

impl Full {
    /// Of a new image with `options`.
    ///
    /// # Errors
    /// Options beyond the format's limits, in the words of the reference; `OVERFLOW`.
    pub fn new(options: &Qcow2Create, size: u64) -> Result<Self> {
        let layout = Layout::new(options, 0)?;
        let bits = layout.cluster_bits();
        let clusters = shr_up(size, bits);
        let l2 = shr_up(clusters, layout.table_bits());
        let l1 = shr_up(l2, bits.saturating_sub(3));
        let used = add(add(1, clusters)?, add(l2, l1)?)?;
        let refcounts = layout.refcount_space(used, 0)?;
        let all = add(used, add(refcounts.blocks, refcounts.table)?)?;
        Ok(Self {
            file: shl(all, bits)?,
            data: shl(clusters, bits)?,
        })
    }

    /// Bytes of the image when only `data` bytes of clusters hold data. The tables count in full, as the reference counts them.
    ///
    /// # Errors
    /// `data` is more than there is.
    pub fn with_data(&self, data: u64) -> Result<u64> {
        add(sub(self.file, self.data)?, data)
    }
}

/// Whether an L1 table for `size` bytes is within the format's limit, as `measure` asks it of a new disk.
///
/// # Errors
/// `MEASURE_TOO_LARGE`.
pub fn check_size(options: &Qcow2Create, size: u64) -> Result<()> {
    let layout = Layout::new(options, 0)?;
    let tables = shr_up(shr_up(size, layout.cluster_bits()), layout.table_bits());
    if tables.saturating_mul(8) > limit::L1_BYTES {
        return Err(Fault::new(fault::qcow2_write::MEASURE_TOO_LARGE));
    }
    Ok(())
}

/// Bytes that `bitmaps` of a disk of `size` bytes would take in a new image. Those not saved cleanly would not be copied.
///
/// # Errors
/// `OVERFLOW`.
pub fn bitmap_bytes(options: &Qcow2Create, size: u64, bitmaps: &[Bitmap]) -> Result<u64> {
    let layout = Layout::new(options, 0)?;
    let cluster = layout.cluster();
    let mut total = 0_u64;
    let mut directory = 0_u64;
    for bitmap in bitmaps.iter().filter(|bitmap| !bitmap.in_use) {
        let bits = size.div_ceil(bitmap.granularity.max(1));
        let clusters = shr_up(shr(add(bits, 7)?, 3), layout.cluster_bits());
        let table = align_up(clusters.saturating_mul(8), cluster)?;
        total = add(total, add(shl(clusters, layout.cluster_bits())?, table)?)?;
        let entry = add(DIRECTORY_ENTRY, from_usize(bitmap.name.as_bytes().len()))?;
        directory = add(directory, align_up(entry, 8)?)?;
    }
    add(total, align_up(directory, cluster)?)
}

/// Bytes of an entry of the bitmap directory without its name. The format's.
const DIRECTORY_ENTRY: u64 = 24;
