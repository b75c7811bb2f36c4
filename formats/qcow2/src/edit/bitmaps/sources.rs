//! Bits of bitmaps, read from where they stand and joined.

use alloc::vec::Vec;

use instar_disk::report::Bitmap;
use instar_disk::{Bitmaps, File, Image, Result, align_down, align_up, from_usize, to_usize};

use super::actions::{Held, Input};
use crate::bitmaps::bits::{runs, set};
use crate::bitmaps::directory::Entry;
use crate::header::Header;
use crate::num::{add, internal, shl, shr};

/// The other image that bitmaps come from.
pub(super) struct Other<'o> {
    /// Of its disk, in bytes.
    pub(super) size: u64,
    list: Vec<Bitmap>,
    bitmaps: Option<&'o mut dyn Bitmaps>,
}

impl<'o> Other<'o> {
    pub(super) fn of(image: &'o mut dyn Image) -> Result<Self> {
        let size = image.size();
        let mut bitmaps = image.bitmaps();
        let list = match &mut bitmaps {
            Some(bitmaps) => bitmaps.list()?,
            None => Vec::new(),
        };
        Ok(Self { size, list, bitmaps })
    }

    pub(super) fn find(&self, name: &[u8]) -> Option<usize> {
        self.list.iter().position(|bitmap| bitmap.name.as_bytes() == name)
    }

    pub(super) fn is_inconsistent(&self, number: usize) -> bool {
        self.list.get(number).is_some_and(|bitmap| bitmap.in_use)
    }
}

/// Everything that bits are read from.
pub(super) struct Sources<'s, 'o, 'h> {
    pub(super) file: File<'h>,
    pub(super) header: &'s Header,
    pub(super) stored: &'s [Entry],
    pub(super) other: Option<Other<'o>>,
}

impl Sources<'_, '_, '_> {
    /// Fills `into` with bits of `held` from their byte `offset` on.
    ///
    /// # Errors
    /// What is wrong with a bitmap that they come from; the host's.
    pub(super) fn fill(&mut self, held: &Held, offset: u64, into: &mut [u8]) -> Result<()> {
        into.fill(0);
        let granularity = held.shown.granularity;
        for input in &held.inputs {
            let theirs = self.granularity(*input)?;
            if theirs == granularity {
                self.join_alike(*input, offset, into)?;
            } else {
                self.join(*input, theirs, granularity, offset, into)?;
            }
        }
        Ok(())
    }

    fn granularity(&self, input: Input) -> Result<u64> {
        let found = match input {
            Input::Own(number) => self.stored.get(number).map(|entry| entry.shown.granularity),
            Input::Other(number) => {
                let other = self.other.as_ref().and_then(|other| other.list.get(number));
                other.map(|bitmap| bitmap.granularity)
            }
        };
        let sound = found.filter(|granularity| granularity.is_power_of_two());
        sound.ok_or_else(|| internal(line!()))
    }

    fn read(&mut self, input: Input, offset: u64, into: &mut [u8]) -> Result<()> {
        match input {
            Input::Own(number) => {
                let entry = self.stored.get(number).ok_or_else(|| internal(line!()))?;
                entry.bits(self.file, self.header, offset, into)
            }
            Input::Other(number) => {
                let other = self.other.as_mut().and_then(|other| other.bitmaps.as_mut());
                other.ok_or_else(|| internal(line!()))?.read(number, offset, into)
            }
        }
    }

    /// Sets the bits that are set in a bitmap whose bits stand for as much.
    fn join_alike(&mut self, input: Input, offset: u64, into: &mut [u8]) -> Result<()> {
        let mut piece = alloc::vec![0; PIECE.min(into.len())];
        let mut at = offset;
        for some in into.chunks_mut(PIECE) {
            let piece = piece.get_mut(..some.len()).ok_or_else(|| internal(line!()))?;
            self.read(input, at, piece)?;
            for (to, from) in some.iter_mut().zip(piece.iter()) {
                *to |= *from;
            }
            at = add(at, from_usize(some.len()))?;
        }
        Ok(())
    }

    /// Sets the bits of which anything is set in a bitmap whose bits stand for more or less.
    fn join(&mut self, input: Input, theirs: u64, ours: u64, offset: u64, into: &mut [u8]) -> Result<()> {
        let size = self.header.virtual_size();
        let (their_bits, our_bits) = (theirs.trailing_zeros(), ours.trailing_zeros());
        let first = shl(offset, 3)?;
        let stop = add(first, shl(from_usize(into.len()), 3)?)?;
        // The part of the disk, no further than the disk goes, and whole bits of both.
        let coarse = theirs.max(ours);
        let start = align_down(shl(first, our_bits)?, coarse);
        let end = stop.saturating_mul(ours).min(size);
        let end = align_up(end, coarse)?.min(size);
        let mut at = align_down(shr(start, their_bits), 8);
        let last = end.div_ceil(theirs);
        let mut piece = Vec::new();
        while at < last {
            let bytes = to_usize(last.saturating_sub(at).div_ceil(8))?.min(PIECE);
            piece.resize(bytes, 0);
            self.read(input, shr(at, 3), &mut piece)?;
            runs(&piece, &mut |from, to| {
                let begin = shr(at.saturating_add(from).saturating_mul(theirs), our_bits);
                let until = at
                    .saturating_add(to)
                    .saturating_mul(theirs)
                    .min(size)
                    .div_ceil(ours);
                let (begin, until) = (begin.max(first), until.min(stop));
                set(into, begin.saturating_sub(first), until.saturating_sub(first));
            });
            at = add(at, shl(from_usize(bytes), 3)?)?;
        }
        Ok(())
    }
}

/// Bytes of bits that are read together. Ours.
const PIECE: usize = 64 << 10;
