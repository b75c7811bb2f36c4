//! What `info` shows.

use instar_disk::{Format, Slot, report};

/// `cluster_size` is the block size of a disk that has blocks.
pub(crate) fn describe(
    slot: Slot,
    size: u64,
    cluster_size: Option<u64>,
    backing: Option<report::Backing>,
) -> report::Info {
    report::Info {
        slot,
        format: Format::Vpc,
        virtual_size: size,
        cluster_size,
        encrypted: false,
        compressed: false,
        dirty: false,
        backing,
        snapshots: alloc::vec::Vec::new(),
        specific: None,
    }
}
