//! L2 entries of compressed clusters.

use instar_disk::{Fault, Result, fault};

use crate::num::{add, shl, shr, sub};
use crate::raw::entry;

/// The entry of a compressed cluster whose stream takes `stored` bytes at `offset`.
///
/// The low bits are the offset; above them stands how many more 512-byte sectors than the first the stream touches. Larger
/// clusters need more bits for that.
///
/// # Errors
/// `OVERFLOW` for offsets that do not fit.
pub(crate) fn compressed(cluster_bits: u32, offset: u64, stored: u64) -> Result<u64> {
    let offset_bits = offset_bits(cluster_bits);
    let last = sub(add(offset, stored)?, 1)?;
    let sectors = sub(shr(last, SECTOR_BITS), shr(offset, SECTOR_BITS))?;
    if shr(offset, offset_bits) != 0 || shr(sectors, cluster_bits.saturating_sub(8)) != 0 {
        return Err(Fault::new(fault::core::OVERFLOW).with([offset]));
    }
    Ok(offset | shl(sectors, offset_bits)? | entry::COMPRESSED)
}

/// The bytes from the stream's first to the end of its last sector: what a reader may fetch.
pub(crate) fn compressed_range(cluster_bits: u32, word: u64) -> (u64, u64) {
    let offset_bits = offset_bits(cluster_bits);
    let body = word & !(entry::COMPRESSED | entry::COPIED);
    let offset = body & 1_u64.wrapping_shl(offset_bits).wrapping_sub(1);
    let sectors = shr(body, offset_bits).saturating_add(1);
    let start = instar_disk::align_down(offset, entry::COMPRESSED_SECTOR);
    (
        offset,
        start.saturating_add(sectors.saturating_mul(entry::COMPRESSED_SECTOR)),
    )
}

/// The same entry for a stream that stands elsewhere, as far into a sector as before.
pub(crate) fn moved(cluster_bits: u32, word: u64, offset: u64) -> u64 {
    let low = 1_u64.wrapping_shl(offset_bits(cluster_bits)).wrapping_sub(1);
    word & !low | offset & low
}

const fn offset_bits(cluster_bits: u32) -> u32 {
    70_u32.saturating_sub(cluster_bits)
}

/// log2 of [`entry::COMPRESSED_SECTOR`].
const SECTOR_BITS: u32 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sectors_are_counted_from_the_one_the_stream_starts_in() {
        // 64 KiB clusters: 54 bits of offset.
        let sectors = |offset, stored| (compressed(16, offset, stored).unwrap() & !(1 << 62)) >> 54;
        assert_eq!(sectors(0x50000, 1), 0);
        assert_eq!(sectors(0x50000, 512), 0);
        assert_eq!(sectors(0x50000, 513), 1);
        assert_eq!(sectors(0x501ff, 1), 0);
        assert_eq!(sectors(0x501ff, 2), 1);
        assert_eq!(sectors(0x501ff, 65535), 128);
    }

    #[test]
    fn ranges_cover_the_stream_and_end_on_a_sector() {
        for bits in 9..=21 {
            for offset in [512, 513, 1023, 0x1234_5678] {
                for stored in [1, 100, 511, (1 << bits) - 1] {
                    let word = compressed(bits, offset, stored).unwrap();
                    let (start, end) = compressed_range(bits, word);
                    assert_eq!(start, offset);
                    assert_eq!(
                        end,
                        (offset + stored).next_multiple_of(512),
                        "{bits} {offset} {stored}"
                    );
                }
            }
        }
    }
}
