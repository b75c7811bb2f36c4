//! Targets in which every guest byte stands at its own offset: plain data is copied by the host and never comes here.

use alloc::vec::Vec;
use core::mem::swap;
use core::ops::Range;

use instar_abi::report::Stage;
use instar_disk::{Action, Io, Result, Slot, Sparse, ZeroHow};

use super::assemble::{Assembler, Span};
use super::plan::{Chunk, From, Piece, Stretching};
use super::runs::{self, Owed, Run};
use super::sift::{self, Cell, Stretches};
use super::{Ground, Offload, Shared};
use crate::session::{At, Outcome};

/// Works until the plan is empty.
pub(super) fn lane(shared: &Shared<'_, '_>, slot: Slot) {
    let mut lane = Lane::default();
    loop {
        let found = match shared.next(&mut lane.chunk) {
            Ok(found) => found,
            Err(failure) => return shared.fail(lane.chunk.start, failure),
        };
        if !found {
            lane.chunk.pieces.clear();
        }
        if let Err(failure) = lane.step(shared, slot) {
            shared.fail(lane.chunk.start, failure);
            return;
        }
        if !found {
            return;
        }
        shared.advance(&lane.chunk);
    }
}

#[derive(Default)]
struct Lane {
    chunk: Chunk,
    encoded: Vec<Piece>,
    assembler: Assembler,
    spans: Vec<Span>,
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
        self.encoded.clear();
        self.encoded.extend(
            self.chunk
                .pieces
                .iter()
                .filter(|piece| shared.through_guest(piece)),
        );
        self.assembler
            .lay_out(&self.encoded, false, 1, &mut self.spans, &mut self.buffer)
            .at(Stage::Other)?;
        let (mut batch, mut ats) = (Vec::new(), Vec::new());
        runs::requests(&self.owed, &self.before, &mut batch, &mut ats).at(Stage::Other)?;
        for piece in &self.chunk.pieces {
            if let Some(action) = shared.on_host(piece, slot) {
                batch.push(Io::new(action));
                ats.push(piece.target);
            }
        }
        self.assembler
            .fetch(shared.host, shared.salvage, batch, &ats, &mut self.buffer)?;
        self.owed.clear();
        swap(&mut self.buffer, &mut self.before);
        self.settle(shared, slot).at(Stage::Write(self.chunk.start))
    }

    /// Owes a write for every run of decoded data.
    fn settle(&mut self, shared: &Shared<'_, '_>, slot: Slot) -> Result<()> {
        match shared.sparse {
            Some(sparse) if shared.stretching == Stretching::Whole => self.sift(sparse)?,
            sparse => {
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
                runs::owe(
                    &mut self.owed,
                    Owed {
                        slot,
                        offset: target,
                        at,
                        length,
                        target,
                        blank: false,
                    },
                );
            }
        }
        Ok(())
    }

    /// Cuts the chunk, which has whole stretches, into runs.
    fn sift(&mut self, sparse: Sparse) -> Result<()> {
        let Self {
            encoded,
            spans,
            before,
            runs,
            cells,
            ..
        } = self;
        sift::cells(encoded, spans, before, sparse, runs, cells)?;
        runs.clear();
        let mut stretches = Stretches::new(sparse);
        let mut found = |range: Range<u64>, zero| {
            if let Some(at) = sift::place(spans, range.start) {
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
    /// Whether a piece's bytes must come into the guest: to be decoded, or to be saved sector by sector.
    fn through_guest(&self, piece: &Piece) -> bool {
        match piece.from {
            From::Encoded(_) => true,
            From::Data { .. } => self.salvage,
            From::Zero => false,
        }
    }

    /// What the host does for a piece without the guest seeing its bytes.
    fn on_host(&self, piece: &Piece, target: Slot) -> Option<Action<'static>> {
        match piece.from {
            From::Data { .. } if self.salvage => None,
            From::Data { slot, offset } => Some(Action::Copy {
                source: slot,
                source_offset: offset,
                target,
                target_offset: piece.target,
                length: piece.length,
                sparse: self.sparse.filter(|_| self.offload != Offload::Copy),
                target_is_zero: self.ground == Ground::Zero,
                may_clone: self.offload != Offload::No,
            }),
            From::Zero => {
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
            From::Encoded(_) => None,
        }
    }
}
