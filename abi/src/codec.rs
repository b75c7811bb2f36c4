//! Serialisation of jobs and reports: postcard, bounded by the bytes present.

use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// The bytes are no value of the expected type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError;

/// Serialises `value`.
///
/// # Errors
/// [`DecodeError`] when the value cannot be serialised; the types of this crate all can.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, DecodeError> {
    postcard::to_allocvec(value).map_err(|_| DecodeError)
}

/// Serialises `value` into `bytes`; gives those that it took.
///
/// # Errors
/// [`DecodeError`] when there is no room for it.
pub fn encode_into<'a, T: Serialize>(value: &T, bytes: &'a mut [u8]) -> Result<&'a [u8], DecodeError> {
    postcard::to_slice(value, bytes)
        .map(|used| &*used)
        .map_err(|_| DecodeError)
}

/// Reads one value that fills `bytes` exactly.
///
/// Safe on hostile bytes: allocation is bounded by the number of bytes given, not by a declared count.
///
/// # Errors
/// [`DecodeError`] for anything but one whole value.
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        _ => Err(DecodeError),
    }
}
