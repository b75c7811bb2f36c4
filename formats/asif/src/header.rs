//! The header, valid by construction.

use instar_disk::fault::asif as faults;
use instar_disk::{Fault, Result, limits};

use crate::raw::{HEADER_BYTES, MAGIC, RawHeader, VERSION, entry};

/// What a valid header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the disk, a multiple of 512.
    pub size: u64,
    /// Bytes of a chunk, a power of two.
    pub chunk: u64,
    /// Bytes of a sector, a power of two.
    pub sector: u64,
    /// Entries of a directory.
    pub tables: u64,
    /// Where the two directories are.
    pub directories: [u64; 2],
}

impl Header {
    /// Judges `raw`.
    ///
    /// # Errors
    /// What is wrong.
    pub fn parse(raw: &RawHeader) -> Result<Self> {
        if raw.magic != MAGIC {
            return Err(Fault::new(faults::MAGIC));
        }
        let (version, bytes) = (raw.version.get(), raw.header_size.get());
        if (version, bytes) != (VERSION, HEADER_BYTES) {
            return Err(Fault::new(faults::VERSION).with([version.into(), bytes.into()]));
        }
        let (chunk, sector) = (u64::from(raw.chunk_size.get()), u64::from(raw.sector_size.get()));
        if !sector.is_power_of_two() || !SECTOR.contains(&sector) {
            return Err(Fault::new(faults::SECTOR_SIZE).with([sector]));
        }
        let mut header = Self {
            size: 0,
            chunk,
            sector,
            tables: 0,
            directories: raw.directories.map(|start| start.get()),
        };
        if !chunk.is_power_of_two() || chunk > CHUNK_MAX || header.groups() == 0 {
            return Err(Fault::new(faults::CHUNK_SIZE).with([chunk]));
        }
        let bytes = |sectors: u64| {
            let bytes = sectors.checked_mul(sector);
            bytes.filter(|bytes| *bytes < limits::FILE_END)
        };
        let (size, most) = (bytes(raw.sectors.get()), bytes(raw.sectors_max.get()));
        let (Some(size), Some(most)) = (size, most) else {
            return Err(Fault::new(faults::SIZE).with([raw.sectors.get(), raw.sectors_max.get()]));
        };
        if size > most {
            return Err(Fault::new(faults::SIZE).with([raw.sectors.get(), raw.sectors_max.get()]));
        }
        header.size = size;
        header.tables = most.div_ceil(header.span().max(1));
        Ok(header)
    }

    /// Data entries of a group, behind which is one for their bitmap.
    #[must_use]
    pub const fn group(&self) -> u64 {
        self.sector.saturating_mul(4)
    }

    /// Groups of a table, which is a chunk.
    #[must_use]
    pub fn groups(&self) -> u64 {
        let bytes = self.group().saturating_add(1).saturating_mul(entry::BYTES);
        self.chunk.checked_div(bytes).unwrap_or(0)
    }

    /// Chunks of the disk that a table stands for.
    #[must_use]
    pub fn chunks(&self) -> u64 {
        self.groups().saturating_mul(self.group())
    }

    /// Bytes of the disk that a table stands for.
    #[must_use]
    pub fn span(&self) -> u64 {
        self.chunks().saturating_mul(self.chunk)
    }

    /// Bytes of a directory, without its sequence number.
    #[must_use]
    pub const fn directory_bytes(&self) -> u64 {
        self.tables.saturating_mul(entry::BYTES)
    }

    /// Bytes of the bits of a chunk, two for each sector.
    #[must_use]
    pub fn bits(&self) -> u64 {
        self.chunk.checked_div(self.sector.saturating_mul(4)).unwrap_or(0)
    }
}

/// Bytes of a sector.
const SECTOR: core::ops::RangeInclusive<u64> = 512..=4096;
/// Bytes of a chunk. Ours: nobody makes other chunks than of 1 MiB.
const CHUNK_MAX: u64 = 64 << 20;
