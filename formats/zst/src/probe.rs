//! Recognising.

use instar_disk::{File, Result, fault};

use crate::header::{self, Header};

/// Whether a file that starts with `head` may be zstd. Four bytes, with which a disk may begin: [`is_seekable`] decides.
#[must_use]
pub fn probe(head: &[u8]) -> bool {
    header::starts(head)
}

/// Whether `file`, which begins like zstd, also ends in a seek table that leads back to its own start.
///
/// # Errors
/// The host's.
pub fn is_seekable(file: &File<'_>) -> Result<bool> {
    match Header::read(file) {
        Ok(_) => Ok(true),
        Err(found) if OURS.contains(&found.code) => Ok(false),
        Err(other) => Err(other),
    }
}

/// What says that it is none.
const OURS: [instar_disk::FaultCode; 3] = [fault::zst::MAGIC, fault::zst::NOT_SEEKABLE, fault::zst::FOOTER];
