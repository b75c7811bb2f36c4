//! memcpy and its family, which compiled code calls and no library provides here.
//!
//! Short runs are moved by loads that overlap in the middle, all of them before the first store, so that these serve
//! memmove as well. Long runs are left to the processor's string instructions. No loop here has the shape of one that
//! the compiler would turn into a call to the very function it stands in.

#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "each function is one move, whose loads and stores share one bound"
)]

use core::arch::asm;
use core::arch::x86_64::{
    __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8, _mm_storeu_si128,
};

/// From this length on the processor copies faster by itself.
const STRING: usize = 1024;
const STEP: usize = size_of::<__m128i>();

/// Copies `length` bytes between ranges that do not overlap.
///
/// # Safety
/// 1. `from` is valid for reads of `length` bytes.
/// 2. `to` is valid for writes of `length` bytes.
/// 3. The ranges do not overlap.
#[inline]
pub(crate) unsafe fn copy(to: *mut u8, from: *const u8, length: usize) {
    // SAFETY: 1. and 2. are all that each branch needs of the two ranges; 3. lets the string instruction go upward.
    unsafe {
        match length {
            0..=64 => copy_short(to, from, length),
            65..STRING => copy_up(to, from, length),
            _ => asm!(
                "rep movsb",
                inout("rcx") length => _, inout("rsi") from => _, inout("rdi") to => _,
                options(nostack, preserves_flags),
            ),
        }
    }
}

/// Copies `length` bytes between ranges that may overlap.
///
/// # Safety
/// 1. `from` is valid for reads of `length` bytes.
/// 2. `to` is valid for writes of `length` bytes.
#[inline]
pub(crate) unsafe fn shift(to: *mut u8, from: *const u8, length: usize) {
    // SAFETY: 1. and 2. cover every branch; copying upward is right unless `to` is inside the unread rest of `from`.
    unsafe {
        match length {
            0..=64 => copy_short(to, from, length),
            _ if to.addr().wrapping_sub(from.addr()) >= length => shift_up(to, from, length),
            _ => copy_down(to, from, length),
        }
    }
}

/// Sets `length` bytes.
///
/// # Safety
/// `to` is valid for writes of `length` bytes.
#[inline]
pub(crate) unsafe fn fill(to: *mut u8, value: u8, length: usize) {
    // SAFETY: `to` is valid for writes of `length` bytes, which is all that each branch needs; overlapping stores of one value do no harm.
    unsafe {
        match length {
            0..STEP => fill_tiny(to, value, length),
            STEP..512 => {
                let block = _mm_set1_epi8(value.cast_signed());
                let mut at = 0;
                while at < length - STEP {
                    store(to.add(at), block);
                    at += STEP;
                }
                store(to.add(length - STEP), block);
            }
            _ => asm!(
                "rep stosb",
                inout("rcx") length => _, inout("rdi") to => _, in("al") value,
                options(nostack, preserves_flags),
            ),
        }
    }
}

/// Compares as unsigned bytes: negative, zero or positive.
///
/// # Safety
/// 1. `left` is valid for reads of `length` bytes.
/// 2. `right` is valid for reads of `length` bytes.
#[inline]
pub(crate) unsafe fn compare(left: *const u8, right: *const u8, length: usize) -> i32 {
    let mut at = 0;
    // SAFETY: every block and byte read lies below `length`, which 1. and 2. cover.
    unsafe {
        while length - at >= STEP {
            let equal = _mm_cmpeq_epi8(load(left.add(at)), load(right.add(at)));
            let differ = !_mm_movemask_epi8(equal) & 0xffff;
            if differ != 0 {
                at += differ.trailing_zeros() as usize;
                return i32::from(*left.add(at)) - i32::from(*right.add(at));
            }
            at += STEP;
        }
        while at < length {
            let difference = i32::from(*left.add(at)) - i32::from(*right.add(at));
            if difference != 0 {
                return difference;
            }
            at += 1;
        }
    }
    0
}

/// At most 64 bytes, all loaded before the first is stored.
unsafe fn copy_short(to: *mut u8, from: *const u8, length: usize) {
    // SAFETY: in each branch the last block ends at `length` and the first starts at 0; 1. and 2. of `copy` cover both.
    unsafe {
        match length {
            33..=64 => {
                let [a, b] = [load(from), load(from.add(STEP))];
                let [c, d] = [load(from.add(length - 2 * STEP)), load(from.add(length - STEP))];
                store(to, a);
                store(to.add(STEP), b);
                store(to.add(length - 2 * STEP), c);
                store(to.add(length - STEP), d);
            }
            16..=32 => {
                let [a, b] = [load(from), load(from.add(length - STEP))];
                store(to, a);
                store(to.add(length - STEP), b);
            }
            8..=15 => pair::<u64>(to, from, length),
            4..=7 => pair::<u32>(to, from, length),
            2..=3 => pair::<u16>(to, from, length),
            1 => *to = *from,
            _ => {}
        }
    }
}

/// Two overlapping words, of which one starts the range and one ends it.
unsafe fn pair<W: Copy>(to: *mut u8, from: *const u8, length: usize) {
    let last = length - size_of::<W>();
    // SAFETY: `length` is at least one word; unaligned access is asked for by name.
    unsafe {
        let head = from.cast::<W>().read_unaligned();
        let tail = from.add(last).cast::<W>().read_unaligned();
        to.cast::<W>().write_unaligned(head);
        to.add(last).cast::<W>().write_unaligned(tail);
    }
}

