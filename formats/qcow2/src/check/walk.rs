//! All L1 tables, and the L2 tables that they lead to, each once.
//!
//! A thousand snapshots are a thousand L1 tables with nearly the same content, and a hostile image has them overlap. Bytes that
//! belong to several L1 tables are read once, with the number of tables; entries that are alike are looked at once, with the
//! number of entries; L2 tables are then read in the order in which they stand in the file.

use alloc::vec::Vec;

use instar_disk::{Action, Budget, Extents, Fault, Io, Result, from_usize, to_usize};
use zerocopy::IntoBytes;
use zerocopy::big_endian::U64;

use super::cells::{Cells, Claim};
use super::entry::Sink;
use super::frame::Frame;
use super::snapshots::Snapshots;
use super::tally::{Tally, Weight};
use super::totals::Totals;
use crate::header::{L1_ENTRY, TableRange};
use crate::raw::entry as bit;

/// Counts every reference of L1 and L2 tables into `cells`.
pub(super) fn count<'h>(
    frame: &Frame<'h>,
    snapshots: &Snapshots,
    budget: &mut Budget<'h>,
    cells: &mut Cells,
) -> Result<Totals> {
    let mut totals = Totals::default();
    let mut tally = Tally::new(frame, cells, &mut totals);
    tally.refer(0, frame.cluster_size(), Claim::Silent);
    let mut borders = Vec::new();
    add(&mut borders, &mut tally, frame.header.l1, true);
    if frame.external && !snapshots.all.is_empty() {
        tally.found(FOUND);
    }
    for snapshot in &snapshots.all {
        if snapshot.broken(frame).is_some() {
            tally.found(FOUND);
        } else {
            add(&mut borders, &mut tally, snapshot.l1, false);
        }
    }
    let mut tables = Tables(tally);
    sweep(frame, budget, borders, &mut tables)?;
    Ok(totals)
}

/// Counts how many L1 entries, those of snapshots included, lead to each of `tables`, which are sorted by offset.
pub(super) fn weigh<'h>(
    frame: &Frame<'h>,
    snapshots: &Snapshots,
    budget: &mut Budget<'h>,
    tables: &mut [(u64, u64)],
) -> Result<()> {
    let mut borders = Vec::new();
    border(&mut borders, frame.header.l1, true);
    let whole = snapshots.all.iter().filter(|one| one.broken(frame).is_none());
    for snapshot in whole {
        border(&mut borders, snapshot.l1, false);
    }
    sweep(frame, budget, borders, &mut Weights(tables))
}

fn sweep<'h>(
    frame: &Frame<'h>,
    budget: &mut Budget<'h>,
    mut borders: Vec<Border>,
    then: &mut dyn Follow<'h>,
) -> Result<()> {
    borders.sort_unstable();
    let mut walk = Walk {
        reader: Reader {
            frame,
            budget,
            words: Vec::new(),
        },
        then,
        pointers: Vec::new(),
        extents: Extents::new(frame.file),
        swept: 0,
        pieces: Vec::new(),
        pending: 0,
    };
    walk.sweep(&borders)?;
    walk.read_pieces()?;
    walk.follow()
}

/// Any finding, where only their number matters.
const FOUND: Fault = Fault::new(instar_disk::fault::check::L1_RESERVED);

/// A byte of the file where an L1 table starts or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Border {
    offset: u64,
    start: bool,
    active: bool,
}

fn add(borders: &mut Vec<Border>, tally: &mut Tally<'_, '_>, l1: TableRange, active: bool) {
    let bytes = l1.entries.saturating_mul(L1_ENTRY);
    if bytes == 0 {
        return;
    }
    tally.refer(l1.offset, bytes, Claim::Silent);
    border(borders, l1, active);
}

fn border(borders: &mut Vec<Border>, l1: TableRange, active: bool) {
    let bytes = l1.entries.saturating_mul(L1_ENTRY);
    if bytes == 0 {
        return;
    }
    let end = l1.offset.saturating_add(bytes);
    for (offset, start) in [(l1.offset, true), (end, false)] {
        borders.push(Border {
            offset,
            start,
            active,
        });
    }
}

/// A piece of an L1 table, or of several.
#[derive(Clone, Copy, Debug)]
struct Piece {
    at: u64,
    bytes: u64,
    weight: Weight,
}

/// L1 entries that are alike.
#[derive(Clone, Copy, Debug)]
struct Pointer {
    value: u64,
    weight: Weight,
}

impl Pointer {
    const fn offset(&self) -> u64 {
        self.value & bit::OFFSET
    }
}

/// What is done with the entries of L1 tables.
trait Follow<'h> {
    /// Sorted by where they lead, each once.
    fn follow(&mut self, pointers: &[Pointer], reader: &mut Reader<'_, '_, 'h>) -> Result<()>;
}

