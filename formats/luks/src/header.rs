//! The header, read.

use instar_crypt::luks1::{Header, RawHeader};
use instar_disk::{Fault, File, Result, align_up, fault};
use zerocopy::{FromZeros, IntoBytes};

/// Bytes that the reference tool counts files in.
const SECTOR: u64 = 512;

/// Reads the header of `file`. What a short file lacks is zero, and fails as that.
pub(crate) fn read(file: &File<'_>) -> Result<Header> {
    let mut raw = RawHeader::new_zeroed();
    file.read_padded(0, raw.as_mut_bytes())?;
    Header::parse(&raw, false).map_err(|fault| fault.in_file(file.slot()))
}

/// Bytes of the disk behind the header.
pub(crate) fn disk_size(file: &File<'_>, header: &Header) -> Result<u64> {
    let whole = align_up(file.size(), SECTOR)?;
    whole
        .checked_sub(header.payload_offset)
        .ok_or_else(|| Fault::new(fault::luks::TOO_SHORT).in_file(file.slot()))
}
