//! The header, valid by construction.

use alloc::format;

use instar_disk::fault::vdi as faults;
use instar_disk::{Fault, FaultCode, Result, align_up};

use crate::raw::{RawHeader, SIGNATURE};

/// Bytes of a block. The format has a field for it; VirtualBox and qemu-img know this value only.
pub(crate) const BLOCK: u64 = 1 << 20;

/// Entries of a block map, by qemu-img: the map stays below 2 GiB.
pub(crate) const BLOCKS_MAX: u32 = 0x1fff_ff80;

/// Bytes of a disk, by qemu-img.
pub(crate) const DISK_MAX: u64 = 0x1_ffff_f800_0000;

/// Bytes of the header.
const HEADER: u64 = 512;

/// What a valid header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the disk, a multiple of 512.
    pub size: u64,
    /// Static or not.
    pub image_type: ImageType,
    /// Entries of the block map, enough for `size`.
    pub blocks: u32,
    /// Where the block map starts, a multiple of 512.
    pub map_offset: u64,
    /// Where place 0 starts, a multiple of 512. That it lies past header and map is looked at where a block has a place.
    pub data_offset: u64,
}

/// Whether blocks have fixed places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageType {
    /// Places are given out as blocks are written. Values that nobody knows are read as this, as qemu-img does: the map
    /// alone decides where a block is.
    Dynamic,
    /// All blocks have places.
    Static,
}

impl Header {
    /// Judges `raw`, in qemu-img's order, so that the first complaint is the same.
    ///
    /// # Errors
    /// What is wrong, in qemu-img's words.
    pub fn parse(raw: &RawHeader) -> Result<Self> {
        let disk_size = raw.disk_size.get();
        if disk_size > DISK_MAX {
            return Err(hex(faults::SIZE, disk_size));
        }
        let size = align_up(disk_size, 512)?;
        if raw.signature.get() != SIGNATURE {
            return Err(
                Fault::new(faults::SIGNATURE).named(format!("{:08x}", raw.signature.get()).as_bytes())
            );
        }
        let (major, minor) = (raw.version.get() >> 16, raw.version.get() & 0xffff);
        if (major, minor) != (1, 1) {
            return Err(Fault::new(faults::VERSION).with([major.into(), minor.into()]));
        }
        let (map_offset, data_offset) = (
            u64::from(raw.offset_blocks.get()),
            u64::from(raw.offset_data.get()),
        );
        if !map_offset.is_multiple_of(512) {
            return Err(hex(faults::BLOCK_MAP_OFFSET, map_offset));
        }
        if !data_offset.is_multiple_of(512) {
            return Err(hex(faults::DATA_OFFSET, data_offset));
        }
        let blocks = Self::parse_blocks(raw, size)?;
        if raw.uuid_linkage != [0; 16] {
            return Err(Fault::new(faults::LINK));
        }
        if raw.uuid_parent_modify != [0; 16] {
            return Err(Fault::new(faults::PARENT));
        }
        if blocks > BLOCKS_MAX {
            return Err(Fault::new(faults::BLOCKS).with([blocks.into()]));
        }
        let image_type = if raw.image_type.get() == 2 {
            ImageType::Static
        } else {
            ImageType::Dynamic
        };
        let header = Self {
            size,
            image_type,
            blocks,
            map_offset,
            data_offset,
        };
        header.refuse_other_layouts(raw)?;
        Ok(header)
    }

    /// Bytes of the block map.
    #[must_use]
    pub fn map_bytes(&self) -> u64 {
        u64::from(self.blocks).saturating_mul(4)
    }

    fn parse_blocks(raw: &RawHeader, size: u64) -> Result<u32> {
        if raw.sector_size.get() != 512 {
            return Err(Fault::new(faults::SECTOR_SIZE).with([raw.sector_size.get().into()]));
        }
        if u64::from(raw.block_size.get()) != BLOCK {
            return Err(Fault::new(faults::BLOCK_SIZE).with([raw.block_size.get().into()]));
        }
        let room = u64::from(raw.blocks.get()).saturating_mul(BLOCK);
        if size > room {
            return Err(Fault::new(faults::ROOM).with([size, room]));
        }
        Ok(raw.blocks.get())
    }

    /// Refuses a range of `length` bytes at byte `at` that claims to be guest data, but overlaps the header or the map: the
    /// image would describe itself as its own content. A place that no block uses does no harm.
    ///
    /// # Errors
    /// `OVERLAP`.
    pub fn refuse_own(&self, at: u64, length: u64) -> Result<()> {
        let map_end = self.map_offset.saturating_add(self.map_bytes());
        let in_map = at < map_end && at.saturating_add(length) > self.map_offset;
        if at < HEADER || in_map {
            return Err(Fault::new(faults::OVERLAP).with([self.data_offset]));
        }
        Ok(())
    }

    /// Refuses what must not be written to: places run on from the first, and would run into the map sooner or later.
    ///
    /// # Errors
    /// `OVERLAP`.
    pub fn refuse_data_in_front(&self) -> Result<()> {
        if self.blocks == 0 || self.size == 0 {
            return Ok(());
        }
        self.refuse_own(self.data_offset, u64::MAX)
    }

    /// What qemu-img lets pass, and would read as something else than VirtualBox does.
    fn refuse_other_layouts(&self, raw: &RawHeader) -> Result<()> {
        if raw.block_extra.get() != 0 {
            return Err(Fault::new(faults::BLOCK_EXTRA).with([raw.block_extra.get().into()]));
        }
        if self.map_offset < HEADER && self.blocks > 0 {
            return Err(Fault::new(faults::OVERLAP).with([self.data_offset]));
        }
        Ok(())
    }
}

fn hex(code: FaultCode, value: u64) -> Fault {
    Fault::new(code).named(format!("{value:x}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::FromZeros;

    fn valid() -> RawHeader {
        let mut raw = RawHeader::new_zeroed();
        raw.signature.set(SIGNATURE);
        raw.version.set(crate::raw::VERSION_1_1);
        raw.offset_blocks.set(512);
        raw.offset_data.set(1024);
        raw.sector_size.set(512);
        raw.block_size.set(1 << 20);
        raw.blocks.set(3);
        raw.disk_size.set(3 << 20);
        raw
    }

    #[test]
    fn rounds_odd_sizes_up_to_a_sector() {
        let mut raw = valid();
        raw.disk_size.set((3 << 20) - 7);
        assert_eq!(Header::parse(&raw).unwrap().size, 3 << 20);
    }

    #[test]
    fn refuses_data_that_lies_in_the_header_or_the_map() {
        for (map, data) in [(512, 0), (512, 512), (1024, 512), (1 << 20, 1 << 19)] {
            let mut raw = valid();
            raw.offset_blocks.set(map);
            raw.offset_data.set(data);
            let header = Header::parse(&raw).unwrap();
            let refused = |result: Result<()>| result.unwrap_err().code == faults::OVERLAP;
            assert!(refused(header.refuse_data_in_front()), "{map} {data}");
            assert!(refused(header.refuse_own(data.into(), 1 << 20)), "{map} {data}");
            assert!(header.refuse_own(2 << 20, 1 << 20).is_ok(), "{map} {data}");
        }
        let mut raw = valid();
        raw.offset_blocks.set(0);
        assert_eq!(
            Header::parse(&raw).unwrap_err().code,
            faults::OVERLAP,
            "the map is the header"
        );
    }

    #[test]
    fn refuses_blocks_with_bytes_in_front() {
        let mut raw = valid();
        raw.block_extra.set(512);
        assert_eq!(Header::parse(&raw).unwrap_err().code, faults::BLOCK_EXTRA);
    }
}
