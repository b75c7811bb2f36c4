//! Tables that must stay in one piece: each moves by itself, to the first place that is long enough.
//!
//! The header leads to some of them, an entry of eight bytes to each of the others. Both change in one write.

use alloc::vec::Vec;
use core::ops::Range;

use instar_disk::{File, Result, to_usize};
use zerocopy::FromBytes;
use zerocopy::big_endian::U64;

use super::survey::Survey;
use crate::edit::head::Head;
use crate::edit::transaction::{Grow, Look, Release, Switch, clusters_of};
use crate::extensions::BitmapDirectory;
use crate::header::{Header, TableRange};
use crate::num::{add, internal, shl, sub};

/// One of them.
#[derive(Clone, Debug)]
enum Which {
    Active(TableRange),
    Snapshots(TableRange),
    Directory(BitmapDirectory),
    /// What this entry leads to: the L1 table of a snapshot, or the table of a bitmap.
    Entry(u64),
}

/// Moves the tables that end behind cluster `end` before it, as far as there is room; gives the header as it is now, and the bytes that
/// were moved.
pub(super) fn lower(
    file: File<'_>,
    mut header: Header,
    survey: &Survey<'_>,
    end: u64,
) -> Result<(Header, u64)> {
    let mut moved = 0;
    // What others stand in goes last: their entries are where they were looked for.
    for (which, place) in places(&header, survey)? {
        let length = sub(place.end, place.start)?;
        let clusters = clusters_of(survey.layout, place.start, length)?;
        if length == 0 || clusters.end <= end {
            continue;
        }
        let mut look = Look::open(file, header.clone())?;
        let count = sub(clusters.end, clusters.start)?;
        let found = look.ledger.first_free(count)?;
        if found.is_none_or(|first| first >= clusters.start) {
            continue;
        }
        let mut grow = look.grow(false)?;
        let to = grow.take_bytes(length)?;
        copy(file, &mut grow, place.clone(), to)?;
        let mut release = lead_to(file, &header, grow, &which, to)?;
        release.lower_table(place.start, length)?;
        release.finish_in_order()?;
        moved = add(moved, length)?;
        header = Header::parse(file)?;
    }
    Ok((header, moved))
}

/// All of them, and the bytes in which they stand.
fn places(header: &Header, survey: &Survey<'_>) -> Result<Vec<(Which, Range<u64>)>> {
    let mut all = Vec::new();
    for root in survey.roots.iter().chain(&survey.bitmaps) {
        let start = root.table.offset;
        let which = root.entry.map_or(Which::Active(root.table), Which::Entry);
        all.push((which, start..add(start, shl(root.table.entries, 3)?)?));
    }
    all.push((Which::Snapshots(header.snapshots), survey.snapshots.clone()));
    if let Some(directory) = header.extensions.bitmaps {
        all.push((Which::Directory(directory), survey.directory.clone()));
    }
    Ok(all)
}

/// Copies a table to what was taken for it.
fn copy(file: File<'_>, grow: &mut Grow<'_>, from: Range<u64>, to: u64) -> Result<()> {
    let mut done = 0;
    let length = sub(from.end, from.start)?;
    while done < length {
        let step = length.saturating_sub(done).min(PIECE);
        let mut bytes = alloc::vec![0; to_usize(step)?];
        file.read_padded(add(from.start, done)?, &mut bytes)?;
        grow.write(add(to, done)?, &bytes)?;
        done = add(done, step)?;
    }
    Ok(())
}

/// Has the header, or the entry, lead to the copy.
fn lead_to<'h>(
    file: File<'h>,
    header: &Header,
    mut grow: Grow<'h>,
    which: &Which,
    offset: u64,
) -> Result<Release<'h>> {
    match which {
        Which::Active(l1) => grow.switch(&Switch {
            l1: Some(TableRange { offset, ..*l1 }),
            ..Switch::default()
        }),
        Which::Snapshots(table) => grow.switch(&Switch {
            snapshots: Some(TableRange { offset, ..*table }),
            ..Switch::default()
        }),
        Which::Directory(directory) => {
            let mut head = Head::read(file, header)?;
            head.set_directory(BitmapDirectory { offset, ..*directory });
            grow.write_ahead(&head)?;
            grow.switch_to(head, None)
        }
        Which::Entry(at) => {
            grow.settle()?;
            let mut old = [0; 8];
            file.read_exact(*at, &mut old)?;
            let old = U64::read_from_bytes(&old).map_err(|_| internal(line!()))?;
            grow.write_alike(*at, &[old], &[U64::new(offset)])?;
            grow.release()
        }
    }
}

/// Bytes that are copied together. Ours.
const PIECE: u64 = 1 << 20;
