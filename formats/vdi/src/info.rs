//! What `info` shows.

use instar_disk::{Format, Slot, report};

use crate::header::{BLOCK, Header};

pub(crate) fn describe(slot: Slot, header: &Header) -> report::Info {
    report::Info {
        slot,
        format: Format::Vdi,
        virtual_size: header.size,
        cluster_size: Some(BLOCK),
        encrypted: false,
        compressed: false,
        dirty: false,
        backing: None,
        snapshots: alloc::vec::Vec::new(),
        specific: None,
    }
}
