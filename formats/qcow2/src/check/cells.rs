//! How often each cluster is referred to, as far as a window of the file goes.
//!
//! ```text
//!  nibble  │ S N │ count 0…3 │        S: something with the copied flag refers to it
//!  byte    │ S N │ count 0…63 │       N: something without it does
//!  word    │ S N │ count 0…2^30-1 │
//! ```
//!
//! Sound images have small counts, so sixteen clusters fit in eight bytes; if a count is too large for its cell, the check counts
//! again in wider cells. The two flags make a second look at the L2 tables unnecessary: beside the refcount they say
//! whether any flag can be wrong.

use alloc::vec::Vec;

use instar_disk::{Fault, Result, fault};

use crate::num::index;

/// How wide a cell is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    /// Two cells a byte.
    Nibble,
    Byte,
    Word,
}

/// Bytes of all cells. Ours: 4 TiB in clusters of 64 KiB are one window of nibbles.
pub(super) const BYTES: u64 = 40 << 20;
/// Bytes of cells without which there is no use in going on. Ours.
const BYTES_MIN: u64 = 1 << 16;
/// Cells that are as wide as they get as long as they take no more than this. Ours: what nobody would notice.
const BYTES_SMALL: u64 = 4 << 20;

impl Width {
    /// For so many clusters, of which most are referred to no more than so many times.
    pub(super) fn choose(clusters: u64, references: u64, bytes: u64) -> Self {
        if clusters <= Self::Word.cells(bytes.min(BYTES_SMALL)) || references > Self::Byte.most() {
            Self::Word
        } else if clusters <= Self::Byte.cells(bytes) || references > Self::Nibble.most() {
            Self::Byte
        } else {
            Self::Nibble
        }
    }

    /// The next one, where counts did not fit.
    pub(super) const fn wider(self) -> Self {
        match self {
            Self::Nibble => Self::Byte,
            Self::Byte | Self::Word => Self::Word,
        }
    }

    /// The largest count.
    pub(super) const fn most(self) -> u64 {
        match self {
            Self::Nibble => 3,
            Self::Byte => 63,
            Self::Word => 0x3fff_ffff,
        }
    }

    const fn cells(self, bytes: u64) -> u64 {
        match self {
            Self::Nibble => bytes.saturating_mul(2),
            Self::Byte => bytes,
            Self::Word => bytes / 4,
        }
    }

    const fn bytes(self, cells: u64) -> u64 {
        match self {
            Self::Nibble => cells.div_ceil(2),
            Self::Byte => cells,
            Self::Word => cells.saturating_mul(4),
        }
    }
}

/// What refers to a cluster, for the flags of its cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// Something that has no copied flag.
    Silent,
    /// An entry with the flag.
    Copied,
    /// An entry without it.
    Shared,
}

impl Claim {
    pub(super) const fn of(copied: bool) -> Self {
        if copied { Self::Copied } else { Self::Shared }
    }

    const fn bits(self) -> u8 {
        match self {
            Self::Silent => 0,
            Self::Copied => 1,
            Self::Shared => 2,
        }
    }
}

/// A cell, read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) count: u64,
    /// An entry with the copied flag refers to it.
    pub(super) copied: bool,
    /// An entry without it does.
    pub(super) shared: bool,
}

#[derive(Debug)]
pub(super) struct Cells {
    store: Store,
    first: u64,
    len: u64,
    /// A count did not fit its cell.
    pub(super) saturated: bool,
}

#[derive(Debug)]
pub(super) enum Store {
    Nibbles(Vec<u8>),
    Bytes(Vec<u8>),
    Words(Vec<u32>),
}

impl Cells {
    /// A window from cluster `first` on, not longer than `clusters`, of at most `most` bytes and what memory allows.
    ///
    /// # Errors
    /// `OUT_OF_MEMORY` when there is none to speak of.
    pub(super) fn new(width: Width, first: u64, clusters: u64, most: u64) -> Result<Self> {
        let mut bytes = most.min(width.bytes(clusters));
        loop {
            let cells = width.cells(bytes).min(clusters);
            if let Some(store) = Store::new(width, cells) {
                return Ok(Self {
                    store,
                    first,
                    len: cells,
                    saturated: false,
                });
            }
            if bytes <= BYTES_MIN {
                return Err(Fault::new(fault::core::OUT_OF_MEMORY).with([bytes]));
            }
            bytes /= 2;
        }
    }

