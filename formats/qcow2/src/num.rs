//! Arithmetic on cluster numbers and byte offsets that cannot wrap.

use instar_disk::{Fault, Result, fault, from_usize};

/// `left + right`.
pub(crate) fn add(left: u64, right: u64) -> Result<u64> {
    left.checked_add(right).ok_or_else(|| overflow(left))
}

/// `left - right`.
pub(crate) fn sub(left: u64, right: u64) -> Result<u64> {
    left.checked_sub(right).ok_or_else(|| overflow(right))
}

/// `value * 2^bits`.
pub(crate) fn shl(value: u64, bits: u32) -> Result<u64> {
    let factor = 1_u64.checked_shl(bits).ok_or_else(|| overflow(value))?;
    value.checked_mul(factor).ok_or_else(|| overflow(value))
}

/// `value / 2^bits`, rounded down; `bits` is below 64.
pub(crate) const fn shr(value: u64, bits: u32) -> u64 {
    value.wrapping_shr(bits)
}

/// `value / 2^bits`, rounded up; `bits` is below 64.
pub(crate) const fn shr_up(value: u64, bits: u32) -> u64 {
    let down = shr(value, bits);
    if value == down.wrapping_shl(bits) {
        down
    } else {
        down.saturating_add(1)
    }
}

/// An index from a number that was bounded before.
pub(crate) fn index(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// A mistake of ours at this line, never the image's.
pub(crate) fn internal(line: u32) -> Fault {
    Fault::new(fault::core::INTERNAL).with([u64::from(line)])
}

/// A length as a file offset.
pub(crate) fn length(bytes: &[u8]) -> u64 {
    from_usize(bytes.len())
}

fn overflow(value: u64) -> Fault {
    Fault::new(fault::core::OVERFLOW).with([value])
}
