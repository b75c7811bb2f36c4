//! Reading: many requests at once, replies in any order and in any number of chunks.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use instar_disk::{Fault, Result, align_down, align_up, fault, from_usize, to_usize};

use crate::connection::{CHUNKS, Connection, PIECE, WINDOW};
use crate::covered::Covered;
use crate::raw::{RawHole, chunk, command};
use crate::replies::{Head, refused};
use crate::wire::Wire;

/// Bytes to be read, and what came of it.
#[derive(Debug)]
pub struct Read<'a> {
    pub(crate) offset: u64,
    pub(crate) into: &'a mut [u8],
    /// Whether all of them are there.
    pub outcome: Result<()>,
}

impl<'a> Read<'a> {
    /// Bytes of the export from `offset` on, which it has.
    #[must_use]
    pub const fn new(offset: u64, into: &'a mut [u8]) -> Self {
        Self {
            offset,
            into,
            outcome: Ok(()),
        }
    }

    fn end(&self) -> u64 {
        self.offset.saturating_add(from_usize(self.into.len()))
    }
}

/// A part of a read that is one request.
struct Piece {
    read: usize,
    range: Range<u64>,
}

/// A request that was made.
struct Flight {
    piece: Piece,
    cookie: u64,
    came: Covered,
    chunks: u32,
    errno: Option<u64>,
}

