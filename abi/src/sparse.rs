//! The zeros that a copy leaves out: one rule for host and guest.
//!
//! ```text
//!  answer    ├───────────── what the source says is alike, at most 2 GiB less a sector ─────────────┤
//!  stretches ├──── 2 MiB ────┤├──── 2 MiB ────┤├──── 2 MiB ────┤                          ├─ rest ─┤
//!
//!  stretch   ├────────────┬────────────┬────────────┬────────────┬───────┤
//!  granules       zero        data         zero         zero       zero     of the target's offsets, cut off at the ends
//!  left out  ├────────────┤            ├─────────────────────────────────┤
//! ```
//!
//! A granule that is not all zero is data. Zero granules between two of data are left out if they are at least `minimum` bytes
//! together; those at the start or the end of a stretch always are. (qemu-img's rule for `-S`.)
//!
//! The guest cuts stretches, because it asks the source; host and guest look for zeros in them with the same [`Sieve`].

use core::ops::Range;

/// What counts as zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sparse {
    granule: u64,
    minimum: u64,
}

impl Sparse {
    /// A sector: the smallest granule, and what the minimum is a multiple of.
    pub const SECTOR: u64 = 512;
    /// Bytes of a stretch at most: qemu-img's buffer.
    pub const STRETCH: u64 = 2 << 20;
    /// Bytes that a source answers for at once, at most: qemu-img's largest request.
    pub const ANSWER: u64 = (2 << 30) - 512;
    /// The largest minimum: qemu-img's largest `-S`.
    pub const LARGEST: u64 = 16 << 20;

    /// Granules are as large as the largest power of two that is no larger than `minimum`, which is a multiple of 512 bytes
    /// and at most 16 MiB; else none.
    #[must_use]
    pub const fn new(minimum: u64) -> Option<Self> {
        if minimum < Self::SECTOR || minimum > Self::LARGEST || !minimum.is_multiple_of(Self::SECTOR) {
            return None;
        }
        Some(Self {
            granule: 1 << minimum.ilog2(),
            minimum,
        })
    }

    /// Bytes of a granule: a power of two, 512..=16 MiB.
    #[must_use]
    pub const fn granule(self) -> u64 {
        self.granule
    }

    /// Bytes of the shortest run that is left out between data: 512..=16 MiB, less than two granules.
    #[must_use]
    pub const fn minimum(self) -> u64 {
        self.minimum
    }
}

/// Takes a stretch piece by piece, as it is read, and says what is to be left out. It remembers two offsets, however long the
/// zeros are.
#[derive(Clone, Copy, Debug)]
pub struct Sieve {
    sparse: Sparse,
    /// Where the stretch starts.
    start: u64,
    /// Zeros from here to `at` wait for what follows.
    waiting: u64,
    at: u64,
    /// The granule up to here has data.
    data_to: u64,
}

impl Sieve {
    /// A stretch that starts at `start` of the target.
    #[must_use]
    pub const fn new(sparse: Sparse, start: u64) -> Self {
        Self {
            sparse,
            start,
            waiting: start,
            at: start,
            data_to: start,
        }
    }

    /// Where the next piece goes.
    #[must_use]
    pub const fn at(&self) -> u64 {
        self.at
    }

    /// Where the zeros start of which nothing is known yet; the same as [`Sieve::at`] if there are none.
    #[must_use]
    pub const fn waiting(&self) -> u64 {
        self.waiting
    }

    /// The next `length` bytes are all zero, or some are not. A piece that is not zero lies in one granule, or is data in each
    /// granule that it touches. `found` gets the ranges that are settled by that, in order: to be left out, if `true`.
    pub fn take(&mut self, length: u64, zero: bool, mut found: impl FnMut(Range<u64>, bool)) {
        let start = self.at;
        self.at = start.saturating_add(length);
        if zero {
            let data_to = self.data_to.min(self.at);
            if data_to > start {
                found(start..data_to, false);
                self.waiting = data_to;
            }
            return;
        }
        if length == 0 {
            return;
        }
        let mask = self.sparse.granule.saturating_sub(1);
        let waiting = self.waiting;
        let granule = (start & !mask).max(waiting);
        let run = granule.saturating_sub(waiting);
        let data = if run > 0 && (waiting == self.start || run >= self.sparse.minimum) {
            found(waiting..granule, true);
            granule
        } else {
            waiting
        };
        found(data..self.at, false);
        self.waiting = self.at;
        self.data_to = self.at.saturating_add(mask) & !mask;
    }

    /// The stretch ends here.
    pub fn end(self, mut found: impl FnMut(Range<u64>, bool)) {
        if self.waiting < self.at {
            found(self.waiting..self.at, true);
        }
    }
}

#[cfg(test)]
mod tests;
