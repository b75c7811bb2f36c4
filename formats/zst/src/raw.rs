//! The layout on disk.

use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What a frame begins with.
pub const FRAME: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();

/// What a frame that decoders skip begins with; its last four bits may be any.
pub const SKIPPED: u32 = 0x184d_2a50;

/// Those bits of the frame that is the seek table.
pub const OF_TABLE: u32 = 0xe;

/// What a file with a seek table ends with.
pub const SEEKABLE: u32 = 0x8f92_eab1;

/// What a frame that is skipped begins with.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawSkipped {
    /// [`SKIPPED`] and [`OF_TABLE`].
    pub magic: U32,
    /// Bytes of the frame behind these eight.
    pub frame_size: U32,
}

/// The last bytes of the seek table, and of the file.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawFooter {
    /// Entries of the table.
    pub number_of_frames: U32,
    /// [`descriptor`].
    pub descriptor: u8,
    /// [`SEEKABLE`].
    pub magic: U32,
}

/// Bits of [`RawFooter::descriptor`].
pub mod descriptor {
    /// Entries have a checksum.
    pub const CHECKSUM: u8 = 0x80;
    /// None of these is set.
    pub const RESERVED: u8 = 0x7c;
}

/// An entry of the seek table, without its checksum.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawEntry {
    /// Bytes of the frame.
    pub compressed_size: U32,
    /// Bytes that it decodes to; 0 for a frame that is skipped.
    pub decompressed_size: U32,
}

const _: () = assert!(size_of::<RawSkipped>() == 8);
const _: () = assert!(size_of::<RawFooter>() == 9);
const _: () = assert!(size_of::<RawEntry>() == 8);
