//! Blocks of a source's files that become blocks of the target's file as well, in targets that say where data goes: nobody reads them.
//!
//! ```text
//!  source   ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒|~~~encoded~~~|▒▒▒▒▒▒▒▒
//!  units    |       |       |       |       |       |
//!            shared  shared  read ............ shared
//! ```

use alloc::vec::Vec;
use core::mem::{swap, take};
use core::ops::Range;

use instar_disk::{Action, CopyRange, Host, Io, Result, Slot, Sparse, align_down, align_up};

use super::plan::{Piece, Stretching};
use super::{Ground, Offload, PAGE, Work};
use crate::located::Origin;
use crate::source::Source;

/// The files whose blocks the target can share; usually none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sharing {
    slots: Vec<Slot>,
}

impl Sharing {
    /// Asks the host, if `work` is such that a target with shared blocks is what the user wants: it is new, and nobody has to see the bytes
    /// on their way. Over a backing file, pieces cover all of a unit of which anything is wanted.
    pub(super) fn find(host: &dyn Host, work: &Work<'_>, stretching: Stretching) -> Self {
        let passes = work.offload == Offload::Share
            && matches!(work.ground, Ground::Zero | Ground::Backing(_))
            && stretching == Stretching::Off
            && work.target.encoding().is_none()
            && work.target.sealing().is_none()
            && work.hashing.is_none()
            && !(work.write_zeros || work.salvage || work.source.compares());
        // The host copies to a plain target in any case; there, it is the length of chunks that depends on it.
        let target = work.target.plain().or_else(|| work.target.blocks());
        match target.filter(|_| passes) {
            Some(target) => Self::between(host, &work.source, target),
            None => Self::default(),
        }
    }

    /// The files of `source` whose blocks the file `target` can share.
    pub(crate) fn between(host: &dyn Host, source: &Source<'_>, target: Slot) -> Self {
        let mut slots = source.slots();
        slots.sort_unstable();
        slots.dedup();
        let question = |source: &Slot| {
            Io::new(Action::Sharable {
                source: *source,
                target,
            })
        };
        let mut batch: Vec<_> = slots.iter().map(question).collect();
        host.submit(&mut batch);
        // A refusal means that data is written, which fails in its own words if it must.
        let answers = slots.into_iter().zip(&batch);
        let slots = answers
            .filter_map(|(slot, io)| (io.outcome == Ok(1)).then_some(slot))
            .collect();
        Self { slots }
    }

    /// Whether there are none.
    pub(crate) const fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether the blocks of a piece can be shared.
    pub(super) fn takes(&self, target: u64, length: u64, from: Origin) -> bool {
        let Origin::Data { slot, offset } = from else {
            return false;
        };
        length >= PAGE
            && offset.is_multiple_of(PAGE)
            && target.is_multiple_of(PAGE)
            && self.slots.contains(&slot)
    }

    fn takes_piece(&self, piece: &Piece) -> bool {
        self.takes(piece.target, piece.length, piece.from)
    }

    /// Takes what can be shared out of `pieces`. Units in which anything else lies stay whole.
    pub(super) fn part(&self, unit: u64, pieces: &mut Vec<Piece>, shared: &mut Vec<Piece>) -> Result<()> {
        shared.clear();
        if self.slots.is_empty() {
            return Ok(());
        }
        let mut others: Vec<Range<u64>> = Vec::new();
        for piece in pieces.iter().filter(|piece| !self.takes_piece(piece)) {
            let start = align_down(piece.target, unit);
            let end = align_up(piece.end(), unit)?;
            match others.last_mut() {
                Some(last) if start <= last.end => last.end = end,
                _ => others.push(start..end),
            }
        }
        if others.is_empty() {
            swap(pieces, shared);
            return Ok(());
        }
        let mut others = &*others;
        for piece in take(pieces) {
            let mut at = piece.target;
            while at < piece.end() {
                while let [first, rest @ ..] = others
                    && first.end <= at
                {
                    others = rest;
                }
                let other = others.first().map_or(u64::MAX..u64::MAX, Range::clone);
                let (list, end) = if at < other.start {
                    (&mut *shared, other.start)
                } else {
                    (&mut *pieces, other.end)
                };
                let end = end.min(piece.end());
                list.push(piece.cut(at, end));
                at = end;
            }
        }
        Ok(())
    }
}

impl Piece {
    /// Where it ends in the target.
    pub(super) const fn end(&self) -> u64 {
        self.target.saturating_add(self.length)
    }

