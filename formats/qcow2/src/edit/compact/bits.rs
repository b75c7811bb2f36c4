//! A set of clusters, a bit for each.

use alloc::vec::Vec;
use core::ops::Range;

use crate::num::{index, shr};

/// Clusters of a file, none of them until one is added.
#[derive(Default)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    /// Has room for so many clusters.
    pub(super) fn make_room(&mut self, clusters: u64) {
        let words = index(shr(clusters, 6)).saturating_add(1);
        if self.0.len() < words {
            self.0.resize(words, 0);
        }
    }

    /// Adds clusters; those for which there is no room are left out.
    pub(super) fn add(&mut self, clusters: Range<u64>) {
        for cluster in clusters {
            if let Some(word) = self.0.get_mut(index(shr(cluster, 6))) {
                *word |= bit(cluster);
            }
        }
    }

    pub(super) fn has(&self, cluster: u64) -> bool {
        let word = self.0.get(index(shr(cluster, 6)));
        word.is_some_and(|word| word & bit(cluster) != 0)
    }

    /// There was never room for any.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The bit of a cluster in its word.
fn bit(cluster: u64) -> u64 {
    let low = u32::try_from(cluster & 63).unwrap_or(0);
    1_u64.wrapping_shl(low)
}
