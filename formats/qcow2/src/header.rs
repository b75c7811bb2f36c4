//! The header: from the bytes of [`RawHeader`] to values that need no further check.

use instar_disk::fault::qcow2 as faults;
use instar_disk::job::Compression;
use instar_disk::report::Backing;
use instar_disk::{Fault, File, ImageText, Result, from_usize};

use crate::basics::Basics;
use crate::extensions::Extensions;
use crate::features::{self, Features};
use crate::pieces::Pieces;
use crate::raw::{self, RawHeader, compression, crypt, incompatible, limit};

/// What an image's first cluster says, checked.
#[derive(Clone, Debug)]
pub struct Header {
    /// 2 or 3.
    pub version: u32,
    /// log2 of the cluster size, 9 to 21.
    pub cluster_bits: u32,
    /// Virtual size as it stands in the header.
    pub size: u64,
    /// A value of [`crypt`].
    pub encryption: u32,
    /// The active L1 table: reaches the size.
    pub l1: TableRange,
    /// The refcount table, in entries of 8 bytes.
    pub refcount_table: TableRange,
    /// log2 of the refcount width in bits, 0 to 6.
    pub refcount_order: u32,
    /// The snapshot table, in snapshots.
    pub snapshots: TableRange,
    /// Feature bits, all of them known where that matters.
    pub features: Features,
    /// Of compressed clusters.
    pub compression: Compression,
    /// Bytes of the header proper.
    pub header_length: u32,
    /// The backing file's name as it stands, where there is one.
    pub backing_name: Option<ImageText>,
    /// What the header extensions say.
    pub extensions: Extensions,
}

/// A table in the file: aligned to clusters, of bounded length, not necessarily inside the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableRange {
    /// File offset.
    pub offset: u64,
    /// Entries.
    pub entries: u64,
}

impl Header {
    /// Reads and checks the header of `file`. What the file lacks reads as zero.
    ///
    /// # Errors
    /// What is wrong with it, or the host's error.
    pub fn parse(file: File<'_>) -> Result<Self> {
        Self::read(file, false)
    }

    /// Only how the image is encrypted, a value of [`crypt`]: its user's words are compared with that before extensions are looked at.
    ///
    /// # Errors
    /// What is wrong in front of the extensions, or the host's error.
    pub(crate) fn encryption(file: File<'_>) -> Result<u32> {
        let mut head = Pieces::new(file);
        let raw = head.value(0)?;
        let fixed = parse_fixed(&raw, &mut head, false).map_err(|fault| fault.in_file(file.slot()))?;
        Ok(fixed.basics.encryption)
    }

    /// As [`Header::parse`], but a snapshot table is not judged and a refcount table need not be there: both are the check's own business.
    ///
    /// # Errors
    /// As [`Header::parse`].
    pub(crate) fn parse_to_check(file: File<'_>) -> Result<Self> {
        Self::read(file, true)
    }

    fn read(file: File<'_>, to_check: bool) -> Result<Self> {
        let mut head = Pieces::new(file);
        let raw = head.value(0)?;
        parse(&raw, &mut head, to_check).map_err(|fault| fault.in_file(file.slot()))
    }

