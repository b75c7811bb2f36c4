//! Feature bits, and the refusal of those that nobody here knows.

use alloc::vec::Vec;

use instar_disk::fault::qcow2 as faults;
use instar_disk::{Fault, Result};

use crate::pieces::{Pieces, until_nul};
use crate::raw::{RawFeatureName, autoclear, compatible, incompatible};

/// The feature bits of an image, with those of a version 2 image all zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Who does not know a bit must not open the image.
    pub incompatible: u64,
    /// Who does not know a bit may ignore it.
    pub compatible: u64,
    /// Who does not know a bit and writes must clear it.
    pub autoclear: u64,
}

impl Features {
    /// Refcounts may be wrong.
    #[must_use]
    pub const fn dirty(&self) -> bool {
        self.incompatible & incompatible::DIRTY != 0
    }

    #[must_use]
    pub const fn corrupt(&self) -> bool {
        self.incompatible & incompatible::CORRUPT != 0
    }

    /// Guest clusters are in another file.
    #[must_use]
    pub const fn data_file(&self) -> bool {
        self.incompatible & incompatible::DATA_FILE != 0
    }

    /// L2 entries have subclusters.
    #[must_use]
    pub const fn extended_l2(&self) -> bool {
        self.incompatible & incompatible::EXTENDED_L2 != 0
    }

    /// Refcounts are written lazily.
    #[must_use]
    pub const fn lazy_refcounts(&self) -> bool {
        self.compatible & compatible::LAZY_REFCOUNTS != 0
    }

    /// The bitmaps agree with the data.
    #[must_use]
    pub const fn bitmaps(&self) -> bool {
        self.autoclear & autoclear::BITMAPS != 0
    }

    /// The data file is a raw image too.
    #[must_use]
    pub const fn data_file_raw(&self) -> bool {
        self.autoclear & autoclear::DATA_FILE_RAW != 0
    }

    /// Incompatible bits that this build does not know.
    #[must_use]
    pub const fn unknown(&self) -> u64 {
        self.incompatible & !incompatible::SUPPORTED
    }
}

/// The refusal of `unknown` bits, in the words that the image's feature name table (`length` bytes at `offset`) has for them.
pub(crate) fn refusal(unknown: u64, head: &mut Pieces<'_>, table: Option<(u64, u64)>) -> Result<Fault> {
    let mut text = Vec::new();
    let mut rest = unknown;
    let (mut offset, length) = table.unwrap_or((0, 0));
    let end = offset.saturating_add(length);
    let size = instar_disk::from_usize(size_of::<RawFeatureName>());
    while offset.checked_add(size).is_some_and(|next| next <= end) && rest != 0 {
        let entry: RawFeatureName = head.value(offset)?;
        offset = offset.saturating_add(size);
        let name = until_nul(&entry.name);
        if name.is_empty() {
            break;
        }
        let bit = 1_u64.checked_shl(u32::from(entry.bit)).unwrap_or(0);
        if entry.kind == INCOMPATIBLE && rest & bit != 0 {
            separate(&mut text);
            text.extend_from_slice(name);
            rest &= !bit;
        }
    }
    if rest != 0 {
        separate(&mut text);
        text.extend_from_slice(b"Unknown incompatible feature: ");
        push_hex(&mut text, rest);
    }
    Ok(Fault::new(faults::FEATURES).named(&text))
}

fn separate(text: &mut Vec<u8>) {
    if !text.is_empty() {
        text.extend_from_slice(b", ");
    }
}

fn push_hex(text: &mut Vec<u8>, value: u64) {
    let digits = 16_u32.saturating_sub(value.leading_zeros() >> 2).max(1);
    for place in (0..digits).rev() {
        let digit = (value >> place.saturating_mul(4)) & 15;
        let digit = u32::try_from(digit).unwrap_or(0);
        let digit = char::from_digit(digit, 16).unwrap_or('?');
        text.push(u8::try_from(digit).unwrap_or(b'?'));
    }
}

/// `kind` of the names of incompatible bits.
const INCOMPATIBLE: u8 = 0;

#[cfg(test)]
mod tests {
    use super::push_hex;

    #[test]
    fn hex_is_written_without_leading_zeros() {
        let mut text = Vec::new();
        push_hex(&mut text, 0x8000_0000_0000_0020);
        push_hex(&mut text, 0x20);
        push_hex(&mut text, 0);
        assert_eq!(text, b"8000000000000020200");
    }
}
