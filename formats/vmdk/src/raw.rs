//! Structures as they stand in files, under the names of the specification. All little-endian.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of a sector: the unit of every offset and length in this format.
pub(crate) const SECTOR: u64 = 512;
/// First bytes of a hosted sparse extent.
pub(crate) const SPARSE_MAGIC: [u8; 4] = *b"KDMV";
/// First bytes of an ESX sparse extent.
pub(crate) const COWD_MAGIC: [u8; 4] = *b"COWD";
/// `gdOffset` of a header whose truth is in the footer.
pub(crate) const GD_AT_END: u64 = u64::MAX;
/// Grain table entry: the grain reads as zero (only with [`flags::ZEROED_GRAIN`]).
pub(crate) const GTE_ZEROED: u32 = 1;
/// `compressAlgorithm`: none.
pub(crate) const COMPRESSION_NONE: u16 = 0;
/// `compressAlgorithm`: RFC 1950.
pub(crate) const COMPRESSION_DEFLATE: u16 = 1;
/// What a text-mode transfer would change: `singleEndLineChar` to `doubleEndLineChar2`.
pub(crate) const END_LINE_CHARS: [u8; 4] = *b"\n \r\n";

/// Bits of [`RawSparseHeader::flags`]. The upper half must be understood, the lower may be ignored.
pub(crate) mod flags {
    /// `singleEndLineChar` and its neighbours are valid.
    pub(crate) const NEW_LINE_DETECTION: u32 = 1;
    /// There is a second grain directory at `rgdOffset`.
    pub(crate) const REDUNDANT_TABLE: u32 = 1 << 1;
    /// Entries may be [`super::GTE_ZEROED`].
    pub(crate) const ZEROED_GRAIN: u32 = 1 << 2;
    /// Grains are compressed.
    pub(crate) const COMPRESSED: u32 = 1 << 16;
    /// Grains and metadata have markers.
    pub(crate) const MARKERS: u32 = 1 << 17;
    /// The half in which an unknown bit makes the image unreadable.
    pub(crate) const INCOMPATIBLE: u32 = 0xffff_0000;
}

/// Values of [`RawMarker::kind`].
pub(crate) mod marker {
    pub(crate) const END_OF_STREAM: u32 = 0;
    pub(crate) const GRAIN_TABLE: u32 = 1;
    pub(crate) const GRAIN_DIRECTORY: u32 = 2;
    pub(crate) const FOOTER: u32 = 3;
}

/// Header of a hosted sparse extent (`SparseExtentHeader`), and its footer.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RawSparseHeader {
    pub(crate) magic_number: [u8; 4],
    pub(crate) version: U32,
    pub(crate) flags: U32,
    pub(crate) capacity: U64,
    pub(crate) grain_size: U64,
    pub(crate) descriptor_offset: U64,
    pub(crate) descriptor_size: U64,
    pub(crate) num_gtes_per_gt: U32,
    pub(crate) rgd_offset: U64,
    pub(crate) gd_offset: U64,
    pub(crate) over_head: U64,
    pub(crate) unclean_shutdown: u8,
    pub(crate) end_line_chars: [u8; 4],
    pub(crate) compress_algorithm: U16,
    pub(crate) pad: [u8; 433],
}

/// Header of an ESX sparse extent (`COWDisk_Header`), as far as it matters here.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RawCowdHeader {
    pub(crate) magic_number: [u8; 4],
    pub(crate) version: U32,
    pub(crate) flags: U32,
    pub(crate) num_sectors: U32,
    pub(crate) grain_size: U32,
    pub(crate) gd_offset: U32,
    pub(crate) num_gd_entries: U32,
    pub(crate) free_sector: U32,
}

/// Before a compressed grain.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RawGrainMarker {
    pub(crate) lba: U64,
    pub(crate) size: U32,
}

/// Before a piece of metadata in a streamed file.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RawMarker {
    pub(crate) num_sectors: U64,
    pub(crate) size: U32,
    pub(crate) kind: U32,
    pub(crate) pad: [u8; 496],
}

impl RawMarker {
    pub(crate) fn new(kind: u32, num_sectors: u64) -> Self {
        Self {
            num_sectors: num_sectors.into(),
            kind: kind.into(),
            ..Self::new_zeroed()
        }
    }
}

/// The last three sectors of a file with [`GD_AT_END`].
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RawFooter {
    pub(crate) footer_marker: RawMarker,
    pub(crate) header: RawSparseHeader,
    pub(crate) end_marker: RawMarker,
}

/// Constant header of a seSparse extent; every offset and size in sectors.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RawSeSparseHeader {
    pub(crate) magic: U64,
    pub(crate) version: U64,
    pub(crate) capacity: U64,
    pub(crate) grain_size: U64,
    pub(crate) grain_table_size: U64,
    pub(crate) flags: U64,
    pub(crate) reserved: [U64; 4],
    pub(crate) volatile_header_offset: U64,
    pub(crate) volatile_header_size: U64,
    pub(crate) journal_header_offset: U64,
    pub(crate) journal_header_size: U64,
    pub(crate) journal_offset: U64,
    pub(crate) journal_size: U64,
    pub(crate) grain_dir_offset: U64,
    pub(crate) grain_dir_size: U64,
    pub(crate) grain_tables_offset: U64,
    pub(crate) grain_tables_size: U64,
    pub(crate) free_bitmap_offset: U64,
    pub(crate) free_bitmap_size: U64,
    pub(crate) backmap_offset: U64,
    pub(crate) backmap_size: U64,
    pub(crate) grains_offset: U64,
    pub(crate) grains_size: U64,
    pub(crate) pad: [u8; 304],
}

/// Volatile header of a seSparse extent.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RawSeSparseVolatile {
    pub(crate) magic: U64,
    pub(crate) free_gt_number: U64,
    pub(crate) next_txn_seq_number: U64,
    pub(crate) replay_journal: U64,
    pub(crate) pad: [u8; 480],
}

const _: () = {
    assert!(size_of::<RawSparseHeader>() == 512);
    assert!(core::mem::offset_of!(RawSparseHeader, num_gtes_per_gt) == 44);
    assert!(core::mem::offset_of!(RawSparseHeader, unclean_shutdown) == 72);
    assert!(core::mem::offset_of!(RawSparseHeader, compress_algorithm) == 77);
    assert!(size_of::<RawCowdHeader>() == 32);
    assert!(size_of::<RawGrainMarker>() == 12);
    assert!(size_of::<RawMarker>() == 512);
    assert!(size_of::<RawFooter>() == 1536);
    assert!(size_of::<RawSeSparseHeader>() == 512);
    assert!(size_of::<RawSeSparseVolatile>() == 512);
};
