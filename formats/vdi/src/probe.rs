//! Recognising.

use zerocopy::FromBytes;

use crate::raw::{RawHeader, SIGNATURE};

/// Whether a file that starts with `head` is a VDI: its signature stands at byte 64. `head` is the first 512 bytes of the
/// file, shorter if the file is.
#[must_use]
pub fn probe(head: &[u8]) -> bool {
    let mut padded = [0; crate::raw::HEADER_BYTES];
    for (to, from) in padded.iter_mut().zip(head) {
        *to = *from;
    }
    RawHeader::ref_from_bytes(&padded).is_ok_and(|raw| raw.signature.get() == SIGNATURE)
}
