//! One piece of the disk: a file, or part of one, and how its bytes are found.

use alloc::boxed::Box;
use alloc::vec::Vec;

use instar_disk::errno::EACCES;
use instar_disk::{
    Extents, Fault, FaultCode, File, Kind, Mapping, Result, Role, Status, Work, align_up, fault,
};
use zerocopy::{FromZeros, IntoBytes};

use crate::descriptor::{Line, LineKind};
use crate::header::{self, Form, Found, Packing, Sparse};
use crate::raw::{RawSeSparseHeader, RawSeSparseVolatile, SECTOR};
use crate::table::Tables;

/// A piece of the disk.
#[derive(Clone, Debug)]
pub(crate) struct Extent<'h> {
    pub(crate) file: File<'h>,
    /// Where the disk's bytes in it start.
    pub(crate) start: u64,
    /// How many they are.
    pub(crate) bytes: u64,
    pub(crate) kind: ExtentKind,
    /// Its name and type in the descriptor; none: it is the image file itself.
    pub(crate) origin: Option<(Vec<u8>, &'static str)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExtentKind {
    /// The disk's bytes, one after the other, from this byte of the file on.
    Flat {
        offset: u64,
    },
    Sparse(Sparse),
}

impl ExtentKind {
    /// Bytes of a grain, if it has grains.
    pub(crate) const fn grain(&self) -> Option<u64> {
        match self {
            Self::Flat { .. } => None,
            Self::Sparse(sparse) => Some(sparse.grain),
        }
    }

    pub(crate) fn is_compressed(&self) -> bool {
        matches!(self, Self::Sparse(sparse) if sparse.packing != Packing::Plain)
    }
}

/// Opens the extent of `line` for the image in `namer`. Its bytes start at byte `start` of the disk.
///
/// # Errors
/// The gate's refusal; a file that is not what the line says.
pub(crate) fn open<'h>(namer: &File<'h>, line: &Line, start: u64) -> Result<Extent<'h>> {
    let named = |code| Fault::new(code).named(&line.name).in_file(namer.slot());
    if !is_path(&line.name) {
        return Err(named(fault::vmdk::EXTENT_NAME));
    }
    let facts = namer.host().open(namer.slot(), Role::Extent, &line.name)?;
    opened(namer, line, File::new(namer.host(), facts), start)
}

/// The extent of `line`, which the image in `namer` has, in its file.
///
/// # Errors
/// A file that is not what the line says.
pub(crate) fn opened<'h>(namer: &File<'h>, line: &Line, file: File<'h>, start: u64) -> Result<Extent<'h>> {
    let named = |code| Fault::new(code).named(&line.name).in_file(namer.slot());
    if file.slot() == namer.slot() {
        return Err(named(fault::vmdk::EXTENT_LOOP));
    }
    let bytes = header::capacity(line.sectors).map_err(|fault| fault.in_file(namer.slot()))?;
    let kind = match line.kind {
        LineKind::Flat { sector } => flat(&file, sector.saturating_mul(SECTOR), bytes)?,
        LineKind::Vmfs => flat(&file, 0, bytes)?,
        LineKind::Sparse | LineKind::VmfsSparse => {
            match header::read(&file).map_err(|fault| closed(fault, &named))? {
                Found::Sparse(sparse) => ExtentKind::Sparse(sparse),
                Found::Wrapper(_) => return Err(named(fault::vmdk::EXTENT_LOOP)),
            }
        }
        LineKind::SeSparse => ExtentKind::Sparse(se_sparse(&file).map_err(|fault| closed(fault, &named))?),
    };
    if let ExtentKind::Sparse(sparse) = &kind
        && sparse.capacity != bytes
    {
        let found = sparse.capacity.checked_div(SECTOR).unwrap_or_default();
        return Err(named(fault::vmdk::EXTENT_SIZE).with([line.sectors, found]));
    }
    Ok(Extent {
        file,
        start,
        bytes,
        kind,
        origin: Some((line.name.clone(), line.kind.word())),
    })
}

/// The host does not let `info` read the bytes of files that are not called after the image.
fn closed(fault: Fault, named: &dyn Fn(FaultCode) -> Fault) -> Fault {
    match (fault.code, fault.numbers[0]) {
        (fault::core::IO, EACCES) => named(fault::vmdk::EXTENT_CLOSED),
        _ => fault,
    }
}

/// Where a question about an extent is answered; keeps the caches of the extent asked last.
pub(crate) enum Cursor<'h> {
    Flat(Box<Extents<'h>>),
    Sparse(Box<Tables<'h>>),
}

impl Cursor<'_> {
    /// What tables have taken so far.
    pub(crate) const fn work(&self) -> Work {
        match self {
            Self::Flat(_) => Work { read: 0, shared: 0 },
            Self::Sparse(tables) => tables.work(),
        }
    }
}

