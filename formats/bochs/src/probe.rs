//! Recognising.

use zerocopy::FromBytes;

use crate::header::is_growing;
use crate::raw::RawHeader;

/// Whether a file that starts with `head` is a growing redolog. `head` is the first 512 bytes of the file, shorter if the file is,
/// and then it is none.
#[must_use]
pub fn probe(head: &[u8]) -> bool {
    RawHeader::ref_from_bytes(head).is_ok_and(is_growing)
}
