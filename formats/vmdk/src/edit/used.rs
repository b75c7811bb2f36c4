//! Which parts of a file are in use.

use alloc::vec::Vec;

use instar_disk::{Result, to_usize};

/// Parts of a file at most that are told apart. Ours: 8 MiB of bits.
const PARTS_MAX: u64 = 64 << 20;

/// Parts of a file in use, a bit each.
pub(super) struct Used {
    /// Bytes of a part.
    part: u64,
    /// None of a file of too many parts: all of them count as used.
    bits: Option<Vec<u8>>,
    /// Where the last ends.
    pub(super) end: u64,
}

impl Used {
    /// Nothing of a file of `size` bytes is in use yet.
    pub(super) fn new(size: u64, part: u64) -> Result<Self> {
        let parts = size.div_ceil(part.max(1));
        let bits = match parts <= PARTS_MAX {
            true => Some(alloc::vec![0; to_usize(parts.div_ceil(8))?]),
            false => None,
        };
        Ok(Self { part, bits, end: 0 })
    }

    /// A range is in use.
    pub(super) fn take(&mut self, offset: u64, length: u64) {
        let end = offset.saturating_add(length);
        self.end = self.end.max(end);
        for part in self.parts(offset, end) {
            if let Some((byte, bit)) = self.bit(part) {
                *byte |= bit;
            }
        }
    }

    /// Whether nothing of a range is in use, so far as that is known.
    pub(super) fn is_free(&mut self, offset: u64, length: u64) -> bool {
        let end = offset.saturating_add(length);
        self.bits.is_some()
            && self
                .parts(offset, end)
                .all(|part| self.bit(part).is_none_or(|(byte, bit)| *byte & bit == 0))
    }

    /// Parts that a range touches, as far as they are in the file.
    fn parts(&self, offset: u64, end: u64) -> core::ops::Range<u64> {
        let limit = self
            .bits
            .as_ref()
            .map_or(0, |bits| instar_disk::from_usize(bits.len()).saturating_mul(8));
        let part = self.part.max(1);
        offset.checked_div(part).unwrap_or(0)..end.div_ceil(part).min(limit)
    }

    fn bit(&mut self, part: u64) -> Option<(&mut u8, u8)> {
        let byte = usize::try_from(part / 8).ok()?;
        let bit = 1_u8.wrapping_shl(u32::try_from(part % 8).ok()?);
        Some((self.bits.as_mut()?.get_mut(byte)?, bit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_takes_each_part_that_it_touches() {
        let mut used = Used::new(1000, 64).unwrap();
        assert!(used.is_free(0, 1000));
        used.take(100, 64);
        assert_eq!(used.end, 164);
        assert!(used.is_free(0, 64) && used.is_free(192, 640));
        for part in [64, 128] {
            assert!(!used.is_free(part, 64));
        }
        // What is past the file is nobody's.
        used.take(10_000, 64);
        assert!(used.is_free(20_000, 64));
        assert_eq!(used.end, 10_064);
    }

    #[test]
    fn of_too_many_parts_none_is_free() {
        let mut used = Used::new(1 << 40, 512).unwrap();
        used.take(512, 512);
        assert_eq!(used.end, 1024);
        assert!(!used.is_free(1 << 30, 512));
    }
}
