//! The header, valid by construction.

use instar_disk::fault::bochs as faults;
use instar_disk::{Fault, Result, align_down};

use crate::raw::{KIND, MAGIC, RawHeader, SUBTYPE, VERSION_1, VERSION_2};

/// Bytes of a sector: a bit of a bitmap.
pub(crate) const SECTOR: u64 = 512;

/// Entries of a catalog; qemu-img's limit.
const CATALOG_MAX: u32 = 0x0010_0000;
/// Bytes of an extent; qemu-img's limit.
const EXTENT_MAX: u32 = 0x0080_0000;

/// What the header says, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the disk, a multiple of 512.
    pub size: u64,
    /// Where the catalog starts.
    pub catalog_offset: u64,
    /// Bytes of the catalog; it has an entry for each extent of the disk.
    pub catalog_bytes: u64,
    /// Bytes of an extent, a power of two.
    pub extent: u64,
    /// Bytes of a bitmap, up to a sector.
    pub bitmap: u64,
}

impl Header {
    /// Checks what stands in the file.
    ///
    /// # Errors
    /// What qemu-img refuses, in its words and in its order; `BITMAP`.
    pub fn parse(raw: &RawHeader) -> Result<Self> {
        if !is_growing(raw) {
            return Err(Fault::new(faults::MAGIC));
        }
        let (catalog, extent, bitmap) = (raw.catalog.get(), raw.extent.get(), raw.bitmap.get());
        if catalog > CATALOG_MAX {
            return Err(Fault::new(faults::CATALOG_SIZE));
        }
        if extent < 512 {
            return Err(Fault::new(faults::EXTENT_SMALL));
        }
        if !extent.is_power_of_two() {
            return Err(Fault::new(faults::EXTENT_POWER).with([extent.into()]));
        }
        if extent > EXTENT_MAX {
            return Err(Fault::new(faults::EXTENT_LARGE).with([extent.into()]));
        }
        let (extent, bitmap) = (u64::from(extent), u64::from(bitmap));
        let size = align_down(disk(raw), SECTOR);
        if size.div_ceil(extent) > catalog.into() {
            return Err(Fault::new(faults::CATALOG_SHORT));
        }
        // Bits behind it would be bytes of data.
        if bitmap.saturating_mul(8) < extent / SECTOR {
            return Err(Fault::new(faults::BITMAP).with([bitmap, extent / SECTOR]));
        }
        Ok(Self {
            size,
            catalog_offset: raw.header.get().into(),
            catalog_bytes: u64::from(catalog).saturating_mul(4),
            extent,
            bitmap: bitmap.div_ceil(SECTOR).saturating_mul(SECTOR),
        })
    }

    /// Where the bitmap of the extent at `place` starts; its sectors follow it.
    #[must_use]
    pub fn bitmap_offset(&self, place: u32) -> u64 {
        let each = self.bitmap.saturating_add(self.extent);
        self.catalog_offset
            .saturating_add(self.catalog_bytes)
            .saturating_add(u64::from(place).saturating_mul(each))
    }
}

/// Whether it is the header of a growing redolog.
pub(crate) fn is_growing(raw: &RawHeader) -> bool {
    raw.magic.starts_with(MAGIC)
        && raw.kind.starts_with(KIND)
        && raw.subtype.starts_with(SUBTYPE)
        && matches!(raw.version.get(), VERSION_1 | VERSION_2)
}

/// Bytes of the disk.
fn disk(raw: &RawHeader) -> u64 {
    let bytes = if raw.version.get() == VERSION_1 {
        raw.disk.first_chunk()
    } else {
        raw.disk.last_chunk()
    };
    u64::from_le_bytes(*bytes.unwrap_or(&[0; 8]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::FromZeros;

    fn valid() -> RawHeader {
        let mut raw = RawHeader::new_zeroed();
        raw.magic[..MAGIC.len()].copy_from_slice(MAGIC);
        raw.kind[..KIND.len()].copy_from_slice(KIND);
        raw.subtype[..SUBTYPE.len()].copy_from_slice(SUBTYPE);
        raw.version.set(VERSION_2);
        raw.header.set(512);
        raw.catalog.set(3);
        raw.bitmap.set(1);
        raw.extent.set(4096);
        raw.disk[4..].copy_from_slice(&10_000_u64.to_le_bytes());
        raw
    }

    #[test]
    fn rounds_the_disk_down_to_a_sector() {
        assert_eq!(Header::parse(&valid()).unwrap().size, 9728);
    }

    #[test]
    fn finds_the_size_of_a_disk_of_version_1() {
        let mut raw = valid();
        raw.version.set(VERSION_1);
        raw.disk[..8].copy_from_slice(&4096_u64.to_le_bytes());
        assert_eq!(Header::parse(&raw).unwrap().size, 4096);
    }

    #[test]
    fn refuses_bitmaps_without_a_bit_for_each_sector() {
        for (bitmap, extent) in [(0, 512), (0, 4096), (1, 8192)] {
            let mut raw = valid();
            raw.bitmap.set(bitmap);
            raw.extent.set(extent);
            raw.catalog.set(20);
            assert_eq!(Header::parse(&raw).unwrap_err().code, faults::BITMAP);
        }
    }
}
