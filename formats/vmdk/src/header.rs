//! From header bytes to a sparse extent that makes sense.

use core::mem::offset_of;

use instar_disk::{Fault, File, Result, align_up, fault, from_usize};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use crate::raw::{
    COMPRESSION_DEFLATE, COMPRESSION_NONE, COWD_MAGIC, END_LINE_CHARS, GD_AT_END, RawCowdHeader, RawFooter,
    RawSparseHeader, SECTOR, SPARSE_MAGIC, flags, marker,
};

/// Newest version of the header; 2 added zeroed grains, 3 change tracking and streams.
const VERSION_MAX: u32 = 3;
/// The only version of the ESX header.
const COWD_VERSION: u32 = 1;
/// Sectors in a grain at most: 1 GiB. qemu-img's limit.
const GRAIN_SECTORS_MAX: u64 = 0x20_0000;
/// Bytes in a compressed grain at most: what the engine decodes at once. Ours.
const PACKED_GRAIN_MAX: u64 = 32 << 20;
/// Entries in a hosted grain table at most. qemu-img's limit, and what every writer uses.
const HOSTED_ENTRIES_MAX: u32 = 512;
/// Entries in an ESX grain table. The format's.
const COWD_ENTRIES: u64 = 4096;
/// Grain tables at most. qemu-img's limit.
pub(crate) const TABLES_MAX: u64 = 32 << 20;
/// Largest disk in sectors: its last byte still has a signed 64-bit offset.
pub(crate) const CAPACITY_SECTORS_MAX: u64 = (1 << 63) / SECTOR - 1;
/// Footer marker, footer, end-of-stream marker.
const FOOTER_BYTES: u64 = 3 * SECTOR;

/// A sparse extent whose header holds together; offsets and sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sparse {
    /// Virtual bytes, at least one sector.
    pub(crate) capacity: u64,
    /// Bytes of a grain, at least one sector.
    pub(crate) grain: u64,
    /// Entries of a grain table.
    pub(crate) entries: u64,
    /// Where the grain directory is; it lies inside the file.
    pub(crate) directory: u64,
    /// Grain tables, that is, entries of the directory.
    pub(crate) tables: u64,
    /// What entries mean.
    pub(crate) form: Form,
    /// How grains are stored.
    pub(crate) packing: Packing,
    /// Header and descriptor end here: tables and grains cannot lie before.
    pub(crate) floor: u64,
    /// The descriptor inside the file.
    pub(crate) descriptor: Option<Place>,
}

/// A range of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

/// What table entries mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// 32-bit sector numbers.
    Hosted {
        /// 1 is a grain of zeros.
        zeroed: bool,
    },
    /// 64-bit, relative to two areas.
    SeSparse {
        /// Where grain tables are.
        tables: u64,
        /// Where grains are.
        grains: u64,
    },
}

/// How grains are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    /// As they are.
    Plain,
    /// As zlib streams without a marker, so that their length is unknown.
    Bare,
    /// As zlib streams with a marker before them.
    Marked,
}

/// What a file that starts like a sparse extent turns out to be.
#[derive(Debug)]
pub(crate) enum Found {
    /// A sparse extent.
    Sparse(Sparse),
    /// A header without capacity: it only wraps a descriptor, the extents are elsewhere.
    Wrapper(Place),
}

/// Reads the header of a hosted or ESX sparse extent.
///
/// # Errors
/// `NOT_VMDK` for any other file; what is wrong with the header or the footer.
pub(crate) fn read(file: &File<'_>) -> Result<Found> {
    let mut raw = RawSparseHeader::new_zeroed();
    file.read_padded(0, raw.as_mut_bytes())?;
    match raw.magic_number {
        SPARSE_MAGIC => {
            let found = hosted(file, raw);
            found.map_err(|fault| fault.in_file(file.slot()))
        }
        COWD_MAGIC => {
            let (cowd, _) = RawCowdHeader::read_from_prefix(raw.as_bytes())
                .map_err(|_| Fault::new(fault::vmdk::NOT_VMDK).in_file(file.slot()))?;
            let sparse = parse_cowd(&cowd, file.size());
            sparse
                .map(Found::Sparse)
                .map_err(|fault| fault.in_file(file.slot()))
        }
        _ => Err(Fault::new(fault::vmdk::NOT_VMDK).in_file(file.slot())),
    }
}

fn hosted(file: &File<'_>, raw: RawSparseHeader) -> Result<Found> {
    if raw.capacity.get() == 0 && raw.descriptor_offset.get() != 0 {
        return descriptor_place(&raw)?
            .map(Found::Wrapper)
            .ok_or_else(|| Fault::new(fault::vmdk::NO_DESCRIPTOR));
    }
    let raw = if raw.gd_offset.get() == GD_AT_END {
        footer(file, &raw)?
    } else {
        raw
    };
    parse(&raw, file.size()).map(Found::Sparse)
}

