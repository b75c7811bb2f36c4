//! What `info` shows.

use instar_disk::{Format, Slot, report};

use crate::header::Header;

pub(crate) fn describe(slot: Slot, header: &Header) -> report::Info {
    report::Info {
        slot,
        format: Format::Cloop,
        virtual_size: header.size(),
        cluster_size: None,
        encrypted: false,
        compressed: false,
        dirty: false,
        backing: None,
        snapshots: alloc::vec::Vec::new(),
        specific: None,
    }
}
