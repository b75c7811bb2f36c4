//! The layout on disk.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `magic` of images whose entries count sectors.
pub const MAGIC_OLD: [u8; 16] = *b"WithoutFreeSpace";

/// `magic` of images whose entries count clusters.
pub const MAGIC: [u8; 16] = *b"WithouFreSpacExt";

/// `version`.
pub const VERSION: u32 = 2;

/// Where `version` is.
pub const VERSION_AT: u64 = 16;

/// `in_use`: a writer has the image open, or never closed it.
pub const IN_USE: u32 = 0x746f_6e59;

/// The first 64 bytes.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawHeader {
    /// [`MAGIC`] or [`MAGIC_OLD`].
    pub magic: [u8; 16],
    /// [`VERSION`].
    pub version: U32,
    /// Unused.
    pub heads: U32,
    /// Unused.
    pub cylinders: U32,
    /// Sectors of a cluster.
    pub tracks: U32,
    /// Entries of the BAT.
    pub bat_entries: U32,
    /// Sectors of the disk; with the old magic, the lower half counts.
    pub nb_sectors: U64,
    /// [`IN_USE`], or something else.
    pub in_use: U32,
    /// Where clusters begin, sectors.
    pub data_off: U32,
    /// Unused.
    pub flags: U32,
    /// Where the format extension is, sectors; 0: there is none.
    pub ext_off: U64,
}

/// Entries of the BAT.
pub mod entry {
    /// The cluster reads as zeros.
    pub const NONE: u32 = 0;
    /// Bytes of an entry.
    pub const BYTES: u64 = 4;
}

/// Limits of the reference tool.
pub mod limit {
    /// Sectors of a cluster.
    pub const TRACKS: u32 = 4_186_127;
    /// Entries of the BAT.
    pub const ENTRIES: u64 = 536_870_911;
    /// Where the format extension may be, sectors: below this.
    pub const EXTENSION: u64 = 1 << 54;
}

/// Bytes of [`RawHeader`], behind which the BAT is.
pub const HEADER_BYTES: u64 = 64;

/// Bytes of a sector.
pub const SECTOR: u64 = 512;

const _: () = assert!(size_of::<RawHeader>() == 64);
const _: () = assert!(core::mem::offset_of!(RawHeader, tracks) == 28);
const _: () = assert!(core::mem::offset_of!(RawHeader, nb_sectors) == 36);
const _: () = assert!(core::mem::offset_of!(RawHeader, data_off) == 48);
const _: () = assert!(core::mem::offset_of!(RawHeader, ext_off) == 56);
