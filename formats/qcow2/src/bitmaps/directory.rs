//! The bitmap directory.

use alloc::vec::Vec;

use instar_disk::fault::qcow2 as faults;
use instar_disk::report::Bitmap;
use instar_disk::{Fault, File, ImageText, Result, align_up, fault, from_usize};

use crate::extensions::BitmapDirectory;
use crate::header::{Header, TableRange};
use crate::pieces::Pieces;
use crate::raw::{RawBitmapEntry, bitmap_flag, limit};

/// All bitmaps, as `info` shows them.
pub(crate) fn list(file: File<'_>, header: &Header) -> Result<Vec<Bitmap>> {
    let all = entries(file, header)?;
    Ok(all.into_iter().map(|entry| entry.shown).collect())
}

pub(crate) struct Entry {
    /// Where it stands in the file.
    pub(crate) at: u64,
    /// As `info` shows it.
    pub(crate) shown: Bitmap,
    /// Its table: aligned to clusters, of bounded length.
    pub(crate) table: TableRange,
}

/// All bitmaps, if they are no more than can be shown.
pub(crate) fn entries(file: File<'_>, header: &Header) -> Result<Vec<Entry>> {
    entries_within(file, header, LISTED)
}

/// All bitmaps, if they take no more than so many bytes here.
pub(crate) fn entries_within(file: File<'_>, header: &Header, most: usize) -> Result<Vec<Entry>> {
    let Some(directory) = header.extensions.bitmaps else {
        return Ok(Vec::new());
    };
    read(file, header, directory, most).map_err(|fault| fault.in_file(file.slot()))
}

fn read(file: File<'_>, header: &Header, directory: BitmapDirectory, most: usize) -> Result<Vec<Entry>> {
    if directory.bytes == 0 {
        return Err(Fault::new(faults::BITMAP_DIRECTORY_EMPTY));
    }
    let end = directory.offset.saturating_add(directory.bytes);
    let entry_size = from_usize(size_of::<RawBitmapEntry>());
    let mut pieces = Pieces::new(file);
    let mut all = Vec::new();
    let mut listed = 0_usize;
    let mut offset = directory.offset;
    while offset < end {
        let at = offset;
        let name_at = offset.saturating_add(entry_size);
        if name_at > end {
            return Err(Fault::new(faults::BITMAP_DIRECTORY_BROKEN));
        }
        if from_usize(all.len()) >= u64::from(directory.bitmaps) {
            return Err(Fault::new(faults::BITMAPS_MORE));
        }
        let raw: RawBitmapEntry = pieces.value(offset)?;
        let name_size = u64::from(raw.name_size.get());
        let extra_size = u64::from(raw.extra_data_size.get());
        let tail = align_up(name_size.saturating_add(extra_size), 8)?;
        offset = name_at.saturating_add(tail);
        if offset > end {
            return Err(Fault::new(faults::BITMAP_DIRECTORY_BROKEN));
        }
        if extra_size != 0 {
            return Err(Fault::new(faults::BITMAP_EXTRA_DATA));
        }
        let name = pieces.string(name_at, name_size)?;
        check(&raw, header, &name)?;
        listed = listed
            .saturating_add(name.len())
            .saturating_add(size_of::<Entry>());
        if listed > most {
            let numbers = [u64::from(directory.bitmaps), from_usize(all.len())];
            return Err(Fault::new(fault::core::TABLE_LIMIT).with(numbers));
        }
        all.push(Entry {
            at,
            shown: Bitmap {
                name: ImageText::new(&name),
                granularity: 1_u64.checked_shl(u32::from(raw.granularity_bits)).unwrap_or(0),
                in_use: raw.flags.get() & bitmap_flag::IN_USE != 0,
                auto: raw.flags.get() & bitmap_flag::AUTO != 0,
            },
            table: TableRange {
                offset: raw.bitmap_table_offset.get(),
                entries: u64::from(raw.bitmap_table_size.get()),
            },
        });
    }
    if from_usize(all.len()) != u64::from(directory.bitmaps) {
        return Err(Fault::new(faults::BITMAPS_LESS));
    }
    Ok(all)
}

fn check(raw: &RawBitmapEntry, header: &Header, name: &[u8]) -> Result<()> {
    let table = raw.bitmap_table_offset.get();
    let entries = raw.bitmap_table_size.get();
    let in_use = raw.flags.get() & bitmap_flag::IN_USE != 0;
    let bytes = u64::from(entries).saturating_mul(header.cluster_size());
    let granularity = u32::from(raw.granularity_bits);
    let covered = u128::from(bytes)
        .saturating_mul(8)
        .checked_shl(granularity)
        .unwrap_or(0);
    let good = entries != 0
        && table != 0
        && table & header.cluster_size().saturating_sub(1) == 0
        && entries <= limit::BITMAP_TABLE_ENTRIES
        && (limit::MIN_GRANULARITY_BITS..=limit::MAX_GRANULARITY_BITS).contains(&raw.granularity_bits)
        && raw.flags.get() & !bitmap_flag::KNOWN == 0
        && raw.name_size.get() <= limit::BITMAP_NAME
        && raw.kind == DIRTY_TRACKING
        && bytes <= limit::BITMAP_BYTES
        && (in_use || u128::from(header.virtual_size()) <= covered);
    if good {
        return Ok(());
    }
    Err(Fault::new(faults::BITMAP_ENTRY).named(name))
}

/// The only kind of bitmap there is.
const DIRTY_TRACKING: u8 = 1;

/// Bytes of bitmaps that are listed. Ours: what is left of a report beside its snapshots.
const LISTED: usize = instar_disk::limits::REPORT_BYTES / 8;
