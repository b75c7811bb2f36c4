//! Small structures of a file, read through one buffer.

use alloc::vec::Vec;

use instar_disk::{Fault, File, ImageText, Result, fault, from_usize, limits, to_usize};
use zerocopy::{FromBytes, IntoBytes};

/// A file whose structures are looked at in ascending order: each byte of it is read about once, however small they are.
/// What the file lacks reads as zero.
pub(crate) struct Pieces<'h> {
    file: File<'h>,
    start: u64,
    piece: Vec<u8>,
}

impl<'h> Pieces<'h> {
    pub(crate) const fn new(file: File<'h>) -> Self {
        Self {
            file,
            start: 0,
            piece: Vec::new(),
        }
    }

    pub(crate) const fn file(&self) -> File<'h> {
        self.file
    }

    /// Fills `into`, which is no longer than [`NEXT_PIECE`].
    pub(crate) fn read(&mut self, offset: u64, into: &mut [u8]) -> Result<()> {
        if self.copy(offset, into).is_some() {
            return Ok(());
        }
        let length = if self.piece.is_empty() && into.len() <= FIRST_PIECE {
            FIRST_PIECE
        } else {
            NEXT_PIECE
        };
        self.piece.resize(length, 0);
        self.start = offset;
        self.file.read_padded(offset, &mut self.piece)?;
        self.copy(offset, into)
            .ok_or_else(|| Fault::new(fault::core::INTERNAL).with([u64::from(line!())]))
    }

    /// A value of `T`.
    pub(crate) fn value<T: FromBytes + IntoBytes>(&mut self, offset: u64) -> Result<T> {
        let mut value = T::new_zeroed();
        self.read(offset, value.as_mut_bytes())?;
        Ok(value)
    }

    /// The C string in at most `length` bytes, or as many as we keep of a name.
    pub(crate) fn string(&mut self, offset: u64, length: u64) -> Result<Vec<u8>> {
        let length = length.min(from_usize(limits::IMAGE_TEXT));
        let mut bytes = alloc::vec![0; to_usize(length)?];
        self.read(offset, &mut bytes)?;
        bytes.truncate(until_nul(&bytes).len());
        Ok(bytes)
    }

    /// The same, none if it is empty.
    pub(crate) fn text(&mut self, offset: u64, length: u64) -> Result<Option<ImageText>> {
        let text = self.string(offset, length)?;
        Ok((!text.is_empty()).then(|| ImageText::new(&text)))
    }

    fn copy(&self, offset: u64, into: &mut [u8]) -> Option<()> {
        let from = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        let to = from.checked_add(into.len())?;
        into.copy_from_slice(self.piece.get(from..to)?);
        Some(())
    }
}

/// The bytes of a C string.
pub(crate) fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or(bytes)
}

/// Bytes of the first read. Ours: header, extensions and backing name of nearly every image.
const FIRST_PIECE: usize = 4096;

/// Bytes of each further read. Ours: a megabyte of structures costs sixteen.
const NEXT_PIECE: usize = 65536;