    /// All counts 0 again.
    pub(super) fn clear(&mut self) {
        self.saturated = false;
        match &mut self.store {
            Store::Nibbles(cells) | Store::Bytes(cells) => cells.fill(0),
            Store::Words(cells) => cells.fill(0),
        }
    }

    /// The first cluster of the window.
    pub(super) const fn start(&self) -> u64 {
        self.first
    }

    /// The first cluster that is not in the window any more.
    pub(super) const fn end(&self) -> u64 {
        self.first.saturating_add(self.len)
    }

    pub(super) const fn holds(&self, cluster: u64) -> bool {
        cluster >= self.first && cluster < self.end()
    }

    pub(super) const fn width(&self) -> Width {
        match self.store {
            Store::Nibbles(_) => Width::Nibble,
            Store::Bytes(_) => Width::Byte,
            Store::Words(_) => Width::Word,
        }
    }

    /// So many more references to each of `clusters` clusters from `from` on, as far as they are in the window.
    pub(super) fn add(&mut self, from: u64, clusters: u64, weight: u32, claim: Claim) {
        let start = from.max(self.first);
        let end = from.saturating_add(clusters).min(self.end());
        if start >= end {
            return;
        }
        let (start, end) = (start.saturating_sub(self.first), end.saturating_sub(self.first));
        let fits = match &mut self.store {
            Store::Nibbles(cells) => add_nibbles(cells, start, end, weight, claim),
            Store::Bytes(cells) => add_bytes(
                cells.get_mut(index(start)..index(end)).unwrap_or_default(),
                weight,
                claim,
            ),
            Store::Words(cells) => add_words(
                cells.get_mut(index(start)..index(end)).unwrap_or_default(),
                weight,
                claim,
            ),
        };
        self.saturated |= !fits;
    }

    /// The cell of a cluster; empty outside the window.
    pub(super) fn get(&self, cluster: u64) -> Cell {
        let Some(at) = cluster.checked_sub(self.first) else {
            return Cell::default();
        };
        let at = index(at);
        let (count, flags) = match &self.store {
            Store::Nibbles(cells) => {
                let byte = cells.get(at / 2).copied().unwrap_or(0);
                let cell = if at.is_multiple_of(2) {
                    byte & 15
                } else {
                    byte >> 4
                };
                (u64::from(cell & 3), cell >> 2)
            }
            Store::Bytes(cells) => {
                let cell = cells.get(at).copied().unwrap_or(0);
                (u64::from(cell & 63), cell >> 6)
            }
            Store::Words(cells) => {
                let cell = cells.get(at).copied().unwrap_or(0);
                let [flags, ..] = cell.to_be_bytes();
                (u64::from(cell & WORD_MASK), flags >> 6)
            }
        };
        Cell {
            count,
            copied: flags & 1 != 0,
            shared: flags & 2 != 0,
        }
    }

    /// The count of `from`, and how many clusters up to `to` have the same; at least one.
    pub(super) fn alike(&self, from: u64, to: u64) -> (u64, u64) {
        let count = self.get(from).count;
        let end = to.min(self.end());
        let mut at = from.saturating_add(1);
        while at < end {
            let alike = self.group_like(from, at);
            if alike > 0 {
                at = at.saturating_add(alike).min(end);
            } else if self.get(at).count == count {
                at = at.saturating_add(1);
            } else {
                break;
            }
        }
        (count, at.saturating_sub(from))
    }

    /// Cells of a whole group that starts with `at` and is filled with what `like` has; none, if it is not.
    fn group_like(&self, like: u64, at: u64) -> u64 {
        let (like, at) = (
            index(like.saturating_sub(self.first)),
            index(at.saturating_sub(self.first)),
        );
        let same = match &self.store {
            Store::Nibbles(cells) if at.is_multiple_of(2) => {
                let byte = cells.get(like / 2).copied().unwrap_or(0);
                let cell = if like.is_multiple_of(2) {
                    byte & 15
                } else {
                    byte >> 4
                };
                let start = at / 2;
                cells.get(start..start.saturating_add(GROUP / 2))
                    == Some(&[cell | cell.wrapping_shl(4); GROUP / 2])
            }
            Store::Nibbles(_) => false,
            Store::Bytes(cells) => {
                let cell = cells.get(like).copied().unwrap_or(0);
                cells.get(at..at.saturating_add(GROUP)) == Some(&[cell; GROUP])
            }
            Store::Words(cells) => {
                let cell = cells.get(like).copied().unwrap_or(0);
                cells.get(at..at.saturating_add(GROUP)) == Some(&[cell; GROUP])
            }
        };
        if same { instar_disk::from_usize(GROUP) } else { 0 }
    }

