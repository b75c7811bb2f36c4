//! One sparse file that has everything.
//!
//! ```text
//!  grow    grain tables and directories, behind everything │ header: capacity, directories ─► descriptor
//!                                                          └ one sector: from here on the new disk
//!  shrink  header: capacity ─► descriptor │ table and directory entries behind the end ─► space given back, file cut
//! ```
//!
//! The next writer of the image expects a table for every grain, and puts new grains at the end of the file.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use instar_disk::fault::{resize as faults, vmdk};
use instar_disk::job::Preallocation;
use instar_disk::{
    Budget, Fault, File, Preallocate, Resizing, Result, ZeroHow, align_up, fault, from_usize, to_usize,
};
use zerocopy::{FromZeros, IntoBytes};

use super::text::{self, Patch};
use super::used::Used;
use crate::descriptor::{self, Home, NO_PARENT};
use crate::existing::sector;
use crate::header::{self, Form, Packing};
use crate::image::wrapped;
use crate::layout::DISK_MAX;
use crate::raw::{GD_AT_END, GTE_ZEROED, RawSparseHeader, SECTOR, SPARSE_MAGIC, flags};

pub(super) struct Sparse<'h> {
    file: File<'h>,
    raw: RawSparseHeader,
    sparse: header::Sparse,
    /// The directory, and the one that is its copy.
    directories: Vec<u64>,
    /// Where the descriptor is, and its bytes.
    text: (u64, Vec<u8>),
}

impl<'h> Sparse<'h> {
    /// None: it is laid out otherwise.
    ///
    /// # Errors
    /// As reading it.
    pub(super) fn open(file: File<'h>, sparse: header::Sparse) -> Result<Option<Self>> {
        let mut raw = RawSparseHeader::new_zeroed();
        file.read_padded(0, raw.as_mut_bytes())?;
        let plain = raw.magic_number == SPARSE_MAGIC
            && raw.gd_offset.get() != GD_AT_END
            && sparse.packing == Packing::Plain
            && matches!(sparse.form, Form::Hosted { .. });
        let Some(place) = sparse.descriptor.filter(|_| plain) else {
            return Ok(None);
        };
        let text = wrapped(&file, place)?;
        let found = descriptor::parse(&text, Home::Extent)?;
        let has_parent = found.parent_name.is_some()
            || found.parent_uuid.is_some()
            || !matches!(found.parent_cid, NO_PARENT | 0);
        if has_parent {
            return Ok(None);
        }
        let mut directories = vec![sparse.directory];
        if raw.flags.get() & flags::REDUNDANT_TABLE != 0 {
            let copy = raw.rgd_offset.get().saturating_mul(SECTOR);
            let bytes = sparse.tables.saturating_mul(ENTRY);
            if copy < sparse.floor {
                return Err(Fault::new(vmdk::TABLE_IN_METADATA).with([copy, sparse.floor]));
            }
            if copy.saturating_add(bytes) > file.size() {
                return Err(Fault::new(vmdk::TABLE_PAST_END).with([copy, bytes, file.size()]));
            }
            directories.push(copy);
        }
        Ok(Some(Self {
            text: (place.offset, text),
            file,
            raw,
            sparse,
            directories,
        }))
    }

    pub(super) fn resize(mut self, to: &Resizing<'_>) -> Result<()> {
        let size = align_up(to.size, SECTOR)?;
        if to.preallocation != Preallocation::Off {
            let mode = format!(" '{}'", to.preallocation.name());
            return Err(Fault::new(faults::PREALLOCATION).named(mode.as_bytes()));
        }
        if size > DISK_MAX {
            return Err(Fault::new(fault::core::TARGET_TOO_LARGE).with([size, DISK_MAX]));
        }
        let patch = text::patch(&self.text.1, Home::Extent, size)?;
        if size < self.sparse.capacity {
            self.shrink(size, &patch)
        } else {
            self.grow(size, &patch)
        }
    }

