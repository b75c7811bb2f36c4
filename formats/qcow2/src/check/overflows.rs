//! Clusters whose refcount says less than is the case, since it has no room for more.

use alloc::collections::BTreeSet;

use super::cells::Cells;

/// Those that were met.
#[derive(Debug, Default)]
pub(super) struct Overflows {
    clusters: BTreeSet<u64>,
    /// There are more than are remembered.
    too_many: bool,
}

impl Overflows {
    /// Takes note of those in a window, where a refcount is `most` at most.
    pub(super) fn meet(&mut self, cells: &Cells, most: u64) {
        let mut left = cells.excess(most);
        let mut cluster = cells.start();
        while left > 0 && cluster < cells.end() && !self.too_many {
            let more = cells.get(cluster).count.saturating_sub(most);
            if more > 0 {
                self.clusters.insert(cluster);
                self.too_many = self.clusters.len() >= REMEMBERED;
            }
            left = left.saturating_sub(more);
            cluster = cluster.saturating_add(1);
        }
    }

    /// Whether the refcount of a cluster says how often it is referred to.
    pub(super) fn doubt(&self, cluster: u64, refcount: u64, most: u64) -> bool {
        refcount >= most && (self.too_many || self.clusters.contains(&cluster))
    }
}

/// Clusters that are remembered. Ours: some hundred kilobytes.
const REMEMBERED: usize = 16 << 10;