impl Connection {
    /// Reads all of them; each has its own outcome. `meanwhile` runs once, when the first requests have been sent.
    pub fn read(&mut self, wire: &mut dyn Wire, reads: &mut [Read<'_>], meanwhile: &mut dyn FnMut()) {
        let widened: Result<Vec<(u64, Vec<u8>)>> = reads.iter().map(|read| self.widened(read)).collect();
        let mut widened = match widened {
            Ok(widened) => widened,
            Err(fault) => {
                for read in reads {
                    read.outcome = Err(fault.clone());
                }
                return meanwhile();
            }
        };
        let mut whole: Vec<Read<'_>> = reads
            .iter_mut()
            .zip(&mut widened)
            .map(|(read, (offset, buffer))| match buffer.is_empty() {
                true => Read::new(read.offset, read.into),
                false => Read::new(*offset, buffer),
            })
            .collect();
        self.read_blocks(wire, &mut whole, meanwhile);
        let outcomes: Vec<_> = whole.into_iter().map(|read| read.outcome).collect();
        for ((read, (start, buffer)), outcome) in reads.iter_mut().zip(&widened).zip(outcomes) {
            read.outcome = outcome;
            if !buffer.is_empty() {
                let skipped = usize::try_from(read.offset.saturating_sub(*start)).unwrap_or(usize::MAX);
                for (to, from) in read.into.iter_mut().zip(buffer.iter().skip(skipped)) {
                    *to = *from;
                }
            }
        }
    }

    /// Where the blocks begin that hold the bytes of a read, and room for them; no room: the read is of whole blocks.
    fn widened(&self, read: &Read<'_>) -> Result<(u64, Vec<u8>)> {
        let (minimum, size) = (self.export.blocks().minimum, self.export.size());
        let is_end = |end: u64| end.is_multiple_of(minimum) || end == size;
        if read.offset.is_multiple_of(minimum) && is_end(read.end()) {
            return Ok((read.offset, Vec::new()));
        }
        let start = align_down(read.offset, minimum);
        let end = align_up(read.end(), minimum)?.min(size.max(read.end()));
        Ok((start, vec![0; to_usize(end.saturating_sub(start))?]))
    }

    /// Reads of whole blocks.
    fn read_blocks(&mut self, wire: &mut dyn Wire, reads: &mut [Read<'_>], meanwhile: &mut dyn FnMut()) {
        let most = PIECE.min(self.export.blocks().maximum).max(1);
        let pieces: Vec<Piece> = reads
            .iter()
            .enumerate()
            .flat_map(|(number, read)| {
                let (start, end) = (read.offset, read.end());
                let count = end.saturating_sub(start).div_ceil(most);
                (0..count).map(move |at| {
                    let from = start.saturating_add(at.saturating_mul(most));
                    Piece {
                        read: number,
                        range: from..from.saturating_add(most).min(end),
                    }
                })
            })
            .collect();
        let mut ran = false;
        let mut once = || {
            if !core::mem::replace(&mut ran, true) {
                meanwhile();
            }
        };
        let done = self.guarded(|connection| connection.fly(wire, reads, pieces, &mut once));
        once();
        if let Err(fault) = done {
            for read in reads {
                read.outcome = Err(fault.clone());
            }
        }
    }

    fn fly(
        &mut self,
        wire: &mut dyn Wire,
        reads: &mut [Read<'_>],
        pieces: Vec<Piece>,
        sent: &mut dyn FnMut(),
    ) -> Result<()> {
        let mut pieces = pieces.into_iter();
        let mut flights: Vec<Flight> = Vec::new();
        loop {
            while flights.len() < WINDOW {
                let Some(piece) = pieces.next() else { break };
                let length = piece.range.end.saturating_sub(piece.range.start);
                let cookie = self.request(wire, command::READ, 0, piece.range.start, length, &[])?;
                flights.push(Flight {
                    piece,
                    cookie,
                    came: Covered::default(),
                    chunks: 0,
                    errno: None,
                });
            }
            sent();
            if flights.is_empty() {
                return Ok(());
            }
            self.landed(wire, reads, &mut flights)?;
        }
    }

    /// Takes one reply, or a chunk of one.
    fn landed(
        &mut self,
        wire: &mut dyn Wire,
        reads: &mut [Read<'_>],
        flights: &mut Vec<Flight>,
    ) -> Result<()> {
        let head = self.head(wire)?;
        let (Head::Simple { cookie, .. } | Head::Chunk { cookie, .. }) = head;
        let at = flights.iter().position(|flight| flight.cookie == cookie);
        let found = at.and_then(|at| Some((at, flights.get_mut(at)?)));
        let (at, flight) = found.ok_or_else(|| Fault::new(fault::nbd::COOKIE))?;
        let range = flight.piece.range.clone();
        let read = reads
            .get_mut(flight.piece.read)
            .ok_or_else(|| Fault::new(fault::nbd::COOKIE))?;
        let done = match head {
            Head::Simple {
                failed: Some(errno), ..
            } => {
                flight.errno = Some(errno);
                true
            }
            Head::Simple { .. } if self.export.structured => return Err(Fault::new(fault::nbd::REPLY)),
            Head::Simple { .. } => {
                let place = read.place(&range)?;
                self.inbox.fill(wire, place)?;
                flight.came.add(range.clone());
                true
            }
            Head::Chunk {
                kind, length, done, ..
            } => {
                flight.chunks = flight.chunks.saturating_add(1);
                if flight.chunks > CHUNKS {
                    return Err(Fault::new(fault::nbd::CHUNKS));
                }
                match kind {
                    chunk::OFFSET_DATA => self.data(wire, length, flight, read)?,
                    chunk::OFFSET_HOLE => self.hole(wire, length, flight, read)?,
                    _ => {
                        let errno = self.plain_chunk(wire, kind, length, done)?;
                        flight.errno = errno.or(flight.errno);
                    }
                }
                done
            }
        };
        if done {
            let flight = flights.remove(at);
            match flight.errno {
                Some(errno) => read.outcome = Err(refused(errno)),
                None if flight.came.is(&range) => {}
                None => return Err(Fault::new(fault::nbd::MISSING)),
            }
        }
        Ok(())
    }

    fn data(
        &mut self,
        wire: &mut dyn Wire,
        length: u32,
        flight: &mut Flight,
        read: &mut Read<'_>,
    ) -> Result<()> {
        let bytes = u64::from(length).checked_sub(8).filter(|bytes| *bytes > 0);
        let bytes = bytes.ok_or_else(|| Fault::new(fault::nbd::LENGTH))?;
        let offset: zerocopy::big_endian::U64 = self.inbox.take(wire)?;
        let range = flight.takes(offset.get(), bytes)?;
        self.inbox.fill(wire, read.place(&range)?)
    }

    fn hole(
        &mut self,
        wire: &mut dyn Wire,
        length: u32,
        flight: &mut Flight,
        read: &mut Read<'_>,
    ) -> Result<()> {
        if to_usize(length.into())? != size_of::<RawHole>() {
            return Err(Fault::new(fault::nbd::LENGTH));
        }
        let hole: RawHole = self.inbox.take(wire)?;
        let range = flight.takes(hole.offset.get(), hole.length.get().into())?;
        read.place(&range)?.fill(0);
        Ok(())
    }
}

impl Flight {
    /// Notes bytes that come; they were asked for, and have not come before.
    fn takes(&mut self, offset: u64, bytes: u64) -> Result<Range<u64>> {
        let outside = || Fault::new(fault::nbd::OUTSIDE);
        let end = offset.checked_add(bytes).ok_or_else(outside)?;
        let asked = &self.piece.range;
        if bytes == 0 || offset < asked.start || end > asked.end || !self.came.add(offset..end) {
            return Err(outside());
        }
        Ok(offset..end)
    }
}

impl Read<'_> {
    /// Where these bytes of the export go.
    fn place(&mut self, range: &Range<u64>) -> Result<&mut [u8]> {
        let outside = || Fault::new(fault::nbd::OUTSIDE);
        let from = to_usize(range.start.checked_sub(self.offset).ok_or_else(outside)?)?;
        let to = to_usize(range.end.checked_sub(self.offset).ok_or_else(outside)?)?;
        self.into.get_mut(from..to).ok_or_else(outside)
    }
}
