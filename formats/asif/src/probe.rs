//! Recognising.

use crate::raw::{HEADER_BYTES, MAGIC, VERSION};

/// Whether a file that starts with `head` is a sparse image of Apple. The magic alone is four letters, with which a disk may begin.
#[must_use]
pub fn probe(head: &[u8]) -> bool {
    let rest = head.strip_prefix(&MAGIC).unwrap_or_default();
    let rest = rest.strip_prefix(&VERSION.to_be_bytes()).unwrap_or_default();
    rest.starts_with(&HEADER_BYTES.to_be_bytes())
}
