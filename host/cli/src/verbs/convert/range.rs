//! `--range`: a part of the disk, in whole sectors.

use instar_abi::job::CopiedRange;

use crate::show::Escaped;
use crate::stop::{Step, Stop};
use crate::value::number;

/// What ranges are counted in: the unit of virtual sizes.
const SECTOR: u64 = 512;

/// Reads `OFFSET+LENGTH`; it goes to the place that it has in the source.
pub(super) fn parse(word: &[u8]) -> Step<CopiedRange> {
    let cut = word.iter().position(|byte| *byte == b'+');
    let parts = cut.and_then(|at| Some((word.get(..at)?, word.get(at.checked_add(1)?..)?)));
    let (Some(offset), Some(length)) = parts.map_or((None, None), |(offset, length)| {
        (sectors(offset), sectors(length))
    }) else {
        return Err(wrong("--range expects OFFSET+LENGTH", word));
    };
    if length == 0 || offset.checked_add(length).is_none() {
        return Err(wrong("--range expects OFFSET+LENGTH", word));
    }
    Ok(CopiedRange {
        offset,
        length,
        target: offset,
    })
}

/// Reads the place of a range.
pub(super) fn place(word: &[u8]) -> Step<u64> {
    sectors(word).ok_or_else(|| wrong("--range-at expects OFFSET", word))
}

fn sectors(word: &[u8]) -> Option<u64> {
    let bytes = number::size(word).ok()?;
    (bytes.is_multiple_of(SECTOR) && bytes <= i64::MAX.unsigned_abs()).then_some(bytes)
}

fn wrong(expected: &str, word: &[u8]) -> Stop {
    Stop::say(format!(
        "{expected} in bytes that are multiples of {SECTOR}, such as 1G+512M, not '{}'",
        Escaped(word)
    ))
}

#[cfg(test)]
mod tests {
    use super::{parse, place};

    #[test]
    fn a_range_is_two_sizes_in_whole_sectors() {
        let range = parse(b"1G+512M").unwrap();
        assert_eq!(
            (range.offset, range.length, range.target),
            (1 << 30, 512 << 20, 1 << 30)
        );
        assert_eq!(place(b"4k").unwrap(), 4096);
        for bad in [
            "", "+", "1G", "1G+", "+1G", "1G+0", "100+512", "512+100", "-512+512", "1G+1G+1G", "0+8E", "0x",
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(place(b"511").is_err());
    }
}
