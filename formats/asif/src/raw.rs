//! The layout on disk.

use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `magic`.
pub const MAGIC: [u8; 4] = *b"shdw";

/// `version`.
pub const VERSION: u32 = 1;

/// `header_size`.
pub const HEADER_BYTES: u32 = 512;

/// The first 80 bytes.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawHeader {
    /// [`MAGIC`].
    pub magic: [u8; 4],
    /// [`VERSION`].
    pub version: U32,
    /// [`HEADER_BYTES`].
    pub header_size: U32,
    /// Unknown.
    pub flags: U32,
    /// Where the two directories are, bytes.
    pub directories: [U64; 2],
    /// An identifier.
    pub uuid: [u8; 16],
    /// Sectors of the disk.
    pub sectors: U64,
    /// Sectors that it may grow to.
    pub sectors_max: U64,
    /// Bytes of a chunk.
    pub chunk_size: U32,
    /// Bytes of a sector.
    pub sector_size: U16,
    /// Unknown.
    pub segments: U16,
    /// Where the property list is, chunks of the disk.
    pub metadata: U64,
}

/// Entries of tables.
pub mod entry {
    /// Bytes of an entry.
    pub const BYTES: u64 = 8;
    /// The number of a chunk of the file.
    pub const CHUNK: u64 = (1 << 55) - 1;
    /// What the chunk is.
    pub const STATE: u64 = 3 << 62;
    /// All of it is there.
    pub const WHOLE: u64 = 1 << 62;
    /// What of it is there, the bitmap says.
    pub const PARTS: u64 = 3 << 62;
}

const _: () = assert!(size_of::<RawHeader>() == 80);
const _: () = assert!(core::mem::offset_of!(RawHeader, directories) == 16);
const _: () = assert!(core::mem::offset_of!(RawHeader, sectors) == 48);
const _: () = assert!(core::mem::offset_of!(RawHeader, chunk_size) == 64);
