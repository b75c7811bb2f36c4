//! What a call answers.

use std::fmt;

use instar_abi::job::{Algorithm as AbiAlgorithm, Compression as AbiCompression};
use instar_abi::report::{self, Checked, Measured, Specific};

use crate::image::Format;
use crate::new::Compression;

/// How far a call is, in bytes as a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// So much is done.
    pub done: u64,
    /// Of so much.
    pub total: u64,
}

/// What an image is. Names in it are a stranger's bytes: escape them before they are printed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// Given or detected.
    pub format: Format,
    /// Bytes of the disk.
    pub virtual_size: u64,
    /// Bytes of storage that the file occupies.
    pub actual_size: Option<u64>,
    /// Bytes of a cluster, grain or block, where the format has one.
    pub cluster_size: Option<u64>,
    /// It is encrypted.
    pub encrypted: bool,
    /// It is compressed as a whole.
    pub compressed: bool,
    /// It was not closed cleanly.
    pub dirty: bool,
    /// The layer below that it names.
    pub backing: Option<Backing>,
    /// Its internal snapshots.
    pub snapshots: Vec<Snapshot>,
    /// What only qcow2 images have.
    pub qcow2: Option<Qcow2>,
}

/// A layer below, as an image names it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backing {
    /// Its name.
    pub name: Vec<u8>,
    /// Its format.
    pub format: Option<Vec<u8>>,
}

/// An internal snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Its number.
    pub id: Vec<u8>,
    /// Its name.
    pub name: Vec<u8>,
    /// Bytes of machine state.
    pub vm_state_size: u64,
    /// Seconds since 1970.
    pub date: u32,
}

/// What only qcow2 images have.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Qcow2 {
    /// 2 or 3.
    pub version: u32,
    /// How its clusters are compressed, if they are.
    pub compression: Compression,
    /// Refcounts are written late.
    pub lazy_refcounts: bool,
    /// Bits of a refcount.
    pub refcount_bits: u32,
    /// It is marked as corrupt.
    pub corrupt: bool,
    /// Entries with 32 subclusters.
    pub extended_l2: bool,
    /// The file that it keeps its data in, as it names it.
    pub data_file: Option<Vec<u8>>,
}

/// A part of a disk that is stored in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Extent {
    /// Its first byte on the disk.
    pub start: u64,
    /// Its bytes.
    pub length: u64,
    /// The layer that holds it: 0 is the image, 1 the one below.
    pub depth: u32,
    /// A layer has something for it.
    pub present: bool,
    /// It reads as zeros.
    pub zero: bool,
    /// A file has data for it.
    pub data: bool,
    /// That data is compressed.
    pub compressed: bool,
    /// Where in the file of that layer its bytes stand as they are, if they do.
    pub offset: Option<u64>,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Check {
    /// Things that could not be looked at.
    pub check_errors: u64,
    /// Things that are wrong.
    pub corruptions: u64,
    /// Clusters in use by their counts that nothing refers to.
    pub leaks: u64,
    /// Clusters of the disk.
    pub total_clusters: u64,
    /// Those with a place in the file.
    pub allocated_clusters: u64,
    /// Those that do not follow the one before.
    pub fragmented_clusters: u64,
    /// Those that are compressed.
    pub compressed_clusters: u64,
    /// Where the last cluster in use ends.
    pub image_end_offset: u64,
    /// What was found, in words for people.
    pub findings: Vec<String>,
}

impl Check {
    /// Nothing is wrong.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.check_errors == 0 && self.corruptions == 0 && self.leaks == 0
    }
}

/// Bytes that an image will take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Measurement {
    /// Now.
    pub required: u64,
    /// When its whole disk has been written.
    pub fully_allocated: u64,
    /// For its bitmaps, where there can be some.
    pub bitmaps: Option<u64>,
}

/// Whether two images hold the same disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Comparison {
    /// They do.
    Same,
    /// One is longer, by nothing but zeros.
    SameButLonger,
    /// Their sizes differ, which was asked for.
    Sizes,
    /// They differ in the sector at this byte.
    Content(u64),
    /// One has this byte allocated and the other has not, which was asked for.
    Allocation(u64),
}

impl Comparison {
    /// They hold the same disk, as far as was asked for.
    #[must_use]
    pub const fn is_same(self) -> bool {
        matches!(self, Self::Same | Self::SameButLonger)
    }
}

/// The hash function of a checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Algorithm {
    /// BLAKE3.
    #[default]
    Blake3,
    /// SHA-256.
    Sha256,
}

/// A checksum of a disk: the same for the same disk in any format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checksum {
    /// The hash function.
    pub algorithm: Algorithm,
    /// Its output.
    pub digest: [u8; 32],
}

impl fmt::Display for Checksum {
    /// As `instar checksum` prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-tree:", self.algorithm.abi().name())?;
        self.digest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Algorithm {
    pub(crate) const fn abi(self) -> AbiAlgorithm {
        match self {
            Self::Blake3 => AbiAlgorithm::Blake3,
            Self::Sha256 => AbiAlgorithm::Sha256,
        }
    }
}

impl Info {
    pub(crate) fn of(found: report::Info, actual_size: Option<u64>) -> Self {
        let backing = found.backing.map(|backing| Backing {
            name: backing.name.as_bytes().to_vec(),
            format: backing.format.map(|format| format.as_bytes().to_vec()),
        });
        let snapshots = found.snapshots.into_iter().map(|snapshot| Snapshot {
            id: snapshot.id.as_bytes().to_vec(),
            name: snapshot.name.as_bytes().to_vec(),
            vm_state_size: snapshot.vm_state_size,
            date: snapshot.date_sec,
        });
        let qcow2 = match found.specific {
            Some(Specific::Qcow2(qcow2)) => Some(Qcow2 {
                version: qcow2.version,
                compression: match qcow2.compression {
                    AbiCompression::Zlib => Compression::Zlib,
                    AbiCompression::Zstd => Compression::Zstd,
                },
                lazy_refcounts: qcow2.lazy_refcounts,
                refcount_bits: qcow2.refcount_bits,
                corrupt: qcow2.corrupt,
                extended_l2: qcow2.extended_l2,
                data_file: qcow2.data_file.map(|name| name.as_bytes().to_vec()),
            }),
            _ => None,
        };
        Self {
            format: Format::of_abi(found.format),
            virtual_size: found.virtual_size,
            actual_size,
            cluster_size: found.cluster_size,
            encrypted: found.encrypted,
            compressed: found.compressed,
            dirty: found.dirty,
            backing,
            snapshots: snapshots.collect(),
            qcow2,
        }
    }
}

impl Extent {
    pub(crate) fn of(run: &report::MapRun) -> Self {
        Self {
            start: run.start,
            length: run.length,
            depth: run.depth,
            present: run.present,
            zero: run.zero,
            data: run.data,
            compressed: run.compressed,
            offset: run.place.map(|(_, offset)| offset),
        }
    }
}

impl Check {
    pub(crate) fn of(found: &Checked, findings: Vec<String>) -> Self {
        Self {
            check_errors: found.check_errors,
            corruptions: found.corruptions,
            leaks: found.leaks,
            total_clusters: found.total_clusters,
            allocated_clusters: found.allocated_clusters,
            fragmented_clusters: found.fragmented_clusters,
            compressed_clusters: found.compressed_clusters,
            image_end_offset: found.image_end_offset,
            findings,
        }
    }
}

impl Measurement {
    pub(crate) const fn of(found: Measured) -> Self {
        Self {
            required: found.required,
            fully_allocated: found.fully_allocated,
            bitmaps: found.bitmaps,
        }
    }
}
