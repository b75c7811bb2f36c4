//! Records about a member: `LENGTH KEY=VALUE` and a line feed, where LENGTH counts all of that.

use alloc::vec::Vec;

use instar_disk::fault::ova as faults;
use instar_disk::{Fault, Result};

/// What records say that matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Records {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    /// The data of the member is not there as it is.
    pub(crate) sparse: bool,
}

impl Records {
    /// Reads those that stand at byte `at` of the file.
    ///
    /// # Errors
    /// `RECORDS`.
    pub(crate) fn parse(mut bytes: &[u8], at: u64) -> Result<Self> {
        let mut records = Self::default();
        while !bytes.is_empty() {
            let (record, rest) = split(bytes).ok_or_else(|| Fault::new(faults::RECORDS).with([at]))?;
            bytes = rest;
            let equals = record.iter().position(|byte| *byte == b'=');
            let parts = equals.and_then(|equals| record.split_at_checked(equals));
            let (key, value) = parts.ok_or_else(|| Fault::new(faults::RECORDS).with([at]))?;
            let value = value.strip_prefix(b"=").unwrap_or_default();
            match key {
                b"path" => records.path = Some(value.to_vec()),
                b"size" => {
                    let size = decimal(value).filter(|size| size >> 63 == 0);
                    records.size = Some(size.ok_or_else(|| Fault::new(faults::RECORDS).with([at]))?);
                }
                _ => records.sparse |= key.starts_with(b"GNU.sparse."),
            }
        }
        Ok(records)
    }
}

/// The first record without its length and line feed, and what follows it.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    let (digits, _) = bytes.split_at_checked(space)?;
    let length = usize::try_from(decimal(digits)?).ok()?;
    let (record, rest) = bytes.split_at_checked(length)?;
    let record = record.get(space.checked_add(1)?..)?.strip_suffix(b"\n")?;
    Some((record, rest))
}

/// Digits, at least one.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    core::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_counted_with_their_length() {
        let records = Records::parse(
            b"30 mtime=1350244992.023960108\n19 path=a b.vmdk\0x\n18 size=123456789\n",
            0,
        );
        let records = records.unwrap();
        assert_eq!(records.path.as_deref(), Some(&b"a b.vmdk\0x"[..]));
        assert_eq!(records.size, Some(123_456_789));
        assert!(!records.sparse);
        assert!(Records::parse(b"22 GNU.sparse.major=1\n", 0).unwrap().sparse);
    }

    #[test]
    fn records_that_do_not_add_up_are_refused() {
        for wrong in [
            &b"x"[..],
            b"8 size=1\n",
            b"11 size=1\n",
            b"0 \n",
            b"5 a=b\n",
            b"8 nokey\n",
            b"99999999999999999999 a=b\n",
            b"11 size=-1\n",
            b"28 size=9223372036854775808\n",
        ] {
            let fault = Records::parse(wrong, 7).unwrap_err();
            assert_eq!((fault.code, fault.numbers[0]), (faults::RECORDS, 7), "{wrong:?}");
        }
    }
}
