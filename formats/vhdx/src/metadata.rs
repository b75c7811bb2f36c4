//! The metadata: block size, disk size, sector size, parent.

use instar_disk::fault::vhdx as faults;
use instar_disk::{Fault, Result, to_usize};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use crate::layout::{DISK_MAX, MIB, TABLE_BYTES, TABLE_ENTRIES};
use crate::parent::Parent;
use crate::raw::{
    ITEM_FILE_PARAMETERS, ITEM_LOGICAL_SECTOR, ITEM_PAGE_83, ITEM_PARENT_LOCATOR, ITEM_PHYSICAL_SECTOR,
    ITEM_VIRTUAL_DISK_SIZE, METADATA_SIGNATURE, RawMetadataTableEntry, RawMetadataTableHeader,
};
use crate::region::{Region, text};
use crate::replayed::Replayed;

/// The items that are known, in the order of the specification.
const ITEMS: [[u8; 16]; 6] = [
    ITEM_FILE_PARAMETERS,
    ITEM_VIRTUAL_DISK_SIZE,
    ITEM_PAGE_83,
    ITEM_LOGICAL_SECTOR,
    ITEM_PHYSICAL_SECTOR,
    ITEM_PARENT_LOCATOR,
];

/// Bytes of each but the last, the parent locator.
const FIXED: [u64; 5] = [8, 8, 16, 4, 4];

/// Flag of a metadata item: who does not know it must not read the image.
const REQUIRED: u32 = 4;

/// What the metadata say.
#[derive(Debug)]
pub(crate) struct Metadata {
    /// Bytes of a block, a power of two from 1 MiB to 256 MiB.
    pub(crate) block_size: u64,
    /// 512 or 4096.
    pub(crate) sector_size: u64,
    /// Bytes of the disk, a multiple of the sector size.
    pub(crate) size: u64,
    /// Where in the file that number stands.
    pub(crate) size_at: u64,
    /// All blocks have places.
    pub(crate) fixed: bool,
    /// What is not here is in the parent.
    pub(crate) differencing: bool,
    /// What it says of its parent.
    pub(crate) parent: Parent,
}

impl Metadata {
    /// The metadata in `region`.
    ///
    /// # Errors
    /// What is wrong with them; the host's.
    pub(crate) fn read(file: &Replayed<'_>, region: Region) -> Result<Self> {
        let items = Items::read(file, region)?;
        let [block_size, flags] = items.numbers(file, 1)?;
        let [size_low, size_high] = items.numbers(file, 2)?;
        items.place(3)?;
        let [sector_size] = items.numbers(file, 4)?;
        let [_physical] = items.numbers(file, 5)?;
        let differencing = flags & 2 != 0;
        let block_size = u64::from(block_size);
        if !block_size.is_power_of_two() || !(MIB..=256 * MIB).contains(&block_size) {
            return Err(Fault::new(faults::BLOCK_SIZE_READ).with([block_size]));
        }
        let sector_size = u64::from(sector_size);
        if sector_size != 512 && sector_size != 4096 {
            return Err(Fault::new(faults::SECTOR_SIZE).with([sector_size]));
        }
        let size = (u64::from(size_high) << 32) | u64::from(size_low);
        if size > DISK_MAX {
            return Err(Fault::new(faults::DISK_TOO_LARGE).with([size, DISK_MAX]));
        }
        Ok(Self {
            block_size,
            sector_size,
            size: instar_disk::align_down(size, sector_size),
            size_at: items.place(2)?.0,
            fixed: flags & 1 != 0,
            differencing,
            parent: if differencing {
                let (offset, length) = items.place(6)?;
                Parent::read(file, offset, length)?
            } else {
                Parent::default()
            },
        })
    }
}

/// Where the known items are in the file, and their lengths.
struct Items {
    places: [Option<(u64, u64)>; 6],
}

impl Items {
    fn read(file: &Replayed<'_>, region: Region) -> Result<Self> {
        let mut header = RawMetadataTableHeader::new_zeroed();
        file.read(region.offset, header.as_mut_bytes())?;
        let count = usize::from(header.entry_count.get());
        if header.signature != METADATA_SIGNATURE || count > TABLE_ENTRIES {
            return Err(Fault::new(faults::METADATA));
        }
        let mut table = alloc::vec![0; count.saturating_mul(32)];
        file.read(region.offset.saturating_add(32), &mut table)?;
        let mut places = [None; 6];
        for raw in table
            .chunks_exact(32)
            .flat_map(RawMetadataTableEntry::read_from_bytes)
        {
            let Some(index) = ITEMS.iter().position(|item| *item == raw.item_id) else {
                if raw.flags.get() & REQUIRED != 0 {
                    return Err(Fault::new(faults::UNKNOWN_METADATA).named(text(&raw.item_id).as_bytes()));
                }
                continue;
            };
            let (offset, length) = (u64::from(raw.offset.get()), u64::from(raw.length.get()));
            // All but the last have the one length that they can have, whatever the table says: as in qemu-img nobody asks.
            let length = match FIXED.get(index) {
                Some(fixed) => *fixed,
                None => length,
            };
            let inside = offset >= instar_disk::from_usize(TABLE_BYTES)
                && offset.saturating_add(length) <= region.length;
            let place = places.get_mut(index);
            match place {
                Some(place) if place.is_none() && inside => {
                    *place = Some((region.offset.saturating_add(offset), length));
                }
                _ => return Err(Fault::new(faults::METADATA_ITEM).with([number(index)])),
            }
        }
        Ok(Self { places })
    }

    /// Where item `which`, counted from 1, is, and how long it says that it is.
    fn place(&self, which: usize) -> Result<(u64, u64)> {
        let index = which.saturating_sub(1);
        self.places
            .get(index)
            .copied()
            .flatten()
            .ok_or_else(|| Fault::new(faults::METADATA_ITEM).with([number(index)]))
    }

    /// Item `which` as numbers of 32 bits.
    fn numbers<const N: usize>(&self, file: &Replayed<'_>, which: usize) -> Result<[u32; N]> {
        let bytes = instar_disk::from_usize(N).saturating_mul(4);
        let (offset, _) = self.place(which)?;
        let mut item = alloc::vec![0; to_usize(bytes)?];
        file.read(offset, &mut item)?;
        let mut numbers = [0; N];
        for (number, word) in numbers.iter_mut().zip(item.chunks_exact(4)) {
            *number = <[u8; 4]>::try_from(word).map_or(0, u32::from_le_bytes);
        }
        Ok(numbers)
    }
}

fn number(index: usize) -> u64 {
    instar_disk::from_usize(index).saturating_add(1)
}
