//! Telling data that no deflate stream can make smaller, without trying: files that are compressed already make up a good part of most
//! disks, and trying costs more for them than for anything else.

/// Bytes below which statistics say too little.
const ENOUGH: usize = 16 << 10;
/// Of every so many bytes the first [`SAMPLE`] are counted at first.
const STRIDE: usize = 512;
const SAMPLE: usize = 64;
/// Sum of squared deviations from equal counts, in units of the count that is expected, that noise stays below: 255 on average, with a
/// standard deviation of 23. Prefix codes gain at most 0.72 bits for each unit of it, here some 90 bytes in all, and their own tables
/// take nearly as much.
const UNEVEN: u64 = 1000;
/// Looking for repeats: one position in so many is remembered.
const ANCHOR: usize = 16;
/// In every so many bytes, [`ANCHOR`] positions in a row are looked up, so that a repeat of twice this length is never missed.
const PROBE: usize = 64;
/// Bytes that must agree.
const WORD: usize = 8;
/// log2 of the positions that are remembered.
const BITS: u32 = 12;

/// Whether `unit` looks like noise: all byte values about equally often, and no longer piece of it twice within reach of a window of
/// `window` bytes.
///
/// Compression would save at most a fraction of a percent of data that this takes for noise.
pub(crate) fn is_noise(unit: &[u8], window: usize) -> bool {
    if unit.len() < ENOUGH {
        return false;
    }
    let sampled = unit.chunks(STRIDE).flat_map(|stride| stride.iter().take(SAMPLE));
    unevenness(sampled) < UNEVEN && unevenness(unit.iter()) < UNEVEN && !repeats(unit, window)
}

/// How far the counts of byte values are from equal: the chi-squared statistic.
fn unevenness<'b>(bytes: impl Iterator<Item = &'b u8>) -> u64 {
    // Two tables: equal bytes in a row do not wait for each other's sum.
    let mut counts = [[0_u32; 256]; 2];
    let mut total = 0_u64;
    for byte in bytes {
        let table = usize::from(total & 1 != 0);
        if let Some(count) = counts
            .get_mut(table)
            .and_then(|table| table.get_mut(usize::from(*byte)))
        {
            *count = count.saturating_add(1);
        }
        total = total.saturating_add(1);
    }
    let [one, two] = counts;
    let squares = one.iter().zip(&two).fold(0_u64, |sum, (one, two)| {
        let count = u64::from(*one).saturating_add(u64::from(*two));
        sum.saturating_add(count.saturating_mul(count))
    });
    let scaled = squares.saturating_mul(256).checked_div(total).unwrap_or(u64::MAX);
    scaled.saturating_sub(total)
}

/// Whether a piece of `unit` stands there again at most `window` bytes later.
fn repeats(unit: &[u8], window: usize) -> bool {
    let mut seen = [u32::MAX; 1 << BITS];
    for (block, bytes) in unit.chunks(PROBE).enumerate() {
        let start = block.saturating_mul(PROBE);
        for (within, word) in bytes.windows(WORD).enumerate() {
            let at = start.saturating_add(within);
            if within >= ANCHOR && within % ANCHOR != 0 {
                continue;
            }
            let Some(seen) = seen.get_mut(place(word)) else {
                continue;
            };
            let before = usize::try_from(*seen).unwrap_or(usize::MAX);
            let near = before < at && at.saturating_sub(before) <= window;
            if near && unit.get(before..before.saturating_add(WORD)) == Some(word) {
                return true;
            }
            if within % ANCHOR == 0 {
                *seen = u32::try_from(at).unwrap_or(u32::MAX);
            }
        }
    }
    false
}

/// Where a word is remembered: the upper bits of a product with a large odd number (2^64 over the golden ratio).
fn place(word: &[u8]) -> usize {
    let word = word.first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
    let mixed = word.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed
        .checked_shr(u64::BITS.saturating_sub(BITS))
        .and_then(|place| usize::try_from(place).ok())
        .unwrap_or(0)
}

#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "numbers of our own choice"
)]
mod tests {
    use super::*;

    const WINDOW: usize = 4096;

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_le_bytes()[7]
        };
        std::iter::repeat_with(next).take(length).collect()
    }

    #[test]
    fn random_bytes_are_noise() {
        for length in [16 << 10, 64 << 10, (64 << 10) - 77, 2 << 20] {
            assert!(is_noise(&noise(length), WINDOW), "{length}");
        }
    }

    #[test]
    fn short_input_is_never_noise() {
        assert!(!is_noise(&noise(4096), WINDOW));
        assert!(!is_noise(&[], WINDOW));
    }

    #[test]
    fn skewed_values_are_not_noise() {
        // One value in sixteen has become another: prefix codes gain some per cent.
        let mut unit = noise(65536);
        for byte in unit.iter_mut().filter(|byte| **byte < 16) {
            *byte = 200;
        }
        assert!(!is_noise(&unit, WINDOW));
        // Only outside of what is counted at first.
        let mut unit = noise(65536);
        for stride in unit.chunks_mut(STRIDE) {
            stride[SAMPLE..].fill(b'x');
        }
        assert!(!is_noise(&unit, WINDOW));
    }

    /// At any distance within reach, wherever they start.
    #[test]
    fn repeats_are_not_noise() {
        let length = PROBE + ANCHOR + WORD;
        for (at, distance) in [(0, 97), (1000, 512), (4321, 4096), (60_000, 3333), (65_000, 133)] {
            for skew in 0..=PROBE {
                let mut unit = noise(65536);
                let from = at + skew;
                unit.copy_within(from..from + length, from + distance);
                assert!(!is_noise(&unit, WINDOW), "{at} {distance} {skew}");
            }
        }
    }

    #[test]
    fn repeats_out_of_reach_are_noise() {
        let mut unit = noise(65536);
        unit.copy_within(0..8192, 8192);
        assert!(is_noise(&unit, 4096));
        assert!(!is_noise(&unit, 8192));
    }
}