    /// By how much all counts together exceed `most` each.
    pub(super) fn excess(&self, most: u64) -> u64 {
        if self.width().most() <= most {
            return 0;
        }
        (self.first..self.end()).fold(0, |sum: u64, cluster| {
            sum.saturating_add(self.get(cluster).count.saturating_sub(most))
        })
    }

    /// Whether nothing refers to any of the clusters from `from` up to `to`.
    pub(super) fn is_clear(&self, from: u64, to: u64) -> bool {
        let start = index(from.saturating_sub(self.first));
        let end = index(to.min(self.end()).saturating_sub(self.first));
        match &self.store {
            Store::Nibbles(cells) => {
                instar_disk::is_zero(cells.get(start / 2..end.div_ceil(2)).unwrap_or_default())
            }
            Store::Bytes(cells) => instar_disk::is_zero(cells.get(start..end).unwrap_or_default()),
            Store::Words(cells) => cells
                .get(start..end)
                .unwrap_or_default()
                .iter()
                .all(|cell| *cell == 0),
        }
    }

    /// How many clusters from `from` on are, as 16-bit refcounts `disk` have it, each referred to once, by an entry with the
    /// copied flag: the state of nearly all of a sound image. Rounded down.
    pub(super) fn ordinary(&self, from: u64, disk: &[u8]) -> u64 {
        let start = index(from.saturating_sub(self.first));
        let groups = match &self.store {
            Store::Nibbles(cells) if start.is_multiple_of(2) => {
                let cells = cells.get(start / 2..).unwrap_or_default().chunks_exact(GROUP / 2);
                same_groups(cells, disk, &[0x55; GROUP / 2])
            }
            Store::Bytes(cells) => {
                let cells = cells.get(start..).unwrap_or_default().chunks_exact(GROUP);
                same_groups(cells, disk, &[0x41; GROUP])
            }
            Store::Words(cells) => {
                let cells = cells.get(start..).unwrap_or_default().chunks_exact(GROUP);
                let one = [1 | (1 << 30); GROUP];
                same_groups(cells, disk, &one)
            }
            Store::Nibbles(_) => 0,
        };
        groups.saturating_mul(instar_disk::from_usize(GROUP))
    }
}

/// Cells compared at once.
const GROUP: usize = 16;
/// 16-bit refcounts of 1.
const ONES: [u8; GROUP * 2] = {
    let mut ones = [0; GROUP * 2];
    let (pairs, _) = ones.as_chunks_mut::<2>();
    let mut rest: &mut [[u8; 2]] = pairs;
    while let Some((first, tail)) = rest.split_first_mut() {
        *first = [0, 1];
        rest = tail;
    }
    ones
};

fn same_groups<'a, T: PartialEq + 'a>(cells: impl Iterator<Item = &'a [T]>, disk: &[u8], one: &[T]) -> u64 {
    let same = cells
        .zip(disk.chunks_exact(ONES.len()))
        .take_while(|(cells, disk)| *cells == one && *disk == ONES);
    instar_disk::from_usize(same.count())
}

impl Store {
    fn new(width: Width, cells: u64) -> Option<Self> {
        let bytes = index(width.bytes(cells));
        match width {
            Width::Nibble => zeroed(bytes).map(Self::Nibbles),
            Width::Byte => zeroed(bytes).map(Self::Bytes),
            Width::Word => zeroed(bytes / 4).map(Self::Words),
        }
    }
}

fn zeroed<T: Copy + Default>(count: usize) -> Option<Vec<T>> {
    let mut cells = Vec::new();
    cells.try_reserve_exact(count).ok()?;
    cells.resize(count, T::default());
    Some(cells)
}

const WORD_MASK: u32 = 0x3fff_ffff;

fn add_words(cells: &mut [u32], weight: u32, claim: Claim) -> bool {
    let flags = u32::from(claim.bits()).wrapping_shl(30);
    for cell in cells {
        let count = (*cell & WORD_MASK).saturating_add(weight).min(WORD_MASK);
        *cell = (*cell & !WORD_MASK) | flags | count;
    }
    true
}

