//! What is counted on the way.

use instar_disk::report::Checked;

use super::zeroed::Zeroed;

/// Counters of one pass.
#[derive(Clone, Debug, Default)]
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
    /// Something of more than one cluster lies partly behind the end of the file; of what lies before it no cluster is counted.
    pub(super) overhangs: bool,
    /// Entries that will lead nowhere.
    pub(super) zeroed: Zeroed,
}

impl Totals {
    /// As far as they are shown.
    pub(super) const fn show_in(&self, checked: &mut Checked) {
        checked.corruptions = checked.corruptions.saturating_add(self.findings);
        checked.corruptions_fixed = checked.corruptions_fixed.saturating_add(self.zeroed.entries);
        checked.allocated_clusters = self.allocated;
        checked.fragmented_clusters = self.fragmented;
        checked.compressed_clusters = self.compressed;
    }
}
