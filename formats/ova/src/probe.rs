//! Recognising.

use instar_disk::fault::ova as faults;
use instar_disk::{File, Result};
use zerocopy::FromBytes;

use crate::header::is_header;
use crate::members::Members;
use crate::package::is_descriptor;
use crate::raw::RawHeader;

/// Whether a file that starts with `head` is a tar archive.
#[must_use]
pub fn probe(head: &[u8]) -> bool {
    RawHeader::read_from_prefix(head).is_ok_and(|(raw, _)| is_header(&raw))
}

/// Whether one of its members is a descriptor. An archive that is damaged in front of it is none of ours.
///
/// # Errors
/// The host's.
pub fn is_package(file: &File<'_>) -> Result<bool> {
    let mut members = Members::of(*file);
    loop {
        match members.next() {
            Ok(Some(member)) if is_descriptor(&member.name) => return Ok(true),
            Ok(Some(_)) => {}
            Ok(None) => return Ok(false),
            Err(fault) if faults::is_of_archive(fault.code) => return Ok(false),
            Err(fault) => return Err(fault),
        }
    }
}
