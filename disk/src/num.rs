//! Conversions and alignment that cannot wrap.

use instar_abi::Fault;
use instar_abi::fault::core as faults;

use crate::Result;

/// `usize` is 64 bits wide wherever this runs.
#[must_use]
pub fn from_usize(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

/// A length or index that fits memory.
///
/// # Errors
/// `OVERFLOW`.
pub fn to_usize(value: u64) -> Result<usize> {
    usize::try_from(value).map_err(|_| Fault::new(faults::OVERFLOW).with([value]))
}

/// Largest multiple of `unit` (a power of two) that is not above `value`.
#[must_use]
pub const fn align_down(value: u64, unit: u64) -> u64 {
    value & !unit.saturating_sub(1)
}

/// Smallest multiple of `unit` (a power of two) that is not below `value`.
///
/// # Errors
/// `OVERFLOW` if the result is not below 2^64.
pub fn align_up(value: u64, unit: u64) -> Result<u64> {
    value
        .checked_add(unit.saturating_sub(1))
        .map(|sum| align_down(sum, unit))
        .ok_or_else(|| Fault::new(faults::OVERFLOW).with([value]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alignment_holds_at_both_ends() {
        assert_eq!(align_up(0, 512).ok(), Some(0));
        assert_eq!(align_up(1, 512).ok(), Some(512));
        assert_eq!(align_up(512, 512).ok(), Some(512));
        assert!(align_up(u64::MAX - 510, 512).is_err());
        assert_eq!(align_down(u64::MAX, 512), u64::MAX - 511);
    }
}
