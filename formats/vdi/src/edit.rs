//! Another size of the disk.
//!
//! ```text
//!  grow    blocks in the way of a longer map ─► the end │ map entries ─► a longer map │ header: size, map, places
//!          (copied, then entered, while the old map counts)                            └ one sector: from here on the new disk
//!  shrink  header: size │ blocks behind the places that are kept ─► the free ones in front │ header: places │ file cut
//! ```
//!
//! Places stay dense, since every writer puts the next block behind as many as the header counts. While blocks move, the header
//! counts more than there are.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use instar_disk::fault::{resize as faults, vdi};
use instar_disk::job::{Change, Preallocation};
use instar_disk::{
    Budget, Edit, Fault, File, FileKind, Places, Preallocate, Resizing, Result, ZeroHow, align_up,
    copy_within, fault, reservation, set_length, to_usize,
};
use zerocopy::{FromZeros, IntoBytes};

use crate::header::{BLOCK, DISK_MAX, Header, ImageType};
use crate::raw::{DISCARDED, RawHeader, UNALLOCATED};
use crate::table::{BlockMap, place_offset};

/// Opens a VDI whose size is to change.
///
/// # Errors
/// As reading it.
pub fn edit<'h>(file: File<'h>) -> Result<Box<dyn Edit + 'h>> {
    let mut raw = RawHeader::new_zeroed();
    file.read_padded(0, raw.as_mut_bytes())?;
    let header = Header::parse(&raw).map_err(|fault| fault.in_file(file.slot()))?;
    // The map is in the file, all of it.
    BlockMap::new(file, &header)?;
    Ok(Box::new(Editor { file, raw, header }))
}

struct Editor<'h> {
    file: File<'h>,
    raw: RawHeader,
    header: Header,
}

impl Edit for Editor<'_> {
    fn change(&mut self, _: &Change) -> Result<()> {
        Err(Fault::new(faults::UNSUPPORTED))
    }

    fn size(&self) -> u64 {
        self.header.size
    }

    fn resize(&mut self, to: &mut Resizing<'_>) -> Result<()> {
        let size = align_up(to.size, 512)?;
        self.judge_size(size, to.preallocation)
            .map_err(|fault| fault.in_file(self.file.slot()))?;
        if size < self.header.size {
            self.shrink(size)
        } else {
            self.grow(size, reservation(to.preallocation))
        }
    }
}

/// Places in use.
#[derive(Default)]
struct Used {
    /// Blocks that have one.
    blocks: u64,
    /// One more than the last.
    end: u64,
    /// How many are among the first so many that are in the way.
    in_the_way: u64,
}

