//! Jobs as callers send them who ask for nothing special.

use instar_abi::job::{Convert, CopyBitmaps, Source, Target};

/// A plain conversion.
#[must_use]
pub fn conversion(sources: Vec<Source>, target: Target) -> Convert {
    Convert {
        sources,
        target,
        sparse: 4096,
        sparse_chosen: false,
        compress: false,
        target_is_zero: false,
        layer_only: false,
        rate: 0,
        watched: false,
        salvage: false,
        offload: false,
        range: None,
        sent_to: None,
        granularity: 1,
        checksum: None,
        bitmaps: CopyBitmaps::No,
    }
}
