//! The clusters of bitmaps.

use core::ops::Range;

use instar_disk::{Budget, File, Result, from_usize, to_usize};
use zerocopy::IntoBytes;
use zerocopy::big_endian::U64;

use super::LISTED;
use crate::bitmaps::directory::{self, Entry};
use crate::edit::transaction::{Release, clusters_of};
use crate::header::Header;
use crate::layout::Layout;
use crate::num::{add, internal, shl};
use crate::raw::entry;

/// Calls `visit` with the clusters of a bitmap, those of its table last.
///
/// # Errors
/// The visitor's; the host's; a table that is read too often. Entries that lead to no cluster are passed over.
pub(super) fn each_cluster(
    file: File<'_>,
    layout: Layout,
    bitmap: &Entry,
    budget: &mut Budget<'_>,
    visit: &mut dyn FnMut(Range<u64>) -> Result<()>,
) -> Result<()> {
    let table = bitmap.table;
    let mut words = alloc::vec![U64::ZERO; TABLE_PIECE];
    let mut at = 0;
    while at < table.entries {
        let some = to_usize(table.entries.saturating_sub(at))?.min(TABLE_PIECE);
        let words = words.get_mut(..some).ok_or_else(|| internal(line!()))?;
        budget.spend(shl(from_usize(some), 3)?)?;
        file.read_padded(add(table.offset, shl(at, 3)?)?, words.as_mut_bytes())?;
        for word in words.iter() {
            let offset = word.get() & entry::OFFSET;
            if offset != 0 && offset == instar_disk::align_down(offset, layout.cluster()) {
                visit(clusters_of(layout, offset, layout.cluster())?)?;
            }
        }
        at = add(at, from_usize(some))?;
    }
    visit(clusters_of(layout, table.offset, shl(table.entries, 3)?)?)
}

/// Gives up bitmaps of the image that was behind `header`, and their directory. What is damaged in them leaks: more cannot be said of
/// it, and they are on their way out.
pub(super) fn release<'e>(
    release: &mut Release<'_>,
    file: File<'_>,
    header: &Header,
    gone: impl Iterator<Item = &'e Entry>,
) -> Result<()> {
    let layout = Layout::of(header);
    let mut budget = Budget::new(file);
    for entry in gone {
        let _ = each_cluster(file, layout, entry, &mut budget, &mut |clusters| {
            release.lower_counted(clusters)
        });
    }
    match header.extensions.bitmaps {
        Some(old) => release.lower_counted(clusters_of(layout, old.offset, old.bytes)?),
        None => Ok(()),
    }
}

/// The same for all of them.
pub(in crate::edit) fn give_up(to: &mut Release<'_>, file: File<'_>, header: &Header) -> Result<()> {
    let all = directory::entries_within(file, header, LISTED).unwrap_or_default();
    release(to, file, header, all.iter())
}

/// Entries of a table that are looked at together. Ours: 64 KiB.
const TABLE_PIECE: usize = 8192;
