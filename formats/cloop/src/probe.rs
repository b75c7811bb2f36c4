//! Recognising.

use crate::raw::SCRIPT;

/// Whether a file that starts with `head` is a cloop image of version 2.
#[must_use]
pub fn probe(head: &[u8]) -> bool {
    head.starts_with(SCRIPT)
}
