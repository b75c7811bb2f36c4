//! Recognising.

use crate::raw::MAGIC;

/// Whether a file that starts with `head` is a QED image.
#[must_use]
pub fn probe(head: &[u8]) -> bool {
    head.starts_with(&MAGIC)
}
