//! Bitmaps that are switched on or off, and stay what they are otherwise.
//!
//! What says whether a bitmap records are four bytes of its entry in the directory. Where all of those that change stand in one sector,
//! they are written where they are: the disk has the old ones or the new ones at each moment.

use core::mem::offset_of;

use instar_disk::{File, Result, from_usize, to_usize};

use super::actions::Model;
use crate::bitmaps::directory::Entry;
use crate::edit::sector::Sector;
use crate::header::Header;
use crate::layout::SECTOR;
use crate::num::{add, index, internal};
use crate::raw::{RawBitmapEntry, bitmap_flag};

/// Makes the bitmaps those of `model`, if that is a matter of such a sector; says whether it was.
///
/// # Errors
/// The host's.
pub(super) fn write(file: File<'_>, header: &Header, model: &Model, stored: &[Entry]) -> Result<bool> {
    let Some(changed) = model.switched(stored) else {
        return Ok(false);
    };
    let place = |entry: &Entry| add(entry.at, from_usize(offset_of!(RawBitmapEntry, flags)));
    let (Some((_, first)), Some((_, last))) = (changed.first(), changed.last()) else {
        return Ok(false);
    };
    let (start, end) = (place(first)?, add(place(last)?, FLAGS)?);
    if instar_disk::align_down(start, SECTOR) != instar_disk::align_down(end.saturating_sub(1), SECTOR) {
        return Ok(false);
    }
    let mut bytes = alloc::vec![0; to_usize(end.saturating_sub(start))?];
    file.read_exact(start, &mut bytes)?;
    for (auto, entry) in changed {
        let at = index(place(entry)?.saturating_sub(start));
        let flags = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<4>);
        let flags = flags.ok_or_else(|| internal(line!()))?;
        let others = u32::from_be_bytes(*flags) & !bitmap_flag::AUTO;
        *flags = (others | if auto { bitmap_flag::AUTO } else { 0 }).to_be_bytes();
    }
    Sector::read(file, header.version)?.forget_unknown()?;
    file.write(start, &bytes)?;
    file.flush()?;
    Ok(true)
}

/// Bytes of the flags of a bitmap.
const FLAGS: u64 = 4;
