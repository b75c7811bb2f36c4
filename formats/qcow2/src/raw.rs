//! The structures of a qcow2 file as they stand on disk: big-endian, names of the specification.
//!
//! Nothing here is checked; [`crate::Header`] is what a header means. Shared by the reading and the writing half.

use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `QFI\xfb`.
pub const MAGIC: u32 = 0x5146_49fb;

/// Bytes of a version 2 header.
pub const HEADER_V2: u32 = 72;

/// Bytes of the shortest version 3 header: the one without `compression_type`.
pub const HEADER_V3: u32 = 104;

/// The header at byte 0. A version 2 header ends before `incompatible_features`.
#[derive(Clone, Copy, Debug, PartialEq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
#[allow(missing_docs, reason = "the names of the specification")]
pub struct RawHeader {
    pub magic: U32,
    pub version: U32,
    pub backing_file_offset: U64,
    pub backing_file_size: U32,
    pub cluster_bits: U32,
    pub size: U64,
    pub crypt_method: U32,
    pub l1_size: U32,
    pub l1_table_offset: U64,
    pub refcount_table_offset: U64,
    pub refcount_table_clusters: U32,
    pub nb_snapshots: U32,
    pub snapshots_offset: U64,
    pub incompatible_features: U64,
    pub compatible_features: U64,
    pub autoclear_features: U64,
    pub refcount_order: U32,
    pub header_length: U32,
    pub compression_type: u8,
    pub padding: [u8; 7],
}

/// In front of the bytes of each header extension, which are padded to 8.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
#[allow(missing_docs, reason = "the names of the specification")]
pub struct RawExtension {
    pub magic: U32,
    pub length: U32,
}

/// Kinds of header extensions.
#[allow(missing_docs, reason = "the names of the specification")]
pub mod extension {
    pub const END: u32 = 0;
    pub const BACKING_FORMAT: u32 = 0xe279_2aca;
    pub const FEATURE_TABLE: u32 = 0x6803_f857;
    pub const BITMAPS: u32 = 0x2385_2875;
    pub const CRYPTO_HEADER: u32 = 0x0537_be77;
    pub const DATA_FILE: u32 = 0x4441_5441;
}

/// An entry of the feature name table.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
#[allow(missing_docs, reason = "the names of the specification")]
pub struct RawFeatureName {
    pub kind: u8,
    pub bit: u8,
    pub name: [u8; 46],
}

/// The bitmaps extension.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
#[allow(missing_docs, reason = "the names of the specification")]
pub struct RawBitmapsExtension {
    pub nb_bitmaps: U32,
    pub reserved: U32,
    pub bitmap_directory_size: U64,
    pub bitmap_directory_offset: U64,
}

/// An entry of the bitmap directory; `extra_data` and the name follow, padded to 8.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
#[allow(missing_docs, reason = "the names of the specification")]
pub struct RawBitmapEntry {
    pub bitmap_table_offset: U64,
    pub bitmap_table_size: U32,
    pub flags: U32,
    pub kind: u8,
    pub granularity_bits: u8,
    pub name_size: U16,
    pub extra_data_size: U32,
}

/// The extension that says where the encryption header is.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
#[allow(missing_docs, reason = "the names of the specification")]
pub struct RawCryptoExtension {
    pub offset: U64,
    pub length: U64,
}

/// An entry of the snapshot table; extra data, ID and name follow, padded to 8.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
#[allow(missing_docs, reason = "the names of the specification")]
pub struct RawSnapshot {
    pub l1_table_offset: U64,
    pub l1_size: U32,
    pub id_str_size: U16,
    pub name_size: U16,
    pub date_sec: U32,
    pub date_nsec: U32,
    pub vm_clock_nsec: U64,
    pub vm_state_size: U32,
    pub extra_data_size: U32,
}

/// Extra data of a snapshot; each field is there if `extra_data_size` reaches its end.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
#[allow(missing_docs, reason = "the names of the specification")]
pub struct RawSnapshotExtra {
    pub vm_state_size_large: U64,
    pub disk_size: U64,
    pub icount: U64,
}

const _: () = {
    assert!(size_of::<RawHeader>() == 112);
    assert!(core::mem::offset_of!(RawHeader, incompatible_features) == 72);
    assert!(core::mem::offset_of!(RawHeader, compression_type) == 104);
    assert!(size_of::<RawExtension>() == 8);
    assert!(size_of::<RawFeatureName>() == 48);
    assert!(size_of::<RawBitmapsExtension>() == 24);
    assert!(size_of::<RawBitmapEntry>() == 24);
    assert!(size_of::<RawCryptoExtension>() == 16);
    assert!(size_of::<RawSnapshot>() == 40);
    assert!(size_of::<RawSnapshotExtra>() == 24);
};

/// Bits of `incompatible_features`.
pub mod incompatible {
    /// Refcounts may be wrong.
    pub const DIRTY: u64 = 1 << 0;
    /// Any structure may be wrong.
    pub const CORRUPT: u64 = 1 << 1;
    /// Guest clusters are in another file.
    pub const DATA_FILE: u64 = 1 << 2;
    /// `compression_type` is not zlib.
    pub const COMPRESSION: u64 = 1 << 3;
    /// L2 entries have a second half with subcluster bits.
    pub const EXTENDED_L2: u64 = 1 << 4;
    /// What this build reads.
    pub const SUPPORTED: u64 = DIRTY | CORRUPT | DATA_FILE | COMPRESSION | EXTENDED_L2;
}

