//! From bytes of the file to clusters.

use core::ops::Range;

use instar_disk::Result;

use crate::layout::Layout;
use crate::num::{add, shr, shr_up};

/// The clusters of a table of so many bytes.
pub(super) fn clusters_of(layout: Layout, offset: u64, bytes: u64) -> Result<Range<u64>> {
    let bits = layout.cluster_bits();
    let first = shr(offset, bits);
    Ok(first..add(first, shr_up(bytes, bits))?)
}
