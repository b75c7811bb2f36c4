//! The layout on disk.

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `magic`, up to its NUL.
pub const MAGIC: &[u8] = b"Bochs Virtual HD Image\0";

/// `kind`, up to its NUL.
pub const KIND: &[u8] = b"Redolog\0";

/// `subtype`, up to its NUL.
pub const SUBTYPE: &[u8] = b"Growing\0";

/// `version` 1.0.
pub const VERSION_1: u32 = 0x0001_0000;

/// `version` 2.0.
pub const VERSION_2: u32 = 0x0002_0000;

/// A catalog entry: nothing is here.
pub const UNALLOCATED: u32 = 0xffff_ffff;

/// The first 512 bytes.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawHeader {
    /// [`MAGIC`].
    pub magic: [u8; 32],
    /// [`KIND`].
    pub kind: [u8; 16],
    /// [`SUBTYPE`].
    pub subtype: [u8; 16],
    /// [`VERSION_1`] or [`VERSION_2`].
    pub version: U32,
    /// Where the catalog starts, bytes.
    pub header: U32,
    /// Entries of the catalog.
    pub catalog: U32,
    /// Bytes of the bitmap in front of each extent.
    pub bitmap: U32,
    /// Bytes of an extent.
    pub extent: U32,
    /// Bytes of the disk: the first eight in version 1.0, the last eight in version 2.0, which has a time in front.
    pub disk: [u8; 12],
    pub reserved: [u8; 416],
}

/// Bytes of [`RawHeader`].
pub const HEADER_BYTES: usize = 512;

const _: () = assert!(size_of::<RawHeader>() == HEADER_BYTES);
const _: () = assert!(core::mem::offset_of!(RawHeader, version) == 64);
const _: () = assert!(core::mem::offset_of!(RawHeader, disk) == 84);
