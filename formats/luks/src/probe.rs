//! Recognising.

use instar_crypt::luks1::MAGIC;

/// Whether a file that starts with `head` is a LUKS disk of version 1. One of version 2 is read if the user says that it is one: the
/// reference tool, which does not read them, takes it for raw.
#[must_use]
pub fn probe(head: &[u8]) -> bool {
    head.strip_prefix(&MAGIC)
        .is_some_and(|rest| rest.starts_with(&[0, 1]))
}
