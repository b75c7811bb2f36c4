//! A dynamic disk: the footer in front says how large it is.
//!
//! ```text
//!  grow    a longer table behind everything, and a footer behind that ─► dynamic header ─► footer in front ─► footer at the end
//!  shrink  footer in front ─► footer at the end ─► entries of the table ─► dynamic header ─► the file is cut
//! ```

use alloc::vec::Vec;

use instar_disk::fault::resize as faults;
use instar_disk::{
    Action, Budget, Fault, File, Io, Preallocate, Result, ZeroHow, align_up, fault, from_usize, to_usize,
};
use zerocopy::IntoBytes;

use super::SECTOR;
use crate::header::{DynamicHeader, Footer};
use crate::image::{dynamic_header, read_footer};
use crate::raw::{DYNAMIC_BYTES, FOOTER_COOKIE, RawDynamicHeader, RawFooter, UNALLOCATED, checksum};
use crate::table::Table;

pub(super) struct Dynamic<'h> {
    file: File<'h>,
    /// Bytes of the disk.
    old: u64,
    footer: RawFooter,
    /// Where the dynamic header is.
    header_at: u64,
    raw: RawDynamicHeader,
    header: DynamicHeader,
    /// Where the last footer is, or would be.
    end: u64,
}

impl<'h> Dynamic<'h> {
    /// The disk behind `footer`, all of whose table has been judged.
    pub(super) fn open(file: File<'h>, footer: &Footer, raw_footer: RawFooter) -> Result<Self> {
        let raw = dynamic_header(&file, footer)?;
        let header = DynamicHeader::parse(&raw, footer.size)?;
        if !footer.data_offset.is_multiple_of(SECTOR) || !header.table_offset.is_multiple_of(4) {
            return Err(Fault::new(faults::LAYOUT).named(b"a VHD whose tables are not aligned"));
        }
        let mut table = Table::open(file, footer, header)?;
        let mut budget = Budget::new(file);
        let mut block = 0_u64;
        while block < u64::from(header.table_entries) {
            let run = table.run(block)?;
            budget.spend(run.blocks.saturating_mul(4))?;
            block = block.saturating_add(run.blocks);
        }
        let end = align_up(file.size(), SECTOR)?;
        let last = read_footer(&file, end.saturating_sub(SECTOR))?;
        Ok(Self {
            file,
            old: footer.size,
            footer: raw_footer,
            header_at: footer.data_offset,
            raw,
            header,
            end: if last.cookie == FOOTER_COOKIE {
                end.saturating_sub(SECTOR)
            } else {
                end
            },
        })
    }

    pub(super) fn resize(mut self, size: u64, next: &RawFooter) -> Result<()> {
        let blocks = size.div_ceil(self.header.block_size);
        let blocks = u32::try_from(blocks).map_err(|_| Fault::new(fault::core::OVERFLOW).with([blocks]))?;
        if size < self.old {
            self.switch(next)?;
            return self.shrink(blocks, next);
        }
        let checked = RawDynamicHeader {
            max_table_entries: blocks.max(self.header.table_entries).into(),
            ..self.raw.clone()
        };
        DynamicHeader::parse(&checked, size)?;
        self.clear_behind(size)?;
        if blocks > self.header.table_entries {
            self.lengthen_table(blocks)?;
        }
        self.switch(next)
    }

    /// From here on the disk is the new one, to readers of either footer.
    fn switch(&self, next: &RawFooter) -> Result<()> {
        self.file.flush()?;
        self.file.write(0, next.as_bytes())?;
        self.file.flush()?;
        self.file.write(self.end, next.as_bytes())?;
        self.file.flush()
    }

    /// Calls `visit` with each piece of the table from block `first` on: its first block, and the entries.
    fn each_piece(&self, first: u64, visit: &mut Visit<'_>) -> Result<()> {
        let end = u64::from(self.header.table_entries);
        let mut piece = Vec::new();
        let mut at = first;
        while at < end {
            let count = end.saturating_sub(at).min(PIECE);
            piece.resize(to_usize(count.saturating_mul(4))?, 0);
            self.file.read_padded(self.entry_at(at), &mut piece)?;
            visit(at, piece.as_chunks_mut::<4>().0)?;
            at = at.saturating_add(count);
        }
        Ok(())
    }

    const fn entry_at(&self, block: u64) -> u64 {
        self.header.table_offset.saturating_add(block.saturating_mul(4))
    }

    /// Clears what is in the blocks behind the end of the disk, as far as it will be shown.
    fn clear_behind(&self, size: u64) -> Result<()> {
        let block_size = self.header.block_size;
        let first = self.old.checked_div(block_size).unwrap_or(0);
        let end = size.div_ceil(block_size);
        if size == self.old {
            return Ok(());
        }
        self.each_piece(first, &mut |start, entries| {
            for (block, entry) in (start..end).zip(entries.iter()) {
                let Some(place) = place(*entry) else { continue };
                let shown = block.saturating_mul(block_size);
                let within = self.old.saturating_sub(shown);
                let data = place.saturating_add(self.header.bitmap_size);
                let length = block_size.saturating_sub(within);
                self.file
                    .zero(data.saturating_add(within), length, ZeroHow::MayUnmap)?;
            }
            Ok(())
        })
    }

