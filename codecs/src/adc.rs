//! Apple Data Compression: literal bytes, and repetitions of what stands up to 64 KiB back.
//!
//! ```text
//!  1nnnnnnn                     n + 1 bytes follow
//!  01nnnnnn  dddddddd dddddddd  n + 4 bytes from d + 1 bytes back
//!  00nnnndd  dddddddd           n + 3 bytes from d + 1 bytes back
//! ```

use crate::BadStream;
use crate::cursor::{From, Into};

/// Fills `unit`.
pub(crate) fn decode(stored: &[u8], unit: &mut [u8]) -> Result<(), BadStream> {
    let (mut from, mut into) = (From(stored), Into::new(unit));
    while !into.is_full() {
        let code = from.byte()?;
        let low = usize::from(code & 0x3f);
        match code >> 6 {
            0 => {
                let [distance] = from.array()?;
                let distance = u16::from_be_bytes([code & 3, distance]);
                into.repeat(
                    usize::from(distance).saturating_add(1),
                    (low >> 2).saturating_add(3),
                )?;
            }
            1 => {
                let distance = u16::from_be_bytes(from.array()?);
                into.repeat(usize::from(distance).saturating_add(1), low.saturating_add(4))?;
            }
            _ => into.put(from.bytes(usize::from(code & 0x7f).saturating_add(1))?)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn literals_and_both_kinds_of_repetition_are_decoded() {
        let stream = [0x82, b'a', b'b', b'c', 0x0c, 2, 0x44, 0, 2, 0x80, b'!'];
        let mut unit = [0; 3 + 6 + 8 + 1];
        decode(&stream, &mut unit).unwrap();
        assert_eq!(&unit, b"abcabcabcabcabcab!");
    }

    #[test]
    fn a_stream_that_ends_early_or_looks_back_too_far_is_damaged() {
        for stream in [
            &[][..],
            &[0x81, b'a'],
            &[0x80, b'a', 0, 1],
            &[0x80, b'a', 0x40, 0],
            &[0x80, b'a', 0x7f, 0, 0],
        ] {
            assert!(decode(stream, &mut [0; 20]).is_err(), "{stream:?}");
        }
    }
}
