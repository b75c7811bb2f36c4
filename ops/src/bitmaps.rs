//! `--bitmaps`: persistent bitmaps of the source become the target's.

use alloc::vec::Vec;

use instar_abi::Report;
use instar_abi::job::CopyBitmaps;
use instar_abi::report::{Bitmap, Failure, Stage};
use instar_disk::{Fault, Host, Result, Target, fault, from_usize, is_zero};

use crate::session::{At, Outcome};
use crate::source::Source;

/// Bytes of bits, against the bytes of the source's files. Ours.
const BITS_FACTOR: u64 = 2;
const BITS_SLACK: u64 = 64 << 20;
/// How many bytes of zeros cost as much as one of others. Ours: 4 GiB of them are free, which is a second.
const ZEROS: u64 = 64;

/// Bitmaps that are to be copied: where each stands in the source, and what it is.
pub(crate) type Chosen = Vec<(usize, Bitmap)>;

/// Looks at the source's bitmaps before anything is copied.
///
/// # Errors
/// The source cannot have bitmaps, or one of them was not saved cleanly.
pub(crate) fn choose(host: &dyn Host, source: &mut Source<'_>, how: CopyBitmaps) -> Outcome<Chosen> {
    if how == CopyBitmaps::No {
        return Ok(Vec::new());
    }
    let Some(bitmaps) = source.bitmaps() else {
        return Err(Fault::new(fault::core::SOURCE_BITMAPS)).at(Stage::Other);
    };
    let mut chosen = Vec::new();
    for (index, bitmap) in bitmaps.list().at(Stage::Other)?.into_iter().enumerate() {
        if !bitmap.in_use {
            chosen.push((index, bitmap));
            continue;
        }
        let named = |code| Fault::new(code).named(bitmap.name.as_bytes());
        if how == CopyBitmaps::All {
            return Err(named(fault::core::BITMAP_INCONSISTENT)).at(Stage::Other);
        }
        host.report(&Report::Warning(Failure {
            stage: Stage::Other,
            fault: named(fault::core::BITMAP_SKIPPED),
        }));
    }
    Ok(chosen)
}

/// Whether the bitmaps of a source of `size` bytes can be added to what the target has.
///
/// # Errors
/// `BITMAP_EXISTS` and `BITMAP_SIZES`.
pub(crate) fn can_join(chosen: &Chosen, size: u64, target: &dyn Target) -> Result<()> {
    let known = chosen
        .iter()
        .find(|(_, bitmap)| target.has_bitmap(bitmap.name.as_bytes()));
    if let Some((_, bitmap)) = known {
        return Err(Fault::new(fault::core::BITMAP_EXISTS).named(bitmap.name.as_bytes()));
    }
    match chosen.last() {
        Some((_, bitmap)) if target.size() != size => Err(Fault::new(fault::core::BITMAP_SIZES)
            .with([target.size(), size])
            .named(bitmap.name.as_bytes())),
        _ => Ok(()),
    }
}

/// Writes the chosen bitmaps into the target.
///
/// # Errors
/// Damaged bitmaps, limits of the format, or errors of the host.
pub(crate) fn carry(source: &mut Source<'_>, target: &mut dyn Target, chosen: &Chosen) -> Result<()> {
    // Tables may point at the same bits again and again, or say in eight bytes that a cluster of them is set.
    let stored = source.counted();
    let limit = stored.saturating_mul(BITS_FACTOR).saturating_add(BITS_SLACK);
    let mut taken = 0_u64;
    for (index, bitmap) in chosen {
        let bitmaps = source
            .bitmaps()
            .ok_or_else(|| Fault::new(fault::core::SOURCE_BITMAPS))?;
        target.add_bitmap(bitmap, &mut |offset, into| {
            bitmaps.read(*index, offset, into)?;
            let bytes = from_usize(into.len());
            // Zeros are looked at, and not written.
            let cost = if is_zero(into) { bytes / ZEROS } else { bytes };
            taken = taken.saturating_add(cost);
            if taken > limit {
                return Err(Fault::new(fault::core::WORK_LIMIT).with([taken, stored, limit]));
            }
            Ok(())
        })?;
    }
    Ok(())
}
