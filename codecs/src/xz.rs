//! xz: LZMA2 in a container.
//!
//! ```text
//!  stream   magic, kind of check │ block │ block │ … │ index │ footer
//!  block    header, with the size of the dictionary │ LZMA2 │ to four bytes │ check
//! ```
//!
//! The crate that decodes LZMA2 makes its dictionary at once. It gets one of at most a unit, which is as far as a unit can look back.

use crc::{CRC_32_ISO_HDLC, CRC_64_XZ, Crc};
use lzma_rust2::{Lzma2Reader, Read};
use sha2::{Digest, Sha256};

use crate::BadStream;
use crate::cursor::From;

const MAGIC: [u8; 6] = *b"\xfd7zXZ\0";
/// The identifier of LZMA2; other filters change machine code, or what is coded, and no disk image has them.
const LZMA2: u64 = 0x21;
/// The codes of dictionary sizes end here.
const DICTIONARY_CODE_MAX: u8 = 40;
/// The smallest dictionary; the crate's.
const DICTIONARY_MIN: u32 = 4096;

static CRC_32: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);
static CRC_64: Crc<u64> = Crc::<u64>::new(&CRC_64_XZ);

/// Fills `unit` with what the blocks of the stream decode to.
pub(crate) fn decode(stored: &[u8], unit: &mut [u8]) -> Result<(), BadStream> {
    let mut from = From(stored);
    if from.array()? != MAGIC {
        return Err(BadStream);
    }
    let flags: [u8; 2] = from.array()?;
    let checksum = from.le32()?;
    let [0, check] = flags else {
        return Err(BadStream);
    };
    if CRC_32.checksum(&flags) != checksum {
        return Err(BadStream);
    }
    let room = u32::try_from(unit.len()).map_err(|_| BadStream)?;
    let mut rest = unit;
    // Each turn uses up a header.
    while !rest.is_empty() {
        let dictionary = header(&mut from)?.min(room).max(DICTIONARY_MIN);
        let before = from.0.len();
        let count = block(&mut from, dictionary, rest)?;
        let used = before.saturating_sub(from.0.len());
        from.bytes(used.next_multiple_of(4).saturating_sub(used))?;
        let (block, more) = rest.split_at_mut_checked(count).ok_or(BadStream)?;
        verify(&mut from, check, block)?;
        rest = more;
    }
    Ok(())
}

/// The size of the dictionary, from the header of a block.
fn header(from: &mut From<'_>) -> Result<u32, BadStream> {
    // 0 is the index: there are no more blocks.
    let size = usize::from(*from.0.first().filter(|size| **size != 0).ok_or(BadStream)?);
    let bytes = from.bytes(size.saturating_mul(4))?;
    if CRC_32.checksum(bytes) != from.le32()? {
        return Err(BadStream);
    }
    let mut fields = From(bytes);
    fields.byte()?;
    let flags = fields.byte()?;
    if flags & 0x3f != 0 {
        return Err(BadStream);
    }
    for present in [0x40, 0x80] {
        if flags & present != 0 {
            number(&mut fields)?;
        }
    }
    if number(&mut fields)? != LZMA2 || number(&mut fields)? != 1 {
        return Err(BadStream);
    }
    match fields.byte()? {
        DICTIONARY_CODE_MAX => Ok(u32::MAX),
        code if code < DICTIONARY_CODE_MAX => {
            let shift = u32::from(code / 2).saturating_add(11);
            Ok((2 | u32::from(code & 1)).wrapping_shl(shift))
        }
        _ => Err(BadStream),
    }
}

/// Decodes the LZMA2 that comes next, up to its end; gives the bytes that it filled.
fn block(from: &mut From<'_>, dictionary: u32, into: &mut [u8]) -> Result<usize, BadStream> {
    let mut reader = Lzma2Reader::new(from.0, dictionary, None);
    let mut filled = 0_usize;
    while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let count = reader.read(rest).map_err(|_| BadStream)?;
        if count == 0 {
            break;
        }
        filled = filled.saturating_add(count);
    }
    // A full unit is the end of its block, too.
    if reader.read(&mut [0]).map_err(|_| BadStream)? != 0 {
        return Err(BadStream);
    }
    from.0 = reader.into_inner();
    Ok(filled)
}

/// Compares the check behind a block.
fn verify(from: &mut From<'_>, check: u8, block: &[u8]) -> Result<(), BadStream> {
    let holds = match check {
        0 => true,
        1 => from.le32()? == CRC_32.checksum(block),
        4 => u64::from_le_bytes(from.array()?) == CRC_64.checksum(block),
        10 => from.array::<32>()? == <[u8; 32]>::from(Sha256::digest(block)),
        _ => false,
    };
    holds.then_some(()).ok_or(BadStream)
}

/// A number of seven bits a byte, lowest first.
fn number(from: &mut From<'_>) -> Result<u64, BadStream> {
    let mut value = 0_u64;
    for place in 0..9_u32 {
        let byte = from.byte()?;
        value |= u64::from(byte & 0x7f).wrapping_shl(place.saturating_mul(7));
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(BadStream)
}

#[cfg(test)]
mod tests {
    use super::decode;
    use instar_testkit::packed;

    fn disk() -> Vec<u8> {
        (0..30_000_u32)
            .flat_map(|number| format!("{} ", number / 7).into_bytes())
            .collect()
    }

    #[test]
    fn decodes_what_the_program_encoded() {
        let disk = disk();
        for words in [
            &["-c"][..],
            &["-c", "--check=none"],
            &["-c", "--check=crc32"],
            &["-c", "--check=sha256"],
            &["-c", "-9e"],
            &["-c", "-0"],
            &["-c", "--block-size=10001"],
            &["-c", "--threads=2", "--block-size=40000"],
        ] {
            let stream = packed("xz", words, &disk);
            let mut unit = vec![0xaa; disk.len()];
            assert_eq!(decode(&stream, &mut unit), Ok(()), "{words:?}");
            assert!(unit == disk, "{words:?}");
            // Not more, nor less of the last block.
            assert!(
                decode(&stream, &mut vec![0; disk.len() + 1]).is_err(),
                "{words:?}"
            );
            assert!(
                decode(&stream, &mut vec![0; disk.len() - 1]).is_err(),
                "{words:?}"
            );
        }
    }

    #[test]
    fn a_stream_cut_off_or_changed_anywhere_is_damaged() {
        let disk = &disk()[..3000];
        let stream = packed("xz", &["-c"], disk);
        let mut unit = vec![0; disk.len()];
        for at in 0..stream.len() {
            let mut changed = stream.clone();
            changed[at] ^= 0x10;
            for stream in [&stream[..at], &changed] {
                let outcome = decode(stream, &mut unit);
                assert!(outcome.is_err() || unit == disk, "{at}");
            }
        }
    }
}
