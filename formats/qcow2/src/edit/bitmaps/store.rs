//! Bitmaps on their way into the image.

use alloc::vec::Vec;

use instar_disk::{Budget, File, Result, bitmap_bytes, from_usize, to_usize};
use zerocopy::IntoBytes;
use zerocopy::big_endian::U64;

use super::actions::{Input, Model};
use super::clusters;
use super::sources::Sources;
use crate::bitmaps::bits::ALL_ONES;
use crate::bitmaps::carried::push_entry;
use crate::edit::head::Head;
use crate::edit::transaction::{Grow, Look};
use crate::header::{Header, TableRange};
use crate::num::{add, index, internal, length, shl, shr_up};
use crate::raw::{RawBitmapsExtension, extension};

/// Makes the bitmaps of the image those of `model`.
///
/// # Errors
/// Damaged tables or counts: before the first write. The host's.
pub(super) fn store(
    file: File<'_>,
    header: &Header,
    model: &Model,
    mut sources: Sources<'_, '_, '_>,
) -> Result<()> {
    let mut look = Look::open(file, header.clone())?;
    let stored = sources.stored;
    let in_use = |number: usize| {
        let mut all = model.held.iter().flat_map(|held| &held.inputs);
        all.any(|input| *input == Input::Own(number))
    };
    let layout = look.layout;
    let mut budget = Budget::new(file);
    for (_, entry) in stored.iter().enumerate().filter(|(number, _)| in_use(*number)) {
        clusters::each_cluster(file, layout, entry, &mut budget, &mut |clusters| {
            look.judge_counted(clusters)
        })?;
    }
    let mut head = Head::read(file, header)?;
    lead_to(&mut head, model, u64::MAX, u64::MAX);
    head.judge(file)?;

    let mut grow = look.grow_unmarked();
    let written = write(&mut grow, model, &mut sources, &mut head)
        .and_then(|()| grow.write_ahead(&head))
        .and_then(|()| grow.settle());
    if let Err(fault) = written {
        grow.abandon();
        return Err(fault);
    }
    let mut release = grow.switch_to(head, None)?;
    let gone = stored
        .iter()
        .enumerate()
        .filter(|(number, _)| !model.held.iter().any(|held| held.kept() == Some(*number)));
    clusters::release(&mut release, file, header, gone.map(|(_, entry)| entry))?;
    release.finish()
}

/// Writes what is new; `head` leads to it.
fn write(
    grow: &mut Grow<'_>,
    model: &Model,
    sources: &mut Sources<'_, '_, '_>,
    head: &mut Head,
) -> Result<()> {
    let mut directory = Vec::new();
    for held in &model.held {
        let kept = held.kept().and_then(|number| sources.stored.get(number));
        let table = match kept {
            Some(entry) => entry.table,
            None => {
                let size = sources.header.virtual_size();
                let bytes = bitmap_bytes(size, held.shown.granularity);
                write_bits(grow, bytes, sources.header.cluster_bits, &mut |offset, into| {
                    if held.inputs.is_empty() {
                        return Ok(());
                    }
                    sources.fill(held, offset, into)
                })?
            }
        };
        let granularity = u8::try_from(held.shown.granularity.trailing_zeros()).unwrap_or(u8::MAX);
        push_entry(
            &mut directory,
            &held.shown,
            granularity,
            table.offset,
            table.entries,
        );
    }
    let bytes = length(&directory);
    let mut offset = 0;
    if bytes > 0 {
        offset = grow.take_bytes(bytes)?;
        grow.write(offset, &directory)?;
    }
    lead_to(head, model, offset, bytes);
    Ok(())
}

/// Has `head` lead to a directory of the bitmaps.
fn lead_to(head: &mut Head, model: &Model, offset: u64, bytes: u64) {
    let count = u32::try_from(model.held.len()).unwrap_or(u32::MAX);
    let content = RawBitmapsExtension {
        nb_bitmaps: count.into(),
        reserved: 0.into(),
        bitmap_directory_size: bytes.into(),
        bitmap_directory_offset: offset.into(),
    };
    let some = count > 0;
    head.set_extension(extension::BITMAPS, some.then_some(content.as_bytes()));
    head.set_bitmaps(some);
}

/// Writes so many bytes of bits, and the table that leads to them.
fn write_bits(
    grow: &mut Grow<'_>,
    bytes: u64,
    cluster_bits: u32,
    fill: &mut dyn FnMut(u64, &mut [u8]) -> Result<()>,
) -> Result<TableRange> {
    let cluster = to_usize(shl(1, cluster_bits)?)?;
    let together = PIECE.max(cluster);
    let entries = shr_up(bytes, cluster_bits);
    let mut words = Vec::with_capacity(to_usize(entries)?);
    let mut piece = Vec::new();
    let mut at = 0;
    while at < bytes {
        let wanted = to_usize(bytes.saturating_sub(at))?.min(together);
        piece.clear();
        piece.resize(wanted.next_multiple_of(cluster), 0);
        fill(at, piece.get_mut(..wanted).ok_or_else(|| internal(line!()))?)?;
        write_piece(grow, &mut piece, cluster, &mut words)?;
        at = add(at, from_usize(wanted))?;
    }
    let offset = grow.take_bytes(shl(entries, 3)?)?;
    grow.write(offset, words.as_bytes())?;
    Ok(TableRange { offset, entries })
}

/// Writes clusters of bits, but for those that are all alike.
fn write_piece(grow: &mut Grow<'_>, piece: &mut [u8], cluster: usize, words: &mut Vec<U64>) -> Result<()> {
    let first = words.len();
    let mut placed = 0;
    for number in 0..piece.len().checked_div(cluster).unwrap_or(0) {
        let start = number.saturating_mul(cluster);
        let bits = piece
            .get(start..start.saturating_add(cluster))
            .unwrap_or_default();
        let (none, all) = (
            bits.iter().all(|byte| *byte == 0),
            bits.iter().all(|byte| *byte == 0xff),
        );
        words.push(U64::new(match (none, all) {
            (true, _) => 0,
            (_, true) => ALL_ONES,
            _ => PLACED,
        }));
        if !none && !all {
            piece.copy_within(start..start.saturating_add(cluster), index(placed));
            placed = add(placed, from_usize(cluster))?;
        }
    }
    if placed == 0 {
        return Ok(());
    }
    let mut offset = grow.take_bytes(placed)?;
    grow.write(offset, piece.get(..index(placed)).unwrap_or_default())?;
    let new = words.get_mut(first..).unwrap_or_default();
    for word in new.iter_mut().filter(|word| word.get() == PLACED) {
        *word = U64::new(offset);
        offset = add(offset, from_usize(cluster))?;
    }
    Ok(())
}

/// Stands for an entry whose place is known soon; no cluster begins there.
const PLACED: u64 = u64::MAX;
/// Bytes of bits that are written together. Ours.
const PIECE: usize = 1 << 20;
