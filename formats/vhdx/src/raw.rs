//! The layout on disk.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The first eight bytes of the file.
pub const FILE_SIGNATURE: [u8; 8] = *b"vhdxfile";

/// `signature` of a header.
pub const HEADER_SIGNATURE: [u8; 4] = *b"head";

/// `signature` of a region table.
pub const REGION_SIGNATURE: [u8; 4] = *b"regi";

/// `signature` of the metadata table.
pub const METADATA_SIGNATURE: [u8; 8] = *b"metadata";

/// `signature` of a log entry.
pub const LOG_SIGNATURE: [u8; 4] = *b"loge";

/// `signature` of a log descriptor that has a data sector.
pub const DATA_DESCRIPTOR: [u8; 4] = *b"desc";

/// `signature` of a log descriptor that zeroes.
pub const ZERO_DESCRIPTOR: [u8; 4] = *b"zero";

/// `signature` of a data sector of the log.
pub const DATA_SECTOR: [u8; 4] = *b"data";

/// A Microsoft GUID as it stands on disk: the first three fields little-endian.
pub type Guid = [u8; 16];

/// A GUID as one reads it, in the order of the disk.
const fn guid(fields: u128) -> Guid {
    let [a, b, c, d, e, f, g, h, rest @ ..] = fields.to_be_bytes();
    let [i, j, k, l, m, n, o, p] = rest;
    [d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p]
}

/// The region that is the block allocation table.
pub const REGION_BAT: Guid = guid(0x2dc2_7766_f623_4200_9d64_115e_9bfd_4a08);

/// The region that holds the metadata.
pub const REGION_METADATA: Guid = guid(0x8b7c_a206_4790_4b9a_b8fe_575f_050f_886e);

/// Metadata: block size and flags.
pub const ITEM_FILE_PARAMETERS: Guid = guid(0xcaa1_6737_fa36_4d43_b3b6_33f0_aa44_e76b);

/// Metadata: bytes of the disk.
pub const ITEM_VIRTUAL_DISK_SIZE: Guid = guid(0x2fa5_4224_cd1b_4876_b211_5dbe_d83b_f4b8);

/// Metadata: identifier of the disk.
pub const ITEM_PAGE_83: Guid = guid(0xbeca_12ab_b2e6_4523_93ef_c309_e000_c746);

/// Metadata: logical sector size.
pub const ITEM_LOGICAL_SECTOR: Guid = guid(0x8141_bf1d_a96f_4709_ba47_f233_a8fa_ab5f);

/// Metadata: physical sector size.
pub const ITEM_PHYSICAL_SECTOR: Guid = guid(0xcda3_48c7_445d_4471_9cc9_e988_5251_c556);

/// Metadata: where the parent is.
pub const ITEM_PARENT_LOCATOR: Guid = guid(0xa8d3_5f2d_b30b_454d_abf7_d3d8_4834_ab0c);

/// The type of parent locator that there is.
pub const LOCATOR_VHDX: Guid = guid(0xb04a_efb7_d19e_4a81_b789_25b8_e944_5913);

/// One of the two headers: 4 KiB, all of them under the checksum.
#[derive(Clone, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawHeader {
    /// [`HEADER_SIGNATURE`].
    pub signature: [u8; 4],
    /// CRC-32C of the 4 KiB, with this field as zeros.
    pub checksum: U32,
    /// The higher one counts.
    pub sequence_number: U64,
    /// Changes before the file is first written to.
    pub file_write_guid: Guid,
    /// Changes before the disk's content first changes.
    pub data_write_guid: Guid,
    /// Log entries that count carry it; zeros: the log is empty.
    pub log_guid: Guid,
    /// 0.
    pub log_version: U16,
    /// 1.
    pub version: U16,
    /// Bytes of the log.
    pub log_length: U32,
    /// Where the log is.
    pub log_offset: U64,
    /// Zeros.
    pub reserved: [u8; 4016],
}

const _: () = assert!(size_of::<RawHeader>() == 4096);
const _: () = assert!(core::mem::offset_of!(RawHeader, log_offset) == 72);

/// The beginning of a region table.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawRegionTableHeader {
    /// [`REGION_SIGNATURE`].
    pub signature: [u8; 4],
    /// CRC-32C of 64 KiB, with this field as zeros.
    pub checksum: U32,
    /// Entries that follow, at most 2047.
    pub entry_count: U32,
    /// Zeros.
    pub reserved: U32,
}

