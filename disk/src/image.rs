//! A format being read: a map from guest offsets to places in files.

use alloc::boxed::Box;
use alloc::vec::Vec;

use instar_abi::job::SnapshotName;
use instar_abi::report::{Backing, Info, Snapshot};
use instar_abi::{Fault, Slot, fault};

use crate::Result;

/// A disk image that can be read.
///
/// `map` takes `&mut self` so that drivers may keep plain caches; the engine maps under one lock and moves data
/// outside it.
pub trait Image: Send {
    /// Virtual size in bytes, always a multiple of 512.
    fn size(&self) -> u64;

    /// Where the bytes from `offset` on are.
    ///
    /// `offset` is below [`Image::size`]. The mapping is at least one byte long and ends at or before the size; it may be
    /// shorter than the run it belongs to. One call does a bounded number of reads, whatever the image says.
    ///
    /// # Errors
    /// What is wrong with the tables, or the host's error.
    fn map(&mut self, offset: u64) -> Result<Mapping>;

    /// The layer below, as the image names it.
    fn backing(&self) -> Option<Backing> {
        None
    }

    /// What tells this content from that of another day, for overlays that remember it (VMDK's CID).
    fn content_id(&self) -> Option<u32> {
        None
    }

    /// Whether `parent`, just opened as the layer below, is what this image was made over.
    ///
    /// # Errors
    /// It is not, as far as the format can tell.
    fn check_parent(&self, parent: &dyn Image) -> Result<()> {
        let _ = parent;
        Ok(())
    }

    /// What `info` shows. Opens nothing and reads only what it must.
    ///
    /// # Errors
    /// What is wrong with the tables, or the host's error.
    fn describe(&mut self) -> Result<Info>;

    /// The internal snapshots.
    ///
    /// # Errors
    /// What is wrong with the snapshot table, or the host's error.
    fn snapshots(&mut self) -> Result<Vec<Snapshot>> {
        Ok(Vec::new())
    }

    /// From now on maps the internal snapshot `name`, not the active state; size may change with it.
    ///
    /// # Errors
    /// `NO_SNAPSHOT`, or `SNAPSHOTS_UNSUPPORTED`.
    fn select_snapshot(&mut self, name: &SnapshotName) -> Result<()> {
        let _ = name;
        Err(Fault::new(fault::core::SNAPSHOTS_UNSUPPORTED))
    }

    /// Bytes of the files that hold this image's data, if they are not just the file it was opened from. Data mapped in
    /// total stays in proportion to it.
    fn physical(&self) -> Option<u64> {
        None
    }
}

/// What a driver's `open` returns.
pub type Opened<'h> = Box<dyn Image + 'h>;

/// A run of guest bytes with one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Bytes, at least 1.
    pub length: u64,
    /// Where they are.
    pub kind: Kind,
}

impl Mapping {
    /// What is left of it after its first `within` bytes, of which it has more.
    #[must_use]
    pub fn skip(self, within: u64) -> Self {
        let kind = match self.kind {
            Kind::Data { slot, offset } => Kind::Data {
                slot,
                offset: offset.saturating_add(within),
            },
            Kind::Zero {
                at: Some((slot, offset)),
            } => Kind::Zero {
                at: Some((slot, offset.saturating_add(within))),
            },
            Kind::Encoded(encoded) => {
                let within = encoded
                    .within
                    .saturating_add(u32::try_from(within).unwrap_or(u32::MAX));
                Kind::Encoded(Encoded { within, ..encoded })
            }
            same @ (Kind::Zero { at: None } | Kind::Unallocated) => same,
        };
        Self {
            length: self.length.saturating_sub(within),
            kind,
        }
    }
}

/// Where guest bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Plain bytes of a file; what lies past the file's end reads as zero.
    Data {
        /// The file.
        slot: Slot,
        /// Where in it.
        offset: u64,
    },
    /// This layer says that they are zero. `at`: space allocated for them all the same.
    Zero {
        /// File and offset of the allocated space.
        at: Option<(Slot, u64)>,
    },
    /// This layer says nothing: look below; zero if nothing is below.
    Unallocated,
    /// They must be decoded.
    Encoded(Encoded),
}

/// Stored bytes that decode to one unit (cluster, grain) of guest bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// How.
    pub codec: Codec,
    /// The file.
    pub slot: Slot,
    /// Where in it the stream starts.
    pub offset: u64,
    /// Bytes from there on that the stream may use; it may end earlier.
    pub stored: u32,
    /// Bytes that it decodes to, at most 64 MiB; a stream that gives fewer is damaged.
    pub unit: u32,
    /// Where in the decoded unit the mapping starts.
    pub within: u32,
}

/// Ways of encoding a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// A raw deflate stream (qcow2).
    Deflate,
    /// A zlib stream (VMDK).
    Zlib,
    /// A zstd frame (qcow2).
    Zstd,
}
