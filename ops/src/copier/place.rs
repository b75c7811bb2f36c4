//! Targets that say where data goes: bytes come into the lane's buffer, are looked through for zeros, perhaps encoded,
//! placed in turn, and written together with the next chunk's reads.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::mem::swap;
use core::ops::Range;
use core::sync::atomic::Ordering;

use instar_abi::report::{Failure, Stage};
use instar_disk::{Placement, Result, Sealing, Target, ZeroHow, align_down, from_usize, to_usize};

use super::assemble::{self, Assembler, Span, trim};
use super::encode::{Packed, Packer, Packs};
use super::plan::{Chunk, Stretching};
use super::runs::{self, Owed, Run};
use super::sift::{self, Carry, Cell};
use super::{Ground, Shared};
use crate::keys::Keys;
use crate::leaves::Leaf;
use crate::located::Origin;
use crate::session::{At, Outcome, internal};

/// Inside a unit that is allocated anyway, zeros are left out of the write in pieces of this size (qemu-img's default
/// for `-S`, and a filesystem's block).
const HOLE: u64 = 4096;
/// A hole shorter than this is written through: one longer write is cheaper than two.
const HOLE_MIN: usize = 32 << 10;

/// Chunks that all lanes together may hold encoded and waiting for their turn: lanes whose chunks compress at different
/// speed go on instead of waiting for each other.
const WAITING: usize = 24;
/// Chunks that one lane may hold.
const WAITING_IN_LANE: usize = 4;

/// Works until the plan is empty.
pub(super) fn lane(shared: &Shared<'_, '_>) {
    let depth = match shared.encoding {
        Some(_) => WAITING
            .checked_div(shared.host.lanes())
            .unwrap_or(1)
            .clamp(1, WAITING_IN_LANE),
        None => 1,
    };
    let mut lane = Lane::new(&shared.keys);
    loop {
        let more = lane.bring(shared);
        lane.place_ready(shared, if more { depth } else { 0 });
        if !more && lane.placed.is_empty() {
            return;
        }
    }
}

/// One lane: chunks go from `free` through `ready` to `placed`, and back when their bytes are written.
#[derive(Default)]
struct Lane {
    assembler: Assembler,
    /// For what is compared.
    other: Assembler,
    packer: Packer,
    holes: Vec<Run>,
    free: Vec<Held>,
    ready: VecDeque<Held>,
    placed: Vec<Held>,
}

impl Lane {
    fn new(keys: &Keys) -> Self {
        Self {
            assembler: Assembler::new(keys.clone()),
            other: Assembler::new(keys.clone()),
            ..Self::default()
        }
    }
}

/// A chunk and its bytes.
struct Held {
    chunk: Chunk,
    /// The bytes to write, in whole units.
    spans: Vec<Span>,
    /// All that lies in the buffer, in whole leaves, if it is hashed.
    seen: Vec<Span>,
    leaves: Vec<Leaf>,
    runs: Vec<Run>,
    /// The stretches in it, where they matter.
    cells: Vec<Cell>,
    /// Units before the chunk whose zeros count as data after all.
    blanks: Vec<Range<u64>>,
    buffer: Vec<u8>,
    /// The same places as other layers have them, where that is compared.
    theirs: Vec<u8>,
    packed: Packs,
    owed: Vec<Owed>,
    state: Outcome<()>,
}

impl Lane {
    /// Takes the next chunk and brings its bytes in, cut into runs and encoded if need be. Whatever was placed before is
    /// written by the same doorbell. `false` if there is no next chunk.
    fn bring(&mut self, shared: &Shared<'_, '_>) -> bool {
        let mut held = self.free.pop().unwrap_or_default();
        held.state = Ok(());
        let more = match shared.next(&mut held.chunk) {
            Ok(more) => more,
            Err(failure) => {
                held.state = Err(failure);
                true
            }
        };
        if !more || held.state.is_err() {
            held.chunk.pieces.clear();
            held.chunk.others.clear();
        }
        let fetched = self.fetch(shared, &mut held);
        self.free.append(&mut self.placed);
        if !more {
            if let Err(failure) = fetched {
                shared.fail(shared.total, failure);
            }
            return false;
        }
        held.state = held.state.and(fetched);
        self.ready.push_back(held);
        true
    }

