//! The trailer, valid by construction.

use instar_disk::fault::dmg as faults;
use instar_disk::{Fault, File, Result, align_up, from_usize, to_usize};
use zerocopy::{FromZeros, IntoBytes};

use crate::raw::{RawHeader, TRAILER};

/// Bytes of a sector.
pub(crate) const SECTOR: u64 = 512;
/// Bytes of a property list; qemu-img's limit. Of a resource fork, too, which has the same tables in less room; ours.
const TABLES_MAX: u64 = 16 << 20;
/// Sectors of a disk: what fits 63 bits of bytes.
const SECTORS_MAX: u64 = i64::MAX.unsigned_abs() / SECTOR;

/// What the trailer says, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the disk.
    pub size: u64,
    /// Where chunks are counted from.
    pub data_offset: u64,
    /// Where block tables are.
    pub tables: Tables,
}

/// Where block tables are; offset and length lie in front of the trailer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tables {
    /// In a resource fork.
    Fork(u64, u64),
    /// In a property list.
    List(u64, u64),
}

impl Header {
    /// Finds the trailer, and reads it.
    pub(crate) fn read(file: &File<'_>) -> Result<Self> {
        let at = find(file)?;
        let mut raw = RawHeader::new_zeroed();
        file.read_padded(at, raw.as_mut_bytes())?;
        Self::parse(&raw, at)
    }

    /// Checks what stands in the trailer at byte `at`.
    ///
    /// # Errors
    /// `RANGE`, `NO_TABLES`, `SIZE`.
    pub fn parse(raw: &RawHeader, at: u64) -> Result<Self> {
        let data_offset = raw.data_fork_offset.get();
        if data_offset > at {
            return Err(Fault::new(faults::RANGE)
                .with([data_offset, 0, at])
                .named(b"data fork"));
        }
        let fork = (raw.resource_fork_offset.get(), raw.resource_fork_length.get());
        let list = (raw.plist_offset.get(), raw.plist_length.get());
        for ((offset, length), name) in [(fork, &b"resource fork"[..]), (list, b"property list")] {
            if offset >= at || length > at.saturating_sub(offset) {
                return Err(Fault::new(faults::RANGE).with([offset, length, at]).named(name));
            }
        }
        let sectors = raw.sector_count.get();
        if sectors > SECTORS_MAX {
            return Err(Fault::new(faults::SIZE).with([sectors, SECTORS_MAX]));
        }
        let tables = match (fork, list) {
            ((offset, length), _) if length != 0 => Tables::Fork(offset, length),
            (_, (_, 0)) => return Err(Fault::new(faults::NO_TABLES)),
            (_, (offset, length)) => Tables::List(offset, length),
        };
        let (Tables::Fork(_, length) | Tables::List(_, length)) = tables;
        if length > TABLES_MAX {
            return Err(Fault::new(faults::TABLES_SIZE).with([length, TABLES_MAX]));
        }
        Ok(Self {
            size: sectors.saturating_mul(SECTOR),
            data_offset,
            tables,
        })
    }
}

/// Whether `file` has a trailer. Its name alone says that it is of this format; but it is no stream of what its first chunk is packed with.
///
/// # Errors
/// The host's.
pub fn is_marked(file: &File<'_>) -> Result<bool> {
    match find(file) {
        Ok(_) => Ok(true),
        Err(fault) if matches!(fault.code, faults::SMALL | faults::NO_TRAILER) => Ok(false),
        Err(fault) => Err(fault),
    }
}

/// Where the trailer starts. As by qemu-img, it may stand a little before the end: the first signature counts in what is a sector and
/// three bytes, and begins 1023 bytes before the end.
fn find(file: &File<'_>) -> Result<u64> {
    let length = align_up(file.size(), SECTOR)?;
    if length < SECTOR {
        return Err(Fault::new(faults::SMALL));
    }
    let mut window = [0; WINDOW];
    let start = length.saturating_sub(WINDOW_START);
    let within = to_usize(length.min(from_usize(WINDOW)))?;
    let window = window.get_mut(..within).unwrap_or_default();
    file.read_padded(start, window)?;
    let found = window.windows(TRAILER.len()).position(|bytes| *bytes == TRAILER);
    let found = found.ok_or_else(|| Fault::new(faults::NO_TRAILER))?;
    Ok(start.saturating_add(from_usize(found)))
}

/// Bytes in which the trailer is looked for, and how far before the end.
const WINDOW: usize = 515;
const WINDOW_START: u64 = 1023;
