//! Reading.

use alloc::boxed::Box;
use alloc::vec::Vec;

use instar_disk::fault::vhdx as faults;
use instar_disk::{
    Extents, Fault, File, Format, Image, Kind, Mapping, Opened, Result, Status, Walked, Work, report,
    to_usize,
};

use crate::header::Header;
use crate::layout::MIB;
use crate::log::replay;
use crate::metadata::Metadata;
use crate::raw::Guid;
use crate::region::Regions;
use crate::replayed::Replayed;
use crate::table::{Place, Table};

/// Bytes of a sector bitmap read at a time. Ours: 16 MiB of guest in sectors of 512 bytes.
const PIECE: u64 = 4096;

/// Opens a VHDX: fixed, dynamic or differencing. A dirty one is read as if its log had been replayed.
///
/// # Errors
/// What the headers and tables say that this driver refuses; the host's.
pub fn open<'h>(file: File<'h>) -> Result<Opened<'h>> {
    let opened = Vhdx::open(file).map_err(|fault| Fault {
        slot: Some(file.slot()),
        ..fault
    })?;
    Ok(Box::new(opened))
}

struct Vhdx<'h> {
    file: Replayed<'h>,
    metadata: Metadata,
    table: Table,
    extents: Extents<'h>,
    /// The piece of a sector bitmap that was read last, and where it stands.
    bitmap: (u64, Vec<u8>),
    /// Account of the sector bitmaps.
    walked: Walked,
    dirty: bool,
    /// Of the data, as of the last change.
    identity: Guid,
}

impl<'h> Vhdx<'h> {
    fn open(file: File<'h>) -> Result<Self> {
        let (header, raw) = Header::read(&file)?;
        let (replayed, dirty) = replay(file, &header)?;
        let regions = Regions::read(&replayed, &header)?;
        let metadata = Metadata::read(&replayed, regions.metadata)?;
        let table = Table::open(&replayed, regions, &metadata)?;
        Ok(Self {
            file: replayed,
            metadata,
            table,
            extents: Extents::new(file),
            bitmap: (0, Vec::new()),
            walked: Walked::new(),
            dirty,
            identity: raw.data_write_guid,
        })
    }

    /// What stands at byte `at` of the replayed file.
    fn data(&mut self, at: u64, length: u64) -> Result<Mapping> {
        let piece = self.file.piece(at, length);
        let slot = self.file.file().slot();
        let (length, kind) = match piece.at {
            None => (piece.length, Kind::Zero { at: None }),
            Some(offset) => {
                let extent = self.extents.at(offset)?;
                let kind = if extent.data {
                    Kind::Data { slot, offset }
                } else {
                    let present = offset < self.file.file().size();
                    Kind::Zero {
                        at: present.then_some((slot, offset)),
                    }
                };
                (piece.length.min(extent.length), kind)
            }
        };
        Ok(Mapping { length, kind })
    }

    /// Not in this file: in the parent, or zeros.
    fn absent(&self, length: u64) -> Result<Mapping> {
        let kind = match (self.metadata.differencing, &self.metadata.parent.backing) {
            (false, _) => Kind::Zero { at: None },
            (true, Some(_)) => Kind::Unallocated,
            (true, None) => return Err(Fault::new(faults::NO_PARENT).in_file(self.file.file().slot())),
        };
        Ok(Mapping { length, kind })
    }

