//! Another size of the disk.
//!
//! ```text
//!  headers: written by whom ─► grow    a longer BAT behind everything ─► region tables │ size: 8 bytes, from here on the new disk
//!                              shrink  size │ BAT entries behind the end ─► the file is cut
//! ```
//!
//! The log is not needed: at each arrow one sector is written that has all that belongs together.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use instar_disk::fault::{resize as faults, vhdx};
use instar_disk::job::{Change, Preallocation, Seed};
use instar_disk::report::Backing;
use instar_disk::{
    Action, Budget, Edit, Fault, File, FileKind, Identifiers, Io, Opened, Preallocate, Resizing, Result,
    ZeroHow, align_up, from_usize, reservation, set_length, to_usize,
};
use zerocopy::{FromZeros, IntoBytes};

use crate::crc::crc32c;
use crate::header::Header;
use crate::layout::{Chunks, DISK_MAX, HEADERS, MIB, REGION_TABLES, state};
use crate::metadata::Metadata;
use crate::open;
use crate::raw::RawHeader;
use crate::region::{self, Regions};
use crate::replayed::Replayed;
use crate::table::{Place, Table};

/// Opens a VHDX whose size is to change.
///
/// # Errors
/// As reading it.
pub fn edit<'h>(file: File<'h>, seed: &Seed) -> Result<Box<dyn Edit + 'h>> {
    let image = open(file)?;
    let identifiers = Identifiers::new(seed, b"vhdx");
    Ok(Box::new(Editor {
        file,
        image,
        identifiers,
    }))
}

struct Editor<'h> {
    file: File<'h>,
    image: Opened<'h>,
    identifiers: Identifiers,
}

impl Edit for Editor<'_> {
    fn change(&mut self, _: &Change) -> Result<()> {
        Err(Fault::new(faults::UNSUPPORTED))
    }

    fn size(&self) -> u64 {
        self.image.size()
    }

    fn backing(&self) -> Option<Backing> {
        self.image.backing()
    }

    fn resize(&mut self, to: &mut Resizing<'_>) -> Result<()> {
        let slot = self.file.slot();
        let disk = Disk::open(self.file).map_err(|fault| fault.in_file(slot))?;
        disk.resize(to, &mut self.identifiers)
            .map_err(|fault| fault.in_file(slot))
    }
}

/// The image, all of whose tables have been judged.
struct Disk<'h> {
    file: File<'h>,
    raw: RawHeader,
    regions: Regions,
    metadata: Metadata,
    chunks: Chunks,
    /// Bytes of the file, with all of the last block.
    end: u64,
    /// Where the last block is, if it is partly behind the end of the disk.
    last: Option<u64>,
}

impl<'h> Disk<'h> {
    fn open(file: File<'h>) -> Result<Self> {
        let layout = |what: &[u8]| Err(Fault::new(faults::LAYOUT).named(what));
        if file.kind() == FileKind::Block {
            return layout(b"an image of this format on a device");
        }
        let (header, raw) = Header::read(&file)?;
        if header.log_guid.is_some() {
            return layout(b"a VHDX whose log must be replayed first, by qemu-img check -r all");
        }
        let as_it_is = Replayed::new(file);
        let regions = Regions::read(&as_it_is, &header)?;
        let metadata = Metadata::read(&as_it_is, regions.metadata)?;
        if metadata.differencing {
            return layout(b"a differencing disk");
        }
        if metadata.size_at / SECTOR != metadata.size_at.saturating_add(7) / SECTOR {
            return layout(b"a VHDX whose metadata are not aligned");
        }
        let chunks = Chunks::new(metadata.block_size, metadata.sector_size);
        let mut table = Table::open(&as_it_is, regions.clone(), &metadata)?;
        let mut budget = Budget::new(file);
        let mut end = regions.end().max(file.size());
        let (mut block, mut last) = (0_u64, None);
        let blocks = chunks.blocks(metadata.size);
        while block < blocks {
            let run = table.run(&as_it_is, block)?;
            budget.spend(run.blocks.saturating_mul(8))?;
            block = block.saturating_add(run.blocks);
            if let Place::Here(start) = run.place {
                let bytes = run.blocks.saturating_mul(metadata.block_size);
                end = end.max(start.saturating_add(bytes));
                let first_of_last = bytes.saturating_sub(metadata.block_size);
                last = (block == blocks).then(|| start.saturating_add(first_of_last));
            }
        }
        Ok(Self {
            file,
            raw,
            regions,
            metadata,
            chunks,
            end: align_up(end, MIB)?,
            last,
        })
    }