/// Bits of `compatible_features`.
pub mod compatible {
    /// Refcounts are written lazily.
    pub const LAZY_REFCOUNTS: u64 = 1 << 0;
}

/// Bits of `autoclear_features`.
pub mod autoclear {
    /// The bitmaps extension agrees with the data.
    pub const BITMAPS: u64 = 1 << 0;
    /// The data file is a raw image too.
    pub const DATA_FILE_RAW: u64 = 1 << 1;
}

/// Values of `crypt_method`.
pub mod crypt {
    pub const NONE: u32 = 0;
    /// AES-128-CBC, the legacy method.
    pub const AES: u32 = 1;
    /// LUKS.
    pub const LUKS: u32 = 2;
}

/// Values of `compression_type`.
pub mod compression {
    /// Raw deflate.
    pub const ZLIB: u8 = 0;
    /// Zstandard.
    pub const ZSTD: u8 = 1;
}

/// Flags of a bitmap directory entry.
pub mod bitmap_flag {
    /// Was not saved cleanly.
    pub const IN_USE: u32 = 1 << 0;
    /// Records writes as soon as the image is opened.
    pub const AUTO: u32 = 1 << 1;
    /// Known flags.
    pub const KNOWN: u32 = IN_USE | AUTO;
}

/// Bits of L1, L2 and refcount table entries.
pub mod entry {
    /// Refcount is exactly one: L1 and L2.
    pub const COPIED: u64 = 1 << 63;
    /// L2: the cluster is compressed, and the rest of the entry reads differently.
    pub const COMPRESSED: u64 = 1 << 62;
    /// L2, version 3 without extended entries: reads as zero.
    pub const ZERO: u64 = 1;
    /// L1 and L2: the file offset.
    pub const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
    /// Refcount table: the file offset.
    pub const REFCOUNT_BLOCK: u64 = 0xffff_ffff_ffff_fe00;
    /// Unit in which the length of a compressed cluster is given.
    pub const COMPRESSED_SECTOR: u64 = 512;
}

/// Subclusters in a cluster when L2 entries are extended.
pub const SUBCLUSTERS: u32 = 1 << SUBCLUSTER_BITS;

/// log2 of that.
pub const SUBCLUSTER_BITS: u32 = 5;

/// Second half of an extended L2 entry: bit n says that subcluster n is allocated, bit 32 + n that it reads as zero.
pub mod subcluster {
    pub const ALLOCATED: u64 = 0x0000_0000_ffff_ffff;
    pub const ZERO: u64 = 0xffff_ffff_0000_0000;
}

/// Bounds that the reference tool sets, not the specification.
pub mod limit {
    /// log2 of the smallest cluster: specification.
    pub const MIN_CLUSTER_BITS: u32 = 9;
    /// log2 of the largest cluster: qemu's.
    pub const MAX_CLUSTER_BITS: u32 = 21;
    /// log2 of the widest refcount: specification.
    pub const MAX_REFCOUNT_ORDER: u32 = 6;
    /// Bytes of an L1 table: qemu's.
    pub const L1_BYTES: u64 = 32 << 20;
    /// Bytes of a refcount table: qemu's.
    pub const REFCOUNT_TABLE_BYTES: u64 = 8 << 20;
    /// Snapshots: qemu's.
    pub const SNAPSHOTS: u64 = 65536;
    /// Bytes of a snapshot table: qemu's.
    pub const SNAPSHOT_TABLE_BYTES: u64 = 64 << 20;
    /// Bytes of the shortest entry of a snapshot table: specification.
    pub const SNAPSHOT_LEAST: u64 = 40;
    /// Bytes of one snapshot's extra data: qemu's.
    pub const SNAPSHOT_EXTRA_BYTES: u32 = 1024;
    /// Bytes of a backing file name: specification.
    pub const BACKING_NAME: u64 = 1023;
    /// Bytes of a backing format name: qemu's.
    pub const BACKING_FORMAT: u32 = 15;
    /// Bitmaps: qemu's.
    pub const BITMAPS: u32 = 65535;
    /// Bytes of a bitmap directory: qemu's.
    pub const BITMAP_DIRECTORY_BYTES: u64 = 1024 * 65535;
    /// Entries of one bitmap's table: qemu's.
    pub const BITMAP_TABLE_ENTRIES: u32 = 0x0800_0000;
    /// Bytes of one bitmap: qemu's.
    pub const BITMAP_BYTES: u64 = 0x2000_0000;
    /// log2 of the finest granularity of a bitmap: qemu's.
    pub const MIN_GRANULARITY_BITS: u8 = 9;
    /// log2 of the coarsest granularity of a bitmap: qemu's.
    pub const MAX_GRANULARITY_BITS: u8 = 31;
    /// Bytes of a bitmap's name: qemu's.
    pub const BITMAP_NAME: u16 = 1023;
    /// Largest file offset that the reference tool can express, plus one.
    pub const FILE_END: u64 = 1 << 63;
}