    fn fetch(&mut self, shared: &Shared<'_, '_>, held: &mut Held) -> Outcome<()> {
        let stage = Stage::Read(held.chunk.start);
        let (pieces, zeros) = (&held.chunk.pieces, shared.write_zeros || shared.compares);
        let layout = shared.layout(shared.unit);
        self.assembler
            .lay_out(pieces, zeros, layout, &mut held.spans, &mut held.buffer)
            .at(stage)?;
        if shared.hashing.is_some() {
            swap(&mut held.seen, &mut held.spans);
            assemble::written(pieces, zeros, shared.unit, &held.seen, &mut held.spans).at(stage)?;
        }
        let (mut batch, mut ats) = (Vec::new(), Vec::new());
        if let Some(sealing) = &shared.sealing {
            for before in &mut self.placed {
                before.seal(sealing).at(stage)?;
            }
        }
        for before in &self.placed {
            let bytes = if shared.encoding.is_some() {
                &before.packed.bytes
            } else {
                &before.buffer
            };
            runs::requests(&before.owed, bytes, &mut batch, &mut ats).at(stage)?;
        }
        self.assembler
            .fetch(shared.host, shared.salvage, batch, &ats, &mut held.buffer)?;
        held.cut(shared).at(stage)?;
        self.compare(shared, held)?;
        let Held {
            chunk,
            seen,
            buffer,
            leaves,
            ..
        } = held;
        shared.hash(chunk, seen, buffer, leaves).at(stage)?;
        let Some(encoding) = shared.encoding else {
            return Ok(());
        };
        // What was placed before has been written, and what the chunk was decoded from is not needed any more.
        self.assembler.trim();
        for before in &mut self.placed {
            trim(&mut before.packed.bytes);
        }
        let packed = self
            .packer
            .pack(&encoding, &held.runs, &held.buffer, &mut held.packed);
        trim(&mut held.buffer);
        packed.at(stage)
    }

    /// Leaves of the chunk what differs from other layers, where that counts.
    fn compare(&mut self, shared: &Shared<'_, '_>, held: &mut Held) -> Outcome<()> {
        if !shared.compares {
            return Ok(());
        }
        let stage = Stage::Read(held.chunk.start);
        let others = &held.chunk.others;
        let theirs = if others.iter().all(|piece| piece.from == Origin::Zero) {
            None
        } else {
            let (spans, theirs) = (&mut held.seen, &mut held.theirs);
            self.other
                .lay_out(others, true, shared.unit, spans, theirs)
                .at(stage)?;
            if held.seen != held.spans {
                return Err(internal(line!())).at(stage);
            }
            let read = self
                .other
                .fetch(shared.host, shared.salvage, Vec::new(), &[], theirs);
            read.map_err(|failure| Failure {
                stage: match failure.stage {
                    Stage::Read(at) => Stage::ReadSource(1, at),
                    other => other,
                },
                ..failure
            })?;
            Some(&held.theirs[..])
        };
        runs::differing(&mut held.runs, &held.buffer, theirs, shared.unit).at(stage)
    }

    /// Places chunks whose turn it is, and waits for turns until no more than `keep` less one are left.
    fn place_ready(&mut self, shared: &Shared<'_, '_>, keep: usize) {
        while let Some(first) = self.ready.front() {
            if self.ready.len() < keep && !shared.turn.is(first.chunk.ticket) {
                return;
            }
            shared.turn.wait_for(shared.host, first.chunk.ticket);
            let Some(mut held) = self.ready.pop_front() else {
                return;
            };
            held.owed.clear();
            // A chunk that failed still takes its turn; otherwise the lanes behind it would never continue.
            let state = core::mem::replace(&mut held.state, Ok(()));
            let placed = state
                .and_then(|()| held.place(shared, &mut self.holes))
                .and_then(|()| shared.grow(&held.chunk, &held.leaves).at(Stage::Other));
            shared.turn.pass(shared.host);
            match placed {
                Ok(()) => shared.advance(&held.chunk),
                Err(failure) => {
                    held.owed.clear();
                    shared.fail(held.chunk.start, failure);
                }
            }
            self.placed.push(held);
        }
    }
}

impl Default for Held {
    fn default() -> Self {
        Self {
            chunk: Chunk::default(),
            spans: Vec::new(),
            seen: Vec::new(),
            leaves: Vec::new(),
            runs: Vec::new(),
            cells: Vec::new(),
            blanks: Vec::new(),
            buffer: Vec::new(),
            theirs: Vec::new(),
            packed: Packs::default(),
            owed: Vec::new(),
            state: Ok(()),
        }
    }
}

