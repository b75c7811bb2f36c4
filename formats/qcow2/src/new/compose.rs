//! The first cluster of a new image, byte for byte what the reference tool writes there.
//!
//! ```text
//!  0     header            72 bytes in version 2, 112 in version 3
//!        extensions        backing format, data file, LUKS header, feature names (clusters of 8 KiB and more), end mark
//!        backing file name
//! ```

use alloc::vec::Vec;

use instar_disk::job::{Compression, Qcow2Create};
use instar_disk::{Fault, ImageText, Result, fault, from_usize};
use zerocopy::{FromZeros, IntoBytes};

use super::refcount::Table;
use crate::layout::Layout;
use crate::luks;
use crate::num::{index, length};
use crate::raw::{
    self, RawBitmapsExtension, RawCryptoExtension, RawExtension, RawFeatureName, RawHeader, autoclear,
    compatible, compression, extension, incompatible, limit,
};

/// What a header says besides the options.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tables {
    /// The L1 table; 0 when it has no entry.
    pub(crate) l1_offset: u64,
    /// The refcount table.
    pub(crate) refcounts: Table,
    /// The bitmap directory, if there is one.
    pub(crate) bitmaps: Option<RawBitmapsExtension>,
    /// The LUKS header, if there is one.
    pub(crate) luks: Option<RawCryptoExtension>,
}

/// The header, its extensions and the backing file's name.
///
/// # Errors
/// `HEADER_TOO_LONG` and `NAME_TOO_LONG`.
pub(crate) fn header(options: &Qcow2Create, layout: &Layout, tables: Tables) -> Result<Vec<u8>> {
    check_names(options)?;
    let mut raw = fields(options, layout)?;
    raw.crypt_method.set(luks::method(options.encryption.as_ref()));
    raw.l1_table_offset.set(tables.l1_offset);
    raw.refcount_table_offset.set(tables.refcounts.offset);
    raw.refcount_table_clusters
        .set(narrow(tables.refcounts.clusters)?);

    if tables.bitmaps.is_some() {
        raw.autoclear_features
            .set(raw.autoclear_features.get() | autoclear::BITMAPS);
    }
    let mut tail = extensions(options, layout, &tables);
    let start = u64::from(header_bytes(options.version));
    if let Some(name) = &options.backing_file {
        raw.backing_file_offset.set(start.saturating_add(length(&tail)));
        raw.backing_file_size.set(narrow(length(name.as_bytes()))?);
        tail.extend_from_slice(name.as_bytes());
    }
    let mut bytes = raw.as_bytes().get(..index(start)).unwrap_or(&[]).to_vec();
    bytes.extend_from_slice(&tail);
    if length(&bytes) > layout.cluster() {
        return Err(Fault::new(fault::qcow2_write::HEADER_TOO_LONG).with([length(&bytes), layout.cluster()]));
    }
    Ok(bytes)
}

/// The header of an image that is being written: everybody refuses it, and in version 3 says why. Fits a sector.
pub(crate) fn incomplete(options: &Qcow2Create, layout: &Layout) -> Result<Vec<u8>> {
    let mut raw = fields(options, layout)?;
    if options.version < 3 {
        raw.version.set(INCOMPLETE_VERSION);
        return Ok(raw.as_bytes().to_vec());
    }
    raw.incompatible_features
        .set(raw.incompatible_features.get() | INCOMPLETE);
    // One cluster is the least that readers accept before they look at the features.
    raw.refcount_table_clusters.set(1);
    let mut bytes = raw.as_bytes().to_vec();
    push_extension(&mut bytes, extension::FEATURE_TABLE, INCOMPLETE_NAME.as_bytes());
    push_extension(&mut bytes, extension::END, &[]);
    Ok(bytes)
}

/// The bit that marks an image as incomplete: no specification uses it, hence every reader refuses it.
pub(crate) const INCOMPLETE: u64 = 1 << 63;

/// The version of an incomplete image of version 2, which has no feature bits: the letters `INCO`, a version that nobody
/// reads, under a magic that keeps everybody from taking the image for a raw one.
pub(crate) const INCOMPLETE_VERSION: u32 = 0x494e_434f;

/// What the feature name table says of [`INCOMPLETE`].
pub(crate) const INCOMPLETE_NAME: RawFeatureName = feature(0, 63, b"conversion incomplete");

fn check_names(options: &Qcow2Create) -> Result<()> {
    let check = |name: Option<&ImageText>, most: u64| match name {
        Some(name) if length(name.as_bytes()) > most => Err(Fault::new(fault::qcow2_write::NAME_TOO_LONG)
            .with([length(name.as_bytes()), most])
            .named(name.as_bytes())),
        _ => Ok(()),
    };
    check(options.backing_file.as_ref(), limit::BACKING_NAME)?;
    check(options.backing_format.as_ref(), u64::from(limit::BACKING_FORMAT))
}

