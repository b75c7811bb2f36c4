//! Recognising.

use crate::raw::{MAGIC, VERSION};

/// Whether a file that starts with `head` is a qcow image of version 1.
#[must_use]
pub fn probe(head: &[u8]) -> bool {
    let rest = head.strip_prefix(&MAGIC).unwrap_or_default();
    rest.starts_with(&VERSION.to_be_bytes())
}
