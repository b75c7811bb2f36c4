//! Where everything is in a new sparse file; the same places as in qemu-img's.

use instar_disk::{
    Fault, File, FileKind, Preallocate, Result, ZeroHow, align_up, fault, from_usize, to_usize,
};
use zerocopy::FromZeros;
use zerocopy::IntoBytes;

use crate::raw::{END_LINE_CHARS, RawSparseHeader, SECTOR, SPARSE_MAGIC, flags};

/// Bytes of a grain in what we write; qemu-img's and VMware's.
pub(crate) const GRAIN: u64 = 64 << 10;
/// Entries of a grain table; the format's.
pub(crate) const ENTRIES: u64 = 512;
/// Bytes of a grain table.
pub(crate) const TABLE_BYTES: u64 = ENTRIES * 4;
/// Disk bytes that one grain table covers.
pub(crate) const TABLE_SPAN: u64 = ENTRIES * GRAIN;
/// Where the embedded descriptor starts, and how long it may be.
pub(crate) const DESCRIPTOR: u64 = SECTOR;
pub(crate) const DESCRIPTOR_BYTES: u64 = 20 * SECTOR;
/// Largest disk: grains are counted in 32 bits by the reference. 256 TiB.
pub(crate) const DISK_MAX: u64 = (1 << 32) * GRAIN - GRAIN;
/// Largest file: grains are addressed by 32-bit sector numbers. 2 TiB.
pub(crate) const FILE_MAX: u64 = (1 << 32) * SECTOR;

/// Bytes of a directory that are written at a time. Ours.
const DIRECTORY_CHUNK: u64 = 64 << 10;

/// Places in a sparse file, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Virtual bytes.
    pub(crate) capacity: u64,
    pub(crate) tables: u64,
    /// The redundant directory; its tables follow.
    pub(crate) redundant: u64,
    /// The directory; its tables follow.
    pub(crate) directory: u64,
    /// The first grain.
    pub(crate) grains: u64,
}

impl Layout {
    /// For `capacity` bytes, a multiple of 512.
    ///
    /// # Errors
    /// `TARGET_TOO_LARGE`.
    pub(crate) fn new(capacity: u64) -> Result<Self> {
        if capacity > DISK_MAX {
            return Err(Fault::new(fault::core::TARGET_TOO_LARGE).with([capacity, DISK_MAX]));
        }
        let tables = capacity.div_ceil(TABLE_SPAN);
        let part = directory_bytes(tables)?.saturating_add(tables.saturating_mul(TABLE_BYTES));
        let redundant = DESCRIPTOR.saturating_add(DESCRIPTOR_BYTES);
        let directory = redundant.saturating_add(part);
        let grains = align_up(directory.saturating_add(part), GRAIN)?;
        Ok(Self {
            capacity,
            tables,
            redundant,
            directory,
            grains,
        })
    }

    /// The tables of the directory at `directory`, one after the other.
    pub(crate) fn tables_of(&self, directory: u64) -> Result<u64> {
        Ok(directory.saturating_add(directory_bytes(self.tables)?))
    }

    /// Bytes of all tables of one directory.
    pub(crate) const fn table_bytes(&self) -> u64 {
        self.tables.saturating_mul(TABLE_BYTES)
    }

    /// The header of a file laid out like this.
    pub(crate) fn header(&self, zeroed_grain: bool) -> RawSparseHeader {
        let mut raw = common_header(self.capacity, zeroed_grain);
        let sectors = |bytes: u64| (bytes / SECTOR).into();
        raw.version = if zeroed_grain { 2 } else { 1 }.into();
        raw.flags = (raw.flags.get() | flags::REDUNDANT_TABLE).into();
        raw.rgd_offset = sectors(self.redundant);
        raw.gd_offset = sectors(self.directory);
        raw.over_head = sectors(self.grains);
        raw
    }

    /// Writes both directories: they are complete from the start.
    pub(crate) fn write_directories(&self, file: &File<'_>) -> Result<()> {
        for directory in [self.redundant, self.directory] {
            let first = self.tables_of(directory)?;
            let table = |number: u64| first.saturating_add(number.saturating_mul(TABLE_BYTES)) / SECTOR;
            write_directory(file, directory, self.tables, table)?;
        }
        Ok(())
    }
}

