//! Which places of a file are in use.

use alloc::vec::Vec;

use instar_abi::{Fault, fault};

use crate::{Result, to_usize};

/// Places in use, a bit each.
#[derive(Debug)]
pub struct Places(Vec<u8>);

impl Places {
    /// None of the first `places` is in use, and none behind them ever will be.
    ///
    /// # Errors
    /// `OUT_OF_MEMORY`.
    pub fn new(places: u64) -> Result<Self> {
        let bytes = to_usize(places.div_ceil(8))?;
        let mut bits = Vec::new();
        bits.try_reserve_exact(bytes)
            .map_err(|_| Fault::new(fault::core::OUT_OF_MEMORY).with([places / 8]))?;
        bits.resize(bytes, 0);
        Ok(Self(bits))
    }

    /// Marks a place; true if it was marked before.
    pub fn take(&mut self, place: u64) -> bool {
        let bit = bit(place);
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
    #[must_use]
    pub fn has(&self, place: u64) -> bool {
        let byte = usize::try_from(place / 8).ok().and_then(|byte| self.0.get(byte));
        byte.is_some_and(|byte| byte & bit(place) != 0)
    }
}

fn bit(place: u64) -> u8 {
    1_u8.wrapping_shl(u32::try_from(place & 7).unwrap_or(0))
}