/// The footer, which takes the header's place once the two are seen to agree.
fn footer(file: &File<'_>, header: &RawSparseHeader) -> Result<RawSparseHeader> {
    let bad = || Fault::new(fault::vmdk::FOOTER);
    let start = align_up(file.size(), SECTOR)?
        .checked_sub(FOOTER_BYTES)
        .ok_or_else(bad)?;
    let mut raw = RawFooter::new_zeroed();
    file.read_padded(start, raw.as_mut_bytes())?;
    let sound = raw.header.magic_number == SPARSE_MAGIC
        && raw.footer_marker.size.get() == 0
        && raw.footer_marker.kind.get() == marker::FOOTER
        && raw.end_marker.num_sectors.get() == 0
        && raw.end_marker.size.get() == 0
        && raw.end_marker.kind.get() == marker::END_OF_STREAM
        && raw.header.gd_offset.get() != GD_AT_END;
    if !sound || start < SECTOR {
        return Err(bad());
    }
    match difference(header, &raw.header) {
        Some(byte) => Err(Fault::new(fault::vmdk::FOOTER_DIFFERS).with([byte])),
        None => Ok(RawSparseHeader {
            descriptor_offset: header.descriptor_offset,
            descriptor_size: header.descriptor_size,
            ..raw.header
        }),
    }
}

/// The first byte at which a footer says something else than its header about the same disk. Where the directories are is
/// the footer's business; how long the metadata are (Xen Orchestra counts the directory in the footer only), where the
/// descriptor is, which is the header's business, and whether the writer was interrupted, change no disk.
fn difference(header: &RawSparseHeader, footer: &RawSparseHeader) -> Option<u64> {
    let unknown_redundant = matches!(header.rgd_offset.get(), 0 | GD_AT_END);
    let redundant = offset_of!(RawSparseHeader, rgd_offset)..offset_of!(RawSparseHeader, gd_offset);
    let directory = offset_of!(RawSparseHeader, gd_offset)..offset_of!(RawSparseHeader, over_head);
    let over_head = offset_of!(RawSparseHeader, over_head)..offset_of!(RawSparseHeader, unclean_shutdown);
    let descriptor =
        offset_of!(RawSparseHeader, descriptor_offset)..offset_of!(RawSparseHeader, num_gtes_per_gt);
    let without_descriptor = footer.descriptor_offset.get() == 0 && footer.descriptor_size.get() == 0;
    let pairs = header.as_bytes().iter().zip(footer.as_bytes());
    let mut fields = pairs.enumerate().take(offset_of!(RawSparseHeader, pad));
    fields
        .find(|(byte, (one, two))| {
            let excused = directory.contains(byte)
                || over_head.contains(byte)
                || (without_descriptor && descriptor.contains(byte))
                || (unknown_redundant && redundant.contains(byte))
                || *byte == offset_of!(RawSparseHeader, unclean_shutdown);
            one != two && !excused
        })
        .map(|(byte, _)| from_usize(byte))
}

/// A hosted header on its own, for a file of `file_size` bytes.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn parse(raw: &RawSparseHeader, file_size: u64) -> Result<Sparse> {
    if raw.magic_number != SPARSE_MAGIC {
        return Err(Fault::new(fault::vmdk::NOT_VMDK));
    }
    let version = raw.version.get();
    if version > VERSION_MAX {
        return Err(Fault::new(fault::vmdk::VERSION).with([u64::from(version)]));
    }
    let bits = raw.flags.get();
    let unknown = bits & flags::INCOMPATIBLE & !(flags::COMPRESSED | flags::MARKERS);
    if unknown != 0 {
        return Err(Fault::new(fault::vmdk::FLAGS).with([u64::from(unknown)]));
    }
    // Some writers set the flag and leave the characters out: no transfer makes zeros of them.
    let as_written = matches!(raw.end_line_chars, END_LINE_CHARS | [0, 0, 0, 0]);
    if bits & flags::NEW_LINE_DETECTION != 0 && !as_written {
        return Err(Fault::new(fault::vmdk::TEXT_TRANSFER));
    }
    let expected = raw.over_head.get().saturating_mul(SECTOR);
    if align_up(file_size, SECTOR)? < expected {
        return Err(Fault::new(fault::vmdk::TRUNCATED).with([expected, file_size]));
    }
    let entries = raw.num_gtes_per_gt.get();
    if entries == 0 || entries > HOSTED_ENTRIES_MAX {
        return Err(Fault::new(fault::vmdk::TABLE_ENTRIES).with([entries.into(), HOSTED_ENTRIES_MAX.into()]));
    }
    let descriptor = descriptor_place(raw)?;
    let sparse = Sparse {
        capacity: capacity(raw.capacity.get())?,
        grain: grain(raw.grain_size.get())?,
        entries: u64::from(entries),
        directory: raw.gd_offset.get().saturating_mul(SECTOR),
        tables: 0,
        form: Form::Hosted {
            zeroed: bits & flags::ZEROED_GRAIN != 0,
        },
        packing: packing(raw)?,
        floor: descriptor.map_or(SECTOR, |place| place.offset.saturating_add(place.bytes)),
        descriptor,
    };
    if sparse.packing != Packing::Plain && sparse.grain > PACKED_GRAIN_MAX {
        let limit = PACKED_GRAIN_MAX.checked_div(SECTOR).unwrap_or(1);
        return Err(Fault::new(fault::vmdk::GRAIN_SIZE).with([raw.grain_size.get(), limit]));
    }
    sparse.with_tables(size_of::<u32>(), u64::MAX, file_size)
}

