//! Where blocks start and end.

use instar_disk::fault::cloop as faults;
use instar_disk::{Budget, Fault, File, Result, TableReader, Work, to_usize};

use crate::header::Header;
use crate::raw::HEADER_BYTES;

/// Bytes that a compressed block may have; qemu-img's limit.
const STORED_MAX: u64 = 128 << 20;
/// Bytes of offsets that are read at once while they are looked through. Ours.
const PIECE: u64 = 1 << 20;

/// The offsets being read.
#[derive(Debug)]
pub(crate) struct Offsets<'h> {
    file: File<'h>,
    table: TableReader,
    /// Bytes that were read to look them through.
    looked: u64,
}

impl<'h> Offsets<'h> {
    /// The offsets that `header` declares, looked through.
    ///
    /// # Errors
    /// `ORDER`, `STORED`.
    pub(crate) fn open(file: File<'h>, header: &Header) -> Result<Self> {
        // The first that is missing decides: it is zero, and either less than the one before it, or one of nothing but zeros.
        let present = file.size().saturating_sub(HEADER_BYTES).div_ceil(8);
        let bytes = present.saturating_add(1).saturating_mul(8);
        let bytes = bytes.min(header.offsets_bytes());
        look_through(file, bytes)?;
        Ok(Self {
            file,
            table: TableReader::new(HEADER_BYTES, bytes),
            looked: bytes,
        })
    }

    /// Where block `block` starts, and how many bytes it has.
    pub(crate) fn block(&mut self, block: u64) -> Result<(u64, u64)> {
        let start = self.offset(block)?;
        let end = self.offset(block.saturating_add(1))?;
        Ok((start, end.saturating_sub(start)))
    }

    /// What the offsets have taken so far.
    pub(crate) const fn work(&self) -> Work {
        Work {
            read: self.table.bytes_read().saturating_add(self.looked),
            shared: 0,
        }
    }

    /// Those that the file is too short for are zero.
    fn offset(&mut self, number: u64) -> Result<u64> {
        let file = self.file;
        let page = self
            .table
            .from(number.saturating_mul(8), |at, into| file.read_padded(at, into))?;
        Ok(page.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes)))
    }
}

fn look_through(file: File<'_>, bytes: u64) -> Result<()> {
    let mut budget = Budget::new(file);
    let mut piece = alloc::vec::Vec::new();
    let (mut at, mut index, mut before) = (0_u64, 0_u64, None);
    while at < bytes {
        let length = bytes.saturating_sub(at).min(PIECE);
        budget.spend(length)?;
        piece.resize(to_usize(length)?, 0);
        file.read_padded(HEADER_BYTES.saturating_add(at), &mut piece)?;
        for offset in piece.as_chunks::<8>().0 {
            let offset = u64::from_be_bytes(*offset);
            let fault = match before.map(|before| offset.checked_sub(before)) {
                Some(None) => Some(faults::ORDER),
                Some(Some(stored)) if stored > STORED_MAX => Some(faults::STORED),
                None | Some(Some(_)) => None,
            };
            if let Some(code) = fault {
                return Err(Fault::new(code).with([index]).in_file(file.slot()));
            }
            before = Some(offset);
            index = index.saturating_add(1);
        }
        at = at.saturating_add(length);
    }
    Ok(())
}
