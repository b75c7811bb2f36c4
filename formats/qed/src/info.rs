//! What `info` shows.

use instar_disk::{Format, Slot, report};

use crate::header::Header;

pub(crate) fn describe(slot: Slot, header: &Header) -> report::Info {
    report::Info {
        slot,
        format: Format::Qed,
        virtual_size: header.size,
        cluster_size: Some(header.geometry.cluster()),
        encrypted: false,
        compressed: false,
        dirty: header.need_check,
        backing: header.backing(),
        snapshots: alloc::vec::Vec::new(),
        specific: None,
    }
}