/// Whatever is read goes through this.
struct Reader<'a, 'b, 'h> {
    frame: &'a Frame<'h>,
    budget: &'b mut Budget<'h>,
    words: Vec<U64>,
}

/// Counts what the tables refer to.
struct Tables<'a, 'h>(Tally<'a, 'h>);

/// Counts what leads to some of the tables.
struct Weights<'a>(&'a mut [(u64, u64)]);

struct Walk<'a, 'b, 'c, 'h> {
    reader: Reader<'a, 'b, 'h>,
    then: &'c mut dyn Follow<'h>,
    pointers: Vec<Pointer>,
    extents: Extents<'h>,
    /// Bytes of L1 tables read so far.
    swept: u64,
    /// What is to be read next, and its bytes.
    pieces: Vec<Piece>,
    pending: u64,
}

impl Walk<'_, '_, '_, '_> {
    /// Reads what lies between `borders`, in ascending order.
    fn sweep(&mut self, borders: &[Border]) -> Result<()> {
        let mut weight = Weight::default();
        let mut at = 0;
        for border in borders {
            if weight.total > 0 {
                self.read_l1(at, border.offset, weight)?;
            }
            at = border.offset;
            let step = |count: u32| {
                if border.start {
                    count.saturating_add(1)
                } else {
                    count.saturating_sub(1)
                }
            };
            weight.total = step(weight.total);
            if border.active {
                weight.active = step(weight.active);
            }
        }
        Ok(())
    }

    /// Lists what is to be read of the L1 entries from `from` to `to`.
    fn read_l1(&mut self, from: u64, to: u64, weight: Weight) -> Result<()> {
        let to = to.min(self.reader.frame.length);
        let mut at = from;
        while at < to {
            let left = to.saturating_sub(at);
            if left.max(self.swept) >= HOLE_MIN {
                let extent = self.extents.at(at)?;
                if !extent.data && extent.length >= L1_ENTRY {
                    at = at.saturating_add(instar_disk::align_down(extent.length.min(left), L1_ENTRY));
                    continue;
                }
            }
            let bytes = left.min(L1_PIECE);
            self.reader.budget.spend(bytes)?;
            self.swept = self.swept.saturating_add(bytes);
            self.pieces.push(Piece { at, bytes, weight });
            self.pending = self.pending.saturating_add(bytes);
            at = at.saturating_add(bytes);
            if self.pieces.len() >= TOGETHER || self.pending >= L2_PIECE {
                self.read_pieces()?;
            }
        }
        Ok(())
    }

    /// Reads the pieces of L1 tables listed so far, all at once: those of a thousand snapshots are a thousand.
    fn read_pieces(&mut self) -> Result<()> {
        let pieces = core::mem::take(&mut self.pieces);
        let words = to_usize(self.pending / L1_ENTRY)?;
        self.pending = 0;
        let Reader {
            frame, words: buffer, ..
        } = &mut self.reader;
        if buffer.len() < words {
            buffer.resize(words, U64::ZERO);
        }
        let slot = frame.file.slot();
        let mut batch = Vec::with_capacity(pieces.len());
        let mut rest = buffer.as_mut_slice();
        for piece in &pieces {
            let (into, tail) = rest
                .split_at_mut_checked(to_usize(piece.bytes / L1_ENTRY)?)
                .unwrap_or_default();
            rest = tail;
            batch.push(Io::new(Action::Read {
                slot,
                offset: piece.at,
                into: into.as_mut_bytes(),
            }));
        }
        frame.file.host().submit(&mut batch);
        for (io, piece) in batch.into_iter().zip(&pieces) {
            let read = to_usize(io.outcome.map_err(|error| error.fault(slot))?)?;
            let Action::Read { into, .. } = io.action else {
                continue;
            };
            if let Some(rest) = into.get_mut(read..) {
                rest.fill(0);
            }
            let values = into.as_chunks().0.iter().map(|word| u64::from_be_bytes(*word));
            let pointers = values.filter(|value| *value != 0).map(|value| Pointer {
                value,
                weight: piece.weight,
            });
            self.pointers.extend(pointers);
        }
        if self.pointers.len() >= POINTERS {
            squash(&mut self.pointers);
            if self.pointers.len() >= POINTERS / 2 {
                self.follow()?;
            }
        }
        Ok(())
    }

    /// Looks at the pointers collected so far, and at the tables that they lead to.
    fn follow(&mut self) -> Result<()> {
        let mut pointers = core::mem::take(&mut self.pointers);
        squash(&mut pointers);
        self.then.follow(&pointers, &mut self.reader)?;
        pointers.clear();
        self.pointers = pointers;
        Ok(())
    }
}

impl<'h> Follow<'h> for Weights<'_> {
    fn follow(&mut self, pointers: &[Pointer], _: &mut Reader<'_, '_, 'h>) -> Result<()> {
        for pointer in pointers {
            let offset = pointer.offset();
            let known = self.0.binary_search_by_key(&offset, |(table, _)| *table);
            if let Some((_, weight)) = known.ok().and_then(|at| self.0.get_mut(at)) {
                *weight = weight.saturating_add(u64::from(pointer.weight.total));
            }
        }
        Ok(())
    }
}