impl Held {
    /// Cuts the chunk into runs of whole units, known zeros included, in ascending order.
    fn cut(&mut self, shared: &Shared<'_, '_>) -> Result<()> {
        if let Some(sparse) = shared.sparse
            && shared.stretching == Stretching::Marked
        {
            let (pieces, spans) = (&self.chunk.pieces, &self.spans);
            return sift::cells(
                pieces,
                spans,
                &self.buffer,
                sparse,
                &mut self.runs,
                &mut self.cells,
            );
        }
        self.runs.clear();
        let granule = shared.sparse.map(|_| shared.unit);
        for span in &self.spans {
            runs::cut(
                &self.buffer,
                span.at,
                span.length,
                span.target,
                granule,
                &mut self.runs,
            )?;
        }
        let spans = &self.spans;
        let mut next = 0_usize;
        for piece in self
            .chunk
            .pieces
            .iter()
            .filter(|piece| piece.from == Origin::Zero)
        {
            let (mut at, end) = (piece.target, piece.target.saturating_add(piece.length));
            while at < end {
                // Spans cover whole units, so what of a known zero lies outside them is whole units, too.
                while spans.get(next).is_some_and(|span| span.end() <= at) {
                    next = next.saturating_add(1);
                }
                let (start, stop) = spans
                    .get(next)
                    .map_or((end, end), |span| (span.target.min(end), span.end()));
                if start > at {
                    let length = to_usize(start.saturating_sub(at))?;
                    self.runs.push(Run {
                        target: at,
                        at: 0,
                        length,
                        zero: true,
                    });
                }
                at = stop.max(start);
            }
        }
        self.runs.sort_unstable_by_key(|run| run.target);
        Ok(())
    }

    /// Encrypts what is to be written.
    fn seal(&mut self, sealing: &Sealing) -> Result<()> {
        let ends = self.spans.iter().chain(&self.seen);
        let used = ends.map(|span| span.at.saturating_add(span.length)).max();
        runs::seal(&mut self.owed, &mut self.buffer, used.unwrap_or(0), sealing)
    }

    /// Makes runs of whole units of the chunk's stretches. Runs in the chunk's turn.
    fn sift(&mut self, shared: &Shared<'_, '_>, carry: &mut Carry) -> Result<()> {
        let Self {
            chunk,
            spans,
            runs,
            cells,
            blanks,
            ..
        } = self;
        let mut outcome = Ok(());
        let (start, last) = (chunk.start, chunk.end >= shared.total);
        runs.clear();
        blanks.clear();
        carry.take(cells, last, |range, zero| {
            let mut from = range.start;
            if !zero && from < start {
                blanks.push(from..range.end.min(start));
                from = range.end.min(start);
            }
            let at = if zero {
                Some(0)
            } else {
                assemble::place(spans, from)
            };
            match (at, to_usize(range.end.saturating_sub(from))) {
                (_, Ok(0)) => {}
                (Some(at), Ok(length)) => runs::extend(
                    runs,
                    Run {
                        target: from,
                        at,
                        length,
                        zero,
                    },
                ),
                _ => outcome = Err(internal(line!())),
            }
        })?;
        outcome
    }

    /// Places every run. Runs in the chunk's turn.
    fn place(&mut self, shared: &Shared<'_, '_>, holes: &mut Vec<Run>) -> Outcome<()> {
        let stage = Stage::Write(self.chunk.start);
        shared
            .carry
            .with(shared.host, |carry| match carry {
                Some(carry) => self.sift(shared, carry),
                None => Ok(()),
            })
            .at(stage)?;
        let Self {
            runs,
            blanks,
            buffer,
            owed,
            packed,
            chunk,
            ..
        } = self;
        let placed = shared.target.with(shared.host, |target| {
            let mut placer = Placer {
                shared,
                target: &mut **target,
                buffer,
                owed,
                holes,
            };
            blanks.iter().try_for_each(|units| placer.blank(units))?;
            let placed = match shared.encoding {
                None => runs.iter().try_for_each(|run| placer.run(run)),
                Some(encoding) => placer.packed(runs, packed, encoding.prefix),
            };
            if target.is_full() {
                shared.full.store(true, Ordering::Relaxed);
            }
            placed
        });
        placed.at(Stage::Write(chunk.start))
    }
}

/// One chunk's way to the target.
struct Placer<'p, 'c, 'h> {
    shared: &'p Shared<'c, 'h>,
    target: &'p mut (dyn Target + 'h),
    buffer: &'p [u8],
    owed: &'p mut Vec<Owed>,
    holes: &'p mut Vec<Run>,
}

