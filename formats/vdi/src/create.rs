//! Making a new image.

use alloc::boxed::Box;
use alloc::format;

use instar_disk::fault::vdi as faults;
use instar_disk::job::{Seed, VdiCreate};
use instar_disk::{Fault, File, FileKind, Identifiers, Preallocate, Result, Target, ZeroHow, align_up};
use zerocopy::FromZeros;

use crate::header::{BLOCK, DISK_MAX, Header, ImageType};
use crate::raw::{HEADER_BYTES, HEADER_SIZE, RawHeader, SIGNATURE, VERSION_1_1};
use crate::target;

/// Ours; the format leaves it to the writer.
const FILE_INFO: &[u8] = b"<<< instar Virtual Disk Image >>>\n";

/// Makes a VDI of `size` bytes, rounded up to 512. Nothing in the file says that it is one until
/// [`finish`](Target::finish).
///
/// # Errors
/// `SIZE` for a disk that the format cannot hold; else the host's.
pub fn create<'h>(
    file: File<'h>,
    options: &VdiCreate,
    size: u64,
    seed: &Seed,
) -> Result<Box<dyn Target + 'h>> {
    let size = align_up(size, 512)?;
    if size > DISK_MAX {
        return Err(Fault::new(faults::SIZE).named(format!("{size:x}").as_bytes()));
    }
    let blocks = u32::try_from(size.div_ceil(BLOCK))
        .map_err(|_| Fault::new(faults::SIZE).named(format!("{size:x}").as_bytes()))?;
    let map_offset = instar_disk::from_usize(HEADER_BYTES);
    let map_bytes = align_up(u64::from(blocks).saturating_mul(4), 512)?;
    let header = Header {
        size,
        image_type: if options.static_image {
            ImageType::Static
        } else {
            ImageType::Dynamic
        },
        blocks,
        map_offset,
        data_offset: align_up(
            map_offset.saturating_add(map_bytes),
            if options.aligned { 4096 } else { 512 },
        )?,
    };
    let raw = raw_header(&header, seed)?;
    if file.kind() == FileKind::Regular {
        file.resize(0, Preallocate::Off)?;
    }
    let file = file.emptied();
    if options.static_image {
        let data = u64::from(blocks).saturating_mul(BLOCK);
        if file.kind() == FileKind::Fresh {
            file.resize(header.data_offset.saturating_add(data), Preallocate::Off)?;
        } else {
            // A device holds somebody's data, and all blocks have places in it at once.
            file.zero(header.data_offset, data, ZeroHow::MayUnmap)?;
        }
    }
    target::making(file, header, raw)
}

fn raw_header(header: &Header, seed: &Seed) -> Result<RawHeader> {
    let mut identifiers = Identifiers::new(seed, b"vdi");
    let mut raw = RawHeader::new_zeroed();
    for (to, from) in raw.file_info.iter_mut().zip(FILE_INFO) {
        *to = *from;
    }
    raw.signature.set(SIGNATURE);
    raw.version.set(VERSION_1_1);
    raw.header_size.set(HEADER_SIZE);
    raw.image_type.set(match header.image_type {
        ImageType::Dynamic => 1,
        ImageType::Static => 2,
    });
    raw.offset_blocks.set(offset(header.map_offset)?);
    raw.offset_data.set(offset(header.data_offset)?);
    raw.sector_size.set(512);
    raw.disk_size.set(header.size);
    raw.block_size.set(offset(BLOCK)?);
    raw.blocks.set(header.blocks);
    raw.uuid_create = identifiers.guid();
    raw.uuid_modify = identifiers.guid();
    Ok(raw)
}

fn offset(value: u64) -> Result<u32> {
    u32::try_from(value).map_err(|_| Fault::new(instar_disk::fault::core::OVERFLOW).with([value]))
}