impl Editor<'_> {
    fn judge_size(&self, size: u64, preallocation: Preallocation) -> Result<()> {
        if self.file.kind() == FileKind::Block {
            return Err(Fault::new(faults::LAYOUT).named(b"an image of this format on a device"));
        }
        if size > DISK_MAX {
            return Err(Fault::new(vdi::SIZE).named(format!("{size:x}").as_bytes()));
        }
        if preallocation != Preallocation::Off && self.header.image_type == ImageType::Dynamic {
            let mode = format!(" '{}'", preallocation.name());
            return Err(Fault::new(faults::PREALLOCATION).named(mode.as_bytes()));
        }
        self.header.refuse_data_in_front()
    }

    /// Calls `visit` with each piece of the first `blocks` entries of the map: the number of its first block, and the entries.
    fn each_piece(&self, blocks: u64, visit: &mut Visit<'_>) -> Result<()> {
        let mut budget = Budget::new(self.file);
        let mut piece = Vec::new();
        let mut at = 0;
        while at < blocks {
            let count = blocks.saturating_sub(at).min(PIECE);
            budget.spend(count.saturating_mul(4))?;
            piece.resize(to_usize(count.saturating_mul(4))?, 0);
            self.file.read_exact(self.entry_at(at), &mut piece)?;
            visit(at, piece.as_chunks_mut::<4>().0)?;
            at = at.saturating_add(count);
        }
        Ok(())
    }

    const fn entry_at(&self, block: u64) -> u64 {
        self.header.map_offset.saturating_add(block.saturating_mul(4))
    }

    const fn offset_of(&self, place: u64) -> u64 {
        self.header
            .data_offset
            .saturating_add(place.saturating_mul(BLOCK))
    }

    /// The places of all blocks; `first` are in the way. Each is in the file, and no two blocks have the same among those.
    fn used(&self, first: u64) -> Result<Used> {
        let mut used = Used::default();
        self.each_piece(u64::from(self.header.blocks), &mut |start, entries| {
            for (block, entry) in (start..).zip(entries.iter()) {
                let Some(place) = place(*entry) else { continue };
                if self.offset_of(place) >= self.file.size() {
                    return Err(self.damaged(block, place));
                }
                used.blocks = used.blocks.saturating_add(1);
                used.end = used.end.max(place.saturating_add(1));
                if place < first {
                    used.in_the_way = used.in_the_way.saturating_add(1);
                    if used.in_the_way > first {
                        return Err(self.damaged(block, place));
                    }
                }
            }
            Ok(())
        })?;
        Ok(used)
    }

    fn grow(&mut self, size: u64, reserve: Preallocate) -> Result<()> {
        let old = u64::from(self.header.blocks);
        let blocks = old.max(size.div_ceil(BLOCK));
        let bytes = align_up(blocks.saturating_mul(4), 512)?;
        let fits = self.header.map_offset.saturating_add(bytes) <= self.header.data_offset || bytes == 0;
        let first = if fits { 0 } else { bytes.div_ceil(BLOCK) };
        let used = self.used(first)?;
        let (mut map_offset, mut data_offset) = (self.header.map_offset, self.header.data_offset);
        if !fits {
            map_offset = data_offset;
            data_offset = data_offset.saturating_add(first.saturating_mul(BLOCK));
        }
        let behind = used
            .end
            .max(first)
            .saturating_add(used.in_the_way)
            .saturating_sub(first);
        let added = match self.header.image_type {
            ImageType::Static => blocks.saturating_sub(old),
            ImageType::Dynamic => 0,
        };
        let next = Header {
            size,
            image_type: self.header.image_type,
            blocks: narrow(blocks)?,
            map_offset,
            data_offset,
        };
        let allocated = narrow(behind.saturating_add(added))?;
        let mut raw = self.raw.clone();
        raw.disk_size.set(size);
        raw.blocks.set(next.blocks);
        raw.offset_blocks.set(narrow(map_offset)?);
        raw.offset_data.set(narrow(data_offset)?);
        raw.blocks_allocated.set(allocated);
        Header::parse(&raw)?;

        if used.in_the_way > 0 {
            let end = used.end.max(first);
            // Half way, places are not dense: a full disk is found out before.
            let moved = self.offset_of(end.saturating_add(used.in_the_way));
            if moved > self.file.size() {
                self.file.resize(moved, Preallocate::Falloc)?;
            }
            self.count(end.saturating_add(used.in_the_way))?;
            self.clear_the_way(first, end)?;
        }
        self.clear_behind(size)?;
        if added > 0 {
            let end = place_offset(data_offset, allocated);
            if end > self.file.size() {
                set_length(&self.file, end, reserve, b"")?;
            }
        }
        self.write_map(&next, first, behind)?;
        self.file.flush()?;
        self.file.write(0, raw.as_bytes())?;
        self.file.flush()
    }

    /// The header counts so many places, of which not all are in use.
    fn count(&mut self, places: u64) -> Result<()> {
        self.raw.blocks_allocated.set(narrow(places)?);
        self.file.write(0, self.raw.as_bytes())?;
        self.file.flush()
    }

    /// Moves blocks from the first so many places to those from `end` on.
    fn clear_the_way(&self, first: u64, end: u64) -> Result<()> {
        let mut next = end;
        self.each_piece(u64::from(self.header.blocks), &mut |start, entries| {
            let mut moved = false;
            for entry in entries.iter_mut() {
                let Some(place) = place(*entry).filter(|place| *place < first) else {
                    continue;
                };
                copy_within(&self.file, self.offset_of(place), self.offset_of(next), BLOCK)?;
                *entry = narrow(next)?.to_le_bytes();
                next = next.saturating_add(1);
                moved = true;
            }
            if moved {
                self.enter(start, entries)?;
            }
            Ok(())
        })
    }

    /// Writes entries of the map once what they lead to is on stable storage.
    fn enter(&self, first: u64, entries: &[[u8; 4]]) -> Result<()> {
        self.file.flush()?;
        self.file.write(self.entry_at(first), entries.as_flattened())?;
        self.file.flush()
    }

    /// Clears what is in the blocks behind the end of the disk, as far as it will be shown.
    fn clear_behind(&self, size: u64) -> Result<()> {
        let end = self.header.size;
        let first = end / BLOCK;
        let blocks = u64::from(self.header.blocks).min(size.div_ceil(BLOCK));
        if first >= blocks || size == end {
            return Ok(());
        }
        self.each_piece(blocks, &mut |start, entries| {
            for (block, entry) in (start..).zip(entries.iter()) {
                if let Some(place) = place(*entry).filter(|_| block >= first) {
                    let within = if block == first { end % BLOCK } else { 0 };
                    let offset = self.offset_of(place).saturating_add(within);
                    let present = self.file.size().saturating_sub(offset);
                    let length = BLOCK.saturating_sub(within).min(present);
                    self.file.zero(offset, length, ZeroHow::Keep)?;
                }
            }
            Ok(())
        })
    }

    /// Writes the map of the larger disk, whose places begin `first` later; `next` is the first that nobody has.
    fn write_map(&self, to: &Header, first: u64, next: u64) -> Result<()> {
        let old = u64::from(self.header.blocks);
        if first > 0 {
            self.each_piece(old, &mut |start, entries| {
                for entry in entries.iter_mut() {
                    if let Some(place) = place(*entry) {
                        *entry = narrow(place.saturating_sub(first))?.to_le_bytes();
                    }
                }
                let offset = to.map_offset.saturating_add(start.saturating_mul(4));
                self.file.write(offset, entries.as_flattened())
            })?;
        }
        let end = align_up(to.map_bytes(), 512)? / 4;
        let mut at = old;
        while at < end {
            let count = end.saturating_sub(at).min(PIECE);
            let mut piece = Vec::with_capacity(to_usize(count.saturating_mul(4))?);
            for block in at..at.saturating_add(count) {
                let added = to.image_type == ImageType::Static && block < u64::from(to.blocks);
                let entry = if added {
                    narrow(next.saturating_add(block.saturating_sub(old)))?
                } else {
                    UNALLOCATED
                };
                piece.extend_from_slice(&entry.to_le_bytes());
            }
            self.file
                .write(to.map_offset.saturating_add(at.saturating_mul(4)), &piece)?;
            at = at.saturating_add(count);
        }
        Ok(())
    }

    fn shrink(&mut self, size: u64) -> Result<()> {
        let blocks = size.div_ceil(BLOCK);
        let all = self.used(0)?;
        let mut kept = Places::new(u64::from(self.header.blocks).max(all.end))?;
        let mut count = 0_u64;
        self.each_piece(blocks, &mut |start, entries| {
            for (block, entry) in (start..).zip(entries.iter()) {
                let Some(place) = place(*entry) else { continue };
                if kept.take(place) {
                    return Err(self.damaged(block, place));
                }
                count = count.saturating_add(1);
            }
            Ok(())
        })?;
        self.raw.disk_size.set(size);
        self.raw.blocks.set(narrow(blocks)?);
        self.raw.blocks_allocated.set(narrow(all.end)?);
        self.file.write(0, self.raw.as_bytes())?;
        self.file.flush()?;

        self.close_gaps(blocks, &kept, count)?;
        self.count(count)?;
        // A file that stays long is no fault of the change.
        let end = self.offset_of(count);
        if end < self.file.size() {
            let _ = self.file.resize(end, Preallocate::Off);
        }
        Ok(())
    }

    /// Moves blocks from places behind the first `count` to those of them that are free.
    fn close_gaps(&self, blocks: u64, kept: &Places, count: u64) -> Result<()> {
        let mut free = (0..count).filter(|place| !kept.has(*place));
        self.each_piece(blocks, &mut |start, entries| {
            let mut moved = false;
            for (block, entry) in (start..).zip(entries.iter_mut()) {
                let Some(place) = place(*entry).filter(|place| *place >= count) else {
                    continue;
                };
                let to = free.next().ok_or_else(|| self.damaged(block, place))?;
                copy_within(&self.file, self.offset_of(place), self.offset_of(to), BLOCK)?;
                *entry = narrow(to)?.to_le_bytes();
                moved = true;
            }
            if moved {
                self.enter(start, entries)?;
            }
            Ok(())
        })
    }

    fn damaged(&self, block: u64, place: u64) -> Fault {
        Fault::new(faults::BLOCK_PLACE)
            .with([block, place])
            .in_file(self.file.slot())
    }
}

/// The place that an entry of the map says, if it says one.
fn place(entry: [u8; 4]) -> Option<u64> {
    let place = u32::from_le_bytes(entry);
    (place < DISCARDED).then_some(place.into())
}

fn narrow(value: u64) -> Result<u32> {
    u32::try_from(value).map_err(|_| Fault::new(fault::core::OVERFLOW).with([value]))
}

/// Entries of the map that are looked at together. Ours: 64 KiB.
const PIECE: u64 = 16384;

/// Is shown entries of the block map, from this one on.
type Visit<'a> = dyn FnMut(u64, &mut [[u8; 4]]) -> Result<()> + 'a;
