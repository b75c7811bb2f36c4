//! Refcounts as they stand in a block: 1 to 64 bits each, big-endian; narrower than a byte, the first in the lowest bits.

use crate::num::index;

/// The largest count of this width.
pub(crate) const fn limit(order: u32) -> u64 {
    u64::MAX.wrapping_shr(64_u32.saturating_sub(1_u32.wrapping_shl(order)))
}

/// Bytes that `counts` counts take, rounded up.
pub(crate) const fn bytes(counts: u64, order: u32) -> u64 {
    if order >= 3 {
        counts.saturating_mul(1_u64.wrapping_shl(order.saturating_sub(3)))
    } else {
        crate::num::shr_up(counts, 3_u32.saturating_sub(order))
    }
}

/// Count number `at`; 0 past the end.
pub(crate) fn get(block: &[u8], order: u32, at: u64) -> u64 {
    let Some(width) = whole_bytes(order) else {
        let (byte, shift) = place(order, at);
        let byte = block.get(byte).copied().unwrap_or(0);
        return u64::from(byte).wrapping_shr(shift) & limit(order);
    };
    let start = index(at).saturating_mul(width);
    let bytes = block.get(start..start.saturating_add(width)).unwrap_or(&[]);
    bytes
        .iter()
        .fold(0, |sum, byte| sum.wrapping_shl(8) | u64::from(*byte))
}

/// The last count that is not 0.
pub(crate) fn last(block: &[u8], order: u32) -> Option<u64> {
    let byte = instar_disk::from_usize(block.iter().rposition(|byte| *byte != 0)?);
    if order >= 3 {
        return Some(crate::num::shr(byte, order.saturating_sub(3)));
    }
    let each_bits = 3_u32.saturating_sub(order);
    let first = byte.wrapping_shl(each_bits);
    let end = first.saturating_add(1_u64.wrapping_shl(each_bits));
    (first..end).rev().find(|at| get(block, order, *at) != 0)
}

/// How many counts from `at` on, and before `to`, are alike.
pub(crate) fn run(block: &[u8], order: u32, at: u64, to: u64) -> u64 {
    let first = get(block, order, at);
    // In steps of whole bytes, as long as there are such; then one by one.
    let (unit, mut at_unit) = match whole_bytes(order) {
        Some(_) => (1, at),
        None => (
            8_u64.wrapping_shr(order),
            at.next_multiple_of(8_u64.wrapping_shr(order)),
        ),
    };
    at_unit = at_unit.min(to);
    let head = (at..at_unit).take_while(|at| get(block, order, *at) == first);
    let mut known = at.saturating_add(instar_disk::from_usize(head.count()));
    if known == at_unit {
        let width = whole_bytes(order).unwrap_or(1);
        let of = |at: u64| index(at.checked_div(unit).unwrap_or(0)).saturating_mul(width);
        let bytes = block.get(of(at_unit)..of(to)).unwrap_or(&[]);
        let mut pattern = [0; 8];
        let counts = 8_u64.checked_div(instar_disk::from_usize(width)).unwrap_or(0);
        fill(&mut pattern, order, 0, counts.saturating_mul(unit), first);
        let alike = bytes_alike(bytes, pattern.get(..width).unwrap_or(&[]));
        let alike = instar_disk::from_usize(alike.checked_div(width).unwrap_or(0)).saturating_mul(unit);
        known = known.saturating_add(alike);
    }
    let tail = (known..to).take_while(|at| get(block, order, *at) == first);
    known
        .saturating_add(instar_disk::from_usize(tail.count()))
        .saturating_sub(at)
}

/// How many bytes repeat the pattern, in whole patterns.
fn bytes_alike(bytes: &[u8], pattern: &[u8]) -> usize {
    let width = pattern.len();
    if width == 0 || !bytes.starts_with(pattern) {
        return 0;
    }
    let mut known = width;
    // Each byte is the one a pattern before it: whole pieces are compared at once.
    loop {
        let step = bytes.len().saturating_sub(known).min(STEP);
        let step = step.saturating_sub(step.checked_rem(width).unwrap_or(0));
        let (behind, ahead) = (known.saturating_sub(width), known.saturating_add(step));
        let same = bytes.get(known..ahead) == bytes.get(behind..ahead.saturating_sub(width));
        if step == 0 || !same {
            break;
        }
        known = ahead;
    }
    let rest = bytes.get(known..).unwrap_or(&[]).chunks_exact(width);
    let more = rest.take_while(|chunk| *chunk == pattern).count();
    known.saturating_add(more.saturating_mul(width))
}

/// Sets count number `at` to `value`; nothing past the end.
pub(crate) fn set(block: &mut [u8], order: u32, at: u64, value: u64) {
    let Some(width) = whole_bytes(order) else {
        let (byte, shift) = place(order, at);
        if let Some(byte) = block.get_mut(byte) {
            let mask = limit(order).wrapping_shl(shift);
            let value = value.wrapping_shl(shift) & mask;
            let [.., kept] = mask.to_be_bytes();
            let [.., new] = value.to_be_bytes();
            *byte = (*byte & !kept) | new;
        }
        return;
    };
    let start = index(at).saturating_mul(width);
    if let Some(bytes) = block.get_mut(start..start.saturating_add(width)) {
        let value = value.to_be_bytes();
        let low = value.get(value.len().saturating_sub(width)..).unwrap_or(&[]);
        bytes.copy_from_slice(low);
    }
}