    /// A table of so many entries, of which those that are added are unallocated.
    fn lengthen_table(&mut self, blocks: u32) -> Result<()> {
        let padded = |entries: u32| align_up(u64::from(entries).saturating_mul(4), SECTOR);
        let old = u64::from(self.header.table_entries);
        let stays = padded(blocks)? == padded(self.header.table_entries)?
            && self.header.table_offset.is_multiple_of(SECTOR);
        let table = if stays {
            self.header.table_offset
        } else {
            self.end.saturating_add(SECTOR)
        };
        let end = table.saturating_add(padded(blocks)?);
        if !stays {
            // First, since readers look for it at the end of the file.
            self.file.write(end, self.footer.as_bytes())?;
            self.file.flush()?;
            self.end = end;
            self.each_piece(0, &mut |start, entries| {
                let at = table.saturating_add(start.saturating_mul(4));
                self.file.write(at, entries.as_flattened())
            })?;
        }
        let empty = alloc::vec![0xff; to_usize(PIECE.saturating_mul(4))?];
        let mut at = table.saturating_add(old.saturating_mul(4));
        while at < end {
            let count = to_usize(end.saturating_sub(at))?.min(empty.len());
            let some = empty.get(..count).unwrap_or(&empty);
            self.file.write(at, some)?;
            at = at.saturating_add(from_usize(some.len()));
        }
        self.file.flush()?;
        let dead = (self.header.table_offset, padded(self.header.table_entries)?);
        self.write_header(table, blocks)?;
        if !stays {
            self.give_back(&[dead]);
        }
        Ok(())
    }

    /// The dynamic header leads to this table of so many entries. Both numbers, and the checksum, are in its first sector.
    fn write_header(&mut self, table: u64, entries: u32) -> Result<()> {
        self.raw.table_offset.set(table);
        self.raw.max_table_entries.set(entries);
        self.raw.checksum.set(0);
        self.raw.checksum.set(checksum(self.raw.as_bytes()));
        let bytes = self.raw.as_bytes();
        let first = bytes.get(..to_usize(SECTOR)?).unwrap_or(bytes);
        self.file.write(self.header_at, first)?;
        self.file.flush()
    }

    /// Gives up what is behind the first so many blocks.
    fn shrink(&mut self, blocks: u32, next: &RawFooter) -> Result<()> {
        let mut freed: Vec<(u64, u64)> = Vec::new();
        let length = self.header.bitmap_size.saturating_add(self.header.block_size);
        self.each_piece(u64::from(blocks), &mut |start, entries| {
            let mut cleared = false;
            for entry in entries.iter_mut() {
                if let Some(place) = place(*entry) {
                    match freed.last_mut() {
                        Some((from, bytes)) if from.saturating_add(*bytes) == place => {
                            *bytes = bytes.saturating_add(length);
                        }
                        _ => freed.push((place, length)),
                    }
                    *entry = UNALLOCATED.to_be_bytes();
                    cleared = true;
                }
            }
            if cleared {
                self.file.write(self.entry_at(start), entries.as_flattened())?;
                self.file.flush()?;
                self.give_back(&freed);
            }
            freed.clear();
            Ok(())
        })?;
        let table = self.header.table_offset;
        self.write_header(table, blocks)?;
        self.header.table_entries = blocks;
        self.cut(length, next)
    }

    /// Cuts off what is behind the last block.
    fn cut(&self, length: u64, next: &RawFooter) -> Result<()> {
        let header_end = self.header_at.saturating_add(from_usize(DYNAMIC_BYTES));
        let table_end = self.header.table_offset.saturating_add(self.header.table_bytes());
        let mut end = header_end.max(table_end);
        self.each_piece(0, &mut |_, entries| {
            let places = entries.iter().filter_map(|entry| place(*entry));
            end = places
                .map(|place| place.saturating_add(length))
                .fold(end, u64::max);
            Ok(())
        })?;
        let end = align_up(end, SECTOR)?;
        if end < self.end {
            self.file.write(end, next.as_bytes())?;
            self.file.flush()?;
            // A file that stays long is no fault of the change.
            let _ = self.file.resize(end.saturating_add(SECTOR), Preallocate::Off);
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
                length: *length,
            })
        };
        let mut batch: Vec<Io<'_>> = ranges.iter().map(discard).collect();
        self.file.host().submit(&mut batch);
    }
}

/// Where the block of an entry starts, if it has a place.
fn place(entry: [u8; 4]) -> Option<u64> {
    let sector = u32::from_be_bytes(entry);
    (sector != UNALLOCATED).then(|| u64::from(sector).saturating_mul(SECTOR))
}

/// Entries of the table that are looked at together. Ours: 64 KiB.
const PIECE: u64 = 16384;

/// Is shown entries of the block allocation table, from this one on.
type Visit<'a> = dyn FnMut(u64, &mut [[u8; 4]]) -> Result<()> + 'a;
