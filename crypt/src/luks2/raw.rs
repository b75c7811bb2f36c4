//! The binary part of the layout.

use zerocopy::big_endian::{U16, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `magic` of the second copy. That of the first is the one of version 1.
pub const MAGIC_SECOND: [u8; 6] = *b"SKUL\xba\xbe";

/// Bytes that the binary part has; the JSON follows.
pub(super) const BINARY_BYTES: usize = 4096;

/// Bytes of binary part and JSON: the format's list.
pub(super) const HEADER_SIZES: [u64; 9] = [
    0x4000, 0x8000, 0x1_0000, 0x2_0000, 0x4_0000, 0x8_0000, 0x10_0000, 0x20_0000, 0x40_0000,
];

/// The first 512 bytes of a copy.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawHeader {
    /// One of two, for each copy its own.
    pub magic: [u8; 6],
    /// 2.
    pub version: U16,
    /// Bytes of binary part and JSON.
    pub hdr_size: U64,
    /// Counts changes.
    pub seqid: U64,
    /// Text.
    pub label: [u8; 48],
    /// Hash of the checksum.
    pub csum_alg: [u8; 32],
    /// Makes equal headers differ.
    pub salt: [u8; 64],
    /// Text.
    pub uuid: [u8; 40],
    /// Text.
    pub subsystem: [u8; 48],
    /// Where this copy is, bytes.
    pub hdr_offset: U64,
    /// Zeros.
    pub padding: [u8; 184],
    /// Checksum over both parts, with zeros here.
    pub csum: [u8; 64],
}

const _: () = assert!(size_of::<RawHeader>() == 512);
const _: () = assert!(core::mem::offset_of!(RawHeader, hdr_offset) == 256);
/// Where `csum` is.
pub(super) const CHECKSUM_AT: usize = core::mem::offset_of!(RawHeader, csum);
const _: () = assert!(CHECKSUM_AT == 448);