/// Bytes of a directory of `tables` entries: whole sectors.
pub(crate) fn directory_bytes(tables: u64) -> Result<u64> {
    align_up(tables.saturating_mul(4), SECTOR)
}

/// Writes a directory of `tables` entries at `place`; `table(i)` is the sector of table i.
pub(crate) fn write_directory(
    file: &File<'_>,
    place: u64,
    tables: u64,
    table: impl Fn(u64) -> u64,
) -> Result<()> {
    let bytes = directory_bytes(tables)?;
    let mut chunk = alloc::vec::Vec::with_capacity(to_usize(bytes.min(DIRECTORY_CHUNK))?);
    let (mut number, mut at) = (0_u64, place);
    while at < place.saturating_add(bytes) {
        chunk.clear();
        let length = DIRECTORY_CHUNK.min(place.saturating_add(bytes).saturating_sub(at));
        while from_usize(chunk.len()) < length {
            let sector = if number < tables { table(number) } else { 0 };
            let entry = u32::try_from(sector).map_err(|_| file_full(sector.saturating_mul(SECTOR)))?;
            chunk.extend_from_slice(&entry.to_le_bytes());
            number = number.saturating_add(1);
        }
        file.write(at, &chunk)?;
        at = at.saturating_add(length);
    }
    Ok(())
}

/// What the headers of all our sparse files have in common.
pub(crate) fn common_header(capacity: u64, zeroed_grain: bool) -> RawSparseHeader {
    let mut raw = RawSparseHeader::new_zeroed();
    raw.magic_number = SPARSE_MAGIC;
    raw.flags = (flags::NEW_LINE_DETECTION | if zeroed_grain { flags::ZEROED_GRAIN } else { 0 }).into();
    raw.capacity = (capacity / SECTOR).into();
    raw.grain_size = (GRAIN / SECTOR).into();
    raw.descriptor_offset = (DESCRIPTOR / SECTOR).into();
    raw.descriptor_size = (DESCRIPTOR_BYTES / SECTOR).into();
    raw.num_gtes_per_gt = 512.into();
    raw.end_line_chars = END_LINE_CHARS;
    raw
}

/// Makes `file` empty, then `length` bytes long. A block device keeps its size and its content.
pub(crate) fn prepare<'h>(file: File<'h>, length: u64) -> Result<File<'h>> {
    if file.kind() == FileKind::Block {
        if file.size() < length {
            return Err(Fault::new(fault::core::TARGET_TOO_SMALL).in_file(file.slot()));
        }
        return Ok(file);
    }
    if file.kind() == FileKind::Regular {
        file.resize(0, Preallocate::Off)?;
    }
    if length > 0 {
        file.extend_from_nothing(length, Preallocate::Off)?;
    }
    Ok(file.emptied())
}

/// Sets the final length of a file that is no device.
pub(crate) fn settle(file: &File<'_>, length: u64) -> Result<()> {
    if file.kind() == FileKind::Block {
        return Ok(());
    }
    file.resize(length, Preallocate::Off)
}

/// Makes a range that was never written read as zero.
pub(crate) fn clear(file: &File<'_>, offset: u64, length: u64) -> Result<()> {
    if file.kind() == FileKind::Fresh {
        return Ok(());
    }
    file.zero(offset, length, ZeroHow::MayUnmap)
}

/// Writes the descriptor into a file that has everything, then the header that makes it an image.
pub(crate) fn write_head(file: &File<'_>, header: &RawSparseHeader, descriptor: &[u8]) -> Result<()> {
    let mut sectors = descriptor.to_vec();
    sectors.resize(to_usize(DESCRIPTOR_BYTES)?, 0);
    file.write(DESCRIPTOR, &sectors)?;
    file.flush()?;
    file.write(0, header.as_bytes())?;
    file.flush()
}

/// The file would outgrow its 32-bit sector numbers.
pub(crate) fn file_full(bytes: u64) -> Fault {
    Fault::new(fault::vmdk::FILE_FULL).with([bytes, FILE_MAX])
}
