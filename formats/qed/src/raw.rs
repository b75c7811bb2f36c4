//! The layout on disk.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `magic`: "QED" and a zero.
pub const MAGIC: [u8; 4] = *b"QED\0";

/// The first 64 bytes.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawHeader {
    /// [`MAGIC`].
    pub magic: [u8; 4],
    /// Bytes of a cluster.
    pub cluster_size: U32,
    /// Clusters of a table.
    pub table_size: U32,
    /// Clusters of the header.
    pub header_size: U32,
    /// Bits of [`feature`]; others forbid to read the image.
    pub features: U64,
    /// What a reader need not know.
    pub compat_features: U64,
    /// What a program that does not know it clears when it writes.
    pub autoclear_features: U64,
    /// Where the L1 table starts, bytes.
    pub l1_table_offset: U64,
    /// Bytes of the disk.
    pub image_size: U64,
    /// Where the name of the layer below stands, bytes from the start of the file.
    pub backing_filename_offset: U32,
    /// Bytes of that name.
    pub backing_filename_size: U32,
}

/// Bits of `features`.
pub mod feature {
    /// There is a layer below.
    pub const BACKING_FILE: u64 = 1;
    /// The tables may be damaged: a writer has not finished.
    pub const NEED_CHECK: u64 = 2;
    /// The layer below is raw, whatever it looks like.
    pub const BACKING_RAW: u64 = 4;
    /// Those that this driver knows.
    pub const KNOWN: u64 = BACKING_FILE | NEED_CHECK | BACKING_RAW;
}

/// Entries of tables that are no offsets.
pub mod entry {
    /// L1: no table. L2: no cluster, the layer below decides.
    pub const NONE: u64 = 0;
    /// L2: zeros.
    pub const ZERO: u64 = 1;
    /// Bytes of an entry.
    pub const BYTES: u64 = 8;
}

/// Limits of the format.
pub mod limit {
    /// Bytes of a cluster.
    pub const CLUSTER: core::ops::RangeInclusive<u64> = 4096..=64 << 20;
    /// Clusters of a table.
    pub const TABLE: core::ops::RangeInclusive<u64> = 1..=16;
    /// Bytes of the name of the layer below: the reference tool's.
    pub const NAME: u64 = 4095;
}

/// Bytes of [`RawHeader`].
pub const HEADER_BYTES: u64 = 64;

const _: () = assert!(size_of::<RawHeader>() == 64);
const _: () = assert!(core::mem::offset_of!(RawHeader, features) == 16);
const _: () = assert!(core::mem::offset_of!(RawHeader, l1_table_offset) == 40);
const _: () = assert!(core::mem::offset_of!(RawHeader, backing_filename_size) == 60);

/// Bytes that reach a disk together or not at all.
pub const SECTOR: u64 = 512;
