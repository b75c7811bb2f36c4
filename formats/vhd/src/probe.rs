//! Recognising.

use crate::raw::FOOTER_COOKIE;

/// Whether a file that starts with `head` is a dynamic or differencing VHD. A fixed one has nothing in front: it is raw
/// until the user says otherwise, as in qemu-img.
#[must_use]
pub fn probe(head: &[u8]) -> bool {
    head.starts_with(&FOOTER_COOKIE)
}