    /// The part of it from `start` to `end`, offsets in the target. Pieces that are not plain data are left as they are.
    fn cut(&self, start: u64, end: u64) -> Self {
        let from = match self.from {
            Origin::Data { slot, offset } => Origin::Data {
                slot,
                offset: offset.saturating_add(start.saturating_sub(self.target)),
            },
            other => {
                return Self { from: other, ..*self };
            }
        };
        Self {
            target: start,
            length: end.saturating_sub(start),
            from,
            ..*self
        }
    }
}

/// The copies by which the pieces between `start` and `end` come to `place` in the target's file.
pub(super) fn copies(
    pieces: &[Piece],
    (start, end): (u64, u64),
    place: (Slot, u64),
    sparse: Option<Sparse>,
    owed: &mut Vec<Owed>,
) {
    let first = pieces.partition_point(|piece| piece.end() <= start);
    for piece in pieces.iter().skip(first).take_while(|piece| piece.target < end) {
        let part = piece.cut(piece.target.max(start), piece.end().min(end));
        let Origin::Data { slot, offset } = part.from else {
            continue;
        };
        let target_offset = place.1.saturating_add(part.target.saturating_sub(start));
        owed.push(Owed {
            target: part.target,
            copy: CopyRange {
                source: slot,
                source_offset: offset,
                target: place.0,
                target_offset,
                length: part.length,
                sparse,
                target_is_zero: true,
                may_clone: true,
            },
        });
    }
}

/// A copy that waits for the next doorbell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owed {
    /// Offset in the target, for messages.
    pub(super) target: u64,
    pub(super) copy: CopyRange,
}

#[cfg(test)]
mod tests {
    use instar_disk::{Codec, Encoded};

    use super::*;

    const UNIT: u64 = 65536;

    fn piece(target: u64, length: u64, from: Origin) -> Piece {
        Piece {
            target,
            length,
            from,
            stretch: 0,
            look: false,
        }
    }

    fn data(slot: u32, offset: u64) -> Origin {
        Origin::Data {
            slot: Slot(slot),
            offset,
        }
    }

    fn parted(pieces: &[Piece]) -> [Vec<(u64, u64)>; 2] {
        let sharing = Sharing {
            slots: [Slot(1)].into(),
        };
        let (mut others, mut shared) = (pieces.to_vec(), Vec::new());
        sharing.part(UNIT, &mut others, &mut shared).unwrap();
        for piece in &shared {
            assert!(matches!(piece.from, Origin::Data { offset, .. } if offset == piece.target + 4096));
        }
        [others, shared].map(|list| list.iter().map(|piece| (piece.target, piece.length)).collect())
    }

    #[test]
    fn units_in_which_something_else_lies_are_left_whole() {
        let encoded = Origin::Encoded(Encoded {
            slot: Slot(1),
            offset: 77,
            stored: 100,
            least: 100,
            unit: 4096,
            within: 0,
            codec: Codec::Zstd,
        });
        assert_eq!(
            parted(&[piece(0, 4 * UNIT, data(1, 4096))]),
            [vec![], vec![(0, 4 * UNIT)]]
        );
        // The encoded piece takes the end of one unit; what goes on behind it is shared again.
        let pieces = [
            piece(0, 2 * UNIT - 4096, data(1, 4096)),
            piece(2 * UNIT - 4096, 4096, encoded),
            piece(2 * UNIT, UNIT, data(1, 2 * UNIT + 4096)),
        ];
        assert_eq!(
            parted(&pieces),
            [
                vec![(UNIT, UNIT - 4096), (2 * UNIT - 4096, 4096)],
                vec![(0, UNIT), (2 * UNIT, UNIT)]
            ]
        );
        // One that spans two units, between data on both sides.
        let pieces = [
            piece(0, UNIT + 8192, data(1, 4096)),
            piece(UNIT + 8192, UNIT, encoded),
            piece(2 * UNIT + 8192, UNIT, data(1, 2 * UNIT + 8192 + 4096)),
        ];
        assert_eq!(
            parted(&pieces),
            [
                vec![(UNIT, 8192), (UNIT + 8192, UNIT), (2 * UNIT + 8192, UNIT - 8192)],
                vec![(0, UNIT), (3 * UNIT, 8192)]
            ]
        );
    }

    #[test]
    fn only_whole_blocks_of_files_that_can_share_are_taken() {
        for (target, length, from) in [
            (0, 4096, data(2, 4096)),
            (0, 4095, data(1, 4096)),
            (0, 4096, data(1, 4608)),
            (512, 4096, data(1, 4096)),
            (0, 4096, Origin::Zero),
        ] {
            assert_eq!(
                parted(&[piece(target, length, from)])[1],
                [],
                "{target} {length} {from:?}"
            );
        }
        assert_eq!(parted(&[piece(0, 5000, data(1, 4096))])[1], [(0, 5000)]);
    }
}