const _: () = assert!(size_of::<RawRegionTableHeader>() == 16);

#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawRegionTableEntry {
    pub guid: Guid,
    pub file_offset: U64,
    /// Its bytes.
    pub length: U32,
    /// Bit 0: who does not know it must not read the image.
    pub required: U32,
}

const _: () = assert!(size_of::<RawRegionTableEntry>() == 32);

/// The beginning of the metadata region.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawMetadataTableHeader {
    /// [`METADATA_SIGNATURE`].
    pub signature: [u8; 8],
    /// Zeros.
    pub reserved: U16,
    /// Entries that follow, at most 2047.
    pub entry_count: U16,
    /// Zeros.
    pub reserved_2: [u8; 20],
}

const _: () = assert!(size_of::<RawMetadataTableHeader>() == 32);

/// A metadata item.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawMetadataTableEntry {
    pub item_id: Guid,
    /// Where in the region, at least 64 KiB.
    pub offset: U32,
    /// Its bytes.
    pub length: U32,
    /// Bit 0 user's, bit 1 the disk's, bit 2 required.
    pub flags: U32,
    /// Zeros.
    pub reserved_2: U32,
}

const _: () = assert!(size_of::<RawMetadataTableEntry>() == 32);

/// The items that every image has, as one block.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawItems {
    /// File parameters: bytes of a block.
    pub block_size: U32,
    /// File parameters: bit 0 fixed, bit 1 differencing.
    pub flags: U32,
    /// Bytes of the disk.
    pub virtual_disk_size: U64,
    /// Identifier of the disk.
    pub page_83: Guid,
    /// 512 or 4096.
    pub logical_sector_size: U32,
    /// 512 or 4096.
    pub physical_sector_size: U32,
}

const _: () = assert!(size_of::<RawItems>() == 40);

/// The beginning of a parent locator.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawParentLocatorHeader {
    /// [`LOCATOR_VHDX`].
    pub locator_type: Guid,
    /// Zeros.
    pub reserved: U16,
    /// Entries that follow.
    pub key_value_count: U16,
}

const _: () = assert!(size_of::<RawParentLocatorHeader>() == 20);

/// A key and its value, both UTF-16 without NUL.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawParentLocatorEntry {
    /// Where in the item.
    pub key_offset: U32,
    /// Where in the item.
    pub value_offset: U32,
    /// Bytes.
    pub key_length: U16,
    /// Bytes.
    pub value_length: U16,
}

const _: () = assert!(size_of::<RawParentLocatorEntry>() == 12);

/// The beginning of a log entry.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawLogEntryHeader {
    /// [`LOG_SIGNATURE`].
    pub signature: [u8; 4],
    /// CRC-32C of the entry, with this field as zeros.
    pub checksum: U32,
    /// Its bytes, a multiple of 4 KiB.
    pub entry_length: U32,
    /// Where in the log the oldest entry that still counts starts.
    pub tail: U32,
    /// One more than the entry before.
    pub sequence_number: U64,
    /// Descriptors that follow.
    pub descriptor_count: U32,
    /// Zeros.
    pub reserved: U32,
    /// Must be the header's.
    pub log_guid: Guid,
    /// Bytes that the file had for certain when this was written.
    pub flushed_file_offset: U64,
    /// Bytes that the file must have afterwards.
    pub last_file_offset: U64,
}

const _: () = assert!(size_of::<RawLogEntryHeader>() == 64);

/// A change to the file.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawLogDescriptor {
    /// [`DATA_DESCRIPTOR`] or [`ZERO_DESCRIPTOR`].
    pub signature: [u8; 4],
    /// Data: the last four bytes of the 4 KiB.
    pub trailing_bytes: [u8; 4],
    /// Data: the first eight bytes; zero: how many bytes to zero.
    pub leading_bytes: U64,
    /// Where in the file, a multiple of 4 KiB.
    pub file_offset: U64,
    pub sequence_number: U64,
}

const _: () = assert!(size_of::<RawLogDescriptor>() == 32);
const _: () = assert!(core::mem::offset_of!(RawLogDescriptor, leading_bytes) == 8);
