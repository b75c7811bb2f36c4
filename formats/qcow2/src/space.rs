//! Space in a file that only grows, handed out from front to back.

use instar_disk::Result;

use crate::num::{add, shl};

/// The end of the file so far.
pub(crate) struct Space {
    cluster_bits: u32,
    clusters: u64,
}

impl Space {
    /// A file whose first `clusters` clusters are taken.
    pub(crate) const fn new(cluster_bits: u32, clusters: u64) -> Self {
        Self {
            cluster_bits,
            clusters,
        }
    }

    /// Clusters handed out so far.
    pub(crate) const fn clusters(&self) -> u64 {
        self.clusters
    }

    /// The byte offset of what is handed out next.
    pub(crate) fn end(&self) -> Result<u64> {
        shl(self.clusters, self.cluster_bits)
    }

    /// Hands out `clusters` clusters that follow one another; gives the byte offset of the first.
    pub(crate) fn take(&mut self, clusters: u64) -> Result<u64> {
        let offset = self.end()?;
        self.clusters = add(self.clusters, clusters)?;
        self.end()?;
        Ok(offset)
    }
}
