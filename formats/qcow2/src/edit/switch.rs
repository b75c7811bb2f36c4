//! What the one write that separates the old disk from the new one says.

use crate::header::TableRange;

/// What the one write of the header's first sector changes; what is none stays.
#[derive(Default)]
pub(super) struct Switch {
    pub(super) l1: Option<TableRange>,
    pub(super) size: Option<u64>,
    pub(super) snapshots: Option<TableRange>,
    pub(super) flags: Flags,
}

/// COPIED flags and counts of the new disk.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Flags {
    /// Agree from the one moment on, and to the end.
    #[default]
    Agree,
    /// Are brought into agreement afterwards. Until then the image is marked dirty.
    Follow,
}
