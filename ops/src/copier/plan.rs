//! The work of a copy, cut into chunks that lanes take one at a time.

use alloc::vec::Vec;
use core::ops::Range;

use instar_disk::{Fault, Result, Sparse, align_down, align_up};

use super::sharing::Sharing;
use crate::account;
use crate::located::{Located, Origin};
use crate::source::Source;

/// Pieces in a chunk before it is cut at the next boundary: one doorbell's worth.
const PIECES: usize = 256;
/// Questions to the source before a chunk is cut, data or not: bounds how long one lane holds the plan.
const STEPS: usize = 4096;
/// The unit that is given up where a source cannot be mapped (`--salvage`), as in qemu-img.
const SECTOR: u64 = 512;

/// Decoded bytes in a chunk. Ours: they pass through the buffers of a lane, which must be small and stay in the cache.
const ENCODED_BUDGET: u64 = 1 << 20;
/// How many bytes whose blocks are shared count as one that is copied. Ours: a chunk of 64 MiB costs a disk's transaction or two, and no memory.
const SHARED_PER_BYTE: u64 = 32;

/// A run of target bytes and where they come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Offset in the target.
    pub(crate) target: u64,
    /// Its length in bytes.
    pub(crate) length: u64,
    pub(crate) from: Origin,
    /// Where the stretch starts that it is part of ([`Stretching`]); pieces of two stretches are never made one.
    pub(crate) stretch: u64,
    /// To be looked at, not to be written.
    pub(crate) look: bool,
}

/// One lane's next work.
#[derive(Default)]
pub(crate) struct Chunk {
    /// Its place in the order.
    pub(crate) ticket: u32,
    /// Target range that it settles.
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// In ascending order, without overlap; what lies between needs nothing.
    pub(crate) pieces: Vec<Piece>,
    /// The same ranges as other layers have them, where the source compares.
    pub(crate) others: Vec<Piece>,
    /// Where the source could not be mapped (`--salvage`), for a warning each.
    pub(crate) lost: Vec<(u64, Fault)>,
}

/// How the work is cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    /// Chunks end on multiples of this (a power of two).
    pub(crate) align: u64,
    /// Units that count as a whole when a byte of them is data; 1 if the target needs no units.
    pub(crate) unit: u64,
    /// Bytes of data in a chunk.
    pub(crate) budget: u64,
    /// The least space that a byte of data takes in it: a multiple of `unit`.
    pub(crate) least: u64,
    /// Whether ranges that are left to the target's backing file are read.
    pub(crate) look: bool,
    /// Below this offset known zeros are pieces; above, the target reads as zero by itself.
    pub(crate) zeros_below: u64,
    /// Known zeros are written like data (`-S 0`) and count as such.
    pub(crate) zeros_are_data: bool,
    /// Known zeros in a piece at most: what the target remembers of them takes memory, too.
    pub(crate) zeros_most: u64,
    /// Below this offset (a multiple of `unit`), units of which the source wants nothing are left to the target's backing
    /// file.
    pub(crate) inherit_below: u64,
    /// The end of the target's backing file; 0 if there is none.
    pub(crate) backed_below: u64,
    /// How data is cut into stretches.
    pub(crate) stretching: Stretching,
}

/// How stretches, in which zeros are looked for by the rule of [`Sparse`], are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stretching {
    /// It makes no difference.
    Off,
    /// Pieces tell which stretch they are of.
    Marked,
    /// And chunks end where stretches end.
    Whole,
}

/// The work, in order.
pub(crate) struct Plan<'h> {
    source: Source<'h>,
    cut: Cut,
    sharing: Sharing,
    /// The first byte of the source.
    shift: u64,
    /// Where that goes in the target.
    start: u64,
    end: u64,
    at: u64,
    ticket: u32,
    salvage: bool,
    /// The last answer of the source.
    answer: Range<u64>,
    /// Below this offset the top layer is known to say nothing.
    inherited_to: u64,
}

impl<'h> Plan<'h> {
    /// `length` bytes of `source`, from the first offset on, as bytes of the target from the second offset on.
    pub(crate) fn new(
        source: Source<'h>,
        (cut, sharing): (Cut, Sharing),
        (shift, start): (u64, u64),
        length: u64,
        salvage: bool,
    ) -> Self {
        Self {
            source,
            cut,
            sharing,
            shift,
            start,
            end: start.saturating_add(length),
            at: start,
            ticket: 0,
            salvage,
            answer: 0..0,
            inherited_to: 0,
        }
    }