    /// Cluster size in bytes.
    #[must_use]
    pub const fn cluster_size(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// Bytes of an L2 entry: 8 or 16.
    #[must_use]
    pub const fn l2_entry_size(&self) -> u64 {
        if self.features.extended_l2() { 16 } else { 8 }
    }

    /// log2 of the entries in an L2 table.
    #[must_use]
    pub const fn l2_bits(&self) -> u32 {
        let entry_bits = if self.features.extended_l2() { 4 } else { 3 };
        self.cluster_bits.saturating_sub(entry_bits)
    }

    /// The layer below, as the image names it.
    pub(crate) fn backing(&self) -> Option<Backing> {
        Some(Backing {
            name: self.backing_name.clone()?,
            format: self.extensions.backing_format.clone(),
        })
    }

    /// Virtual size in whole sectors, as qemu serves it.
    #[must_use]
    pub const fn virtual_size(&self) -> u64 {
        instar_disk::align_down(self.size, 512)
    }
}

/// What is judged before the extensions.
struct Fixed {
    basics: Basics,
    /// Where the extensions are.
    area: core::ops::Range<u64>,
    compression: Compression,
    refcount_table: TableRange,
    snapshots: TableRange,
    l1: TableRange,
}

fn parse_fixed(raw: &RawHeader, head: &mut Pieces<'_>, to_check: bool) -> Result<Fixed> {
    let basics = Basics::parse(raw)?;
    let cluster_size = 1_u64 << basics.cluster_bits;
    let backing_offset = raw.backing_file_offset.get();
    if backing_offset > cluster_size {
        return Err(Fault::new(faults::BACKING_OFFSET).with([backing_offset]));
    }
    let area_end = if backing_offset == 0 {
        cluster_size
    } else {
        backing_offset
    };
    let area = u64::from(basics.header_length)..area_end;
    let compression = parse_compression(raw, &basics)?;
    if basics.features.unknown() != 0 {
        let table = Extensions::find_feature_table(head, area);
        return Err(features::refusal(basics.features.unknown(), head, table)?);
    }
    check_widths(raw, &basics, to_check)?;
    let (refcount_table, snapshots, l1) = parse_tables(raw, &basics, to_check)?;
    Ok(Fixed {
        basics,
        area,
        compression,
        refcount_table,
        snapshots,
        l1,
    })
}

fn parse(raw: &RawHeader, head: &mut Pieces<'_>, to_check: bool) -> Result<Header> {
    let Fixed {
        basics,
        area,
        compression,
        refcount_table,
        snapshots,
        l1,
    } = parse_fixed(raw, head, to_check)?;
    let cluster_size = 1_u64 << basics.cluster_bits;
    let extensions = Extensions::parse(head, area, &basics)?;
    if basics.encryption == crypt::LUKS && extensions.crypto_header.is_none() {
        return Err(Fault::new(faults::CRYPTO_MISSING).with([u64::from(basics.encryption)]));
    }
    Ok(Header {
        version: basics.version,
        cluster_bits: basics.cluster_bits,
        size: raw.size.get(),
        encryption: basics.encryption,
        l1,
        refcount_table,
        refcount_order: basics.refcount_order,
        snapshots,
        features: basics.features,
        compression,
        header_length: basics.header_length,
        backing_name: parse_backing_name(raw, head, cluster_size)?,
        extensions,
    })
}

fn parse_compression(raw: &RawHeader, basics: &Basics) -> Result<Compression> {
    let kind = if basics.header_length > raw::HEADER_V3 {
        raw.compression_type
    } else {
        compression::ZLIB
    };
    let flagged = basics.features.incompatible & incompatible::COMPRESSION != 0;
    match (kind, flagged) {
        (compression::ZLIB, false) => Ok(Compression::Zlib),
        (compression::ZSTD, true) => Ok(Compression::Zstd),
        (compression::ZLIB, true) => Err(Fault::new(faults::COMPRESSION_BIT_SET)),
        (compression::ZSTD, false) => Err(Fault::new(faults::COMPRESSION_BIT_UNSET)),
        _ => Err(Fault::new(faults::COMPRESSION_TYPE).with([u64::from(kind)])),
    }
}

fn check_widths(raw: &RawHeader, basics: &Basics, to_check: bool) -> Result<()> {
    let subcluster_size = (1_u64 << basics.cluster_bits) >> raw::SUBCLUSTER_BITS;
    if basics.features.extended_l2() && subcluster_size < 1 << limit::MIN_CLUSTER_BITS {
        return Err(Fault::new(faults::SUBCLUSTER_SIZE).with([subcluster_size]));
    }
    if basics.refcount_order > limit::MAX_REFCOUNT_ORDER {
        return Err(Fault::new(faults::REFCOUNT_ORDER).with([u64::from(basics.refcount_order)]));
    }
    if raw.refcount_table_clusters.get() == 0 && !to_check {
        return Err(Fault::new(faults::NO_REFCOUNT_TABLE));
    }
    Ok(())
}

/// The refcount table, the snapshot table and the active L1 table.
fn parse_tables(
    raw: &RawHeader,
    basics: &Basics,
    to_check: bool,
) -> Result<(TableRange, TableRange, TableRange)> {
    let bits = basics.cluster_bits;
    let cluster_size = 1_u64 << bits;
    let refcounts = TableRange {
        offset: raw.refcount_table_offset.get(),
        entries: u64::from(raw.refcount_table_clusters.get()),
    };
    let limit = limit::REFCOUNT_TABLE_BYTES;
    let mut refcounts = refcounts.check(bits, cluster_size, limit, "Reference count table")?;
    refcounts.entries = refcounts.entries.saturating_mul(cluster_size >> 3);

    let snapshots = TableRange {
        offset: raw.snapshots_offset.get(),
        entries: u64::from(raw.nb_snapshots.get()),
    };
    let entry_size = from_usize(size_of::<raw::RawSnapshot>());
    let limit = limit::SNAPSHOTS.saturating_mul(entry_size);
    let snapshots = if to_check {
        snapshots
    } else {
        snapshots.check(bits, entry_size, limit, "Snapshot table")?
    };

    let l1 = TableRange {
        offset: raw.l1_table_offset.get(),
        entries: u64::from(raw.l1_size.get()),
    };
    let l1 = l1.check(bits, L1_ENTRY, limit::L1_BYTES, "Active L1 table")?;
    check_size(raw.size.get(), basics, l1)?;
    if basics.encryption > crypt::LUKS {
        return Err(Fault::new(faults::CRYPT_METHOD).with([u64::from(basics.encryption)]));
    }
    Ok((refcounts, snapshots, l1))
}

impl TableRange {
    /// This table, if it has no more than `limit` bytes and starts at a cluster.
    pub(crate) fn check(self, cluster_bits: u32, entry_size: u64, limit: u64, name: &str) -> Result<Self> {
        let most = limit.checked_div(entry_size).unwrap_or(0);
        if self.entries > most {
            return Err(Fault::new(faults::TABLE_LARGE)
                .with([self.entries, most])
                .named(name.as_bytes()));
        }
        let bytes = self.entries.saturating_mul(entry_size);
        let end = self.offset.checked_add(bytes);
        let aligned = self.offset & (1_u64 << cluster_bits).saturating_sub(1) == 0;
        if !aligned || end.is_none_or(|end| end >= limit::FILE_END) {
            return Err(Fault::new(faults::TABLE_OFFSET)
                .with([self.offset])
                .named(name.as_bytes()));
        }
        Ok(self)
    }
}

/// Bytes of an L1 entry.
pub(crate) const L1_ENTRY: u64 = 8;

fn check_size(size: u64, basics: &Basics, l1: TableRange) -> Result<()> {
    let entry_bits = if basics.features.extended_l2() { 4 } else { 3 };
    let l1_shift = basics.cluster_bits.saturating_mul(2).saturating_sub(entry_bits);
    let needed = size.div_ceil(1 << l1_shift);
    if needed > MAX_L1_INDEX {
        return Err(Fault::new(faults::TOO_BIG).with([size]));
    }
    if needed > l1.entries {
        return Err(Fault::new(faults::L1_SMALL).with([l1.entries, needed]));
    }
    Ok(())
}

/// Largest number of L1 entries that qemu counts before it calls an image too big.
const MAX_L1_INDEX: u64 = 0x7fff_ffff;

fn parse_backing_name(
    raw: &RawHeader,
    head: &mut Pieces<'_>,
    cluster_size: u64,
) -> Result<Option<ImageText>> {
    let offset = raw.backing_file_offset.get();
    if offset == 0 {
        return Ok(None);
    }
    let length = u64::from(raw.backing_file_size.get());
    let most = limit::BACKING_NAME.min(cluster_size.saturating_sub(offset));
    if length > most {
        return Err(Fault::new(faults::BACKING_LENGTH).with([length, most]));
    }
    head.text(offset, length)
}