    fn grow(&mut self, size: u64, patch: &Patch) -> Result<()> {
        let old = self.sparse.tables;
        let tables = size.div_ceil(self.sparse.table_span());
        let length = self.file.size();
        let mut next = self.raw.clone();
        next.capacity.set(size / SECTOR);
        let mut added = Added {
            old,
            tables,
            places: Vec::new(),
            end: length,
        };
        if tables > old {
            added.place(&self.sparse, length, self.directories.len())?;
            let mut place = added.places.iter();
            let mut directory = || place.next().map_or(0, |place| place.0 / SECTOR);
            next.gd_offset.set(directory());
            if self.directories.len() > 1 {
                next.rgd_offset.set(directory());
            }
        }
        header::parse(&next, added.end)?;

        self.clear_behind(size)?;
        if tables > old
            && let Err(fault) = self.add(&added)
        {
            let _ = self.file.resize(length, Preallocate::Off);
            return Err(fault);
        }
        self.switch(&next, patch)
    }

    /// One sector makes it the other disk; then the descriptor says so, too.
    fn switch(&mut self, next: &RawSparseHeader, patch: &Patch) -> Result<()> {
        if next.as_bytes() != self.raw.as_bytes() {
            self.file.flush()?;
            self.file.write(0, next.as_bytes())?;
            self.file.flush()?;
            self.raw = next.clone();
        }
        patch.write(&self.file, self.text.0)
    }

    /// Makes zeros of whatever is behind the end of the disk, as far as it will be shown: the last grain's rest, and entries of the
    /// last table.
    fn clear_behind(&self, size: u64) -> Result<()> {
        let end = self.sparse.capacity;
        let Some(number) = self.sparse.tables.checked_sub(1).filter(|_| size > end) else {
            return Ok(());
        };
        let tables = self.copies(number)?;
        let start = number.saturating_mul(self.sparse.table_span());
        let grain = self.sparse.grain;
        let used = end.saturating_sub(start).div_ceil(grain.max(1));
        let within = end.checked_rem(grain).unwrap_or(0);
        if let Some((_, entries)) = tables.first().filter(|_| within > 0) {
            let last = to_usize(used.saturating_sub(1))?;
            let entry = entries.as_chunks::<4>().0.get(last).copied();
            if let Some(place) = entry.and_then(place) {
                let offset = self.inside(place, end)?.saturating_add(within);
                let present = self.file.size().saturating_sub(offset);
                let rest = grain.saturating_sub(within).min(present);
                self.file.zero(offset, rest, ZeroHow::Keep)?;
            }
        }
        for (at, entries) in &tables {
            self.clear_entries(*at, entries, used)?;
        }
        Ok(())
    }

    /// Clears the entries of a table from this one on, if one of them says something.
    fn clear_entries(&self, table: u64, entries: &[u8], first: u64) -> Result<()> {
        let first = first.saturating_mul(ENTRY);
        let behind = entries.get(to_usize(first)?..).unwrap_or_default();
        if behind.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        self.file
            .write(table.saturating_add(first), &vec![0; behind.len()])
    }

    /// Where table `number` is, with what is in it; then its copy, if that is one.
    fn copies(&self, number: u64) -> Result<Vec<(u64, Vec<u8>)>> {
        let mut found: Vec<(u64, Vec<u8>)> = Vec::new();
        for directory in &self.directories {
            let mut entry = [0; 4];
            let at = directory.saturating_add(number.saturating_mul(ENTRY));
            self.file.read_exact(at, &mut entry)?;
            let place = u64::from(u32::from_le_bytes(entry)).saturating_mul(SECTOR);
            if place == 0 && found.is_empty() {
                break;
            }
            let bytes = self.sparse.entries.saturating_mul(ENTRY);
            let is_inside = place >= self.sparse.floor && place < self.file.size();
            let mut entries = vec![0; to_usize(bytes)?];
            match (found.first(), is_inside) {
                (None, false) => return Err(self.table_outside(place)),
                (None, true) => self.file.read_padded(place, &mut entries)?,
                (Some(_), false) => break,
                (Some((first, same)), true) => {
                    self.file.read_padded(place, &mut entries)?;
                    // A copy that is none is somebody's data.
                    if place == *first || entries != *same {
                        break;
                    }
                }
            }
            found.push((place, entries));
        }
        Ok(found)
    }

