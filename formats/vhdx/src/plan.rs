//! A new image: where everything goes, and the structures that say so.

use alloc::boxed::Box;
use alloc::vec::Vec;

use instar_disk::{File, FileKind, Result, TableWriter, fault};
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

    /// The block allocation table, in which nothing was written yet.
    pub(crate) fn table<'h>(&self, file: File<'h>) -> TableWriter<'h> {
        // What lies past the entries that the disk needs is zeros, and is not written to a new file.
        let bytes = if file.kind() == FileKind::Fresh {
            self.chunks.entries(self.size, false).saturating_mul(8)
        } else {
            self.bat_length
        };
        if self.fixed || self.absent_is_zero {
            TableWriter::with_entries(file, self.bat_offset, bytes, self.untouched())
        } else {
            TableWriter::new(file, self.bat_offset, bytes, 0)
        }
    }

    /// Writes all but the table and the blocks; what the image is recognised by comes last.
    pub(crate) fn write(&self, file: &File<'_>) -> Result<()> {
        file.write(self.metadata_offset, &self.metadata()?)?;
        file.flush()?;
        let regions = self.region_table()?;
        for offset in REGION_TABLES {
            file.write(offset, &regions)?;
        }
        for (offset, sequence) in HEADERS.into_iter().zip(self.sequence..) {
            file.write(offset, self.header(sequence)?.as_bytes())?;
        }
        file.flush()?;
        let mut identifier = FILE_SIGNATURE.to_vec();
        identifier.extend(CREATOR.encode_utf16().flat_map(u16::to_le_bytes));
        identifier.resize(FILE_SIGNATURE.len().saturating_add(512), 0);
        file.write(0, &identifier)
    }

    fn header(&self, sequence: u64) -> Result<RawHeader> {
        let mut raw = RawHeader::new_zeroed();
        raw.signature = HEADER_SIGNATURE;
        raw.sequence_number.set(sequence);
        raw.file_write_guid = self.file_write_guid;
        raw.data_write_guid = self.data_write_guid;
        raw.version.set(1);
        raw.log_length.set(small(self.log_length)?);
        raw.log_offset.set(HEADER_SECTION);
        raw.checksum.set(crc32c(raw.as_bytes()));
        Ok(raw)
    }

    fn region_table(&self) -> Result<Vec<u8>> {
        let plan = self;
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
        values.block_size.set(small(self.chunks.block_size)?);
        values.flags.set(u32::from(self.fixed));
        values.virtual_disk_size.set(self.size);
        values.page_83 = self.page_83;
        values.logical_sector_size.set(small(self.sector_size)?);
        values.physical_sector_size.set(small(self.sector_size)?);
        table.extend_from_slice(values.as_bytes());
        Ok(table)
    }
}

/// A length that fits its field.
fn small(value: u64) -> Result<u32> {
    u32::try_from(value).map_err(|_| instar_disk::Fault::new(fault::core::OVERFLOW).with([value]))
}
