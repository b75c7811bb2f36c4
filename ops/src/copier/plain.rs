//! Targets in which every guest byte stands at its own offset: plain data is copied by the host and never comes here.

use alloc::vec::Vec;
use core::mem::swap;
use core::ops::Range;
use core::sync::atomic::Ordering;

use instar_abi::report::Stage;
use instar_disk::{Action, CopyRange, Io, Result, Slot, Sparse, ZeroHow, align_up, from_usize};

use super::assemble::{self, Assembler, Span};
use super::plan::{Chunk, Piece, Stretching};
use super::runs::{self, Owed, Run};
use super::sift::{self, Cell, Stretches};
use super::{Ground, Offload, PAGE, PLAIN_ALIGN, Shared};
use crate::leaves::Leaf;
use crate::located::Origin;
use crate::session::{At, Outcome};

/// Works until the plan is empty.
pub(super) fn lane(shared: &Shared<'_, '_>, slot: Slot) {
    let mut lane = Lane {
        assembler: Assembler::new(shared.keys.clone()),
        ..Lane::default()
    };
    loop {
        let found = match shared.next(&mut lane.chunk) {
            Ok(found) => found,
            Err(failure) => {
                shared.fail(lane.chunk.start, failure);
                return lane.grow(shared, false);
            }
        };
        if !found {
            lane.chunk.pieces.clear();
        }
        let stepped = lane.step(shared, slot);
        let done = stepped.is_ok();
        if let Err(failure) = stepped {
            shared.fail(lane.chunk.start, failure);
        }
        if found {
            lane.grow(shared, done);
        }
        if !found || !done {
            return;
        }
        shared.advance(&lane.chunk);
    }
}

#[derive(Default)]
struct Lane {
    chunk: Chunk,
    /// Pieces whose bytes come into the guest.
    brought: Vec<Piece>,
    assembler: Assembler,
    spans: Vec<Span>,
    /// All that lies in the buffer, if it is hashed.
    seen: Vec<Span>,
    leaves: Vec<Leaf>,
    runs: Vec<Run>,
    cells: Vec<Cell>,
    /// Decoded bytes of this chunk.
    buffer: Vec<u8>,
    /// Decoded bytes of the chunk before, and what of them is to be written.
    before: Vec<u8>,
    owed: Vec<Owed>,
}

impl Lane {
    /// Writes what the chunk before left, copies this chunk's plain pieces and decodes its others.
    fn step(&mut self, shared: &Shared<'_, '_>, slot: Slot) -> Outcome<()> {
        self.brought.clear();
        // Asked once: another lane may find out meanwhile that nothing can be shared, and each byte has one way only.
        let all_through = shared.data_through_guest();
        let through = |from: Origin| all_through || shared.is_beyond_host(from, slot);
        for piece in self
            .chunk
            .pieces
            .iter()
            .filter(|piece| piece.from != Origin::Zero)
        {
            let look = matches!(piece.from, Origin::Data { .. }) && !through(piece.from);
            if !look || shared.hashing.is_some() {
                self.brought.push(Piece { look, ..*piece });
            }
        }
        let layout = shared.layout(1);
        self.assembler
            .lay_out(&self.brought, false, layout, &mut self.spans, &mut self.buffer)
            .at(Stage::Other)?;
        let (mut batch, mut ats) = (Vec::new(), Vec::new());
        runs::requests(&self.owed, &self.before, &mut batch, &mut ats).at(Stage::Other)?;
        let mut sharable = false;
        for piece in &self.chunk.pieces {
            if let Some(action) = shared.on_host(piece, slot, through(piece.from)) {
                sharable |= piece.is_sharable();
                batch.push(Io::new(action));
                ats.push(piece.target);
            }
        }
        let extents = self
            .assembler
            .fetch(shared.host, shared.salvage, batch, &ats, &mut self.buffer)?;
        if sharable && extents == 0 {
            shared.unshared.store(true, Ordering::Relaxed);
        }
        self.owed.clear();
        swap(&mut self.buffer, &mut self.before);
        let Self {
            chunk,
            spans,
            before,
            leaves,
            ..
        } = self;
        shared
            .hash(chunk, spans, before, leaves)
            .at(Stage::Read(chunk.start))?;
        self.settle(shared, slot).at(Stage::Write(self.chunk.start))
    }

