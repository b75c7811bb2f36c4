//! The layout on disk.

use zerocopy::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `magic`.
pub const MAGIC: [u8; 4] = *b"QFI\xfb";

/// `version`.
pub const VERSION: u32 = 1;

/// The first 48 bytes.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawHeader {
    /// [`MAGIC`].
    pub magic: [u8; 4],
    /// [`VERSION`].
    pub version: U32,
    /// Where the name of the layer below stands; 0: there is none.
    pub backing_file_offset: U64,
    /// Bytes of that name.
    pub backing_file_size: U32,
    /// Unused.
    pub mtime: U32,
    /// Bytes of the disk.
    pub size: U64,
    /// log2 of the bytes of a cluster.
    pub cluster_bits: u8,
    /// log2 of the entries of an L2 table.
    pub l2_bits: u8,
    /// Unused.
    pub padding: [u8; 2],
    /// 0 none, 1 AES.
    pub crypt_method: U32,
    /// Where the L1 table starts, bytes.
    pub l1_table_offset: U64,
}

/// Entries of tables.
pub mod entry {
    /// Nothing here: the layer below decides.
    pub const NONE: u64 = 0;
    /// L2: a stream.
    pub const COMPRESSED: u64 = 1 << 63;
    /// Bytes of an entry.
    pub const BYTES: u64 = 8;
}

/// Limits of the reference tool.
pub mod limit {
    /// log2 of the bytes of a cluster.
    pub const CLUSTER_BITS: core::ops::RangeInclusive<u8> = 9..=16;
    /// log2 of the entries of an L2 table.
    pub const L2_BITS: core::ops::RangeInclusive<u8> = 6..=13;
    /// Bytes of the name of the layer below.
    pub const NAME: u64 = 1023;
    /// Entries of the L1 table.
    pub const L1_ENTRIES: u64 = 268_435_455;
}

/// Bytes of [`RawHeader`].
pub const HEADER_BYTES: u64 = 48;

/// Bytes of a sector, on which a cluster begins.
pub const SECTOR: u64 = 512;

const _: () = assert!(size_of::<RawHeader>() == 48);
const _: () = assert!(core::mem::offset_of!(RawHeader, size) == 24);
const _: () = assert!(core::mem::offset_of!(RawHeader, crypt_method) == 36);
const _: () = assert!(core::mem::offset_of!(RawHeader, l1_table_offset) == 40);