fn parse_cowd(raw: &RawCowdHeader, file_size: u64) -> Result<Sparse> {
    if raw.version.get() != COWD_VERSION {
        return Err(Fault::new(fault::vmdk::VERSION).with([u64::from(raw.version.get())]));
    }
    let sparse = Sparse {
        capacity: capacity(raw.num_sectors.get().into())?,
        grain: grain(raw.grain_size.get().into())?,
        entries: COWD_ENTRIES,
        directory: u64::from(raw.gd_offset.get()).saturating_mul(SECTOR),
        tables: 0,
        form: Form::Hosted { zeroed: false },
        packing: Packing::Plain,
        floor: SECTOR,
        descriptor: None,
    };
    sparse.with_tables(size_of::<u32>(), raw.num_gd_entries.get().into(), file_size)
}

impl Sparse {
    /// The same with its directory, once that is known to be inside the file and to cover the capacity. `declared` is how
    /// many entries the header says that it has.
    ///
    /// # Errors
    /// `DIRECTORY_SIZE`, `TABLE_IN_METADATA`, `TABLE_PAST_END`.
    pub(crate) fn with_tables(self, entry_bytes: usize, declared: u64, file_size: u64) -> Result<Self> {
        let tables = self.capacity.div_ceil(self.table_span());
        let limit = declared.min(TABLES_MAX);
        if tables > limit {
            return Err(Fault::new(fault::vmdk::DIRECTORY_SIZE).with([tables, limit]));
        }
        if self.directory < self.floor {
            return Err(Fault::new(fault::vmdk::TABLE_IN_METADATA).with([self.directory, self.floor]));
        }
        let bytes = tables.saturating_mul(from_usize(entry_bytes));
        if self.directory.saturating_add(bytes) > file_size {
            return Err(Fault::new(fault::vmdk::TABLE_PAST_END).with([self.directory, bytes, file_size]));
        }
        Ok(Self { tables, ..self })
    }

    /// Virtual bytes that one grain table covers; never 0.
    pub(crate) const fn table_span(&self) -> u64 {
        self.entries.saturating_mul(self.grain)
    }
}

/// Sectors of a disk, as bytes.
///
/// # Errors
/// `CAPACITY`.
pub(crate) fn capacity(sectors: u64) -> Result<u64> {
    if sectors == 0 || sectors > CAPACITY_SECTORS_MAX {
        return Err(Fault::new(fault::vmdk::CAPACITY).with([sectors]));
    }
    Ok(sectors.saturating_mul(SECTOR))
}

fn grain(sectors: u64) -> Result<u64> {
    if sectors == 0 || sectors > GRAIN_SECTORS_MAX {
        return Err(Fault::new(fault::vmdk::GRAIN_SIZE).with([sectors, GRAIN_SECTORS_MAX]));
    }
    Ok(sectors.saturating_mul(SECTOR))
}

/// Flags and algorithm must tell one story: readers differ in which of the two they believe.
fn packing(raw: &RawSparseHeader) -> Result<Packing> {
    let bits = raw.flags.get();
    let algorithm = raw.compress_algorithm.get();
    let marked = bits & flags::MARKERS != 0;
    match (algorithm, bits & flags::COMPRESSED != 0) {
        (COMPRESSION_NONE, false) if !marked => Ok(Packing::Plain),
        (COMPRESSION_DEFLATE, true) if marked => Ok(Packing::Marked),
        (COMPRESSION_DEFLATE, true) => Ok(Packing::Bare),
        _ => Err(Fault::new(fault::vmdk::COMPRESSION).with([u64::from(algorithm), u64::from(bits)])),
    }
}

/// The embedded descriptor: where every tool looks for it, or nowhere.
fn descriptor_place(raw: &RawSparseHeader) -> Result<Option<Place>> {
    let (start, sectors) = (raw.descriptor_offset.get(), raw.descriptor_size.get());
    if start == 0 {
        return Ok(None);
    }
    let limit = crate::descriptor::BYTES_MAX.div_ceil(SECTOR);
    if start != 1 || sectors == 0 || sectors > limit {
        return Err(Fault::new(fault::vmdk::DESCRIPTOR_PLACE).with([
            start,
            sectors,
            limit.saturating_add(1),
        ]));
    }
    Ok(Some(Place {
        offset: SECTOR,
        bytes: sectors.saturating_mul(SECTOR),
    }))
}
