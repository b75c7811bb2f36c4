//! The layout on disk.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `signature`.
pub const SIGNATURE: u32 = 0xbeda_107f;

/// Where `signature` stands.
pub const SIGNATURE_AT: u64 = 0x40;

/// `version` 1.1: major in the high half, minor in the low.
pub const VERSION_1_1: u32 = 0x0001_0001;

/// `header_size` of version 1.1: the header without its file information, as VirtualBox counts it.
pub const HEADER_SIZE: u32 = 0x180;

/// Map entries from here on are no places.
pub const DISCARDED: u32 = 0xffff_fffe;

/// A map entry: never written.
pub const UNALLOCATED: u32 = 0xffff_ffff;

/// The first 512 bytes.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawHeader {
    /// Free text that ends in a newline.
    pub file_info: [u8; 64],
    /// [`SIGNATURE`].
    pub signature: U32,
    /// [`VERSION_1_1`].
    pub version: U32,
    /// Bytes of the fields that follow.
    pub header_size: U32,
    /// 1 dynamic, 2 static, 3 undo, 4 differencing.
    pub image_type: U32,
    /// Flags of VirtualBox.
    pub image_flags: U32,
    pub comment: [u8; 256],
    /// Where the block map starts, bytes.
    pub offset_blocks: U32,
    /// Where place 0 starts, bytes.
    pub offset_data: U32,
    /// Legacy geometry.
    pub cylinders: U32,
    /// Legacy geometry.
    pub heads: U32,
    /// Legacy geometry.
    pub sectors: U32,
    /// Bytes a sector.
    pub sector_size: U32,
    /// Unused.
    pub dummy: U32,
    /// Bytes of the disk.
    pub disk_size: U64,
    /// Bytes of a block.
    pub block_size: U32,
    /// Bytes in front of each block's data.
    pub block_extra: U32,
    /// Entries of the block map.
    pub blocks: U32,
    /// Entries that are places.
    pub blocks_allocated: U32,
    /// Identifies the image.
    pub uuid_create: [u8; 16],
    /// Changes with every modification.
    pub uuid_modify: [u8; 16],
    /// The image that this one is linked to.
    pub uuid_linkage: [u8; 16],
    /// `uuid_modify` of that image.
    pub uuid_parent_modify: [u8; 16],
    /// Unused.
    pub reserved: [u8; 56],
}

/// Bytes of [`RawHeader`].
pub const HEADER_BYTES: usize = 512;

const _: () = assert!(size_of::<RawHeader>() == HEADER_BYTES);
const _: () = assert!(core::mem::offset_of!(RawHeader, signature) == 0x40 && SIGNATURE_AT == 0x40);
const _: () = assert!(core::mem::offset_of!(RawHeader, offset_blocks) == 0x154);
const _: () = assert!(core::mem::offset_of!(RawHeader, disk_size) == 0x170);
const _: () = assert!(core::mem::offset_of!(RawHeader, uuid_create) == 0x188);
