//! A walk through the BAT before anything is written: what is written to must belong to one place of the disk.

use alloc::vec::Vec;

use instar_disk::{Budget, File, Places, Result, to_usize};

use crate::header::Header;
use crate::raw::{HEADER_BYTES, SECTOR, entry};
use crate::table::can_be;

/// What a walk finds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Entries that lead to no cluster.
    pub(crate) outside: u64,
    /// Clusters that share bytes with another.
    pub(crate) shared: u64,
    /// Where the last cluster ends.
    pub(crate) end: u64,
}

/// Walks through the BAT of the image in `file`. With `removes`, an entry that leads to no cluster is removed, and not counted.
///
/// # Errors
/// The host's.
pub(crate) fn scan(file: File<'_>, header: &Header, removes: bool) -> Result<Tally> {
    let mut tally = Tally {
        end: header.data_start,
        ..Tally::default()
    };
    let mut are_aligned = true;
    each_piece(file, header, &mut |_, piece| {
        let mut changed = false;
        for value in piece.iter_mut() {
            let Some(place) = header.place(u32::from_le_bytes(*value)) else {
                continue;
            };
            if can_be(header, place) {
                are_aligned &= place.checked_rem(header.cluster) == Some(0);
                tally.end = tally.end.max(place.saturating_add(header.cluster));
            } else if removes {
                *value = [0; 4];
                changed = true;
            } else {
                tally.outside = tally.outside.saturating_add(1);
            }
        }
        Ok(changed)
    })?;
    // Old images may have clusters on any sector.
    let part = if are_aligned { header.cluster } else { SECTOR }.max(SECTOR);
    let number = |offset: u64| offset.checked_div(part).unwrap_or(0);
    let mut used = Places::new(number(tally.end).saturating_add(1))?;
    each(file, header, &mut |place| {
        if can_be(header, place) {
            let end = place.saturating_add(header.cluster);
            let mut alone = true;
            for part in number(place)..number(end) {
                alone &= !used.take(part);
            }
            if !alone {
                tally.shared = tally.shared.saturating_add(1);
            }
        }
    })?;
    Ok(tally)
}

/// Calls `visit` with the place of each cluster that has one.
fn each(file: File<'_>, header: &Header, visit: &mut dyn FnMut(u64)) -> Result<()> {
    each_piece(file, header, &mut |_, piece| {
        let values = piece.iter().map(|value| u32::from_le_bytes(*value));
        values
            .filter_map(|value| header.place(value))
            .for_each(&mut *visit);
        Ok(false)
    })
}

/// Is shown entries of the BAT, from this one on; true: it has changed them.
pub(crate) type Visit<'a> = dyn FnMut(u64, &mut [[u8; 4]]) -> Result<bool> + 'a;

/// Calls `visit` with the BAT, piece by piece; what it has changed is written.
pub(crate) fn each_piece(file: File<'_>, header: &Header, visit: &mut Visit<'_>) -> Result<()> {
    let mut budget = Budget::new(file);
    let mut piece = Vec::new();
    let mut first = 0_u64;
    while first < header.entries {
        let count = header.entries.saturating_sub(first).min(PIECE);
        let bytes = count.saturating_mul(entry::BYTES);
        budget.spend(bytes)?;
        piece.resize(to_usize(bytes)?, 0);
        let at = HEADER_BYTES.saturating_add(first.saturating_mul(entry::BYTES));
        file.read_exact(at, &mut piece)?;
        if visit(first, piece.as_chunks_mut::<4>().0)? {
            file.write(at, &piece)?;
        }
        first = first.saturating_add(count);
    }
    Ok(())
}

/// Entries that are read at once. Ours: 1 MiB.
const PIECE: u64 = 1 << 18;
