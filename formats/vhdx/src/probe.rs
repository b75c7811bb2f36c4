//! Recognising.

use crate::raw::FILE_SIGNATURE;

/// Whether a file that starts with `head` is a VHDX.
#[must_use]
pub fn probe(head: &[u8]) -> bool {
    head.starts_with(&FILE_SIGNATURE)
}
