//! An image that gives up what it holds.
//!
//! ```text
//!  Grow                        switch        Release
//!  an L1 table without tables  active L1     data in another file ─► the tree that was active
//! ```
//!
//! Snapshots keep what they share with it by their counts. Where nothing else is left in the file, a second round brings the new table
//! to the front, so that the file can end behind it.

use instar_disk::{File, Result, to_usize};
use zerocopy::IntoBytes;
use zerocopy::big_endian::U64;

use super::freed::drop_ranges;
use super::transaction::{Grow, Look, Switch};
use super::tree::Tree;
use crate::header::{Header, TableRange};
use crate::num::shl;

/// Empties the active state.
///
/// # Errors
/// Damaged tables or counts: before the first write. The host's.
pub(super) fn empty(file: File<'_>, header: Header, data: Option<File<'_>>) -> Result<()> {
    let short = header.snapshots.entries == 0 && header.extensions.bitmaps.is_none();
    let mut look = Look::open(file, header)?;
    let tree = Tree::of(&look, look.header.l1);
    tree.judge(&mut look, false)?;
    look.judge_counted(tree.roots()?)?;
    let mut grow = look.grow_in_order()?;
    let l1 = blank(&mut grow, tree.l1.entries)?;
    let mut release = grow.switch(&Switch {
        l1: Some(l1),
        ..Switch::default()
    })?;
    if let Some(data) = data.filter(|_| tree.apart) {
        tree.each(0, &mut |table| {
            drop_ranges(data, tree.runs_apart(&table, data.size()));
            Ok(())
        })?;
    }
    tree.give_up(&mut release)?;
    let header = release.finish_in_order()?;
    if short { to_the_front(file, header) } else { Ok(()) }
}

/// Moves the L1 table, which leads nowhere, to the first place that is free, and ends the file behind what is in use.
fn to_the_front(file: File<'_>, header: Header) -> Result<()> {
    let mut look = Look::open(file, header)?;
    let old = Tree::of(&look, look.header.l1);
    let roots = old.roots()?;
    let found = look.ledger.first_free(roots.end.saturating_sub(roots.start))?;
    if found.is_some_and(|first| first < roots.start) {
        let mut grow = look.grow_in_order()?;
        let l1 = blank(&mut grow, old.l1.entries)?;
        let mut release = grow.switch(&Switch {
            l1: Some(l1),
            ..Switch::default()
        })?;
        release.lower(roots)?;
        look = Look::open(file, release.finish_in_order()?)?;
    }
    look.end_behind_what_is_used()
}

/// A new L1 table without tables.
fn blank(grow: &mut Grow<'_>, entries: u64) -> Result<TableRange> {
    let bytes = shl(entries, 3)?;
    let offset = if bytes == 0 { 0 } else { grow.take_bytes(bytes)? };
    let zeros = alloc::vec![U64::ZERO; to_usize(entries)?];
    if bytes > 0 {
        grow.write(offset, zeros.as_bytes())?;
    }
    Ok(TableRange { offset, entries })
}
