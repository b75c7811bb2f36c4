//! Bytes on their way to other places in the same file.

use alloc::vec::Vec;

use instar_disk::{Action, File, Io, Result, Sealing, Tweak, ZeroHow, from_usize, is_zero, to_usize};

use crate::num::{internal, sub};

/// Bytes that stand together, before and after.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) length: u64,
    /// They are data of the disk, encrypted if it is.
    pub(super) sealed: bool,
}

/// Copies pieces, of which none lies where another goes to, many with one request.
pub(super) struct Copying<'h, 's> {
    file: File<'h>,
    /// By what data is encrypted, if the cipher counts places in the file.
    sealing: Option<&'s Sealing>,
    waiting: Vec<Piece>,
    bytes: u64,
    buffer: Vec<u8>,
}

impl<'h, 's> Copying<'h, 's> {
    pub(super) fn new(file: File<'h>, sealing: Option<&'s Sealing>) -> Self {
        Self {
            file,
            sealing: sealing.filter(|sealing| sealing.tweak == Tweak::File),
            waiting: Vec::new(),
            bytes: 0,
            buffer: Vec::new(),
        }
    }

    /// Adds a piece; it is copied now or later.
    pub(super) fn add(&mut self, mut piece: Piece) -> Result<()> {
        while piece.length > 0 {
            let length = piece.length.min(PIECE);
            self.waiting.push(Piece { length, ..piece });
            self.bytes = self.bytes.saturating_add(length);
            piece.from = piece.from.saturating_add(length);
            piece.to = piece.to.saturating_add(length);
            piece.length = sub(piece.length, length)?;
            if self.bytes > TOGETHER.saturating_sub(PIECE) || self.waiting.len() >= PIECES {
                self.finish()?;
            }
        }
        Ok(())
    }

    /// Copies what waits.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.buffer.clear();
        self.buffer.resize(to_usize(self.bytes)?, 0);
        self.read()?;
        self.seal_anew()?;
        self.write()?;
        self.waiting.clear();
        self.bytes = 0;
        Ok(())
    }

    /// What lies past the end of the file stays zero.
    fn read(&mut self) -> Result<()> {
        let slot = self.file.slot();
        let mut batch = Vec::with_capacity(self.waiting.len());
        let parts = parts(&self.waiting, &mut self.buffer)?;
        for (piece, into) in self.waiting.iter().zip(parts) {
            let offset = piece.from;
            batch.push(Io::new(Action::Read { slot, offset, into }));
        }
        self.file.host().all(&mut batch)
    }

    /// Encrypts data for its new place.
    fn seal_anew(&mut self) -> Result<()> {
        let Some(sealing) = self.sealing else {
            return Ok(());
        };
        let parts = parts(&self.waiting, &mut self.buffer)?;
        for (piece, data) in self.waiting.iter().zip(parts).filter(|(piece, _)| piece.sealed) {
            sealing.key.decrypt(piece.from, data)?;
            sealing.key.encrypt(piece.to, data)?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<()> {
        let slot = self.file.slot();
        let mut batch = Vec::with_capacity(self.waiting.len());
        let parts = parts(&self.waiting, &mut self.buffer)?;
        for (piece, from) in self.waiting.iter().zip(parts) {
            let offset = piece.to;
            // What was a hole becomes one.
            batch.push(Io::new(if is_zero(from) {
                Action::Zero {
                    slot,
                    offset,
                    length: from_usize(from.len()),
                    how: ZeroHow::MayUnmap,
                }
            } else {
                Action::Write { slot, offset, from }
            }));
        }
        self.file.host().all(&mut batch)
    }
}

/// A part of the buffer for each piece.
fn parts<'b>(pieces: &[Piece], mut buffer: &'b mut [u8]) -> Result<Vec<&'b mut [u8]>> {
    let mut parts = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let split = buffer.split_at_mut_checked(to_usize(piece.length)?);
        let (part, rest) = split.ok_or_else(|| internal(line!()))?;
        parts.push(part);
        buffer = rest;
    }
    Ok(parts)
}

/// Bytes of a piece that are copied with one request. Ours.
const PIECE: u64 = 1 << 20;
/// Bytes that are copied together. Ours.
const TOGETHER: u64 = 8 << 20;
/// Pieces that are copied together. Ours: a few doorbells.
const PIECES: usize = 1024;