/// More than 64 bytes, upwards, ranges apart.
unsafe fn copy_up(to: *mut u8, from: *const u8, length: usize) {
    let mut at = 0;
    // SAFETY: every block ends at or below `length`.
    unsafe {
        while at < length - 2 * STEP {
            let [a, b] = [load(from.add(at)), load(from.add(at + STEP))];
            store(to.add(at), a);
            store(to.add(at + STEP), b);
            at += 2 * STEP;
        }
        let [a, b] = [load(from.add(length - 2 * STEP)), load(from.add(length - STEP))];
        store(to.add(length - 2 * STEP), a);
        store(to.add(length - STEP), b);
    }
}

/// More than 64 bytes, upwards, `to` perhaps a little below `from`: the tail is read before it is overwritten.
unsafe fn shift_up(to: *mut u8, from: *const u8, length: usize) {
    let mut at = 0;
    // SAFETY: as in `copy_up`; a store at `at` ends below the next load, since `to` is below `from`.
    unsafe {
        let tail = load(from.add(length - STEP));
        while at < length - STEP {
            let block = load(from.add(at));
            store(to.add(at), block);
            at += STEP;
        }
        store(to.add(length - STEP), tail);
    }
}

/// More than 64 bytes, downwards: the head is read before it is overwritten.
unsafe fn copy_down(to: *mut u8, from: *const u8, length: usize) {
    let mut end = length;
    // SAFETY: every block lies between 0 and `length`.
    unsafe {
        let head = load(from);
        while end > STEP {
            let block = load(from.add(end - STEP));
            store(to.add(end - STEP), block);
            end -= STEP;
        }
        store(to, head);
    }
}

unsafe fn fill_tiny(to: *mut u8, value: u8, length: usize) {
    let word = u64::from_ne_bytes([value; 8]).to_le_bytes();
    // SAFETY: at most 15 bytes are taken from a word laid twice.
    unsafe {
        let mut both = [0; 16];
        both.as_mut_ptr().cast::<[u8; 8]>().write(word);
        both.as_mut_ptr().cast::<[u8; 8]>().add(1).write(word);
        copy_short(to, both.as_ptr(), length);
    }
}

#[inline]
unsafe fn load(from: *const u8) -> __m128i {
    // SAFETY: the caller's pointer is good for a block; no alignment is needed.
    unsafe { _mm_loadu_si128(from.cast()) }
}

#[inline]
unsafe fn store(to: *mut u8, block: __m128i) {
    // SAFETY: the caller's pointer is good for a block; no alignment is needed.
    unsafe { _mm_storeu_si128(to.cast(), block) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTHS: [usize; 22] = [
        0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 96, 127, 511, 1023, 1024, 5000,
    ];

    fn sample(length: usize) -> Vec<u8> {
        (0..length).map(|i| (i * 7 + i / 251).to_le_bytes()[0]).collect()
    }

    #[test]
    fn copies_every_length_and_nothing_beside_it() {
        for length in LENGTHS {
            let from = sample(length);
            let mut to = vec![0xee; length + 2];
            // SAFETY: one byte is left on either side.
            unsafe { copy(to.as_mut_ptr().add(1), from.as_ptr(), length) };
            assert_eq!(to[0], 0xee);
            assert_eq!(&to[1..=length], &from);
            assert_eq!(to[length + 1], 0xee);
        }
    }

    #[test]
    fn shifts_up_and_down_by_every_distance() {
        for length in LENGTHS {
            for distance in [0, 1, 2, 15, 16, 17, 31, 63, 64, 200, 1024] {
                for up in [false, true] {
                    let mut bytes = sample(length + distance);
                    let (from, to) = if up { (0, distance) } else { (distance, 0) };
                    let expected = bytes[from..from + length].to_vec();
                    let start = bytes.as_mut_ptr();
                    // SAFETY: both ranges lie inside `bytes`.
                    unsafe { shift(start.add(to), start.add(from), length) };
                    assert_eq!(&bytes[to..to + length], &expected, "{length} by {distance}");
                }
            }
        }
    }

    #[test]
    fn fills_every_length_and_nothing_beside_it() {
        for length in LENGTHS {
            let mut to = vec![0xee; length + 2];
            // SAFETY: one byte is left on either side.
            unsafe { fill(to.as_mut_ptr().add(1), 0x5a, length) };
            assert_eq!(to[0], 0xee);
            assert!(to[1..=length].iter().all(|byte| *byte == 0x5a));
            assert_eq!(to[length + 1], 0xee);
        }
    }

    #[test]
    fn compares_as_unsigned_bytes_at_every_place() {
        for length in LENGTHS {
            let left = sample(length);
            // SAFETY: both are `length` long.
            assert_eq!(unsafe { compare(left.as_ptr(), left.as_ptr(), length) }, 0);
            for at in 0..length {
                let mut right = left.clone();
                right[at] ^= 0x80;
                // SAFETY: both are `length` long.
                let sign = unsafe { compare(left.as_ptr(), right.as_ptr(), length) };
                assert_eq!(sign.signum(), if left[at] >= 0x80 { 1 } else { -1 });
            }
        }
    }
}
