//! What `info` shows.

use instar_disk::{Format, Slot, report};

use crate::metadata::Metadata;

/// `dirty`: there is a log to be replayed, which qemu-img would not open.
pub(crate) fn describe(slot: Slot, metadata: &Metadata, dirty: bool) -> report::Info {
    report::Info {
        slot,
        format: Format::Vhdx,
        virtual_size: metadata.size,
        cluster_size: Some(metadata.block_size),
        encrypted: false,
        compressed: false,
        dirty,
        backing: metadata.parent.backing.clone(),
        snapshots: alloc::vec::Vec::new(),
        specific: None,
    }
}
