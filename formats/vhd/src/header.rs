//! Footer and dynamic header, valid by construction.

use instar_disk::fault::vhd as faults;
use instar_disk::job::SizeRule;
use instar_disk::{Fault, Result};
use zerocopy::IntoBytes;

use crate::geometry::{Geometry, SECTORS_MAX};
use crate::raw::{DYNAMIC_COOKIE, FOOTER_COOKIE, RawDynamicHeader, RawFooter, checksum};

/// Entries of a block allocation table, by qemu-img: the table stays below 2 GiB.
const ENTRIES_MAX: u32 = 0x1fff_ffff;

/// Creators whose geometry says how large the disk is. All others mean what they wrote as current size. By qemu-img.
const CHS_CREATORS: [[u8; 4]; 2] = [*b"vpc ", *b"qemu"];

/// What a valid footer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footer {
    /// Bytes of the disk, a multiple of 512.
    pub size: u64,
    /// Kind of disk.
    pub disk_type: DiskType,
    /// Where the dynamic header is, if there is one.
    pub data_offset: u64,
    /// Which disk it is.
    pub unique_id: [u8; 16],
}

/// Kinds of disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskType {
    /// Guest bytes at their own offset.
    Fixed,
    /// Blocks, allocated when first written.
    Dynamic,
    /// The same, over a parent.
    Differencing,
}

impl DiskType {
    /// The kind of that number.
    ///
    /// # Errors
    /// `DISK_TYPE`.
    pub fn parse(number: u32) -> Result<Self> {
        match number {
            2 => Ok(Self::Fixed),
            3 => Ok(Self::Dynamic),
            4 => Ok(Self::Differencing),
            other => Err(Fault::new(faults::DISK_TYPE).with([other.into()])),
        }
    }
}

impl Footer {
    /// Judges `raw`.
    ///
    /// # Errors
    /// What is wrong, in qemu-img's words where it has any.
    pub fn parse(raw: &RawFooter) -> Result<Self> {
        Self::parse_by(raw, SizeRule::Creator)
    }

    /// As [`Footer::parse`], with what the user says of the disk's size.
    ///
    /// # Errors
    /// As [`Footer::parse`].
    pub fn parse_by(raw: &RawFooter, rule: SizeRule) -> Result<Self> {
        if raw.cookie != FOOTER_COOKIE {
            return Err(Fault::new(faults::NOT_VHD));
        }
        let mut unsummed = raw.clone();
        unsummed.checksum.set(0);
        if checksum(unsummed.as_bytes()) != raw.checksum.get() {
            return Err(Fault::new(faults::CHECKSUM));
        }
        let geometry = Geometry {
            cylinders: raw.cylinders.get(),
            heads: raw.heads,
            sectors: raw.sectors,
        };
        let by_geometry = match rule {
            SizeRule::Geometry => true,
            SizeRule::CurrentSize => false,
            SizeRule::Creator => has_geometry_size(raw),
        } && geometry.total() != Geometry::LARGEST.total();
        let sectors = if by_geometry {
            geometry.total()
        } else {
            raw.current_size.get() / 512
        };
        if sectors > SECTORS_MAX {
            return Err(Fault::new(faults::DISK_TOO_LARGE).with([sectors]));
        }
        Ok(Self {
            size: sectors.saturating_mul(512),
            disk_type: DiskType::parse(raw.disk_type.get())?,
            data_offset: raw.data_offset.get(),
            unique_id: raw.unique_id,
        })
    }
}

/// Whether the program that made the image means the geometry, not the size beside it.
pub(crate) fn has_geometry_size(raw: &RawFooter) -> bool {
    CHS_CREATORS.contains(&raw.creator_application)
}

/// What a valid dynamic header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DynamicHeader {
    /// Guest bytes of a block, a power of two of at least 512.
    pub block_size: u64,
    /// Bytes of the sector bitmap in front of a block: whole sectors.
    pub bitmap_size: u64,
    /// Where the block allocation table starts.
    pub table_offset: u64,
    /// Its entries, enough for the disk.
    pub table_entries: u32,
}

impl DynamicHeader {
    /// Judges `raw`, the header of a disk of `size` bytes. Its checksum is not looked at: qemu-img does not look either.
    ///
    /// # Errors
    /// What is wrong, in qemu-img's words.
    pub fn parse(raw: &RawDynamicHeader, size: u64) -> Result<Self> {
        if raw.cookie != DYNAMIC_COOKIE {
            return Err(Fault::new(faults::DYNAMIC_MAGIC));
        }
        let block_size = u64::from(raw.block_size.get());
        if block_size < 512 || !block_size.is_power_of_two() {
            return Err(Fault::new(faults::BLOCK_SIZE).with([block_size]));
        }
        let table_entries = raw.max_table_entries.get();
        if u64::from(table_entries).saturating_mul(block_size) < size {
            return Err(Fault::new(faults::TABLE_TOO_SMALL));
        }
        if table_entries > ENTRIES_MAX {
            return Err(Fault::new(faults::TABLE_TOO_LARGE).with([table_entries.into()]));
        }
        Ok(Self {
            block_size,
            bitmap_size: bitmap_size(block_size),
            table_offset: raw.table_offset.get(),
            table_entries,
        })
    }

    /// Bytes of the block allocation table.
    #[must_use]
    pub fn table_bytes(&self) -> u64 {
        u64::from(self.table_entries).saturating_mul(4)
    }
}

/// Bytes of the bitmap, a bit a sector, of a block of `block_size` bytes. Blocks of less than eight sectors have none, by
/// qemu-img.
pub(crate) fn bitmap_size(block_size: u64) -> u64 {
    (block_size / (512 * 8)).div_ceil(512).saturating_mul(512)
}
