//! Counts of another width.

use core::ops::Range;

use instar_disk::fault::amend as faults;
use instar_disk::{Fault, File, Result, from_usize, to_usize};
use zerocopy::IntoBytes;
use zerocopy::big_endian::U64;

use crate::edit::counts::Runs;
use crate::edit::transaction::{Look, Release};
use crate::header::TableRange;
use crate::num::{add, internal, shl, shr};
use crate::packed;
use crate::raw::{entry, limit};

/// Whether each count fits the width. Gives what is known of them afterwards.
///
/// # Errors
/// `WIDTH_NARROW` for the first that does not; the host's.
pub(super) fn judge(look: &mut Look<'_>, order: u32) -> Result<Runs> {
    let mut known = Runs::default();
    if order > look.layout.refcount_order() {
        return Ok(known);
    }
    let most = packed::limit(order);
    let end = look.ledger.counted_end()?;
    let mut at = 0;
    while at < end {
        let (count, run) = look.ledger.run(&(at..end))?;
        if count > most {
            let offset = shl(at, look.layout.cluster_bits())?;
            let bits = 1_u64.wrapping_shl(order);
            return Err(Fault::new(faults::WIDTH_NARROW).with([bits, offset, count]));
        }
        if at == known.end() {
            known.add(add(at, run)?, count);
        }
        at = add(at, run)?;
    }
    Ok(known)
}

/// Bytes that the counts take in that width at most.
pub(super) fn room(look: &mut Look<'_>, order: u32) -> Result<u64> {
    let counts = packed::bytes(look.ledger.counted_end()?, order);
    // They count themselves, and a block or table is rarely full.
    let blocks = add(counts, shr(counts, 3))?;
    Ok(blocks.saturating_add(limit::REFCOUNT_TABLE_BYTES))
}

/// Gives up the structure whose table that was.
pub(super) fn release(release: &mut Release<'_>, file: File<'_>, table: TableRange) -> Result<()> {
    let mut words = alloc::vec![U64::ZERO; PIECE];
    let mut at = 0;
    while at < table.entries {
        let some = to_usize(table.entries.saturating_sub(at))?.min(PIECE);
        let words = words.get_mut(..some).ok_or_else(|| internal(line!()))?;
        file.read_padded(add(table.offset, shl(at, 3)?)?, words.as_mut_bytes())?;
        for word in words.iter() {
            let offset = word.get() & entry::REFCOUNT_BLOCK;
            if offset != 0 {
                release.lower_counted(release.clusters(offset, 1)?)?;
            }
        }
        at = add(at, from_usize(some))?;
    }
    let clusters: Range<u64> = release.clusters(table.offset, shl(table.entries, 3)?)?;
    release.lower_counted(clusters)
}

/// Entries of a refcount table that are looked at together. Ours: 64 KiB.
const PIECE: usize = 8192;
