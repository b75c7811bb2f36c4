//! The chunks of a disk, in its order.

use alloc::vec::Vec;

use instar_disk::fault::dmg as faults;
use instar_disk::{Fault, Result, fault, from_usize};

/// Chunks that are kept. Ours: 512 GiB of the usual 512 KiB, and 40 MiB of memory.
const CHUNKS_MAX: usize = 1 << 20;

/// Sectors that follow one another, and where their bytes are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunk {
    pub(crate) content: Content,
    /// Its first sector, and the one behind its last.
    pub(crate) sector: u64,
    pub(crate) end: u64,
    /// Where its bytes stand in the file, and how many they are.
    pub(crate) offset: u64,
    pub(crate) length: u32,
}

/// How the bytes of a chunk are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Zeros,
    Raw,
    Adc,
    Zlib,
    Bzip2,
    Lzfse,
    Xz,
    Unknown(u32),
}

/// Chunks, sorted and apart.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    chunks: Vec<Chunk>,
    /// Bytes of tables that were read.
    pub(crate) read: u64,
}

impl Chunks {
    pub(crate) const fn len(&self) -> usize {
        self.chunks.len()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Appends one.
    ///
    /// # Errors
    /// `ORDER` if it begins before the end of the last one; `TABLE_LIMIT`, `OUT_OF_MEMORY`.
    pub(crate) fn add(&mut self, chunk: Chunk) -> Result<()> {
        let number = from_usize(self.chunks.len());
        if let Some(last) = self.chunks.last()
            && chunk.sector < last.end
        {
            return Err(Fault::new(faults::ORDER).with([number, chunk.sector, last.end]));
        }
        if self.chunks.len() >= CHUNKS_MAX {
            let numbers = [number.saturating_add(1), from_usize(CHUNKS_MAX)];
            return Err(Fault::new(fault::core::TABLE_LIMIT).with(numbers));
        }
        self.chunks
            .try_reserve(1)
            .map_err(|_| Fault::new(fault::core::OUT_OF_MEMORY).with([number.saturating_mul(40)]))?;
        self.chunks.push(chunk);
        Ok(())
    }

    /// The chunk that a sector is in.
    pub(crate) fn at(&self, sector: u64) -> Option<&Chunk> {
        let after = self.chunks.partition_point(|chunk| chunk.sector <= sector);
        let chunk = self.chunks.get(after.checked_sub(1)?)?;
        (sector < chunk.end).then_some(chunk)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Chunk> {
        self.chunks.iter()
    }
}