    fn resize(mut self, to: &Resizing<'_>, identifiers: &mut Identifiers) -> Result<()> {
        let size = align_up(to.size, self.metadata.sector_size)?;
        let mode = to.preallocation;
        if mode != Preallocation::Off && !self.metadata.fixed {
            let mode = format!(" '{}'", mode.name());
            return Err(Fault::new(faults::PREALLOCATION).named(mode.as_bytes()));
        }
        if size > DISK_MAX {
            return Err(Fault::new(vhdx::SIZE));
        }
        if size < self.metadata.size {
            self.written_by(identifiers)?;
            self.switch(size)?;
            return self.shrink(size);
        }
        let entries = self.chunks.entries(size, false);
        let moves = entries > self.regions.bat.length / 8;
        if moves {
            // Whether they can lead to another place.
            self.region_tables(0, 0)?;
        }
        self.written_by(identifiers)?;
        self.clear_tail(size)?;
        self.lengthen_bat(entries, moves)?;
        if self.metadata.fixed {
            self.give_places(size, reservation(mode))?;
        }
        self.switch(size)
    }

    /// Another writer: the header that does not count is written first. Region tables that a change has left unlike are made alike.
    fn written_by(&self, identifiers: &mut Identifiers) -> Result<()> {
        let (bat, [_, second]) = (self.regions.bat, REGION_TABLES);
        for (place, sector) in self.region_tables(bat.offset, bat.length).unwrap_or_default() {
            let mut there = alloc::vec![0; sector.len()];
            self.file.read_padded(place, &mut there)?;
            if place == second && there != sector {
                self.file.write(place, &sector)?;
                self.file.flush()?;
            }
        }
        let [first, second] = HEADERS;
        let mut there = RawHeader::new_zeroed();
        self.file.read_padded(first, there.as_mut_bytes())?;
        let order = if there == self.raw {
            [second, first]
        } else {
            [first, second]
        };
        let mut raw = self.raw.clone();
        raw.file_write_guid = identifiers.guid();
        raw.data_write_guid = identifiers.guid();
        for offset in order {
            raw.sequence_number.set(raw.sequence_number.get().wrapping_add(1));
            raw.checksum.set(0);
            raw.checksum.set(crc32c(raw.as_bytes()));
            self.file.write(offset, raw.as_bytes())?;
            self.file.flush()?;
        }
        Ok(())
    }

    /// From here on the disk has so many bytes.
    fn switch(&self, size: u64) -> Result<()> {
        self.file.flush()?;
        self.file.write(self.metadata.size_at, &size.to_le_bytes())?;
        self.file.flush()
    }

    /// Clears what the last block holds behind the end, and makes that block whole.
    fn clear_tail(&self, size: u64) -> Result<()> {
        let old = self.metadata.size;
        let within = old.checked_rem(self.metadata.block_size).unwrap_or(0);
        let Some(last) = self.last.filter(|_| within != 0 && size > old) else {
            return Ok(());
        };
        let start = last.saturating_add(within);
        let end = last.saturating_add(self.metadata.block_size);
        let present = end.min(self.file.size()).saturating_sub(start);
        // A fixed disk keeps the space that it may have reserved.
        let how = match self.metadata.fixed {
            true => ZeroHow::Keep,
            false => ZeroHow::MayUnmap,
        };
        self.file.zero(start, present, how)?;
        if end > self.file.size() {
            self.file.resize(end, Preallocate::Off)?;
        }
        Ok(())
    }

    const fn entry_at(&self, entry: u64) -> u64 {
        self.regions.bat.offset.saturating_add(entry.saturating_mul(8))
    }

    /// Makes room for so many entries; those that are added are zeros, which say of a block that it is not there.
    fn lengthen_bat(&mut self, entries: u64, moves: bool) -> Result<()> {
        let old = self.chunks.entries(self.metadata.size, false);
        let mut at = old;
        if !moves {
            while at < entries {
                let count = entries.saturating_sub(at).min(PIECE);
                let zeros = alloc::vec![0; to_usize(count.saturating_mul(8))?];
                self.file.write(self.entry_at(at), &zeros)?;
                at = at.saturating_add(count);
            }
            return Ok(());
        }
        let (offset, length) = (self.end, align_up(entries.saturating_mul(8), MIB)?);
        self.end = offset.saturating_add(length);
        self.file.resize(self.end, Preallocate::Off)?;
        let mut piece = Vec::new();
        at = 0;
        while at < old {
            let count = old.saturating_sub(at).min(PIECE);
            piece.resize(to_usize(count.saturating_mul(8))?, 0);
            self.file.read_padded(self.entry_at(at), &mut piece)?;
            self.file
                .write(offset.saturating_add(at.saturating_mul(8)), &piece)?;
            at = at.saturating_add(count);
        }
        self.file.flush()?;
        for (place, sector) in self.region_tables(offset, length)? {
            self.file.write(place, &sector)?;
            self.file.flush()?;
        }
        let dead = (self.regions.bat.offset, self.regions.bat.length);
        self.regions.bat.offset = offset;
        self.regions.bat.length = length;
        self.give_back(&[dead]);
        Ok(())
    }