impl Placer<'_, '_, '_> {
    fn run(&mut self, run: &Run) -> Result<()> {
        if run.zero { self.zero(run) } else { self.data(run) }
    }

    fn zero(&mut self, run: &Run) -> Result<()> {
        let needed = match self.shared.ground {
            Ground::Zero => false,
            Ground::Unknown | Ground::Layer => true,
            Ground::Backing(size) => run.target < size,
        };
        if !needed {
            return Ok(());
        }
        let length = self.clipped(run);
        let end = run.target.saturating_add(length);
        let ends_a_unit = end >= self.target.size() || align_down(end, self.shared.unit) == end;
        let whole = if ends_a_unit {
            length
        } else {
            align_down(end, self.shared.unit).saturating_sub(run.target)
        };
        if whole > 0 {
            self.target.zero(run.target, whole)?;
        }
        match whole < length {
            true => self.tail(run.target.saturating_add(whole), end),
            false => Ok(()),
        }
    }

    /// Zeros up to the end of the source, which is inside a unit of a longer target: the rest of the unit stays.
    fn tail(&mut self, target: u64, end: u64) -> Result<()> {
        let room = self.target.size().saturating_sub(target).min(self.shared.unit);
        let Placement {
            slot, offset, fresh, ..
        } = self.target.allocate(target, room)?;
        let length = if fresh { room } else { end.saturating_sub(target) };
        self.owe(Owed {
            slot,
            offset,
            at: 0,
            length: to_usize(length)?,
            target,
            zeros: Some(ZeroHow::Keep),
        });
        Ok(())
    }

    fn data(&mut self, run: &Run) -> Result<()> {
        let mut done = 0_u64;
        let length = self.clipped(run);
        while done < length {
            let target = run.target.saturating_add(done);
            let placement = self.target.allocate(target, length.saturating_sub(done))?;
            let at = run.at.saturating_add(to_usize(done)?);
            // The last unit goes out whole: its place has room, and what lies past the disk's end is zero. Where the target had
            // it before and goes on behind the source, it keeps what it has there.
            let last = done.saturating_add(placement.length) >= length;
            let whole = from_usize(run.length).saturating_sub(done);
            let goes_on = !placement.fresh && self.target.size() > self.shared.total;
            let span = match (last, goes_on) {
                (false, _) => placement.length,
                (true, false) => whole,
                (true, true) => whole.min(self.shared.total.saturating_sub(target)),
            };
            self.write(placement, to_usize(span)?, at, target)?;
            done = done.saturating_add(placement.length.max(1));
        }
        Ok(())
    }

    fn owe(&mut self, write: Owed) {
        runs::owe(self.owed, write, self.shared.sealing.is_some());
    }

    /// Places units that are all zero.
    fn blank(&mut self, units: &Range<u64>) -> Result<()> {
        let mut target = units.start;
        while target < units.end {
            let placement = self.target.allocate(target, units.end.saturating_sub(target))?;
            self.owe(Owed {
                slot: placement.slot,
                offset: placement.offset,
                at: 0,
                length: to_usize(placement.length)?,
                target,
                zeros: Some(ZeroHow::Keep),
            });
            target = target.saturating_add(placement.length.max(1));
        }
        Ok(())
    }

    /// Owes the writes for one placement, without the zeros if the place is zero already.
    fn write(&mut self, placement: Placement, length: usize, at: usize, target: u64) -> Result<()> {
        let Placement {
            slot, offset, fresh, ..
        } = placement;
        self.holes.clear();
        let granule = self.shared.sparse.filter(|_| fresh).map(|_| HOLE);
        runs::cut(self.buffer, at, length, target, granule, self.holes)?;
        let shortest = match self.shared.sparse {
            Some(sparse) => HOLE_MIN.max(to_usize(sparse.minimum())?),
            None => HOLE_MIN,
        };
        for run in self.holes.iter() {
            if run.zero && run.length >= shortest {
                continue;
            }
            let within = from_usize(run.at.saturating_sub(at));
            let offset = offset.saturating_add(within);
            runs::owe(
                self.owed,
                Owed {
                    slot,
                    offset,
                    at: run.at,
                    length: run.length,
                    target: run.target,
                    zeros: None,
                },
                self.shared.sealing.is_some(),
            );
        }
        Ok(())
    }

    /// Places units that were encoded, and those that did not get smaller.
    fn packed(&mut self, runs: &[Run], packs: &mut Packs, prefix: usize) -> Result<()> {
        let Packs { units, bytes } = packs;
        let mut units = units.iter().peekable();
        for run in runs {
            if run.zero {
                self.zero(run)?;
                continue;
            }
            let end = run.target.saturating_add(from_usize(run.length));
            while let Some(unit) = units.next_if(|unit| unit.target < end) {
                let end = unit.at.saturating_add(prefix.min(unit.length));
                let marker = bytes.get_mut(unit.at..end).ok_or_else(|| internal(line!()))?;
                self.unit(unit, marker)?;
            }
        }
        Ok(())
    }

    fn unit(&mut self, unit: &Packed, marker: &mut [u8]) -> Result<()> {
        let target = unit.target;
        let Placement { slot, offset, .. } = if unit.plain {
            let rest = self.target.size().saturating_sub(target);
            self.target.allocate(target, from_usize(unit.length).min(rest))?
        } else {
            self.target
                .encoded_prefix(target, from_usize(unit.stream), marker);
            self.target.allocate_encoded(target, from_usize(unit.length))?
        };
        self.owe(Owed {
            slot,
            offset,
            at: unit.at,
            length: unit.length,
            target,
            zeros: None,
        });
        Ok(())
    }

    /// The run's bytes that lie on the disk.
    fn clipped(&self, run: &Run) -> u64 {
        from_usize(run.length).min(self.target.size().saturating_sub(run.target))
    }
}
