//! The file as it will be once its log is replayed.

use alloc::collections::BTreeMap;

use instar_disk::fault::vhdx as faults;
use instar_disk::{Fault, File, Result, from_usize, to_usize};

/// Bytes of a log sector, and of the piece of the file that a data descriptor changes.
pub(crate) const SECTOR: u64 = 4096;

/// Changes that are kept. Ours: four megabytes of them; a usual log of 1 MiB holds 254.
const CHANGES: usize = 1 << 16;
/// What the reference tool counts a file in: the rest of a last sector that was cut reads as zeros.
const UNIT: u64 = 512;

/// A file and what its log changes in it.
#[derive(Debug)]
pub(crate) struct Replayed<'h> {
    file: File<'h>,
    /// Changed ranges by start, without overlap: their end and what they become.
    changes: BTreeMap<u64, (u64, Change)>,
    /// The size of the file, or the size that its log gives it.
    size: u64,
}

/// What a range becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Zero,
    /// The 4 KiB that the log holds: most in a data sector, the ends in the descriptor.
    Logged {
        /// Where in the file the descriptor is.
        descriptor: u64,
        /// Where in the file the data sector is.
        data: u64,
    },
}

/// Bytes with one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Bytes, at least 1.
    pub(crate) length: u64,
    /// Where they stand in the file; none: they are zeros.
    pub(crate) at: Option<u64>,
}

impl<'h> Replayed<'h> {
    /// `file` as it is.
    pub(crate) fn new(file: File<'h>) -> Self {
        Self {
            file,
            changes: BTreeMap::new(),
            size: file.size().checked_next_multiple_of(UNIT).unwrap_or(u64::MAX),
        }
    }

    /// The file below.
    pub(crate) const fn file(&self) -> &File<'h> {
        &self.file
    }

    /// Bytes of the file after the replay.
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// The file has at least `size` bytes.
    pub(crate) fn grow(&mut self, size: u64) {
        self.size = self.size.max(size);
    }

    /// The `length` bytes at `start` (both multiples of 4 KiB) become `change`, whatever was said of them before.
    ///
    /// # Errors
    /// `LOG_CHANGES`.
    pub(crate) fn change(&mut self, start: u64, length: u64, change: Change) -> Result<()> {
        let end = start.saturating_add(length);
        if start == end {
            return Ok(());
        }
        if let Some((&before, &(stop, what))) = self.changes.range(..start).next_back()
            && stop > start
        {
            self.changes.insert(before, (start, what));
            if stop > end {
                self.changes.insert(end, (stop, what));
            }
        }
        while let Some((&inside, &(stop, what))) = self.changes.range(start..end).next() {
            self.changes.remove(&inside);
            if stop > end {
                self.changes.insert(end, (stop, what));
            }
        }
        self.changes.insert(start, (end, change));
        if self.changes.len() > CHANGES {
            let found = from_usize(self.changes.len());
            return Err(Fault::new(faults::LOG_CHANGES).with([found, from_usize(CHANGES)]));
        }
        Ok(())
    }

    /// What is changed, in ascending order: where it starts and ends, and what it becomes.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (u64, u64, Change)> {
        let all = self.changes.iter();
        all.map(|(start, (end, change))| (*start, *end, *change))
    }

    /// Where the bytes from `offset` on are, for at most `length` (not 0) bytes.
    pub(crate) fn piece(&self, offset: u64, length: u64) -> Piece {
        if self.changes.is_empty() {
            return Piece {
                length,
                at: Some(offset),
            };
        }
        if let Some((&start, &(end, change))) = self.changes.range(..=offset).next_back()
            && end > offset
        {
            let piece = changed(change, offset.saturating_sub(start));
            return Piece {
                length: piece.length.min(end.saturating_sub(offset)).min(length),
                ..piece
            };
        }
        let next = self
            .changes
            .range(offset..)
            .next()
            .map_or(u64::MAX, |(start, _)| *start);
        Piece {
            length: length.min(next.saturating_sub(offset)).max(1),
            at: Some(offset),
        }
    }

    /// Fills `into`; what lies past the end reads as zeros.
    pub(crate) fn read(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let mut rest = into;
        let mut at = offset;
        while !rest.is_empty() {
            let piece = self.piece(at, from_usize(rest.len()));
            let (now, later) = rest.split_at_mut(to_usize(piece.length)?.min(rest.len()));
            match piece.at {
                Some(place) => self.file.read_padded(place, now)?,
                None => now.fill(0),
            }
            at = at.saturating_add(piece.length);
            rest = later;
        }
        Ok(())
    }
}

/// Where byte `within` of a changed range stands, and how many bytes follow it there.
fn changed(change: Change, within: u64) -> Piece {
    const LEADING: u64 = 8;
    const TRAILING: u64 = SECTOR - 4;
    let Change::Logged { descriptor, data } = change else {
        return Piece {
            length: u64::MAX,
            at: None,
        };
    };
    let (at, end) = if within < LEADING {
        (descriptor.saturating_add(8).saturating_add(within), LEADING)
    } else if within < TRAILING {
        (data.saturating_add(within), TRAILING)
    } else {
        let into = within.saturating_sub(TRAILING);
        (descriptor.saturating_add(4).saturating_add(into), SECTOR)
    };
    Piece {
        length: end.saturating_sub(within),
        at: Some(at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use instar_disk::FileFacts;

    #[test]
    fn later_changes_win_and_split_earlier_ones() {
        let native = instar_testkit::Native::new(1);
        let facts = FileFacts {
            slot: instar_disk::Slot(0),
            size: 1 << 20,
            kind: instar_disk::FileKind::Regular,
            writable: false,
            busy: false,
            called_dmg: false,
        };
        let mut replayed = Replayed::new(File::new(&native, facts));
        let logged = Change::Logged {
            descriptor: 1000,
            data: 200_000,
        };
        replayed.change(8192, 8 * SECTOR, Change::Zero).unwrap();
        replayed.change(16384, SECTOR, logged).unwrap();
        let at = |offset, length| {
            let piece = replayed.piece(offset, length);
            (piece.length, piece.at)
        };
        assert_eq!(at(0, 1 << 19), (8192, Some(0)));
        assert_eq!(at(8192, 1 << 19), (8192, None));
        assert_eq!(at(16384, 1 << 19), (8, Some(1008)));
        assert_eq!(at(16384 + 7, 1 << 19), (1, Some(1015)));
        assert_eq!(at(16384 + 8, 1 << 19), (4084, Some(200_008)));
        assert_eq!(at(16384 + 100, 20), (20, Some(200_100)));
        assert_eq!(at(16384 + 4092, 1 << 19), (4, Some(1004)));
        assert_eq!(at(16384 + 4095, 1 << 19), (1, Some(1007)));
        assert_eq!(at(20480, 1 << 19), (20480, None));
        assert_eq!(at(40960, 1 << 19), (1 << 19, Some(40960)));
        replayed.change(0, 1 << 30, Change::Zero).unwrap();
        assert_eq!(replayed.changes.len(), 1);
    }
}