/// Sets the counts from `from` up to `to` to 1.
pub(crate) fn fill_ones(block: &mut [u8], order: u32, from: u64, to: u64) {
    let Some(width) = whole_bytes(order) else {
        return fill_bits(block, order, from, to);
    };
    let (start, end) = (index(from).saturating_mul(width), index(to).saturating_mul(width));
    let end = end.min(block.len());
    for count in block
        .get_mut(start..end)
        .unwrap_or(&mut [])
        .chunks_exact_mut(width)
    {
        count.fill(0);
        if let Some(last) = count.last_mut() {
            *last = 1;
        }
    }
}

/// Sets the counts from `from` up to `to` to `value`.
pub(crate) fn fill(block: &mut [u8], order: u32, from: u64, to: u64, value: u64) {
    if value == 1 {
        return fill_ones(block, order, from, to);
    }
    for at in from..to {
        set(block, order, at, value);
    }
}

fn fill_bits(block: &mut [u8], order: u32, from: u64, to: u64) {
    let each = 8_u64.wrapping_shr(order);
    let ones = match order {
        0 => 0xff,
        1 => 0x55,
        _ => 0x11,
    };
    let head = from.next_multiple_of(each).min(to);
    for at in from..head {
        set(block, order, at, 1);
    }
    let tail = instar_disk::align_down(to, each).max(head);
    let (first, _) = place(order, head);
    let (last, _) = place(order, tail);
    let last = last.min(block.len());
    if let Some(whole) = block.get_mut(first..last) {
        whole.fill(ones);
    }
    for at in tail..to {
        set(block, order, at, 1);
    }
}

/// Bytes that are compared at once. Ours.
const STEP: usize = 4096;

/// The byte that holds a narrow count, and its lowest bit there.
fn place(order: u32, at: u64) -> (usize, u32) {
    let each_bits = 3_u32.saturating_sub(order);
    let within = at & 1_u64.wrapping_shl(each_bits).saturating_sub(1);
    let shift = within.wrapping_shl(order);
    (
        index(crate::num::shr(at, each_bits)),
        u32::try_from(shift).unwrap_or(0),
    )
}

/// Bytes of a count, unless it is narrower than one.
fn whole_bytes(order: u32) -> Option<usize> {
    let shift = order.checked_sub(3)?;
    Some(1_usize.wrapping_shl(shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_counts_start_in_the_lowest_bits() {
        let mut block = [0; 4];
        set(&mut block, 0, 0, 1);
        set(&mut block, 1, 5, 3);
        set(&mut block, 2, 5, 0xe);
        assert_eq!(block, [1, 3 << 2, 0xe0, 0]);
        assert_eq!(get(&block, 2, 5), 0xe);
    }

    #[test]
    fn wide_counts_are_big_endian() {
        let mut block = [0; 16];
        set(&mut block, 4, 1, 0x1234);
        set(&mut block, 6, 1, u64::MAX - 1);
        assert_eq!(block[2..4], [0x12, 0x34]);
        assert_eq!(get(&block, 6, 1), u64::MAX - 1);
        assert_eq!(get(&block, 6, 2), 0);
    }

    #[test]
    fn filling_equals_setting_one_by_one() {
        for order in 0..=6 {
            for from in 0..20 {
                for to in from..40 {
                    let (mut filled, mut single) = ([0xaa; 320], [0xaa; 320]);
                    fill_ones(&mut filled, order, from, to);
                    for at in from..to {
                        set(&mut single, order, at, 1);
                        assert_eq!(get(&single, order, at), 1);
                    }
                    assert_eq!(filled, single, "{order} {from} {to}");
                }
            }
        }
    }

    #[test]
    fn runs_are_as_long_as_counts_are_alike() {
        let mut random = 1_u64;
        let mut next = |limit: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % limit
        };
        for order in 0..=6 {
            for _ in 0..25 {
                let mut block = vec![0; 16384];
                let counts = (16384 * 8) >> order;
                let mut at = 0;
                while at < counts {
                    let to = (at + 1 + next(counts / 3)).min(counts);
                    let value = next(3).min(limit(order));
                    fill(&mut block, order, at, to, value);
                    at = to;
                }
                let (mut at, to) = (next(counts), next(counts) + 1);
                while at < to {
                    let alike = run(&block, order, at, to);
                    let first = get(&block, order, at);
                    let same = |at: &u64| get(&block, order, *at) == first;
                    assert!(alike > 0 && at + alike <= to);
                    assert!([at + alike / 2, at + alike - 1].iter().all(same), "{order}");
                    assert!(at + alike == to || !same(&(at + alike)), "{order}");
                    at += alike;
                }
            }
        }
    }

    #[test]
    fn the_last_count_is_found() {
        for order in 0..=6 {
            let mut block = [0; 512];
            assert_eq!(last(&block, order), None);
            for at in [0, 1, 6, 7, 8, 63] {
                set(&mut block, order, at, 1);
                assert_eq!(last(&block, order), Some(at), "{order}");
            }
        }
    }

    #[test]
    fn limits_and_sizes_follow_the_width() {
        assert_eq!([0, 1, 2, 3, 4, 6].map(limit), [1, 3, 15, 255, 65535, u64::MAX]);
        assert_eq!([0, 1, 2, 3, 4, 6].map(|o| bytes(9, o)), [2, 3, 5, 9, 18, 72]);
    }
}
