//! Writing.

use alloc::boxed::Box;
use alloc::vec::Vec;

use instar_disk::{File, FileKind, Placement, Preallocate, Result, TableWriter, Target, ZeroHow, fault};
use zerocopy::{FromZeros, IntoBytes};

use crate::crc::crc32c;
use crate::layout::{Chunks, HEADER_SECTION, HEADERS, MIB, REGION_TABLES, TABLE_BYTES, state};
use crate::raw::{
    FILE_SIGNATURE, Guid, HEADER_SIGNATURE, ITEM_FILE_PARAMETERS, ITEM_LOGICAL_SECTOR, ITEM_PAGE_83,
    ITEM_PHYSICAL_SECTOR, ITEM_VIRTUAL_DISK_SIZE, METADATA_SIGNATURE, REGION_BAT, REGION_METADATA,
    REGION_SIGNATURE, RawHeader, RawItems, RawMetadataTableEntry, RawMetadataTableHeader,
    RawRegionTableEntry, RawRegionTableHeader,
};

/// Who made the file: for people only.
const CREATOR: &str = "instar";

/// A new image: where everything goes.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) size: u64,
    pub(crate) chunks: Chunks,
    pub(crate) sector_size: u64,
    pub(crate) fixed: bool,
    /// Blocks never written are marked as zeros instead of absent.
    pub(crate) absent_is_zero: bool,
    pub(crate) log_length: u64,
    pub(crate) bat_offset: u64,
    pub(crate) bat_length: u64,
    pub(crate) metadata_offset: u64,
    pub(crate) data_offset: u64,
    pub(crate) sequence: u64,
    pub(crate) file_write_guid: Guid,
    pub(crate) data_write_guid: Guid,
    pub(crate) page_83: Guid,
}

impl Plan {
    /// Where the file of a fixed disk ends: all its blocks are whole.
    pub(crate) fn fixed_end(&self) -> u64 {
        let blocks = self.chunks.blocks(self.size);
        self.data_offset
            .saturating_add(blocks.saturating_mul(self.chunks.block_size))
    }

    /// The entries of a BAT in which nothing was written yet.
    fn untouched(&self) -> Box<instar_disk::FillEntries> {
        let (chunks, fixed, data) = (self.chunks, self.fixed, self.data_offset);
        let needed = chunks.entries(self.size, false);
        let absent = if self.absent_is_zero {
            state::ZERO
        } else {
            state::NOT_PRESENT
        };
        Box::new(move |at, into| {
            for (index, bytes) in (at / 8..).zip(into.chunks_exact_mut(8)) {
                let value = if index >= needed || chunks.is_bitmap(index) {
                    0
                } else if fixed {
                    let bitmaps = index.checked_div(chunks.ratio.saturating_add(1)).unwrap_or(0);
                    let block = index.saturating_sub(bitmaps);
                    data.saturating_add(block.saturating_mul(chunks.block_size)) | state::FULLY_PRESENT
                } else {
                    absent
                };
                bytes.copy_from_slice(&value.to_le_bytes());
            }
        })
    }
}

pub(crate) struct Vhdx<'h> {
    file: File<'h>,
    plan: Plan,
    table: TableWriter<'h>,
    /// Where the next block goes.
    next: u64,
}

impl<'h> Vhdx<'h> {
    /// An image without data.
    pub(crate) fn new(file: File<'h>, plan: Plan) -> Self {
        // What lies past the entries that the disk needs is zeros, and is not written to a new file.
        let bytes = plan.chunks.entries(plan.size, false).saturating_mul(8);
        let bytes = if file.kind() == FileKind::Fresh {
            bytes
        } else {
            plan.bat_length
        };
        let table = if plan.fixed || plan.absent_is_zero {
            TableWriter::with_entries(file, plan.bat_offset, bytes, plan.untouched())
        } else {
            TableWriter::new(file, plan.bat_offset, bytes, 0)
        };
        let next = if plan.fixed {
            plan.fixed_end()
        } else {
            plan.data_offset
        };
        Self {
            file,
            plan,
            table,
            next,
        }
    }

    /// Where the block is, if it is here.
    fn block(&mut self, block: u64) -> Result<Option<u64>> {
        let entry = self.plan.chunks.entry(block).saturating_mul(8);
        let value = u64::from_le_bytes(self.table.get(entry)?);
        Ok((value & 7 == state::FULLY_PRESENT).then_some(value & !(MIB.saturating_sub(1))))
    }

    /// Gives places to the blocks from `block` on, until `blocks` have one or a block is met that has one already.
    fn give(&mut self, block: u64, blocks: u64) -> Result<u64> {
        let mut given = 0_u64;
        while given < blocks {
            let next = block.saturating_add(given);
            if self.block(next)?.is_some() {
                break;
            }
            let value = self.next | state::FULLY_PRESENT;
            let entry = self.plan.chunks.entry(next).saturating_mul(8);
            self.table.set(entry, value.to_le_bytes())?;
            if self.file.kind() != FileKind::Fresh {
                // Only the part that is asked for will be written.
                self.file
                    .zero(self.next, self.plan.chunks.block_size, ZeroHow::MayUnmap)?;
            }
            self.next = self.next.saturating_add(self.plan.chunks.block_size);
            given = given.saturating_add(1);
        }
        Ok(given)
    }

    fn split(&self, offset: u64) -> (u64, u64) {
        let size = self.plan.chunks.block_size;
        let block = offset.checked_div(size).unwrap_or(0);
        (block, offset.saturating_sub(block.saturating_mul(size)))
    }

