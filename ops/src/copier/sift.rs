//! Leaving zeros out exactly as `-S` says, where it shows: a granule larger than the target's units or the source's, or a
//! shortest run that is not a power of two.
//!
//! ```text
//!   lane: bytes ─► cells (a stretch, zero or not)        in turn: cells ─► sieve ─► units
//! ```
//!
//! A stretch may go on in the next chunk; then its sieve waits for that chunk's turn. It keeps two offsets, no bytes: all that
//! waits is zero.

use alloc::vec::Vec;
use core::ops::Range;

use instar_disk::{Result, Sieve, Sparse, align_down, align_up, from_usize, to_usize};

use super::assemble::{Span, place};
use super::plan::Piece;
use super::runs::{self, Run};
use crate::located::Origin;
use crate::session::internal;

/// A run of a piece that is all zero, or data in each granule.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    /// The stretch that it belongs to; none: known zeros, which belong to none.
    stretch: Option<u64>,
    target: u64,
    length: u64,
    zero: bool,
}

/// Looks through the bytes of `pieces`, which lie in `buffer`. Known zeros are passed on.
pub(super) fn cells(
    pieces: &[Piece],
    spans: &[Span],
    buffer: &[u8],
    sparse: Sparse,
    runs: &mut Vec<Run>,
    cells: &mut Vec<Cell>,
) -> Result<()> {
    cells.clear();
    for piece in pieces.iter().filter(|piece| !piece.look) {
        let Piece {
            target,
            length,
            from,
            stretch,
            ..
        } = *piece;
        if from == Origin::Zero {
            cells.push(Cell {
                stretch: None,
                target,
                length,
                zero: true,
            });
            continue;
        }
        let at = place(spans, target).ok_or_else(|| internal(line!()))?;
        runs.clear();
        runs::cut(
            buffer,
            at,
            to_usize(length)?,
            target,
            Some(sparse.granule()),
            runs,
        )?;
        cells.extend(runs.iter().map(|run| Cell {
            stretch: Some(stretch),
            target: run.target,
            length: from_usize(run.length),
            zero: run.zero,
        }));
    }
    Ok(())
}

/// The sieve of the stretch at hand.
pub(super) struct Stretches {
    sparse: Sparse,
    sieve: Option<(u64, Sieve)>,
}

impl Stretches {
    pub(super) const fn new(sparse: Sparse) -> Self {
        Self { sparse, sieve: None }
    }

    /// Tells `found` what `cell` settles, in order: ranges, and whether they are zero.
    pub(super) fn take(&mut self, cell: &Cell, mut found: impl FnMut(Range<u64>, bool)) {
        let goes_on =
            |(stretch, sieve): &(u64, Sieve)| Some(*stretch) == cell.stretch && sieve.at() == cell.target;
        if !self.sieve.as_ref().is_some_and(goes_on) {
            self.end(&mut found);
        }
        let Some(stretch) = cell.stretch else {
            found(cell.target..cell.target.saturating_add(cell.length), true);
            return;
        };
        let sparse = self.sparse;
        let (_, sieve) = self
            .sieve
            .get_or_insert_with(|| (stretch, Sieve::new(sparse, cell.target)));
        sieve.take(cell.length, cell.zero, found);
    }

    /// Nothing follows on the last cell.
    pub(super) fn end(&mut self, found: impl FnMut(Range<u64>, bool)) {
        if let Some((_, sieve)) = self.sieve.take() {
            sieve.end(found);
        }
    }
}

/// Settled units of the target: a unit is data if any part of it is.
pub(super) struct Units {
    unit: u64,
    /// Units below this are settled.
    settled: u64,
    /// The unit that starts here is zero, as far as it is known.
    open: Option<u64>,
}

impl Units {
    const fn new(unit: u64) -> Self {
        Self {
            unit,
            settled: 0,
            open: None,
        }
    }

