//! Recognising.

use crate::raw::{MAGIC, MAGIC_OLD, VERSION};

/// Whether a file that starts with `head` is a Parallels disk.
#[must_use]
pub fn probe(head: &[u8]) -> bool {
    [MAGIC, MAGIC_OLD].iter().any(|magic| {
        let rest = head.strip_prefix(magic.as_slice()).unwrap_or_default();
        rest.starts_with(&VERSION.to_le_bytes())
    })
}
