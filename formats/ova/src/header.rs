//! A tar header, valid by construction.

use alloc::vec::Vec;

use instar_disk::fault::ova as faults;
use instar_disk::{Fault, Result};
use zerocopy::IntoBytes;

use crate::raw::{MAGIC, RawHeader, kind};

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) name: Vec<u8>,
    /// Bytes of data.
    pub(crate) size: u64,
}

/// What follows a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    /// A file without its holes: more than the header says where its data is.
    Sparse,
    /// The name of the next member.
    LongName,
    /// Records about the next member.
    Records,
    /// Records about all that follow.
    GlobalRecords,
    /// Data that says nothing of a file.
    Skipped,
    /// A directory, a link, a device: no data.
    Nothing,
}

impl Header {
    /// Judges the header at byte `at` of the file; none where the archive ends.
    ///
    /// # Errors
    /// `HEADER`, `SIZE`.
    pub(crate) fn parse(raw: &RawHeader, at: u64) -> Result<Option<Self>> {
        if raw.as_bytes().iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        if !is_header(raw) {
            return Err(Fault::new(faults::HEADER).with([at]));
        }
        let kind = match raw.kind {
            kind::FILE | kind::OLD_FILE | kind::CONTIGUOUS => Kind::File,
            kind::SPARSE => Kind::Sparse,
            kind::LONG_NAME => Kind::LongName,
            kind::LONG_LINK => Kind::Skipped,
            kind::PAX => Kind::Records,
            kind::PAX_GLOBAL => Kind::GlobalRecords,
            _ => Kind::Nothing,
        };
        let size = number(&raw.size).ok_or_else(|| Fault::new(faults::SIZE).with([at]))?;
        // Some readers skip the bytes of a link, and others do not.
        if kind == Kind::Nothing && size > 0 {
            return Err(Fault::new(faults::SIZE).with([at]));
        }
        let mut name = Vec::new();
        let prefix = text(&raw.prefix);
        if raw.magic == *b"ustar\0" && !prefix.is_empty() {
            name.extend_from_slice(prefix);
            name.push(b'/');
        }
        name.extend_from_slice(text(&raw.name));
        Ok(Some(Self { kind, name, size }))
    }
}

/// Whether a header is what it looks like.
pub(crate) fn is_header(raw: &RawHeader) -> bool {
    let bytes = raw.as_bytes().iter();
    let sum = bytes.fold(0_u64, |sum, byte| sum.saturating_add(u64::from(*byte)));
    let own = raw.checksum.iter();
    let own = own.fold(0_u64, |sum, byte| sum.saturating_add(u64::from(*byte)));
    let spaces = 8 * u64::from(b' ');
    let sum = sum.saturating_sub(own).saturating_add(spaces);
    raw.magic.starts_with(&MAGIC) && number(&raw.checksum) == Some(sum)
}

/// Octal digits between spaces or zeros, or a large number of GNU tar: the highest bit, then 95 bits, of which 63 may be in use.
fn number(field: &[u8]) -> Option<u64> {
    if let Some((0x80, rest)) = field.split_first() {
        let (high, low) = rest.split_at_checked(rest.len().checked_sub(8)?)?;
        let low = u64::from_be_bytes(*low.first_chunk()?);
        let fits = high.iter().all(|byte| *byte == 0) && low >> 63 == 0;
        return fits.then_some(low);
    }
    let digits = text(field).trim_ascii();
    digits.iter().try_fold(0_u64, |value, digit| match digit {
        b'0'..=b'7' => value
            .checked_mul(8)?
            .checked_add(u64::from(digit.saturating_sub(b'0'))),
        _ => None,
    })
}

/// What stands before the first zero.
pub(crate) fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0);
    field.get(..end.unwrap_or(field.len())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_large() {
        assert_eq!(number(b"00000001750\0"), Some(1000));
        assert_eq!(number(b"     1750 \0\0"), Some(1000));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(number(b"777777777777"), Some((1 << 36) - 1));
        assert_eq!(number(b"\x80\0\0\0\0\0\0\x02\0\0\0\0"), Some(1 << 33));
        for wrong in [
            &b"00000000008\0"[..],
            b"-1",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x80\0\0\0\xff\0\0\0\0\0\0\0",
            b"\x80\0\0\x01\0\0\0\0\0\0\0\0",
            b"12 34",
        ] {
            assert_eq!(number(wrong), None, "{wrong:?}");
        }
    }
}