    fn header(&self, sequence: u64) -> Result<RawHeader> {
        let mut raw = RawHeader::new_zeroed();
        raw.signature = HEADER_SIGNATURE;
        raw.sequence_number.set(sequence);
        raw.file_write_guid = self.plan.file_write_guid;
        raw.data_write_guid = self.plan.data_write_guid;
        raw.version.set(1);
        raw.log_length.set(small(self.plan.log_length)?);
        raw.log_offset.set(HEADER_SECTION);
        raw.checksum.set(crc32c(raw.as_bytes()));
        Ok(raw)
    }

    fn region_table(&self) -> Result<Vec<u8>> {
        let plan = &self.plan;
        let mut header = RawRegionTableHeader::new_zeroed();
        header.signature = REGION_SIGNATURE;
        header.entry_count.set(2);
        let entry = |guid, offset: u64, length| -> Result<_> {
            let mut raw = RawRegionTableEntry::new_zeroed();
            raw.guid = guid;
            raw.file_offset.set(offset);
            raw.length.set(small(length)?);
            raw.required.set(1);
            Ok(raw)
        };
        let bat = entry(REGION_BAT, plan.bat_offset, plan.bat_length)?;
        let metadata = entry(REGION_METADATA, plan.metadata_offset, MIB)?;
        let build = |header: &RawRegionTableHeader| {
            let mut table = [header.as_bytes(), bat.as_bytes(), metadata.as_bytes()].concat();
            table.resize(TABLE_BYTES, 0);
            table
        };
        header.checksum.set(crc32c(&build(&header)));
        Ok(build(&header))
    }

    /// The metadata table and, in the 64 KiB after it, the items.
    fn metadata(&self) -> Result<Vec<u8>> {
        /// Flags: required; required and the disk's.
        const FILE: u32 = 4;
        const DISK: u32 = 6;
        let items = [
            (ITEM_FILE_PARAMETERS, 8, FILE),
            (ITEM_VIRTUAL_DISK_SIZE, 8, DISK),
            (ITEM_PAGE_83, 16, DISK),
            (ITEM_LOGICAL_SECTOR, 4, DISK),
            (ITEM_PHYSICAL_SECTOR, 4, DISK),
        ];
        let mut header = RawMetadataTableHeader::new_zeroed();
        header.signature = METADATA_SIGNATURE;
        header.entry_count.set(5);
        let mut table = header.as_bytes().to_vec();
        let mut offset = 64_u32 << 10;
        for (item, length, flags) in items {
            let mut raw = RawMetadataTableEntry::new_zeroed();
            raw.item_id = item;
            raw.offset.set(offset);
            raw.length.set(length);
            raw.flags.set(flags);
            table.extend_from_slice(raw.as_bytes());
            offset = offset.saturating_add(length);
        }
        table.resize(TABLE_BYTES, 0);
        let mut values = RawItems::new_zeroed();
        values.block_size.set(small(self.plan.chunks.block_size)?);
        values.flags.set(u32::from(self.plan.fixed));
        values.virtual_disk_size.set(self.plan.size);
        values.page_83 = self.plan.page_83;
        values.logical_sector_size.set(small(self.plan.sector_size)?);
        values.physical_sector_size.set(small(self.plan.sector_size)?);
        table.extend_from_slice(values.as_bytes());
        Ok(table)
    }
}

impl Target for Vhdx<'_> {
    fn size(&self) -> u64 {
        self.plan.size
    }

    /// Less than a block: what is not written of a block reads as zeros all the same.
    fn unit(&self) -> u64 {
        MIB
    }

    fn allocate(&mut self, offset: u64, length: u64) -> Result<Placement> {
        let (block, within) = self.split(offset);
        let block_size = self.plan.chunks.block_size;
        let (start, room) = if self.plan.fixed {
            (self.plan.data_offset.saturating_add(offset), length)
        } else if let Some(start) = self.block(block)? {
            (start.saturating_add(within), block_size.saturating_sub(within))
        } else {
            let start = self.next;
            let given = self.give(block, within.saturating_add(length).div_ceil(block_size.max(1)))?;
            let room = given.saturating_mul(block_size).saturating_sub(within);
            (start.saturating_add(within), room)
        };
        Ok(Placement {
            slot: self.file.slot(),
            offset: start,
            length: length.min(room),
            fresh: self.file.kind() == FileKind::Fresh,
        })
    }

    fn zero(&mut self, offset: u64, length: u64) -> Result<()> {
        let (mut at, end) = (offset, offset.saturating_add(length));
        while at < end {
            let (block, within) = self.split(at);
            let room = self.plan.chunks.block_size.saturating_sub(within).max(1);
            let step = end.saturating_sub(at).min(room);
            if let Some(start) = self.block(block)? {
                self.file
                    .zero(start.saturating_add(within), step, ZeroHow::MayUnmap)?;
            }
            at = at.saturating_add(step);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.table.finish()?;
        self.file.write(self.plan.metadata_offset, &self.metadata()?)?;
        if self.file.kind() != FileKind::Block {
            self.file.resize(self.next, Preallocate::Off)?;
        }
        self.file.flush()?;
        let regions = self.region_table()?;
        for offset in REGION_TABLES {
            self.file.write(offset, &regions)?;
        }
        for (offset, sequence) in HEADERS.into_iter().zip(self.plan.sequence..) {
            self.file.write(offset, self.header(sequence)?.as_bytes())?;
        }
        self.file.flush()?;
        let mut identifier = FILE_SIGNATURE.to_vec();
        identifier.extend(CREATOR.encode_utf16().flat_map(u16::to_le_bytes));
        identifier.resize(FILE_SIGNATURE.len().saturating_add(512), 0);
        self.file.write(0, &identifier)?;
        self.file.flush()
    }
}

/// A length that fits its field.
fn small(value: u64) -> Result<u32> {
    u32::try_from(value).map_err(|_| instar_disk::Fault::new(fault::core::OVERFLOW).with([value]))
}