impl<'h> Extent<'h> {
    pub(crate) fn cursor(&self) -> Cursor<'h> {
        match self.kind {
            ExtentKind::Flat { .. } => Cursor::Flat(Box::new(Extents::new(self.file))),
            ExtentKind::Sparse(sparse) => Cursor::Sparse(Box::new(Tables::new(self.file, sparse))),
        }
    }

    /// What `map` shows of `offset` of this extent.
    pub(crate) fn status(&self, cursor: &mut Cursor<'h>, offset: u64) -> Result<Status> {
        match (cursor, self.kind) {
            (Cursor::Flat(extents), ExtentKind::Flat { offset: first }) => {
                let status = Status::of(Mapping {
                    length: self.bytes.saturating_sub(offset),
                    kind: Kind::Data {
                        slot: self.file.slot(),
                        offset: first.saturating_add(offset),
                    },
                });
                status.look_below(extents, self.file.size())
            }
            (cursor, _) => self.map(cursor, offset).map(Status::of),
        }
    }

    /// What is at `offset` of this extent, below its size.
    pub(crate) fn map(&self, cursor: &mut Cursor<'h>, offset: u64) -> Result<Mapping> {
        match (cursor, self.kind) {
            (Cursor::Sparse(tables), _) => tables.map(offset),
            (Cursor::Flat(extents), kind) => {
                let place = match kind {
                    ExtentKind::Flat { offset: first } => first.saturating_add(offset),
                    ExtentKind::Sparse(_) => offset,
                };
                let extent = extents.at(place)?;
                let slot = self.file.slot();
                let kind = if extent.data {
                    Kind::Data { slot, offset: place }
                } else {
                    Kind::Zero {
                        at: Some((slot, place)),
                    }
                };
                Ok(Mapping {
                    length: extent.length.min(self.bytes.saturating_sub(offset)).max(1),
                    kind,
                })
            }
        }
    }
}

/// A path. Whether it may be opened the gate decides, as for any name that an image holds.
fn is_path(name: &[u8]) -> bool {
    !name.is_empty() && !name.contains(&0)
}

/// Plain bytes, all of them there: an extent cut short would read as zeros without a word.
fn flat(file: &File<'_>, offset: u64, bytes: u64) -> Result<ExtentKind> {
    let end = offset.saturating_add(bytes);
    if align_up(file.size(), SECTOR)? < end {
        return Err(Fault::new(fault::vmdk::TRUNCATED)
            .with([end, file.size()])
            .in_file(file.slot()));
    }
    Ok(ExtentKind::Flat { offset })
}

/// The headers of a seSparse extent. Nobody has published the format: what is known is one set of values, and anything
/// else is refused.
fn se_sparse(file: &File<'_>) -> Result<Sparse> {
    let mut raw = RawSeSparseHeader::new_zeroed();
    file.read_padded(0, raw.as_mut_bytes())?;
    let mut dirty = RawSeSparseVolatile::new_zeroed();
    let place = raw.volatile_header_offset.get().saturating_mul(SECTOR);
    let fields = [
        (0, raw.magic.get(), 0xcafe_babe),
        (8, raw.version.get(), 0x2_0000_0001),
        (24, raw.grain_size.get(), 8),
        (32, raw.grain_table_size.get(), 64),
        (40, raw.flags.get(), 0),
        (48, raw.reserved.iter().fold(0, |all, word| all | word.get()), 0),
        (208, raw.pad.iter().fold(0, |all, byte| all | u64::from(*byte)), 0),
    ];
    expect(file, 0, &fields)?;
    let end = place.saturating_add(SECTOR);
    if end > file.size() {
        let numbers = [end, file.size()];
        return Err(Fault::new(fault::vmdk::TRUNCATED)
            .with(numbers)
            .in_file(file.slot()));
    }
    file.read_exact(place, dirty.as_mut_bytes())?;
    let fields = [
        (0, dirty.magic.get(), 0xcafe_cafe),
        (24, dirty.replay_journal.get(), 0),
        (
            32,
            dirty.pad.iter().fold(0, |all, byte| all | u64::from(*byte)),
            0,
        ),
    ];
    expect(file, place, &fields)?;
    let sparse = Sparse {
        capacity: header::capacity(raw.capacity.get())?,
        grain: 8 * SECTOR,
        entries: 4096,
        directory: raw.grain_dir_offset.get().saturating_mul(SECTOR),
        tables: 0,
        form: Form::SeSparse {
            tables: raw.grain_tables_offset.get().saturating_mul(SECTOR),
            grains: raw.grains_offset.get().saturating_mul(SECTOR),
        },
        packing: Packing::Plain,
        floor: SECTOR,
        descriptor: None,
    };
    let declared = raw.grain_dir_size.get().saturating_mul(SECTOR / 8);
    let sparse = sparse.with_tables(8, declared, file.size());
    sparse.map_err(|fault| fault.in_file(file.slot()))
}

fn expect(file: &File<'_>, start: u64, fields: &[(u64, u64, u64)]) -> Result<()> {
    match fields.iter().find(|(_, found, expected)| found != expected) {
        None => Ok(()),
        Some((byte, found, expected)) => {
            let numbers = [start.saturating_add(*byte), *found, *expected];
            Err(Fault::new(fault::vmdk::SE_SPARSE)
                .with(numbers)
                .in_file(file.slot()))
        }
    }
}
