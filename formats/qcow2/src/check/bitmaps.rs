//! Persistent bitmaps.

use alloc::vec::Vec;

use instar_disk::{Budget, Fault, ImageText, Result, fault, to_usize};
use zerocopy::IntoBytes;
use zerocopy::big_endian::U64;

use super::frame::{Frame, errno};
use crate::bitmaps::directory;
use crate::header::TableRange;

/// A bitmap's table.
#[derive(Debug)]
pub(super) struct Bitmap {
    name: ImageText,
    in_use: bool,
    pub(super) table: TableRange,
}

/// The bitmaps of an image. Those that were saved properly are looked at right away, as qemu-img loads them when it opens an image.
///
/// # Errors
/// What is wrong with the directory or with a table; too many tables; the host's.
pub(super) fn open(frame: &Frame<'_>, budget: &mut Budget<'_>) -> Result<Vec<Bitmap>> {
    let entries = directory::entries(frame.file, &frame.header)?;
    let all = entries.into_iter().map(|entry| Bitmap {
        name: entry.shown.name,
        in_use: entry.shown.in_use,
        table: entry.table,
    });
    let all: Vec<Bitmap> = all.collect();
    for bitmap in &all {
        // Read now, and once more to be counted.
        budget.spend(bitmap.table.entries.saturating_mul(16))?;
        if bitmap.in_use {
            continue;
        }
        let end = bitmap
            .table
            .offset
            .saturating_add(bitmap.table.entries.saturating_mul(8));
        let errno = if end > READABLE {
            errno::IO
        } else if bitmap.each_entry(frame, |_| {})? {
            continue;
        } else {
            errno::INVALID
        };
        return Err(Fault::new(fault::check::BITMAP_TABLE)
            .with([errno])
            .named(bitmap.name.as_bytes()));
    }
    Ok(all)
}

impl Bitmap {
    /// Runs `each` on every cluster that the table leads to, up to the first entry that is wrong; false if there is one.
    pub(super) fn each_entry(&self, frame: &Frame<'_>, mut each: impl FnMut(u64)) -> Result<bool> {
        let present = frame.length.saturating_sub(self.table.offset) / 8;
        let entries = self.table.entries.min(present);
        let mut words: Vec<U64> = Vec::new();
        let mut number = 0;
        while number < entries {
            let now = entries.saturating_sub(number).min(PIECE);
            words.resize(to_usize(now)?, U64::ZERO);
            let at = self.table.offset.saturating_add(number.saturating_mul(8));
            frame.file.read_padded(at, words.as_mut_bytes())?;
            for word in &words {
                let value = word.get();
                let offset = value & OFFSET;
                let ones_and_place = offset != 0 && value & ALL_ONES != 0;
                if value & RESERVED != 0 || ones_and_place || frame.within(offset) != 0 {
                    return Ok(false);
                }
                if offset != 0 {
                    each(offset);
                }
            }
            number = number.saturating_add(now);
        }
        Ok(true)
    }
}

/// Of a table entry: the file offset.
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
/// Of a table entry: without an offset, all bits are set.
const ALL_ONES: u64 = 1;
/// Of a table entry: no meaning.
const RESERVED: u64 = 0xff00_0000_0000_01fe;
/// Entries read at once. Ours.
const PIECE: u64 = 8192;
/// Where qemu-img's files end: the largest offset, rounded down to a gigabyte.
const READABLE: u64 = crate::raw::limit::FILE_END - (1 << 30);
