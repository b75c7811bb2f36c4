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
    borders.sort_unstable();
    let mut walk = Walk {
        frame,
        budget,
        tally,
        pointers: Vec::new(),
        words: Vec::new(),
        extents: Extents::new(frame.file),
        swept: 0,
        pieces: Vec::new(),
        pending: 0,
    };
    walk.sweep(&borders)?;
    walk.read_pieces()?;
    walk.follow()?;
    Ok(totals)
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

struct Walk<'a, 'b, 'h> {
    frame: &'a Frame<'h>,
    budget: &'b mut Budget<'h>,
    tally: Tally<'a, 'h>,
    pointers: Vec<Pointer>,
    words: Vec<U64>,
    extents: Extents<'h>,
    /// Bytes of L1 tables read so far.
    swept: u64,
    /// What is to be read next, and its bytes.
    pieces: Vec<Piece>,
    pending: u64,
}

impl Walk<'_, '_, '_> {
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
        let to = to.min(self.frame.length);
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
            self.budget.spend(bytes)?;
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
        if self.words.len() < words {
            self.words.resize(words, U64::ZERO);
        }
        let slot = self.frame.file.slot();
        let mut batch = Vec::with_capacity(pieces.len());
        let mut rest = self.words.as_mut_slice();
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
        self.frame.file.host().submit(&mut batch);
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
        let mut tables: Vec<(u64, Weight)> = Vec::new();
        for pointer in &pointers {
            let offset = pointer.offset();
            self.look(pointer);
            match tables.last_mut() {
                Some((last, weight)) if *last == offset => *weight = plus(*weight, pointer.weight),
                // What lies past the end reads as zero.
                _ if offset < self.frame.length => tables.push((offset, pointer.weight)),
                _ => {}
            }
            if tables.len() >= TABLES {
                // The last one may go on.
                let last = tables.pop();
                self.read_tables(&tables)?;
                tables.clear();
                tables.extend(last);
            }
        }
        self.read_tables(&tables)?;
        pointers.clear();
        self.pointers = pointers;
        Ok(())
    }

    fn look(&mut self, pointer: &Pointer) {
        let offset = pointer.offset();
        self.tally.weigh(pointer.weight);
        if Frame::l1_is_odd(pointer.value) {
            self.tally.found(FOUND);
        }
        let claim = if offset == 0 {
            Claim::Silent
        } else {
            Claim::of(pointer.value & bit::COPIED != 0)
        };
        self.tally.refer(offset, self.frame.cluster_size(), claim);
        if self.frame.within(offset) != 0 {
            self.tally.found(FOUND);
            self.tally.totals.suspicious = true;
        }
    }

    /// Reads tables, several at once.
    fn read_tables(&mut self, tables: &[(u64, Weight)]) -> Result<()> {
        let size = self.frame.cluster_size();
        let together = to_usize(
            L2_PIECE
                .checked_div(size)
                .unwrap_or(1)
                .clamp(1, from_usize(TOGETHER)),
        )?;
        let each = to_usize(size / 8)?;
        let slot = self.frame.file.slot();
        for tables in tables.chunks(together) {
            let words = each.saturating_mul(tables.len());
            self.budget
                .spend(size.max(L2_READ).saturating_mul(from_usize(tables.len())))?;
            if self.words.len() < words {
                self.words.resize(words, U64::ZERO);
            }
            let parts = self.words.chunks_exact_mut(each);
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
            self.frame.file.host().submit(&mut batch);
            let mut read = Vec::with_capacity(batch.len());
            for io in batch {
                read.push(to_usize(io.outcome.map_err(|error| error.fault(slot))?)?);
            }
            for (((_, weight), words), read) in tables.iter().zip(self.words.chunks_exact_mut(each)).zip(read)
            {
                if let Some(rest) = words.as_mut_bytes().get_mut(read..) {
                    rest.fill(0);
                }
                self.tally.weigh(*weight);
                self.tally.table(words);
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
