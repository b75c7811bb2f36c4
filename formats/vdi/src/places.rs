//! Which places are in use.

use alloc::vec::Vec;

use instar_disk::{Fault, Result, fault, to_usize};

/// Places in use, a bit each.
pub(crate) struct Places(Vec<u8>);

impl Places {
    pub(crate) fn new(blocks: u32) -> Result<Self> {
        let bytes = to_usize(u64::from(blocks).div_ceil(8))?;
        let mut bits = Vec::new();
        bits.try_reserve_exact(bytes)
            .map_err(|_| Fault::new(fault::core::OUT_OF_MEMORY).with([u64::from(blocks) / 8]))?;
        bits.resize(bytes, 0);
        Ok(Self(bits))
    }

    /// Marks a place; true if it was marked before.
    pub(crate) fn take(&mut self, place: u32) -> bool {
        let bit = 1_u8.wrapping_shl(place & 7);
        let byte = usize::try_from(place / 8)
            .ok()
            .and_then(|byte| self.0.get_mut(byte));
        byte.is_some_and(|byte| {
            let taken = *byte & bit != 0;
            *byte |= bit;
            taken
        })
    }

    /// Whether a place is marked.
    pub(crate) fn has(&self, place: u32) -> bool {
        let byte = usize::try_from(place / 8).ok().and_then(|byte| self.0.get(byte));
        byte.is_some_and(|byte| byte & 1_u8.wrapping_shl(place & 7) != 0)
    }
}