impl<'h> Follow<'h> for Tables<'_, 'h> {
    fn follow(&mut self, pointers: &[Pointer], reader: &mut Reader<'_, '_, 'h>) -> Result<()> {
        let mut tables: Vec<(u64, Weight)> = Vec::new();
        for pointer in pointers {
            let offset = pointer.offset();
            self.look(reader.frame, pointer);
            match tables.last_mut() {
                Some((last, weight)) if *last == offset => *weight = plus(*weight, pointer.weight),
                // What lies past the end reads as zero.
                _ if offset < reader.frame.length => tables.push((offset, pointer.weight)),
                _ => {}
            }
            if tables.len() >= TABLES {
                // The last one may go on.
                let last = tables.pop();
                self.read(&tables, reader)?;
                tables.clear();
                tables.extend(last);
            }
        }
        self.read(&tables, reader)
    }
}

impl<'h> Tables<'_, 'h> {
    fn look(&mut self, frame: &Frame<'h>, pointer: &Pointer) {
        let offset = pointer.offset();
        self.0.weigh(pointer.weight);
        if Frame::l1_is_odd(pointer.value) {
            self.0.found(FOUND);
        }
        let claim = if offset == 0 {
            Claim::Silent
        } else {
            Claim::of(pointer.value & bit::COPIED != 0)
        };
        self.0.refer(offset, frame.cluster_size(), claim);
        if frame.within(offset) != 0 {
            self.0.found(FOUND);
            self.0.totals.suspicious = true;
        }
    }

    /// Reads tables, several at once.
    fn read(&mut self, tables: &[(u64, Weight)], reader: &mut Reader<'_, '_, 'h>) -> Result<()> {
        let Reader {
            frame,
            budget,
            words: buffer,
        } = reader;
        let size = frame.cluster_size();
        let together = to_usize(
            L2_PIECE
                .checked_div(size)
                .unwrap_or(1)
                .clamp(1, from_usize(TOGETHER)),
        )?;
        let each = to_usize(size / 8)?;
        let slot = frame.file.slot();
        for tables in tables.chunks(together) {
            let words = each.saturating_mul(tables.len());
            budget.spend(size.max(L2_READ).saturating_mul(from_usize(tables.len())))?;
            if buffer.len() < words {
                buffer.resize(words, U64::ZERO);
            }
            let parts = buffer.chunks_exact_mut(each);
            let mut batch: Vec<Io<'_>> = tables
                .iter()
                .zip(parts)
                .map(|((offset, _), into)| {
                    Io::new(Action::Read {
                        slot,
                        offset: *offset,
                        into: into.as_mut_bytes(),
                    })
                })
                .collect();
            frame.file.host().submit(&mut batch);
            let mut read = Vec::with_capacity(batch.len());
            for io in batch {
                read.push(to_usize(io.outcome.map_err(|error| error.fault(slot))?)?);
            }
            for (((offset, weight), words), read) in
                tables.iter().zip(buffer.chunks_exact_mut(each)).zip(read)
            {
                if let Some(rest) = words.as_mut_bytes().get_mut(read..) {
                    rest.fill(0);
                }
                self.0.weigh(*weight);
                self.0.table(*offset, words);
            }
        }
        Ok(())
    }
}

const fn plus(one: Weight, other: Weight) -> Weight {
    Weight {
        active: one.active.saturating_add(other.active),
        total: one.total.saturating_add(other.total),
    }
}

/// Sorts pointers by where they lead, and makes one of those that are alike.
fn squash(pointers: &mut Vec<Pointer>) {
    pointers.sort_unstable_by_key(|pointer| (pointer.offset(), pointer.value));
    pointers.dedup_by(|next, kept| {
        let same = next.value == kept.value;
        if same {
            kept.weight = plus(kept.weight, next.weight);
        }
        same
    });
}

/// So many bytes of L1 tables are read without asking whether the file has a hole there. Ours: hostile tables are long.
const HOLE_MIN: u64 = 1 << 20;
/// Bytes of L1 table read at once. Ours.
const L1_PIECE: u64 = 256 << 10;
/// Pointers kept at once. Ours: 8 MiB, and the L1 table of 128 TiB in clusters of 64 KiB.
const POINTERS: usize = 512 << 10;
/// Tables listed at once. Ours.
const TABLES: usize = 4096;
/// Bytes of L2 tables read at once. Ours: one doorbell for eight gigabytes of guest, and it stays in the processor's cache.
const L2_PIECE: u64 = 1 << 20;
/// Tables read at once. Ours: what one batch holds.
const TOGETHER: usize = 250;
/// What reading a small table costs as much as, in bytes. Ours.
const L2_READ: u64 = 4096;
