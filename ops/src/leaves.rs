//! Hashing a disk while its bytes pass by: lanes hash leaves, the tree grows in the order of tickets.
//!
//! ```text
//!  chunks   ├───────────────┼──────────┼─────────────┤
//!  leaves   ├──────┼──────┼──────┼──────┼──────┼─────┤
//!              whole        in parts: put together in turn
//! ```

use alloc::vec::Vec;
use core::ops::Range;

use instar_abi::job::Algorithm;
use instar_codecs::Digest;
use instar_disk::{Result, align_down, from_usize, is_zero, to_usize};

use crate::copier::Span;
use crate::session::internal;
use crate::tree::{LEAF, Tree, leaf};

/// How a disk is hashed.
#[derive(Clone, Copy)]
pub(crate) struct Hashing {
    algorithm: Algorithm,
    zero_leaf: Digest,
    /// Bytes of the disk.
    size: u64,
}

/// A leaf with data, or what one chunk has of it.
pub(crate) enum Leaf {
    /// Where it starts on the disk.
    Whole(u64, Digest),
    /// Where the bytes start on the disk.
    Part(u64, Vec<u8>),
}

impl Hashing {
    /// Of a disk of `size` bytes.
    pub(crate) fn new(algorithm: Algorithm, size: u64) -> Result<Self> {
        Ok(Self {
            algorithm,
            zero_leaf: leaf(algorithm, &alloc::vec![0; to_usize(LEAF)?]),
            size,
        })
    }

    /// Hashes what lies in `spans`, whole leaves of `buffer`, of the chunk that settles `range`.
    pub(crate) fn hash(
        &self,
        spans: &[Span],
        buffer: &[u8],
        range: &Range<u64>,
        leaves: &mut Vec<Leaf>,
    ) -> Result<()> {
        leaves.clear();
        for span in spans {
            let bytes = span
                .at
                .checked_add(span.length)
                .and_then(|end| buffer.get(span.at..end))
                .ok_or_else(|| internal(line!()))?;
            let mut at = span.target;
            for bytes in bytes.chunks(to_usize(LEAF)?) {
                // The last leaf ends with the disk.
                let next = at.saturating_add(from_usize(bytes.len()));
                let end = next.min(self.size);
                let here = at.max(range.start)..end.min(range.end);
                if here.is_empty() {
                    at = next;
                    continue;
                }
                let from = to_usize(here.start.saturating_sub(at))?;
                let to = to_usize(here.end.saturating_sub(at))?;
                let bytes = bytes.get(from..to).ok_or_else(|| internal(line!()))?;
                leaves.push(if here == (at..end) {
                    Leaf::Whole(at, self.leaf(bytes))
                } else {
                    Leaf::Part(here.start, bytes.to_vec())
                });
                at = next;
            }
        }
        Ok(())
    }

    fn leaf(&self, bytes: &[u8]) -> Digest {
        if from_usize(bytes.len()) == LEAF && is_zero(bytes) {
            return self.zero_leaf;
        }
        leaf(self.algorithm, bytes)
    }
}

/// The tree, and how many leaves it has.
pub(crate) struct Growth {
    hashing: Hashing,
    tree: Tree,
    leaves: u64,
    /// The leaf that is not complete, and where it starts.
    part: Option<(u64, Vec<u8>)>,
}

impl Growth {
    pub(crate) fn new(hashing: Hashing) -> Self {
        Self {
            hashing,
            tree: Tree::new(hashing.algorithm, hashing.zero_leaf),
            leaves: 0,
            part: None,
        }
    }

    /// Adds what one chunk has, which ends at `end`; the chunk before it has been added. What no leaf tells of is zero.
    pub(crate) fn add(&mut self, leaves: &[Leaf], end: u64) -> Result<()> {
        for leaf in leaves {
            match leaf {
                Leaf::Whole(start, digest) => {
                    self.zeros_to(*start)?;
                    self.push(*digest);
                }
                Leaf::Part(start, bytes) => {
                    let first = align_down(*start, LEAF);
                    self.zeros_to(first)?;
                    let length = LEAF.min(self.hashing.size.saturating_sub(first));
                    let length = to_usize(length)?;
                    let (_, part) = self.part.get_or_insert_with(|| (first, alloc::vec![0; length]));
                    let from = to_usize(start.saturating_sub(first))?;
                    part.get_mut(from..from.saturating_add(bytes.len()))
                        .ok_or_else(|| internal(line!()))?
                        .copy_from_slice(bytes);
                }
            }
        }
        self.zeros_to(end)
    }

    /// Completes the checksum.
    pub(crate) fn finish(mut self) -> Result<Digest> {
        let size = self.hashing.size;
        self.zeros_to(size)?;
        Ok(self.tree.finish(size))
    }

    /// Completes what is known up to the byte `end` or the disk's end, with zeros where nothing was added.
    fn zeros_to(&mut self, end: u64) -> Result<()> {
        let size = self.hashing.size;
        let end = end.min(size);
        if let Some((start, bytes)) = &self.part {
            if end < start.saturating_add(from_usize(bytes.len())) {
                return Ok(());
            }
            let digest = self.hashing.leaf(bytes);
            self.part = None;
            self.push(digest);
        }
        let whole = end / LEAF;
        self.tree.push_zeros(whole.saturating_sub(self.leaves));
        self.leaves = self.leaves.max(whole);
        let rest = to_usize(size % LEAF)?;
        if end == size && rest > 0 && self.leaves == whole {
            self.push(leaf(self.hashing.algorithm, &alloc::vec![0; rest]));
        }
        Ok(())
    }

    fn push(&mut self, digest: Digest) {
        self.tree.push(digest);
        self.leaves = self.leaves.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Chunks that end anywhere give the same as one chunk.
    #[test]
    fn leaves_may_come_in_parts() {
        let size = 5 * LEAF + 512;
        let whole = 6 * usize::try_from(LEAF).unwrap();
        let mut disk = alloc::vec![0; whole];
        for at in [0, 70_000, 140_000, 200_000, 5 * 65536 + 511] {
            disk[at] = 1;
        }
        let sums = [
            &[size][..],
            &[LEAF, 3 * LEAF, size],
            &[512, 1024, 70_144, 70_656, 131_072, 300_032, size],
            &[140_288, 5 * LEAF + 256, size],
        ]
        .map(|ends| {
            let hashing = Hashing::new(Algorithm::Blake3, size).unwrap();
            let mut growth = Growth::new(hashing);
            let (mut leaves, mut start) = (Vec::new(), 0);
            for end in ends {
                let first = align_down(start, LEAF);
                let span = Span {
                    target: first,
                    at: usize::try_from(first).unwrap(),
                    length: whole - usize::try_from(first).unwrap(),
                };
                hashing.hash(&[span], &disk, &(start..*end), &mut leaves).unwrap();
                growth.add(&leaves, *end).unwrap();
                start = *end;
            }
            growth.finish().unwrap()
        });
        assert!(sums.iter().all(|sum| *sum == sums[0]));
    }
}