/// The narrow sum of a count and a weight, and whether it fits.
fn sum(count: u8, weight: u32, most: u8) -> (u8, bool) {
    let sum = u32::from(count).saturating_add(weight);
    match u8::try_from(sum) {
        Ok(sum) if sum <= most => (sum, true),
        _ => (most, false),
    }
}

fn add_bytes(cells: &mut [u8], weight: u32, claim: Claim) -> bool {
    let flags = claim.bits().wrapping_shl(6);
    if weight == 1 && instar_disk::is_zero(cells) {
        cells.fill(1 | flags);
        return true;
    }
    let mut fits = true;
    for cell in cells {
        let (count, fit) = sum(*cell & 63, weight, 63);
        fits &= fit;
        *cell = (*cell & 0xc0) | flags | count;
    }
    fits
}

fn add_nibbles(cells: &mut [u8], start: u64, end: u64, weight: u32, claim: Claim) -> bool {
    let flags = claim.bits().wrapping_shl(2);
    let (whole_start, whole_end) = (index(start.div_ceil(2)), index(end / 2));
    let mut fits = true;
    let mut one = |byte: &mut u8, low: bool| {
        let cell = if low { *byte & 15 } else { *byte >> 4 };
        let (count, fit) = sum(cell & 3, weight, 3);
        fits &= fit;
        let cell = (cell & 12) | flags | count;
        *byte = if low {
            (*byte & 0xf0) | cell
        } else {
            (*byte & 15) | cell.wrapping_shl(4)
        };
    };
    if !start.is_multiple_of(2)
        && let Some(byte) = cells.get_mut(index(start / 2))
    {
        one(byte, false);
    }
    if !end.is_multiple_of(2)
        && let Some(byte) = cells.get_mut(index(end / 2))
    {
        one(byte, true);
    }
    if let Some(whole) = cells.get_mut(whole_start..whole_end) {
        if weight == 1 && instar_disk::is_zero(whole) {
            whole.fill((1 | flags) | (1 | flags).wrapping_shl(4));
        } else {
            for byte in whole {
                one(byte, true);
                one(byte, false);
            }
        }
    }
    fits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_counts_alike() {
        let mut all =
            [Width::Nibble, Width::Byte, Width::Word].map(|width| Cells::new(width, 10, 100, BYTES).unwrap());
        for cells in &mut all {
            cells.add(0, 13, 1, Claim::Copied);
            cells.add(11, 1, 2, Claim::Silent);
            cells.add(15, 6, 1, Claim::Shared);
            cells.add(20, 5, 1, Claim::Copied);
            cells.add(109, 50, 1, Claim::Copied);
            assert!(!cells.saturated);
        }
        let [nibbles, bytes, words] = all;
        for cluster in 0..120 {
            assert_eq!(nibbles.get(cluster), bytes.get(cluster), "{cluster}");
            assert_eq!(bytes.get(cluster), words.get(cluster), "{cluster}");
        }
        assert_eq!(words.get(11).count, 3);
        assert_eq!(
            words.get(20),
            Cell {
                count: 2,
                copied: true,
                shared: true
            }
        );
        assert!(nibbles.is_clear(26, 108) && !nibbles.is_clear(24, 30));
        assert_eq!(bytes.excess(1), 3);
    }

    #[test]
    fn counts_that_do_not_fit_are_noticed() {
        for (width, fits) in [(Width::Nibble, 3), (Width::Byte, 63)] {
            let mut cells = Cells::new(width, 0, 8, BYTES).unwrap();
            cells.add(2, 1, fits, Claim::Silent);
            assert!(!cells.saturated);
            cells.add(1, 4, 1, Claim::Silent);
            assert!(cells.saturated);
        }
    }

    #[test]
    fn the_ordinary_state_is_recognised() {
        let mut disk = [0; 200];
        for count in disk.chunks_exact_mut(2) {
            count[1] = 1;
        }
        for width in [Width::Nibble, Width::Byte, Width::Word] {
            let mut cells = Cells::new(width, 0, 100, BYTES).unwrap();
            cells.add(0, 50, 1, Claim::Copied);
            assert_eq!(cells.ordinary(0, &disk), 48);
            assert_eq!(cells.ordinary(2, &disk), 48);
            assert_eq!(cells.ordinary(40, &disk), 0);
        }
    }
}
