//! The way of one chunk's bytes to their places in the target, in its turn.

use alloc::vec::Vec;
use core::ops::Range;

use instar_disk::{Placement, Result, Target, ZeroHow, align_down, align_up, from_usize, to_usize};

use super::encode::{Packed, Packs};
use super::plan::Piece;
use super::runs::{self, Owed, Run};
use super::{Ground, Shared, sharing};
use crate::session::internal;

/// Inside a unit that is allocated anyway, zeros are left out of the write in pieces of this size (qemu-img's default
/// for `-S`, and a filesystem's block).
const HOLE: u64 = 4096;
/// A hole shorter than this is written through: one longer write is cheaper than two.
const HOLE_MIN: usize = 32 << 10;

/// One chunk's way to the target.
pub(super) struct Placer<'p, 'c, 'h> {
    pub(super) shared: &'p Shared<'c, 'h>,
    pub(super) target: &'p mut (dyn Target + 'h),
    pub(super) buffer: &'p [u8],
    pub(super) owed: &'p mut Vec<Owed>,
    pub(super) copies: &'p mut Vec<sharing::Owed>,
    pub(super) holes: &'p mut Vec<Run>,
}

impl Placer<'_, '_, '_> {
    /// Places runs, and pieces whose blocks are shared, in the order of the disk.
    pub(super) fn all(&mut self, runs: &[Run], pieces: &[Piece]) -> Result<()> {
        let mut pieces = pieces;
        for run in runs {
            let (before, rest) = pieces.split_at(pieces.partition_point(|piece| piece.target < run.target));
            self.share(before)?;
            pieces = rest;
            self.run(run)?;
        }
        self.share(pieces)
    }

    /// Places whole units for `pieces`, and owes the copies that share their blocks.
    fn share(&mut self, pieces: &[Piece]) -> Result<()> {
        let (mut rest, unit) = (pieces, self.shared.unit);
        while let Some(first) = rest.first() {
            let mut at = align_down(first.target, unit);
            let (mut end, mut count) = (at, 0_usize);
            while let Some(piece) = rest
                .get(count)
                .filter(|piece| align_down(piece.target, unit) <= end)
            {
                end = align_up(piece.end(), unit)?;
                count = count.saturating_add(1);
            }
            let (adjacent, others) = rest.split_at(count);
            end = end.min(self.target.size());
            while at < end {
                let placement = self.target.allocate(at, end.saturating_sub(at))?;
                let Placement {
                    slot,
                    offset,
                    length,
                    fresh,
                } = placement;
                if !fresh {
                    self.owe(Owed {
                        slot,
                        offset,
                        at: 0,
                        length: to_usize(length)?,
                        target: at,
                        zeros: Some(ZeroHow::Keep),
                    });
                }
                let next = at.saturating_add(length.max(1));
                sharing::copies(
                    adjacent,
                    (at, next),
                    (slot, offset),
                    self.shared.sparse,
                    self.copies,
                );
                at = next;
            }
            rest = others;
        }
        Ok(())
    }

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
    pub(super) fn blank(&mut self, units: &Range<u64>) -> Result<()> {
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
    pub(super) fn packed(&mut self, runs: &[Run], packs: &mut Packs, prefix: usize) -> Result<()> {
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