    /// The sources that were read.
    pub(crate) fn into_source(self) -> Source<'h> {
        self.source
    }

    /// Whether all of it has been handed out.
    pub(crate) const fn is_done(&self) -> bool {
        self.at >= self.end
    }

    /// How far the plan has been handed out.
    pub(crate) const fn at(&self) -> u64 {
        self.at
    }

    /// Fills `chunk` with the next work; `false` if there is none left.
    ///
    /// # Errors
    /// Damaged tables of the source.
    pub(crate) fn next(&mut self, chunk: &mut Chunk) -> Result<bool> {
        chunk.pieces.clear();
        chunk.others.clear();
        chunk.ticket = self.ticket;
        chunk.start = self.at;
        if self.at >= self.end {
            return Ok(false);
        }
        self.ticket = self.ticket.wrapping_add(1);
        let mut filling = Filling {
            used: 0,
            covered: [0; 2],
            stop: self.end,
            steps: 0,
            mixed: 0,
        };
        while self.at < filling.stop {
            filling.steps = filling.steps.saturating_add(1);
            if filling.steps >= STEPS || chunk.pieces.len() >= PIECES {
                filling.stop = filling.stop.min(align_up(self.at, self.cut.align)?);
                if self.at >= filling.stop {
                    break;
                }
            }
            let known = self.at < self.inherited_to || self.at >= self.cut.inherit_below;
            if !known && self.skip_inherited(&mut filling)? {
                continue;
            }
            self.take(chunk, &mut filling)?;
        }
        chunk.end = self.at;
        Ok(true)
    }

    /// Where the source has what goes to `at`.
    const fn in_source(&self, at: u64) -> u64 {
        at.saturating_sub(self.start).saturating_add(self.shift)
    }

    /// Adds the next run to the chunk.
    fn take(&mut self, chunk: &mut Chunk, filling: &mut Filling) -> Result<()> {
        let at = self.at;
        let located = self.locate(chunk, at)?;
        let other = self.source.other(self.in_source(at))?;
        let mut length = located.length.min(filling.stop.saturating_sub(at));
        if let Some(other) = &other {
            length = length.min(other.length);
        }
        let look = at < self.inherited_to;
        if look {
            length = length.min(self.inherited_to.saturating_sub(at));
        } else if at < self.cut.inherit_below {
            length = length.min(filling.mixed.saturating_sub(at));
        }
        let from = located.from;
        if from == Origin::Zero && !self.cut.zeros_are_data && other.is_none() {
            if at < self.cut.zeros_below && !look {
                length = self.bound_zeros(filling, at, length)?;
                push(
                    &mut chunk.pieces,
                    Piece {
                        target: at,
                        length,
                        from,
                        stretch: 0,
                        look,
                    },
                );
            }
            self.at = at.saturating_add(length);
            return Ok(());
        }
        let stretch = self.stretch(at)?;
        length = length.min(stretch.end.saturating_sub(at));
        let encoded = |from| matches!(from, Origin::Encoded(_));
        let whole = encoded(from) || other.is_some_and(|other| encoded(other.from));
        let shared = self.sharing.takes(at, length, from);
        length = self.fit(filling, at, length, (whole, shared))?;
        push(
            &mut chunk.pieces,
            Piece {
                target: at,
                length,
                from,
                stretch: stretch.start,
                look,
            },
        );
        if let Some(other) = other {
            let piece = Piece {
                target: at,
                length,
                from: other.from,
                stretch: stretch.start,
                look,
            };
            push(&mut chunk.others, piece);
        }
        self.at = at.saturating_add(length);
        Ok(())
    }

    /// How much of a run of known zeros is taken at once.
    fn bound_zeros(&self, filling: &mut Filling, at: u64, length: u64) -> Result<u64> {
        if self.cut.zeros_most == u64::MAX {
            return Ok(length);
        }
        let length = length.min(self.cut.zeros_most);
        filling.used = filling.used.saturating_add(self.cut.unit);
        if filling.used >= self.cut.budget {
            let stop = align_up(at.saturating_add(length), self.cut.align)?;
            filling.stop = filling.stop.min(stop);
        }
        Ok(length)
    }

    /// The stretch that `at` lies in.
    fn stretch(&mut self, at: u64) -> Result<Range<u64>> {
        if self.cut.stretching == Stretching::Off {
            return Ok(0..u64::MAX);
        }
        if !self.answer.contains(&at) {
            let mut limit = self.end.saturating_sub(at).min(Sparse::ANSWER);
            if at < self.cut.backed_below {
                limit = limit.min(self.cut.backed_below.saturating_sub(at));
            }
            let length = match self.source.answer(self.in_source(at), limit) {
                Err(fault) if self.salvage && !account::is_limit(&fault) => SECTOR,
                length => length?,
            };
            self.answer = at..at.saturating_add(length);
        }
        let within = at.saturating_sub(self.answer.start);
        let start = self
            .answer
            .start
            .saturating_add(align_down(within, Sparse::STRETCH));
        Ok(start..start.saturating_add(Sparse::STRETCH).min(self.answer.end))
    }

    fn locate(&mut self, chunk: &mut Chunk, at: u64) -> Result<Located> {
        match self.source.map(self.in_source(at)) {
            Err(fault) if self.salvage && !account::is_limit(&fault) => {
                chunk.lost.push((at, fault));
                Ok(Located {
                    length: SECTOR,
                    from: Origin::Zero,
                })
            }
            located => located,
        }
    }

    /// How much of a data run fits the chunk. Sets the chunk's end when it is full. Encoded units are taken whole, so that
    /// none is decoded twice.
    fn fit(&self, filling: &mut Filling, at: u64, length: u64, (whole, shared): (bool, bool)) -> Result<u64> {
        let unit = self.cut.least;
        let [copied_to, shared_to] = &mut filling.covered;
        let (counted_to, bytes) = match shared {
            true => (shared_to, SHARED_PER_BYTE),
            false => (copied_to, 1),
        };
        let first = align_down(at, unit).max(*counted_to);
        let budget = if whole {
            self.cut.budget.min(ENCODED_BUDGET)
        } else {
            self.cut.budget
        };
        let room = budget.saturating_sub(filling.used).saturating_mul(bytes);
        let end = at.saturating_add(length);
        let limit = first.saturating_add(room);
        let whole = whole || self.cut.stretching == Stretching::Whole;
        let end = if end < limit {
            end
        } else {
            let from = if whole { end } else { limit.max(at) };
            let stop = align_up(from, self.cut.align)?.max(align_up(at.saturating_add(1), self.cut.align)?);
            filling.stop = filling.stop.min(stop);
            end.min(filling.stop)
        };
        let covered = align_up(end, unit)?;
        let used = covered.saturating_sub(first).div_ceil(bytes);
        filling.used = filling.used.saturating_add(used);
        *counted_to = covered.max(*counted_to);
        Ok(end.saturating_sub(at))
    }

    /// Skips whole units of which nothing is wanted. `false`: of the unit at hand something is.
    fn skip_inherited(&mut self, filling: &mut Filling) -> Result<bool> {
        if self.at < filling.mixed {
            return Ok(false);
        }
        let start = self.at;
        let limit = self.cut.inherit_below.min(filling.stop);
        let mut at = start;
        let mut wanted_to = start;
        while at < limit && at.saturating_sub(start) <= self.cut.budget {
            let (wanted, length) = self.source.wants(self.in_source(at))?;
            if wanted {
                wanted_to = at.saturating_add(length);
                break;
            }
            at = at.saturating_add(length).min(limit);
        }
        let whole = if at >= limit {
            limit
        } else {
            align_down(at, self.cut.unit)
        };
        if whole > start {
            if self.cut.look {
                self.inherited_to = whole;
                return Ok(false);
            }
            self.at = whole;
            return Ok(true);
        }
        let first = align_down(start, self.cut.unit).saturating_add(self.cut.unit);
        filling.mixed = first.max(align_down(wanted_to, self.cut.unit));
        Ok(false)
    }
}

