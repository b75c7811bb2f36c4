//! Making a new image.

use alloc::boxed::Box;

use instar_disk::job::{Seed, VpcCreate};
use instar_disk::{File, FileKind, Identifiers, Preallocate, Result, Target};
use zerocopy::{FromZeros, IntoBytes};

use crate::fixed::Fixed;
use crate::geometry::{Geometry, rounded_size};
use crate::header::{DynamicHeader, bitmap_size};
use crate::raw::{
    DYNAMIC_BYTES, DYNAMIC_COOKIE, EPOCH, FOOTER_BYTES, FOOTER_COOKIE, NOWHERE, RawDynamicHeader, RawFooter,
    checksum,
};
use crate::target;

/// Guest bytes of a block of a new image: what the specification proposes.
const BLOCK: u32 = 2 << 20;

/// By these a reader takes the size from the geometry, or from the footer. qemu-img knows both; others take the footer's.
const CREATOR_GEOMETRY: [u8; 4] = *b"qemu";
const CREATOR_SIZE: [u8; 4] = *b"qem2";

/// Version of Virtual PC 2007, and its system.
const CREATOR_VERSION: u32 = 0x0005_0003;
const CREATOR_HOST_OS: [u8; 4] = *b"Wi2k";

/// Makes a VHD of at least `size` bytes: the next size that a geometry expresses, or exactly `size` up to a sector with
/// `force_size`. Nothing in the file says that it is a VHD until [`finish`](Target::finish).
///
/// # Errors
/// `SIZE` for a disk that the format cannot hold; else the host's.
pub fn create<'h>(
    file: File<'h>,
    options: &VpcCreate,
    size: u64,
    seed: &Seed,
) -> Result<Box<dyn Target + 'h>> {
    let (size, geometry) = rounded_size(size, options.force_size)?;
    let footer = raw_footer(options, size, geometry, seed);
    if file.kind() == FileKind::Regular {
        file.resize(0, Preallocate::Off)?;
    }
    let file = file.emptied();
    if options.fixed {
        if file.kind() == FileKind::Fresh {
            file.extend_from_nothing(size, Preallocate::Off)?;
        }
        file.forget_image()?;
        return Ok(Box::new(Fixed {
            file,
            size,
            end: size,
            footer,
        }));
    }
    let block_size = u64::from(BLOCK);
    let header = DynamicHeader {
        block_size,
        bitmap_size: bitmap_size(block_size),
        table_offset: instar_disk::from_usize(FOOTER_BYTES.saturating_add(DYNAMIC_BYTES)),
        table_entries: u32::try_from(size.div_ceil(block_size)).unwrap_or(u32::MAX),
    };
    let raw = raw_dynamic(&header);
    Ok(target::making(file, size, header, footer, raw))
}

fn raw_footer(options: &VpcCreate, size: u64, geometry: Geometry, seed: &Seed) -> RawFooter {
    let mut raw = RawFooter::new_zeroed();
    raw.cookie = FOOTER_COOKIE;
    raw.features.set(2);
    raw.file_format_version.set(0x0001_0000);
    raw.data_offset.set(if options.fixed {
        NOWHERE
    } else {
        instar_disk::from_usize(FOOTER_BYTES)
    });
    let seconds = seed.unix_seconds.saturating_sub(EPOCH);
    raw.time_stamp.set(u32::try_from(seconds).unwrap_or(u32::MAX));
    raw.creator_application = if options.force_size {
        CREATOR_SIZE
    } else {
        CREATOR_GEOMETRY
    };
    raw.creator_version.set(CREATOR_VERSION);
    raw.creator_host_os = CREATOR_HOST_OS;
    raw.original_size.set(size);
    raw.current_size.set(size);
    raw.cylinders.set(geometry.cylinders);
    raw.heads = geometry.heads;
    raw.sectors = geometry.sectors;
    raw.disk_type.set(if options.fixed { 2 } else { 3 });
    raw.unique_id = Identifiers::new(seed, b"vpc").uuid();
    raw.checksum.set(checksum(raw.as_bytes()));
    raw
}

fn raw_dynamic(header: &DynamicHeader) -> RawDynamicHeader {
    let mut raw = RawDynamicHeader::new_zeroed();
    raw.cookie = DYNAMIC_COOKIE;
    raw.data_offset.set(NOWHERE);
    raw.table_offset.set(header.table_offset);
    raw.header_version.set(0x0001_0000);
    raw.max_table_entries.set(header.table_entries);
    raw.block_size.set(BLOCK);
    raw.checksum.set(checksum(raw.as_bytes()));
    raw
}