    /// Waits for the chunk's turn and adds its leaves, if it has been done, to the tree.
    fn grow(&self, shared: &Shared<'_, '_>, done: bool) {
        if shared.hashing.is_none() {
            return;
        }
        shared.turn.wait_for(shared.host, self.chunk.ticket);
        let grown = match done {
            true => shared.grow(&self.chunk, &self.leaves).at(Stage::Other),
            false => Ok(()),
        };
        shared.turn.pass(shared.host);
        if let Err(failure) = grown {
            shared.fail(self.chunk.start, failure);
        }
    }

    /// Owes a write for every run of decoded data.
    fn settle(&mut self, shared: &Shared<'_, '_>, slot: Slot) -> Result<()> {
        match shared.sparse {
            Some(sparse) if shared.stretching == Stretching::Whole => self.sift(sparse)?,
            sparse => {
                if shared.hashing.is_some() {
                    swap(&mut self.spans, &mut self.seen);
                    assemble::written(&self.brought, false, 1, &self.seen, &mut self.spans)?;
                }
                self.runs.clear();
                for span in &self.spans {
                    let granule = sparse.map(Sparse::granule);
                    runs::cut(
                        &self.before,
                        span.at,
                        span.length,
                        span.target,
                        granule,
                        &mut self.runs,
                    )?;
                }
            }
        }
        for run in &self.runs {
            if !run.zero || shared.ground != Ground::Zero {
                let Run {
                    target, at, length, ..
                } = *run;
                let page = align_up(target, PAGE)?.saturating_add(PAGE);
                let hole = run.zero && page <= target.saturating_add(from_usize(length));
                runs::owe(
                    &mut self.owed,
                    Owed {
                        slot,
                        offset: target,
                        at,
                        length,
                        target,
                        zeros: hole.then_some(ZeroHow::MayUnmap),
                    },
                    false,
                );
            }
        }
        Ok(())
    }

    /// Cuts the chunk, which has whole stretches, into runs.
    fn sift(&mut self, sparse: Sparse) -> Result<()> {
        let Self {
            brought,
            spans,
            before,
            runs,
            cells,
            ..
        } = self;
        sift::cells(brought, spans, before, sparse, runs, cells)?;
        runs.clear();
        let mut stretches = Stretches::new(sparse);
        let mut found = |range: Range<u64>, zero| {
            if let Some(at) = assemble::place(spans, range.start) {
                runs.push(Run {
                    target: range.start,
                    at,
                    length: usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX),
                    zero,
                });
            }
        };
        for cell in &*cells {
            stretches.take(cell, &mut found);
        }
        stretches.end(found);
        Ok(())
    }
}

impl Shared<'_, '_> {
    /// Whether the bytes come from a server or go to one: the host does not copy them.
    fn is_beyond_host(&self, from: Origin, target: Slot) -> bool {
        let is_remote = |slot| self.host.is_remote(slot);
        is_remote(target) || matches!(from, Origin::Data { slot, .. } if is_remote(slot))
    }

    /// Whether all plain data is written by the guest: to be saved sector by sector, or to be hashed, where the host could do no more
    /// than read and write it once again. Only trying shows whether it can share extents.
    fn data_through_guest(&self) -> bool {
        let better = match self.offload {
            Offload::No => false,
            Offload::SharePlain | Offload::Share => !self.unshared.load(Ordering::Relaxed),
            Offload::Copy => true,
        };
        self.salvage || (self.hashing.is_some() && !better)
    }

    /// The request by which the host handles a piece without the guest seeing its bytes.
    fn on_host(&self, piece: &Piece, target: Slot, through_guest: bool) -> Option<Action<'static>> {
        match piece.from {
            Origin::Data { .. } if through_guest => None,
            Origin::Data { slot, offset } => Some(Action::Copy(CopyRange {
                source: slot,
                source_offset: offset,
                target,
                target_offset: piece.target,
                length: piece.length,
                sparse: self.sparse.filter(|_| self.offload != Offload::Copy),
                target_is_zero: self.ground == Ground::Zero,
                may_clone: self.offload != Offload::No,
            })),
            Origin::Zero => {
                let how = if self.sparse.is_some() {
                    ZeroHow::MayUnmap
                } else {
                    ZeroHow::Keep
                };
                Some(Action::Zero {
                    slot: target,
                    offset: piece.target,
                    length: piece.length,
                    how,
                })
            }
            Origin::Encoded(_) | Origin::Sealed(_) => None,
        }
    }
}

impl Piece {
    /// Whether its extents can be shared where files can do that.
    fn is_sharable(&self) -> bool {
        match self.from {
            Origin::Data { offset, .. } => {
                self.length >= PLAIN_ALIGN && offset.is_multiple_of(PAGE) && self.target.is_multiple_of(PAGE)
            }
            _ => false,
        }
    }
}
