//! The hash tree behind a checksum. `docs/verbs/checksum.md` specifies it.
//!
//! ```text
//!  level 2                    node                        256 digests of level 1 at most
//!  level 1        node        …        node               256 digests of level 0 at most
//!  level 0   leaf leaf … leaf   leaf leaf … leaf   leaf   64 KiB of the disk each
//! ```

use alloc::vec::Vec;

use instar_abi::job::Algorithm;
use instar_codecs::{DIGEST_BYTES, Digest, digest};

/// Bytes of a leaf. Ours, like the other numbers here: what copying works in, and no cluster of note is smaller.
pub(crate) const LEAF: u64 = 64 << 10;
/// Digests in a node.
const FAN: usize = 256;
/// Levels that can be needed: a disk of 2^64 bytes has 2^48 leaves.
const LEVELS: usize = 7;

/// The byte before the hashed bytes, so that a leaf is never taken for a node.
const LEAF_MARK: &[u8] = &[0];
const NODE_MARK: &[u8] = &[1];
const ROOT_MARK: &[u8] = &[2];

/// The digest of one leaf.
pub(crate) fn leaf(algorithm: Algorithm, bytes: &[u8]) -> Digest {
    digest(algorithm, &[LEAF_MARK, bytes])
}

/// A tree that grows from left to right. It keeps one unfinished node a level.
pub(crate) struct Tree {
    algorithm: Algorithm,
    levels: [Level; LEVELS],
    /// Digests of whole subtrees of zeros, from leaves up.
    zeros: [Digest; LEVELS],
}

#[derive(Default)]
struct Level {
    /// The digests of the node at hand, one after the other.
    pending: Vec<u8>,
}

impl Level {
    fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }
}

impl Tree {
    /// A tree without leaves.
    pub(crate) fn new(algorithm: Algorithm, zero_leaf: Digest) -> Self {
        let mut digest_below = zero_leaf;
        let zeros = core::array::from_fn(|_| {
            let here = digest_below;
            digest_below = digest(algorithm, &[NODE_MARK, &here.repeat(FAN)]);
            here
        });
        Self {
            algorithm,
            levels: Default::default(),
            zeros,
        }
    }

    /// The next leaf.
    pub(crate) fn push(&mut self, digest: Digest) {
        self.push_at(0, digest);
    }

    /// The next `count` leaves, all of them whole and zero.
    pub(crate) fn push_zeros(&mut self, mut count: u64) {
        while count > 0 {
            // The largest subtree that begins here and is zero throughout.
            let (mut level, mut leaves) = (0_usize, 1_u64);
            while let Some(more) = leaves.checked_mul(256)
                && more <= count
                && self.levels.get(level).is_some_and(Level::is_empty)
                && level.saturating_add(1) < LEVELS
            {
                level = level.saturating_add(1);
                leaves = more;
            }
            let Some(zero) = self.zeros.get(level).copied() else {
                return;
            };
            self.push_at(level, zero);
            count = count.saturating_sub(leaves);
        }
    }

    fn push_at(&mut self, level: usize, digest: Digest) {
        let (mut level, mut digest) = (level, digest);
        while let Some(here) = self.levels.get_mut(level) {
            here.pending.extend_from_slice(&digest);
            if here.pending.len() < FAN.saturating_mul(DIGEST_BYTES) {
                return;
            }
            digest = here.close(self.algorithm);
            level = level.saturating_add(1);
        }
    }

    /// The checksum of a disk of `size` bytes, all of whose leaves were pushed.
    pub(crate) fn finish(mut self, size: u64) -> Digest {
        let mut carried: Option<Digest> = None;
        // The root is alone on its level, and nothing is above it.
        let top = self.levels.iter().rposition(|level| !level.is_empty());
        for (height, level) in self.levels.iter_mut().enumerate() {
            if let Some(digest) = carried.take() {
                level.pending.extend_from_slice(&digest);
            }
            let single = top.is_none_or(|top| height >= top) && level.pending.len() == DIGEST_BYTES;
            if single {
                let root = Digest::try_from(level.pending.as_slice()).unwrap_or_default();
                carried = Some(root);
                break;
            }
            if !level.is_empty() {
                carried = Some(level.close(self.algorithm));
            }
        }
        // A disk of no bytes has one leaf, of no bytes.
        let root = carried.unwrap_or_else(|| leaf(self.algorithm, &[]));
        digest(self.algorithm, &[ROOT_MARK, &size.to_le_bytes(), &root])
    }
}

impl Level {
    /// Finishes the node at hand.
    fn close(&mut self, algorithm: Algorithm) -> Digest {
        let digest = digest(algorithm, &[NODE_MARK, &self.pending]);
        self.pending.clear();
        digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The specification word for word: level by level, everything at once.
    fn plainly(algorithm: Algorithm, leaves: &[Digest], size: u64) -> Digest {
        let mut level = leaves.to_vec();
        if level.is_empty() {
            level.push(digest(algorithm, &[&[0]]));
        }
        while level.len() > 1 {
            let nodes = level.chunks(256);
            level = nodes
                .map(|node| digest(algorithm, &[&[1], &node.concat()]))
                .collect();
        }
        digest(algorithm, &[&[2], &size.to_le_bytes(), &level[0]])
    }

    #[test]
    fn growing_gives_what_the_specification_says() {
        let algorithm = Algorithm::Blake3;
        let zero = leaf(algorithm, &[0; 65536]);
        let other = leaf(algorithm, b"other");
        for runs in [
            &[0_u64][..],
            &[1],
            &[255],
            &[256],
            &[257],
            &[65536],
            &[65537],
            &[3, 65536],
            &[255, 66000, 1, 256],
            &[256, 65535, 70000, 65536],
            &[0, 0, 0],
        ] {
            // Runs of zeros with another leaf between them.
            let mut tree = Tree::new(algorithm, zero);
            let mut leaves = Vec::new();
            for (index, run) in runs.iter().enumerate() {
                if index > 0 {
                    tree.push(other);
                    leaves.push(other);
                }
                tree.push_zeros(*run);
                leaves.resize(leaves.len() + usize::try_from(*run).unwrap(), zero);
            }
            assert_eq!(tree.finish(77), plainly(algorithm, &leaves, 77), "{runs:?}");
        }
    }

    #[test]
    fn the_largest_disk_of_zeros_is_hashed_at_once() {
        let algorithm = Algorithm::Sha256;
        let mut tree = Tree::new(algorithm, leaf(algorithm, &[0; 65536]));
        tree.push_zeros(u64::MAX / LEAF);
        tree.finish(u64::MAX);
    }
}