    /// The first sectors of the valid region tables, leading to another BAT.
    fn region_tables(&self, offset: u64, length: u64) -> Result<Vec<(u64, Vec<u8>)>> {
        let mut sectors = Vec::new();
        for place in REGION_TABLES {
            let mut table = alloc::vec![0; crate::layout::TABLE_BYTES];
            self.file.read_padded(place, &mut table)?;
            if !region::is_valid(&table) {
                continue;
            }
            if !region::lead_to_bat(&mut table, offset, length, to_usize(SECTOR)?) {
                let what = b"a VHDX with so many regions";
                return Err(Fault::new(faults::LAYOUT).named(what));
            }
            table.truncate(to_usize(SECTOR)?);
            sectors.push((place, table));
        }
        Ok(sectors)
    }

    /// Gives the blocks that are added to a fixed disk their places.
    fn give_places(&mut self, size: u64, reserve: Preallocate) -> Result<()> {
        let (old, blocks) = (self.chunks.blocks(self.metadata.size), self.chunks.blocks(size));
        if blocks == old {
            return Ok(());
        }
        let start = self.end;
        let added = blocks
            .saturating_sub(old)
            .saturating_mul(self.metadata.block_size);
        set_length(&self.file, start.saturating_add(added), reserve, b"")?;
        let mut place = start;
        let mut block = old;
        while block < blocks {
            // Those that follow one another in the table, too.
            let first = self.chunks.entry(block);
            let mut piece = Vec::new();
            while block < blocks
                && from_usize(piece.len()) < PIECE.saturating_mul(8)
                && self.chunks.entry(block) == first.saturating_add(from_usize(piece.len()) / 8)
            {
                piece.extend_from_slice(&(place | state::FULLY_PRESENT).to_le_bytes());
                place = place.saturating_add(self.metadata.block_size);
                block = block.saturating_add(1);
            }
            self.file.write(self.entry_at(first), &piece)?;
        }
        self.end = place;
        Ok(())
    }

    /// Gives up what is behind the end.
    fn shrink(&self, size: u64) -> Result<()> {
        let kept = self.chunks.entries(size, false);
        let end = self.chunks.entries(self.metadata.size, false);
        let mut freed: Vec<(u64, u64)> = Vec::new();
        self.each_piece(kept, end, &mut |at, entries| {
            for (entry, raw) in (at..).zip(entries.iter_mut()) {
                let value = u64::from_le_bytes(*raw);
                if value & 7 == state::FULLY_PRESENT && !self.chunks.is_bitmap(entry) {
                    freed.push((value & !(MIB.saturating_sub(1)), self.metadata.block_size));
                }
                *raw = [0; 8];
            }
            self.file.write(self.entry_at(at), entries.as_flattened())?;
            self.file.flush()?;
            self.give_back(&freed);
            freed.clear();
            Ok(())
        })?;
        let mut last = self.regions.end();
        self.each_piece(0, kept, &mut |_, entries| {
            for raw in entries.iter() {
                let value = u64::from_le_bytes(*raw);
                if value & 7 == state::FULLY_PRESENT {
                    let place = value & !(MIB.saturating_sub(1));
                    last = last.max(place.saturating_add(self.metadata.block_size));
                }
            }
            Ok(())
        })?;
        if last < self.file.size() {
            // A file that stays long is no fault of the change.
            let _ = self.file.resize(last, Preallocate::Off);
        }
        Ok(())
    }

    /// Calls `visit` with pieces of the BAT from entry `first` up to `end`.
    fn each_piece(&self, first: u64, end: u64, visit: &mut Visit<'_>) -> Result<()> {
        let mut piece = Vec::new();
        let mut at = first;
        while at < end {
            let count = end.saturating_sub(at).min(PIECE);
            piece.resize(to_usize(count.saturating_mul(8))?, 0);
            self.file.read_padded(self.entry_at(at), &mut piece)?;
            visit(at, piece.as_chunks_mut::<8>().0)?;
            at = at.saturating_add(count);
        }
        Ok(())
    }

    /// Space that nothing refers to any more. That it is not given back is no fault of the change.
    fn give_back(&self, ranges: &[(u64, u64)]) {
        let slot = self.file.slot();
        let discard = |(offset, length): &(u64, u64)| {
            Io::new(Action::Discard {
                slot,
                offset: *offset,
                length: (*length).min(self.file.size().saturating_sub(*offset)),
            })
        };
        let mut batch: Vec<Io<'_>> = ranges.iter().map(discard).collect();
        self.file.host().submit(&mut batch);
    }
}

/// Bytes that every disk writes as one.
const SECTOR: u64 = 512;
/// Entries of the BAT that are looked at together. Ours: 64 KiB.
const PIECE: u64 = 8192;

/// Is shown entries of the block allocation table, from this one on.
type Visit<'a> = dyn FnMut(u64, &mut [[u8; 8]]) -> Result<()> + 'a;
