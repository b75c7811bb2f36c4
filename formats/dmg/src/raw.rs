//! The layout on disk.

use zerocopy::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `signature` of the trailer.
pub const TRAILER: [u8; 4] = *b"koly";
/// `signature` of a block table.
pub const TABLE: [u8; 4] = *b"mish";

/// The last 512 bytes.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawHeader {
    /// [`TRAILER`].
    pub signature: [u8; 4],
    pub version: U32,
    pub header_size: U32,
    pub flags: U32,
    pub running_data_fork_offset: U64,
    /// Where chunks are counted from, bytes.
    pub data_fork_offset: U64,
    pub data_fork_length: U64,
    /// A resource fork with block tables; length 0: there is none.
    pub resource_fork_offset: U64,
    pub resource_fork_length: U64,
    pub segment_number: U32,
    pub segment_count: U32,
    pub segment_id: [u8; 16],
    pub data_checksum: [u8; 136],
    /// A property list with block tables.
    pub plist_offset: U64,
    pub plist_length: U64,
    pub reserved: [u8; 120],
    pub master_checksum: [u8; 136],
    pub image_variant: U32,
    /// Sectors of the disk.
    pub sector_count: U64,
    pub padding: [u8; 12],
}

/// What a block table starts with.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawTable {
    /// [`TABLE`].
    pub signature: [u8; 4],
    pub version: U32,
    /// Where its sectors are counted from.
    pub first_sector: U64,
    pub sector_count: U64,
    /// Where its offsets are counted from, in the data fork.
    pub data_offset: U64,
    pub buffers_needed: U32,
    pub descriptors: U32,
    pub reserved: [u8; 24],
    pub checksum: [u8; 136],
    /// Entries that follow.
    pub entries: U32,
}

/// An entry of a block table.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawEntry {
    pub kind: U32,
    pub comment: U32,
    pub sector: U64,
    pub sectors: U64,
    pub offset: U64,
    pub length: U64,
}

/// `kind`: zeros.
pub const ZERO: u32 = 0;
/// `kind`: bytes as they are.
pub const RAW: u32 = 1;
/// `kind`: never written, which reads as zeros.
pub const IGNORE: u32 = 2;
/// `kind`: compressed.
pub const ADC: u32 = 0x8000_0004;
/// `kind`: compressed.
pub const ZLIB: u32 = 0x8000_0005;
/// `kind`: compressed.
pub const BZIP2: u32 = 0x8000_0006;
/// `kind`: compressed.
pub const LZFSE: u32 = 0x8000_0007;
/// `kind`: compressed.
pub const XZ: u32 = 0x8000_0008;
/// `kind`: no chunk.
pub const COMMENT: u32 = 0x7fff_fffe;
/// `kind`: no chunk; the last one.
pub const TERMINATOR: u32 = 0xffff_ffff;

const _: () = assert!(size_of::<RawHeader>() == 512);
const _: () = assert!(core::mem::offset_of!(RawHeader, plist_offset) == 216);
const _: () = assert!(core::mem::offset_of!(RawHeader, sector_count) == 492);
const _: () = assert!(size_of::<RawTable>() == 204);
const _: () = assert!(core::mem::offset_of!(RawTable, entries) == 200);
const _: () = assert!(size_of::<RawEntry>() == 40);
