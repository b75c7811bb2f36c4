//! Bitmaps that no longer agree with the data, since somebody wrote who does not know them.

use instar_disk::{File, Result, from_usize, to_usize};

use crate::extensions::Extensions;
use crate::header::Header;
use crate::pieces::Pieces;
use crate::raw::{RawBitmapsExtension, RawExtension, RawHeader};

/// Takes their extension out of the header, by one write of one sector. Where more would have to be written it stays: it counts for nothing.
///
/// # Errors
/// The host's.
pub(crate) fn forget(file: File<'_>, header: &Header) -> Result<()> {
    if header.features.bitmaps() {
        return Ok(());
    }
    let mut head = Pieces::new(file);
    let raw: RawHeader = head.value(0)?;
    let end = match raw.backing_file_offset.get() {
        0 => header.cluster_size(),
        name => name,
    };
    let area = u64::from(header.header_length)..end;
    let (place, rest) = Extensions::place_of_bitmaps(&mut head, area)?;
    let Some(content) = place else {
        return Ok(());
    };
    let start = content.saturating_sub(from_usize(size_of::<RawExtension>()));
    let next = content.saturating_add(from_usize(size_of::<RawBitmapsExtension>()));
    if start / SECTOR != rest.saturating_sub(1) / SECTOR && rest > next {
        return Ok(());
    }
    // What follows moves up; behind it stand zeros, which end the extensions.
    let mut bytes = alloc::vec![0; to_usize(rest.saturating_sub(next))?];
    file.read_padded(next, &mut bytes)?;
    bytes.resize(to_usize(rest.saturating_sub(start))?, 0);
    file.write(start, &bytes)?;
    file.flush()
}

/// Bytes that every disk writes as one.
const SECTOR: u64 = 512;
