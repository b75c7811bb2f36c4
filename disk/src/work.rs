//! The work of reading the tables of an image, and the places that were met before.

use alloc::collections::BTreeSet;

use instar_abi::Fault;
use instar_abi::fault::core as faults;

use crate::Result;

/// What a small read costs as much as. Ours: half of what the smallest table and the smallest cluster have together, so that
/// no sound image is read at a higher price than four times its bytes.
const READ_MIN: u64 = 1024;
/// What a small read alone costs as much as, since the host is called for it: a page of a table. Ours.
const ALONE_MIN: u64 = 32 << 10;
/// Tables that are remembered. Ours: 2 TiB of a default qcow2, and 80 KiB of memory.
const TABLES: usize = 4096;

/// Work that an image's tables have caused so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Bytes of tables that were read, again and again counted.
    pub read: u64,
    /// Bytes of tables that stood for one part of the disk already and stand for another, too. No sound image has any.
    pub shared: u64,
}

impl Work {
    /// Bytes of shared tables that are put up with. Ours: none would do for sound images.
    const SHARED_MAX: u64 = 64 << 10;

    /// Whether tables are shared that should not be.
    ///
    /// # Errors
    /// `SHARED_TABLES`.
    pub fn check_shared(&self) -> Result<()> {
        if self.shared <= Self::SHARED_MAX {
            return Ok(());
        }
        let numbers = [self.shared, Self::SHARED_MAX];
        Err(Fault::new(faults::SHARED_TABLES).with(numbers))
    }

    /// The sum of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            read: self.read.saturating_add(other.read),
            shared: self.shared.saturating_add(other.shared),
        }
    }
}

/// Keeps account of a walk through the tables of an image, most of it from the disk's start to its end.
#[derive(Debug)]
pub struct Walked {
    seen: Seen,
    /// Parts of the disk below this one were walked through. To come back to one of them is the walker's affair.
    frontier: u64,
    work: Work,
}

impl Default for Walked {
    fn default() -> Self {
        Self::new()
    }
}

impl Walked {
    /// A set without places.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            seen: Seen::new(0, TABLES),
            frontier: 0,
            work: Work { read: 0, shared: 0 },
        }
    }

    /// Takes note of a read of `bytes` bytes that is the only one of its batch.
    pub const fn read_alone(&mut self, bytes: u64) {
        self.read(if bytes < ALONE_MIN { ALONE_MIN } else { bytes });
    }

    /// Takes note of a read of `bytes` bytes in a batch of many.
    pub const fn read(&mut self, bytes: u64) {
        let bytes = if bytes < READ_MIN { READ_MIN } else { bytes };
        self.work.read = self.work.read.saturating_add(bytes);
    }

    /// Takes note that the walk came to the table of `bytes` bytes at byte `at` of the file, which stands for part `number` of
    /// the disk.
    pub fn enter(&mut self, number: u64, at: u64, bytes: u64) {
        if number < self.frontier {
            return;
        }
        self.frontier = number.saturating_add(1);
        let times = self.seen.again(at);
        self.work.shared = self.work.shared.saturating_add(times.saturating_mul(bytes));
    }

    /// All of it.
    #[must_use]
    pub const fn work(&self) -> Work {
        self.work
    }
}

/// Places that were met before, in bounded memory: all of the first few thousand, and a sample of very many. A place that
/// is reported as met was met; the number of other repeated places is estimated.
#[derive(Debug)]
pub struct Seen {
    /// Decides which places are in the sample. Who knows it can choose places that are not.
    key: u64,
    /// A place in `2^level` is in the sample.
    level: u32,
    most: usize,
    kept: BTreeSet<u64>,
}

impl Seen {
    /// Nothing met yet; keeps at most `most` places.
    #[must_use]
    pub const fn new(key: u64, most: usize) -> Self {
        Self {
            key,
            level: 0,
            most,
            kept: BTreeSet::new(),
        }
    }

    /// Takes note of `place`. 0 if it is new, or not in the sample; else of how many places met before it is the sample.
    pub fn again(&mut self, place: u64) -> u64 {
        let mixed = mix(place, self.key);
        if mixed.leading_zeros() < self.level {
            return 0;
        }
        if self.kept.contains(&mixed) {
            return 1_u64.checked_shl(self.level).unwrap_or(u64::MAX);
        }
        while self.kept.len() >= self.most && self.level < u64::BITS {
            self.level = self.level.saturating_add(1);
            let level = self.level;
            self.kept.retain(|kept| kept.leading_zeros() >= level);
        }
        if mixed.leading_zeros() >= self.level {
            self.kept.insert(mixed);
        }
        0
    }
}

/// A number that looks like chance; others for other places. The constants are those of the finalizer of SplitMix64.
const fn mix(place: u64, key: u64) -> u64 {
    let mut word = place.wrapping_add(key).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::{Seen, Walked, Work};

    #[test]
    fn a_place_is_new_once() {
        let mut seen = Seen::new(7, 100);
        assert_eq!((0..100).map(|place| seen.again(place * 512)).sum::<u64>(), 0);
        assert_eq!((0..100).map(|place| seen.again(place * 512)).sum::<u64>(), 100);
    }

    #[test]
    fn a_million_different_places_are_all_new_and_few_are_kept() {
        let mut seen = Seen::new(1, 4096);
        assert!((0..1_000_000).all(|place| seen.again(place * 17) == 0));
        assert!(seen.kept.len() <= 4096);
    }

    #[test]
    fn of_many_places_met_twice_the_number_is_estimated() {
        let mut seen = Seen::new(99, 4096);
        for place in 0..200_000 {
            seen.again(place * 65536);
        }
        let again: u64 = (0..200_000).map(|place| seen.again(place * 65536)).sum();
        assert!((150_000..250_000).contains(&again), "{again}");
    }

    #[test]
    fn a_table_is_shared_when_it_stands_for_two_parts_of_the_disk() {
        let mut walked = Walked::new();
        walked.enter(0, 4096, 512);
        walked.enter(1, 8192, 512);
        // Asked again, for the same part.
        walked.enter(0, 4096, 512);
        assert_eq!(walked.work(), Work::default());
        walked.enter(2, 4096, 512);
        walked.read(1);
        let expected = Work {
            read: 1024,
            shared: 512,
        };
        assert_eq!(walked.work(), expected);
    }
}