    /// Whether the sector at byte `within` of `block` is here, and for how many bytes that holds, as far as one piece of
    /// the bitmap tells. The least significant bit of a byte comes first.
    fn sectors(&mut self, block: u64, within: u64) -> Result<(bool, u64)> {
        let start = self.table.bitmap(&self.file, block)?;
        let chunks = self.table.chunks();
        let block_in_chunk = block.checked_rem(chunks.ratio).unwrap_or(0);
        let byte_in_chunk = block_in_chunk
            .saturating_mul(chunks.block_size)
            .saturating_add(within);
        let sector_size = self.metadata.sector_size;
        let sector = byte_in_chunk.checked_div(sector_size).unwrap_or(0);
        let piece = instar_disk::align_down(sector / 8, PIECE);
        let at = start.saturating_add(piece);
        if self.bitmap.0 != at || self.bitmap.1.is_empty() {
            let mut bits = core::mem::take(&mut self.bitmap.1);
            bits.clear();
            bits.resize(to_usize(MIB.saturating_sub(piece).min(PIECE))?, 0);
            let pieces = MIB / PIECE;
            let chunk = block.checked_div(chunks.ratio).unwrap_or(0);
            let number = chunk.saturating_mul(pieces).saturating_add(piece / PIECE);
            self.walked.read_alone(PIECE);
            self.walked.enter(number, at, PIECE);
            self.file.read(at, &mut bits)?;
            self.bitmap = (at, bits);
        }
        let bits = &self.bitmap.1;
        let bit = |index: usize| {
            let byte = bits.get(index / 8).copied().unwrap_or(0);
            byte.rotate_right(u32::try_from(index % 8).unwrap_or(0)) & 1 != 0
        };
        let first = to_usize(sector.saturating_sub(piece.saturating_mul(8)))?;
        let present = bit(first);
        let same = (first..bits.len().saturating_mul(8))
            .take_while(|index| bit(*index) == present)
            .count();
        let bytes = instar_disk::from_usize(same).saturating_mul(sector_size);
        let skipped = byte_in_chunk.checked_rem(sector_size).unwrap_or(0);
        Ok((present, bytes.saturating_sub(skipped)))
    }

    fn map_offset(&mut self, offset: u64) -> Result<Mapping> {
        let block_size = self.metadata.block_size;
        let block = offset.checked_div(block_size).unwrap_or(0);
        let within = offset.saturating_sub(block.saturating_mul(block_size));
        let run = self.table.run(&self.file, block)?;
        let length = run
            .blocks
            .saturating_mul(block_size)
            .saturating_sub(within)
            .min(self.metadata.size.saturating_sub(offset));
        match run.place {
            Place::Absent => self.absent(length),
            Place::Zero => Ok(Mapping {
                length,
                kind: Kind::Zero { at: None },
            }),
            Place::Unknown { entry, state } => Err(Fault::new(faults::BLOCK_STATE).with([entry, state])),
            Place::Here(start) => self.data(start.saturating_add(within), length),
            Place::Partly(start) => {
                let (present, known) = self.sectors(block, within)?;
                let length = length.min(known);
                if present {
                    self.data(start.saturating_add(within), length)
                } else {
                    self.absent(length)
                }
            }
        }
    }
}

impl Image for Vhdx<'_> {
    fn size(&self) -> u64 {
        self.metadata.size
    }

    fn cluster_size(&self) -> Option<u64> {
        Some(self.metadata.block_size)
    }

    fn map(&mut self, offset: u64) -> Result<Mapping> {
        let slot = self.file.file().slot();
        self.map_offset(offset).map_err(|fault| Fault {
            slot: Some(slot),
            ..fault
        })
    }

    /// The reference tool has no map of this format: all is data, wherever it stands.
    fn status(&mut self, offset: u64) -> Result<Status> {
        Ok(Status {
            length: self.metadata.size.saturating_sub(offset),
            present: true,
            zero: false,
            data: true,
            compressed: false,
            place: None,
        })
    }

    fn backing(&self) -> Option<report::Backing> {
        self.metadata.parent.backing.clone()
    }

    fn identity(&self) -> Option<Guid> {
        Some(self.identity)
    }

    fn check_parent(&self, parent: &dyn Image) -> Result<()> {
        let checked = self.metadata.parent.check(parent.identity());
        checked.map_err(|fault| fault.in_file(self.file.file().slot()))
    }

    fn work(&self) -> Work {
        let read = self.table.bytes_read();
        self.walked.work().and(Work { read, shared: 0 })
    }

    fn describe(&mut self) -> Result<report::Info> {
        let slot = self.file.file().slot();
        Ok(report::Info {
            cluster_size: Some(self.metadata.block_size),
            // There is a log to be replayed, which qemu-img would not open.
            dirty: self.dirty,
            backing: self.metadata.parent.backing.clone(),
            ..report::Info::of(slot, Format::Vhdx, self.metadata.size)
        })
    }
}