    fn table_outside(&self, place: u64) -> Fault {
        match place < self.sparse.floor {
            true => Fault::new(vmdk::TABLE_IN_METADATA).with([place, self.sparse.floor]),
            false => {
                let bytes = self.sparse.entries.saturating_mul(ENTRY);
                Fault::new(vmdk::TABLE_PAST_END).with([place, bytes, self.file.size()])
            }
        }
    }

    /// A grain starts behind the metadata and before the file's end.
    fn inside(&self, place: u64, offset: u64) -> Result<u64> {
        if place < self.sparse.floor {
            return Err(Fault::new(vmdk::GRAIN_IN_METADATA).with([place, self.sparse.floor]));
        }
        if place >= self.file.size() {
            return Err(Fault::new(vmdk::GRAIN_PAST_END).with([place, self.file.size(), offset]));
        }
        Ok(place)
    }

    /// Writes directories and empty tables to where nothing is.
    fn add(&self, added: &Added) -> Result<()> {
        self.file.resize(added.end, Preallocate::Off)?;
        for (from, (to, tables)) in self.directories.iter().zip(&added.places) {
            let mut number = 0_u64;
            while number < added.tables {
                let count = added.tables.saturating_sub(number).min(PIECE);
                let known = added.old.saturating_sub(number).min(count);
                let mut piece = vec![0; to_usize(known.saturating_mul(ENTRY))?];
                let at = from.saturating_add(number.saturating_mul(ENTRY));
                self.file.read_exact(at, &mut piece)?;
                for number in number.saturating_add(known)..number.saturating_add(count) {
                    let index = number.saturating_sub(added.old);
                    let table = tables.saturating_add(index.saturating_mul(self.table_bytes()));
                    piece.extend_from_slice(&sector(table)?.to_le_bytes());
                }
                let at = to.saturating_add(number.saturating_mul(ENTRY));
                self.file.write(at, &piece)?;
                number = number.saturating_add(count);
            }
        }
        Ok(())
    }

    /// Bytes of a new table: whole sectors.
    const fn table_bytes(&self) -> u64 {
        table_bytes(&self.sparse)
    }

    fn shrink(&mut self, size: u64, patch: &Patch) -> Result<()> {
        let mut used = self.used(size)?;
        let mut next = self.raw.clone();
        next.capacity.set(size / SECTOR);
        header::parse(&next, self.file.size())?;
        self.switch(&next, patch)?;

        // The disk has changed; space that is not given back is no fault of the change.
        let grains = size.div_ceil(self.sparse.grain.max(1));
        let first = grains.div_ceil(self.sparse.entries.max(1));
        let partial = grains.checked_rem(self.sparse.entries).unwrap_or(0);
        let end = align_up(used.end, self.sparse.grain)?.min(self.file.size());
        let mut number = first.saturating_sub(u64::from(partial > 0));
        while number < self.sparse.tables {
            let kept = if number < first { partial } else { 0 };
            let copies = self.copies(number)?;
            for (at, entries) in copies.iter().filter(|_| kept > 0) {
                self.clear_entries(*at, entries, kept)?;
            }
            if let Some((_, entries)) = copies.first() {
                self.give_back(entries, kept, end, &mut used);
            }
            number = number.saturating_add(1);
        }
        for directory in &self.directories {
            self.clear_directory(*directory, first)?;
        }
        self.file.flush()?;
        if end < self.file.size() {
            let _ = self.file.resize(end, Preallocate::Off);
        }
        Ok(())
    }

