//! Where frames are, in the file and on the disk.

use alloc::vec::Vec;

use instar_disk::fault::zst as faults;
use instar_disk::{Budget, Fault, File, Result, Work, from_usize, to_usize};

use zerocopy::{FromZeros, IntoBytes};

use crate::header::Header;
use crate::raw::{RawSkipped, SKIPPED};

/// Entries that are read at once. Ours.
const BLOCK: u64 = 2048;
/// Bytes that a frame may decode to. Ours: a lane has one of them in memory.
const PLAIN_MAX: u64 = 64 << 20;
/// Bytes that such a frame may have. Ours: more than an encoder makes of data that it cannot compress.
const STORED_MAX: u64 = 128 << 20;
/// The least that a frame has: one that is skipped, without content.
const STORED_MIN: u64 = 8;

/// A frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Where it is in the file.
    pub(crate) offset: u64,
    /// Its bytes there.
    pub(crate) stored: u64,
    /// Where its first byte is on the disk.
    pub(crate) start: u64,
    /// Bytes that it decodes to.
    pub(crate) plain: u64,
    /// What the checksum of those is, if the table says.
    pub(crate) checksum: Option<u32>,
}

/// All frames of a file.
#[derive(Debug)]
pub(crate) struct Frames<'h> {
    file: File<'h>,
    header: Header,
    /// Where the first frame of each block is: in the file, and on the disk.
    starts: Vec<(u64, u64)>,
    /// The block that was read last, and its number.
    block: Option<(usize, Vec<Frame>)>,
    size: u64,
    largest: u64,
    read: u64,
}

impl<'h> Frames<'h> {
    /// Those of the table that `header` tells of, looked through.
    ///
    /// # Errors
    /// `SIZES`, `SKIPPED`, `END`; the host's.
    pub(crate) fn open(file: File<'h>, header: Header) -> Result<Self> {
        let mut frames = Self {
            file,
            header,
            starts: Vec::new(),
            block: None,
            size: 0,
            largest: 0,
            read: 0,
        };
        let mut budget = Budget::new(file);
        let mut at = (0, 0);
        for number in 0..u64::from(header.frames).div_ceil(BLOCK) {
            frames.starts.push(at);
            budget.spend(frames.bytes(number).1)?;
            for frame in frames.load(number, at)? {
                if frame.plain == 0 {
                    budget.spend(frame.stored.min(STORED_MIN))?;
                    frames.must_be_skipped(&frame)?;
                }
                at = (
                    frame.offset.saturating_add(frame.stored),
                    frame.start.saturating_add(frame.plain),
                );
                frames.largest = frames.largest.max(frame.plain);
            }
        }
        if at.0 != header.end {
            return Err(Fault::new(faults::END)
                .with([at.0, header.end])
                .in_file(file.slot()));
        }
        frames.size = at.1;
        Ok(frames)
    }

    /// Bytes that they decode to, all together.
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// Bytes that the largest decodes to.
    pub(crate) const fn largest(&self) -> u64 {
        self.largest
    }

    /// What the table has taken so far.
    pub(crate) const fn work(&self) -> Work {
        Work {
            read: self.read,
            shared: 0,
        }
    }

    /// The frame that has byte `offset` of the disk; none behind the last.
    ///
    /// # Errors
    /// As [`Frames::open`], for a file that changes.
    pub(crate) fn at(&mut self, offset: u64) -> Result<Option<Frame>> {
        let after = self.starts.partition_point(|(_, start)| *start <= offset);
        let Some(number) = after.checked_sub(1) else {
            return Ok(None);
        };
        if self.block.as_ref().is_none_or(|(known, _)| *known != number) {
            let start = self.starts.get(number).copied().unwrap_or_default();
            self.block = Some((number, self.load(from_usize(number), start)?));
        }
        let frames = self.block.as_ref().map_or(&[][..], |(_, frames)| frames);
        // Of several that begin there, those in front are empty.
        let after = frames.partition_point(|frame| frame.start <= offset);
        let frame = after.checked_sub(1).and_then(|last| frames.get(last)).copied();
        Ok(frame.filter(|frame| offset.saturating_sub(frame.start) < frame.plain))
    }

    /// Makes sure that a frame which the table has nothing of is nothing to others, either.
    ///
    /// # Errors
    /// `SKIPPED`; the host's.
    fn must_be_skipped(&self, frame: &Frame) -> Result<()> {
        let mut head = RawSkipped::new_zeroed();
        self.file.read_padded(frame.offset, head.as_mut_bytes())?;
        let bytes = u64::from(head.frame_size.get()).saturating_add(STORED_MIN);
        if head.magic.get() & !0xf == SKIPPED && bytes == frame.stored {
            return Ok(());
        }
        Err(Fault::new(faults::SKIPPED)
            .with([frame.offset])
            .in_file(self.file.slot()))
    }

    /// Where in the file block `number` of the table is, and its bytes.
    fn bytes(&self, number: u64) -> (u64, u64) {
        let each = self.header.entry_bytes();
        let first = number.saturating_mul(BLOCK);
        let entries = u64::from(self.header.frames).saturating_sub(first).min(BLOCK);
        let at = self.header.entries().saturating_add(first.saturating_mul(each));
        (at, entries.saturating_mul(each))
    }

    /// The frames of block `number`, the first of which is at `start` of file and disk.
    fn load(&mut self, number: u64, start: (u64, u64)) -> Result<Vec<Frame>> {
        let (at, bytes) = self.bytes(number);
        let mut entries = alloc::vec![0; to_usize(bytes)?];
        self.file.read_exact(at, &mut entries)?;
        self.read = self.read.saturating_add(bytes);
        let (mut offset, mut start) = start;
        let mut frames = Vec::new();
        for entry in entries.chunks_exact(to_usize(self.header.entry_bytes())?) {
            let field = |index| {
                let words = entry.as_chunks::<4>().0;
                words.get(index).map(|word| u32::from_le_bytes(*word))
            };
            let [stored, plain] = [0, 1].map(|index| u64::from(field(index).unwrap_or(0)));
            let fits = plain == 0 || plain <= PLAIN_MAX && stored <= STORED_MAX;
            if stored < STORED_MIN || !fits {
                return Err(Fault::new(faults::SIZES)
                    .with([offset, stored, plain])
                    .in_file(self.file.slot()));
            }
            frames.push(Frame {
                offset,
                stored,
                start,
                plain,
                checksum: field(2),
            });
            offset = offset.saturating_add(stored);
            start = start.saturating_add(plain);
        }
        Ok(frames)
    }
}