    fn found(
        &mut self,
        range: Range<u64>,
        zero: bool,
        runs: &mut impl FnMut(Range<u64>, bool),
    ) -> Result<()> {
        let from = align_down(range.start, self.unit).max(self.settled);
        if self.open.is_some_and(|open| open < from) {
            self.end(runs);
        }
        let to = if zero {
            align_down(range.end, self.unit)
        } else {
            self.open = None;
            align_up(range.end, self.unit)?
        };
        if from < to {
            runs(from..to, zero);
            self.open = None;
        }
        self.settled = self.settled.max(to);
        if zero && range.end > self.settled {
            self.open = Some(self.settled.max(to));
        }
        Ok(())
    }

    fn end(&mut self, runs: &mut impl FnMut(Range<u64>, bool)) {
        if let Some(open) = self.open.take() {
            runs(open..open.saturating_add(self.unit), true);
            self.settled = self.settled.max(open.saturating_add(self.unit));
        }
    }
}

/// The state that passes from chunk to chunk, in the order of tickets.
pub(super) struct Carry {
    stretches: Stretches,
    units: Units,
}

impl Carry {
    pub(super) const fn new(sparse: Sparse, unit: u64) -> Self {
        Self {
            stretches: Stretches::new(sparse),
            units: Units::new(unit),
        }
    }

    /// Tells `found` what `cells` settle, in whole units and in order. `last`: no chunk follows.
    pub(super) fn take(
        &mut self,
        cells: &[Cell],
        last: bool,
        mut found: impl FnMut(Range<u64>, bool),
    ) -> Result<()> {
        let Self { stretches, units } = self;
        let mut outcome = Ok(());
        let mut settle = |range, zero| {
            if outcome.is_ok() {
                outcome = units.found(range, zero, &mut found);
            }
        };
        for cell in cells {
            stretches.take(cell, &mut settle);
        }
        if last {
            stretches.end(&mut settle);
            outcome?;
            units.end(&mut found);
            return Ok(());
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(stretch: u64, target: u64, length: u64, zero: bool) -> Cell {
        Cell {
            stretch: Some(stretch),
            target,
            length,
            zero,
        }
    }

    fn take(carry: &mut Carry, cells: &[Cell], last: bool) -> Vec<(Range<u64>, bool)> {
        let mut found = Vec::new();
        carry
            .take(cells, last, |range, zero| found.push((range, zero)))
            .unwrap();
        found
    }

    #[test]
    fn zeros_wait_for_the_next_chunk() {
        let sparse = Sparse::new(12 << 10).unwrap();
        let mut carry = Carry::new(sparse, 4096);
        let first = take(
            &mut carry,
            &[cell(0, 0, 8192, false), cell(0, 8192, 8192, true)],
            false,
        );
        assert_eq!(first, [(0..8192, false)]);
        let second = take(&mut carry, &[cell(0, 16384, 8192, false)], true);
        assert_eq!(second, [(8192..24576, false)]);
    }

    #[test]
    fn a_new_stretch_settles_what_waits() {
        let sparse = Sparse::new(12 << 10).unwrap();
        let mut carry = Carry::new(sparse, 4096);
        take(
            &mut carry,
            &[cell(0, 0, 8192, false), cell(0, 8192, 8192, true)],
            false,
        );
        let second = take(&mut carry, &[cell(16384, 16384, 8192, false)], true);
        assert_eq!(second, [(8192..16384, true), (16384..24576, false)]);
    }

    #[test]
    fn a_unit_is_data_if_any_stretch_has_data_in_it() {
        let sparse = Sparse::new(512).unwrap();
        for (zero, expected) in [(true, true), (false, false)] {
            let mut carry = Carry::new(sparse, 65536);
            let cells = [
                cell(0, 65536, 512, true),
                cell(1, 66048, 512, zero),
                cell(2, 66560, 512, true),
            ];
            assert_eq!(take(&mut carry, &cells, true), [(65536..131_072, expected)]);
        }
    }
}