/// How full the chunk in the making is.
struct Filling {
    /// Bytes of data so far, whole units counted.
    used: u64,
    /// Units below these offsets are counted, for what is copied and for what is shared.
    covered: [u64; 2],
    /// Where the chunk ends at the latest.
    stop: u64,
    steps: usize,
    /// Below this offset each unit has something that is wanted: all of it is taken.
    mixed: u64,
}

/// Adds `piece`, or makes the last one longer if it goes on there.
fn push(pieces: &mut Vec<Piece>, piece: Piece) {
    if let Some(last) = pieces.last_mut()
        && last.target.checked_add(last.length) == Some(piece.target)
        && last.stretch == piece.stretch
        && last.look == piece.look
        && last.goes_on(&piece)
    {
        last.length = last.length.saturating_add(piece.length);
        return;
    }
    pieces.push(piece);
}

impl Piece {
    fn goes_on(&self, next: &Self) -> bool {
        match (self.from, next.from) {
            (Origin::Zero, Origin::Zero) => true,
            (
                Origin::Data { slot, offset },
                Origin::Data {
                    slot: next_slot,
                    offset: next_offset,
                },
            ) => slot == next_slot && offset.checked_add(self.length) == Some(next_offset),
            (Origin::Sealed(sealed), Origin::Sealed(next)) => sealed.continues(self.length, &next),
            _ => false,
        }
    }
}
