//! The layout on disk.

use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `cookie` of a footer.
pub const FOOTER_COOKIE: [u8; 8] = *b"conectix";

/// `cookie` of a dynamic header.
pub const DYNAMIC_COOKIE: [u8; 8] = *b"cxsparse";

/// A BAT entry: nothing is here.
pub const UNALLOCATED: u32 = 0xffff_ffff;

/// `data_offset` where there is nothing to point at.
pub const NOWHERE: u64 = u64::MAX;

/// 2000-01-01 00:00:00 UTC in seconds since 1970: where `time_stamp` starts.
pub const EPOCH: u64 = 946_684_800;

/// `platform_code` of a parent locator: a relative path in UTF-16, little-endian.
pub const PLATFORM_W2RU: [u8; 4] = *b"W2ru";

/// `platform_code` of a parent locator: an absolute path in UTF-16, little-endian.
pub const PLATFORM_W2KU: [u8; 4] = *b"W2ku";

/// The footer at the end of the file, and its copy in front of a dynamic disk.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawFooter {
    /// [`FOOTER_COOKIE`].
    pub cookie: [u8; 8],
    /// Bit 1 is always set.
    pub features: U32,
    /// Major in the high half, minor in the low.
    pub file_format_version: U32,
    /// The dynamic header, or [`NOWHERE`].
    pub data_offset: U64,
    /// Seconds since [`EPOCH`].
    pub time_stamp: U32,
    /// Who made it.
    pub creator_application: [u8; 4],
    pub creator_version: U32,
    /// On which system.
    pub creator_host_os: [u8; 4],
    /// Bytes of the disk when it was made.
    pub original_size: U64,
    /// Bytes of the disk.
    pub current_size: U64,
    /// Geometry: cylinders.
    pub cylinders: U16,
    /// Geometry: heads.
    pub heads: u8,
    /// Geometry: sectors a track.
    pub sectors: u8,
    /// 2 fixed, 3 dynamic, 4 differencing.
    pub disk_type: U32,
    /// One's complement of the sum of all bytes, with this field as zeros.
    pub checksum: U32,
    /// Identifies the disk.
    pub unique_id: [u8; 16],
    /// A machine was suspended with it.
    pub saved_state: u8,
    /// Zeros.
    pub reserved: [u8; 427],
}

/// Bytes of a footer.
pub const FOOTER_BYTES: usize = 512;

const _: () = assert!(size_of::<RawFooter>() == FOOTER_BYTES);
const _: () = assert!(core::mem::offset_of!(RawFooter, cylinders) == 56);
const _: () = assert!(core::mem::offset_of!(RawFooter, checksum) == 64);

/// The header of a dynamic or differencing disk.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawDynamicHeader {
    /// [`DYNAMIC_COOKIE`].
    pub cookie: [u8; 8],
    /// [`NOWHERE`].
    pub data_offset: U64,
    pub table_offset: U64,
    /// Major in the high half, minor in the low.
    pub header_version: U32,
    /// Entries of the BAT.
    pub max_table_entries: U32,
    /// Guest bytes of a block.
    pub block_size: U32,
    /// As in the footer, over these 1024 bytes.
    pub checksum: U32,
    /// `unique_id` of the parent.
    pub parent_unique_id: [u8; 16],
    /// When the parent was last modified.
    pub parent_time_stamp: U32,
    /// Zeros.
    pub reserved: U32,
    /// The parent's file name in UTF-16, big-endian.
    pub parent_unicode_name: [u8; 512],
    /// Paths to the parent.
    pub parent_locators: [RawParentLocator; 8],
    /// Zeros.
    pub reserved_2: [u8; 256],
}

/// Bytes of a dynamic header.
pub const DYNAMIC_BYTES: usize = 1024;

const _: () = assert!(size_of::<RawDynamicHeader>() == DYNAMIC_BYTES);
const _: () = assert!(core::mem::offset_of!(RawDynamicHeader, parent_unicode_name) == 64);
const _: () = assert!(core::mem::offset_of!(RawDynamicHeader, parent_locators) == 576);

/// Where a path to the parent stands.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawParentLocator {
    /// What kind of path.
    pub platform_code: [u8; 4],
    /// Room for it, in sectors or bytes: writers disagree.
    pub platform_data_space: U32,
    /// Its bytes.
    pub platform_data_length: U32,
    /// Zeros.
    pub reserved: U32,
    /// Where it stands in the file.
    pub platform_data_offset: U64,
}

const _: () = assert!(size_of::<RawParentLocator>() == 24);

/// The checksum of `bytes`, in which the field itself must be zeros.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u32 {
    !bytes
        .iter()
        .fold(0_u32, |sum, byte| sum.wrapping_add(u32::from(*byte)))
}