fn fields(options: &Qcow2Create, layout: &Layout) -> Result<RawHeader> {
    let mut raw = RawHeader::new_zeroed();
    raw.magic.set(raw::MAGIC);
    raw.version.set(options.version);
    raw.cluster_bits.set(layout.cluster_bits());
    raw.size.set(layout.size());
    raw.l1_size.set(narrow(layout.l1_entries())?);
    if options.version < 3 {
        return Ok(raw);
    }
    let bit = |set: bool, bit: u64| if set { bit } else { 0 };
    let zstd = options.compression == Compression::Zstd;
    raw.incompatible_features.set(
        bit(options.data_file.is_some(), incompatible::DATA_FILE)
            | bit(zstd, incompatible::COMPRESSION)
            | bit(options.extended_l2, incompatible::EXTENDED_L2),
    );
    raw.compatible_features
        .set(bit(options.lazy_refcounts, compatible::LAZY_REFCOUNTS));
    raw.autoclear_features
        .set(bit(options.data_file_raw, autoclear::DATA_FILE_RAW));
    raw.refcount_order.set(layout.refcount_order());
    raw.header_length.set(header_bytes(options.version));
    raw.compression_type = if zstd {
        compression::ZSTD
    } else {
        compression::ZLIB
    };
    Ok(raw)
}

fn extensions(options: &Qcow2Create, layout: &Layout, tables: &Tables) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(format) = &options.backing_format {
        push_extension(&mut bytes, extension::BACKING_FORMAT, format.as_bytes());
    }
    if let Some((_, name)) = &options.data_file {
        push_extension(&mut bytes, extension::DATA_FILE, name.as_bytes());
    }
    if let Some(luks) = &tables.luks {
        push_extension(&mut bytes, extension::CRYPTO_HEADER, luks.as_bytes());
    }
    let used = u64::from(header_bytes(options.version)).saturating_add(length(&bytes));
    if options.version >= 3 && layout.cluster().saturating_sub(used) >= FEATURE_TABLE_ROOM {
        push_extension(&mut bytes, extension::FEATURE_TABLE, FEATURES.as_bytes());
    }
    if let Some(bitmaps) = &tables.bitmaps {
        push_extension(&mut bytes, extension::BITMAPS, bitmaps.as_bytes());
    }
    push_extension(&mut bytes, extension::END, &[]);
    bytes
}

/// Adds one extension, padded to 8 bytes.
pub(crate) fn push_extension(bytes: &mut Vec<u8>, magic: u32, content: &[u8]) {
    let head = RawExtension {
        magic: magic.into(),
        length: u32::try_from(content.len()).unwrap_or(u32::MAX).into(),
    };
    bytes.extend_from_slice(head.as_bytes());
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
}

fn header_bytes(version: u32) -> u32 {
    if version < 3 {
        raw::HEADER_V2
    } else {
        u32::try_from(from_usize(size_of::<RawHeader>())).unwrap_or(u32::MAX)
    }
}

fn narrow(value: u64) -> Result<u32> {
    u32::try_from(value).map_err(|_| Fault::new(fault::core::OVERFLOW).with([value]))
}

/// Names of features, in the order of the reference.
pub(crate) const FEATURES: [RawFeatureName; 8] = [
    feature(0, 0, b"dirty bit"),
    feature(0, 1, b"corrupt bit"),
    feature(0, 2, b"external data file"),
    feature(0, 3, b"compression type"),
    feature(0, 4, b"extended L2 entries"),
    feature(1, 0, b"lazy refcounts"),
    feature(2, 0, b"bitmaps"),
    feature(2, 1, b"raw external data"),
];

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn feature(kind: u8, bit: u8, text: &[u8]) -> RawFeatureName {
    let mut name = [0; 46];
    let mut at = 0;
    while at < text.len() {
        name[at] = text[at];
        at = at.saturating_add(1);
    }
    RawFeatureName { kind, bit, name }
}

/// Bytes that must be left in the first cluster for the reference to write the feature names.
pub(crate) const FEATURE_TABLE_ROOM: u64 = 4096;

/// What stands for an unfinished image in its first sector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Nothing that must last: the file has no name yet, or goes when the run fails.
    Fresh,
    /// It was there before: the mark must be on disk before anything else is, and go last.
    InPlace,
}

/// Bytes that a disk writes as one. Ours, with the smallest sector: the switch from incomplete to complete fits.
pub(crate) const HEADER_SECTOR: usize = 512;