    /// What the disk of `size` bytes uses of the file. Every table and every grain of the disk as it is now is in it.
    fn used(&self, size: u64) -> Result<Used> {
        let sparse = &self.sparse;
        let mut used = Used::new(self.file.size(), sparse.grain)?;
        let mut budget = Budget::new(self.file);
        used.take(
            0,
            self.raw.over_head.get().saturating_mul(SECTOR).max(sparse.floor),
        );
        for directory in &self.directories {
            used.take(*directory, sparse.tables.saturating_mul(ENTRY));
        }
        for number in 0..sparse.tables {
            budget.spend(sparse.entries.saturating_mul(ENTRY).saturating_mul(2))?;
            let start = number.saturating_mul(sparse.table_span());
            for (copy, (at, entries)) in self.copies(number)?.iter().enumerate() {
                if start < size {
                    used.take(*at, self.table_bytes());
                }
                let entries = entries.as_chunks::<4>().0;
                for (index, entry) in (0..).zip(entries).filter(|_| copy == 0) {
                    let offset = start.saturating_add(sparse.grain.saturating_mul(index));
                    if let Some(place) = place(*entry).filter(|_| offset < sparse.capacity) {
                        let place = self.inside(place, offset)?;
                        if offset < size {
                            used.take(place, sparse.grain);
                        }
                    }
                }
            }
        }
        Ok(used)
    }

    /// Gives back the space of grains before `end`, as far as nothing else is there.
    fn give_back(&self, entries: &[u8], kept: u64, end: u64, used: &mut Used) {
        let grain = self.sparse.grain;
        let entries = entries.as_chunks::<4>().0;
        for (_, entry) in (0..).zip(entries).filter(|(index, _)| *index >= kept) {
            if let Some(place) = place(*entry).filter(|place| *place < end)
                && used.is_free(place, grain)
            {
                let length = grain.min(end.saturating_sub(place));
                let _ = self.file.zero(place, length, ZeroHow::MayUnmap);
            }
        }
    }

    /// Clears a directory's entries from this one on.
    fn clear_directory(&self, directory: u64, first: u64) -> Result<()> {
        let mut number = first;
        while number < self.sparse.tables {
            let count = self.sparse.tables.saturating_sub(number).min(PIECE);
            let at = directory.saturating_add(number.saturating_mul(ENTRY));
            let bytes = to_usize(count.saturating_mul(ENTRY))?;
            self.file.write(at, &vec![0; bytes])?;
            number = number.saturating_add(count);
        }
        Ok(())
    }
}

/// What a larger disk needs.
struct Added {
    /// Tables that there are.
    old: u64,
    /// Tables that there will be.
    tables: u64,
    /// The new directories, and where the new tables of each begin.
    places: Vec<(u64, u64)>,
    /// Where the file ends.
    end: u64,
}

impl Added {
    /// Finds places behind the first `length` bytes for so many directories.
    fn place(&mut self, sparse: &header::Sparse, length: u64, copies: usize) -> Result<()> {
        let directory = align_up(self.tables.saturating_mul(ENTRY), SECTOR)?;
        let added = self.tables.saturating_sub(self.old);
        let tables = added.saturating_mul(table_bytes(sparse));
        let start = align_up(length, sparse.grain)?;
        let behind = start.saturating_add(directory.saturating_mul(from_usize(copies)));
        self.places = (0..from_usize(copies))
            .map(|copy| {
                let at = start.saturating_add(directory.saturating_mul(copy));
                (at, behind.saturating_add(tables.saturating_mul(copy)))
            })
            .collect();
        let end = behind.saturating_add(tables.saturating_mul(from_usize(copies)));
        self.end = align_up(end, sparse.grain)?;
        // All of it has a number in the tables.
        sector(self.end).map(drop)
    }
}

const fn table_bytes(sparse: &header::Sparse) -> u64 {
    sparse.entries.saturating_mul(ENTRY).next_multiple_of(SECTOR)
}

/// Where an entry says that a grain is.
fn place(entry: [u8; 4]) -> Option<u64> {
    let sector = u32::from_le_bytes(entry);
    (sector > GTE_ZEROED).then(|| u64::from(sector).saturating_mul(SECTOR))
}

/// Bytes of an entry of a table or a directory.
const ENTRY: u64 = 4;
/// Entries of a directory that are written together. Ours: 64 KiB.
const PIECE: u64 = 16384;
