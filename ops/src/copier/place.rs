//! Targets that say where data goes: bytes come into the lane's buffer, are looked through for zeros, perhaps encoded,
//! placed in turn, and written together with the next chunk's reads.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::mem::swap;
use core::ops::Range;
use core::sync::atomic::Ordering;

use instar_abi::report::{Failure, Stage};
use instar_disk::{Action, Io, Result, Sealing, to_usize};

use super::Shared;
use super::assemble::{self, Assembler, Span, trim};
use super::encode::{Packer, Packs};
use super::placer::Placer;
use super::plan::{Chunk, Piece, Stretching};
use super::runs::{self, Owed, Run};
use super::sharing;
use super::sift::{self, Carry, Cell};
use crate::keys::Keys;
use crate::leaves::Leaf;
use crate::located::Origin;
use crate::session::{At, Outcome, internal};

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
    /// What nobody has to read: its blocks become the target's.
    shared: Vec<Piece>,
    /// The stretches in it, where they matter.
    cells: Vec<Cell>,
    /// Units before the chunk whose zeros count as data after all.
    blanks: Vec<Range<u64>>,
    buffer: Vec<u8>,
    /// The same places as other layers have them, where that is compared.
    theirs: Vec<u8>,
    packed: Packs,
    owed: Vec<Owed>,
    copies: Vec<sharing::Owed>,
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
        let parted = shared
            .sharing
            .part(shared.unit, &mut held.chunk.pieces, &mut held.shared)
            .at(Stage::Read(held.chunk.start));
        held.state = held.state.and(parted);
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
            for owed in &before.copies {
                batch.push(Io::new(Action::Copy(owed.copy)));
                ats.push(owed.target);
            }
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
            held.copies.clear();
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
                    held.copies.clear();
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
            shared: Vec::new(),
            cells: Vec::new(),
            blanks: Vec::new(),
            buffer: Vec::new(),
            theirs: Vec::new(),
            packed: Packs::default(),
            owed: Vec::new(),
            copies: Vec::new(),
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
            copies,
            shared: pieces,
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
                copies,
                holes,
            };
            blanks.iter().try_for_each(|units| placer.blank(units))?;
            let placed = match shared.encoding {
                None => placer.all(runs, pieces),
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
