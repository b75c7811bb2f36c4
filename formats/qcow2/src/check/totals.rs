//! What is counted on the way.

use instar_disk::report::Checked;

/// Counters of one pass.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    /// Findings in L1 and L2 tables, each as often as a walk along all pointers meets it.
    pub(super) findings: u64,
    pub(super) allocated: u64,
    pub(super) fragmented: u64,
    pub(super) compressed: u64,
    /// Copied flags have to be looked at one by one.
    pub(super) suspicious: bool,
    /// The cluster behind the last one is in use.
    pub(super) grown: bool,
}

impl Totals {
    /// As far as they are shown.
    pub(super) fn into_checked(self, checked: &mut Checked) {
        checked.corruptions = checked.corruptions.saturating_add(self.findings);
        checked.allocated_clusters = self.allocated;
        checked.fragmented_clusters = self.fragmented;
        checked.compressed_clusters = self.compressed;
    }
}
