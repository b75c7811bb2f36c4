//! Where the bytes of a part are in its file.

use alloc::vec::Vec;

use instar_disk::Slot;

/// A part of a file, in pieces that follow one another.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) slot: Slot,
    /// It is a member of an archive.
    pub(crate) is_packed: bool,
    size: u64,
    pieces: Vec<Piece>,
}

/// Bytes that follow one another in the part and in the file.
#[derive(Clone, Copy, Debug)]
struct Piece {
    /// Where in the part.
    inner: u64,
    /// Where in the file.
    outer: u64,
    size: u64,
}

impl Part {
    /// The part of the file in `slot` that these starts and sizes make.
    pub(crate) fn new(slot: Slot, pieces: &[(u64, u64)], is_packed: bool) -> Self {
        let mut part = Self {
            slot,
            is_packed,
            size: 0,
            pieces: Vec::new(),
        };
        for (outer, size) in pieces {
            part.push(*outer, *size);
        }
        part
    }

    /// The same within a part: its file is that.
    pub(crate) fn moved(&self, around: &Self) -> Self {
        let mut moved = Self::new(self.slot, &[], self.is_packed);
        for piece in &self.pieces {
            let mut at = piece.outer;
            let end = at.saturating_add(piece.size);
            while let Some((outer, run)) = around.run(at).filter(|_| at < end) {
                let run = run.min(end.saturating_sub(at));
                moved.push(outer, run);
                at = at.saturating_add(run);
            }
        }
        moved
    }

    fn push(&mut self, outer: u64, size: u64) {
        if size > 0 {
            let inner = self.size;
            self.pieces.push(Piece { inner, outer, size });
            self.size = self.size.saturating_add(size);
        }
    }

    /// Bytes.
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// Where in the file byte `offset` is, and how many bytes follow one another from there on; none behind the end.
    pub(crate) fn run(&self, offset: u64) -> Option<(u64, u64)> {
        let after = self.pieces.partition_point(|piece| piece.inner <= offset);
        let piece = self.pieces.get(after.checked_sub(1)?)?;
        let within = offset.checked_sub(piece.inner)?;
        let left = piece.size.checked_sub(within).filter(|left| *left > 0)?;
        Some((piece.outer.saturating_add(within), left))
    }

    /// All pieces: where each is in the file, and its bytes.
    pub(crate) fn pieces(&self) -> Vec<(u64, u64)> {
        self.pieces
            .iter()
            .map(|piece| (piece.outer, piece.size))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_in_pieces_is_read_through() {
        let part = Part::new(Slot(0), &[(1000, 10), (50, 0), (200, 5)], true);
        assert_eq!(part.size(), 15);
        for (offset, expected) in [
            (0, Some((1000, 10))),
            (9, Some((1009, 1))),
            (10, Some((200, 5))),
            (14, Some((204, 1))),
            (15, None),
            (u64::MAX, None),
        ] {
            assert_eq!(part.run(offset), expected, "{offset}");
        }
        assert_eq!(Part::new(Slot(0), &[], true).run(0), None);
    }

    #[test]
    fn a_part_of_a_part_is_a_part_of_the_file() {
        let around = Part::new(Slot(0), &[(100, 20), (500, 20)], false);
        let inner = Part::new(Slot(0), &[(15, 10), (0, 3), (39, 9)], true).moved(&around);
        assert_eq!(inner.pieces(), [(115, 5), (500, 5), (100, 3), (519, 1)]);
    }
}
