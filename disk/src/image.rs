//! A format being read: a map from guest offsets to places in files.

use alloc::boxed::Box;
use alloc::vec::Vec;

use instar_abi::job::SnapshotName;
use instar_abi::report::{Backing, Info, Snapshot};
use instar_abi::{Fault, FileFacts, ImageText, Slot, fault};

use crate::{Bitmaps, Extents, Key, Result, Sealed, Work};

/// A disk image that can be read.
///
/// `map` takes `&mut self` so that drivers may keep plain caches; the engine maps under one lock and moves data
/// outside it.
pub trait Image: Send {
    /// Virtual size in bytes, always a multiple of 512.
    fn size(&self) -> u64;

    /// Where the bytes from `offset` on are.
    ///
    /// `offset` is below [`Image::size`]; where it is not, the answer is a fault or has no bytes. Else the mapping is at least one byte long and ends at or before the size; it may be
    /// shorter than the run it belongs to. One call does a bounded number of reads, whatever the image says.
    ///
    /// # Errors
    /// Damaged tables, or an error of the host.
    fn map(&mut self, offset: u64) -> Result<Mapping>;

    /// What `map` shows of the bytes from `offset` on, which is what the reference tool knows of them: more than
    /// [`Image::map`] says, or less. Bounds are those of `map`.
    ///
    /// # Errors
    /// As [`Image::map`].
    fn status(&mut self, offset: u64) -> Result<Status> {
        Ok(Status::of(self.map(offset)?))
    }

    /// The answer of [`Image::status`] for bytes from `offset` on ends at the next multiple of this, where the reference
    /// tool's does: a strict comparison shows it.
    fn status_unit(&self, offset: u64) -> u64 {
        let _ = offset;
        u64::MAX
    }

    /// Bytes of a cluster, grain or block, where the format has such things.
    fn cluster_size(&self) -> Option<u64> {
        None
    }

    /// Bytes of the largest unit that must be decoded in one piece; 0 where nothing is encoded. Lanes that work at once must
    /// have room for one each.
    fn largest_unit(&self) -> u64 {
        0
    }

    /// The work that its tables have taken so far.
    fn work(&self) -> Work {
        Work::default()
    }

    /// Tables whose size the header alone declares: offset and bytes in the image's own file.
    fn declared_tables(&self) -> Vec<(u64, u64)> {
        Vec::new()
    }

    /// Other files that hold this image's data, and their names in it.
    fn others(&self) -> Vec<(Slot, ImageText)> {
        Vec::new()
    }

    /// The layer below, as the image names it.
    fn backing(&self) -> Option<Backing> {
        None
    }

    /// An identifier of the present content, for overlays that remember it (the CID of VMDK).
    fn content_id(&self) -> Option<u32> {
        None
    }

    /// The same for overlays that remember 16 bytes (VHD, VHDX).
    fn identity(&self) -> Option<[u8; 16]> {
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

    /// The information for `info`. Opens nothing, and reads no more than it needs.
    ///
    /// # Errors
    /// Damaged tables, or an error of the host.
    fn describe(&mut self) -> Result<Info>;

    /// The internal snapshots.
    ///
    /// # Errors
    /// A damaged snapshot table, or an error of the host.
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

    /// What its sealed data is decrypted with, and the file that such data is in.
    fn key(&self) -> Option<(Slot, Key)> {
        None
    }

    /// Persistent bitmaps, where the format has such things.
    fn bitmaps(&mut self) -> Option<&mut dyn Bitmaps> {
        None
    }

    /// The files that hold this image's tables and data, each once; empty if it is just the file it was opened from. Work
    /// stays in proportion to what they store.
    fn files(&self) -> Vec<FileFacts> {
        Vec::new()
    }
}

/// The result of a driver's `open`.
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
            Kind::Sealed(sealed) => Kind::Sealed(sealed.skip(within)),
            same @ (Kind::Zero { at: None } | Kind::Unallocated) => same,
        };
        Self {
            length: self.length.saturating_sub(within),
            kind,
        }
    }
}

/// A run of guest bytes as one layer has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "the flags that `map` prints")]
pub struct Status {
    /// Bytes, at least 1.
    pub length: u64,
    /// This layer has something for it.
    pub present: bool,
    /// It reads as zero.
    pub zero: bool,
    /// A file has data for it.
    pub data: bool,
    /// That data is compressed.
    pub compressed: bool,
    /// Where it stands as it is, or where space is kept for it.
    pub place: Option<(Slot, u64)>,
}

impl Status {
    /// What follows of a mapping.
    #[must_use]
    pub const fn of(mapping: Mapping) -> Self {
        let (present, zero, data, compressed, place) = match mapping.kind {
            Kind::Unallocated => (false, false, false, false, None),
            Kind::Data { slot, offset } => (true, false, true, false, Some((slot, offset))),
            Kind::Zero { at } => (true, true, false, false, at),
            Kind::Encoded(_) => (true, false, true, true, None),
            Kind::Sealed(_) => (true, false, true, false, None),
        };
        Self {
            length: mapping.length,
            present,
            zero,
            data,
            compressed,
            place,
        }
    }

    /// What the reference tool knows of the `length` bytes up to the disk's end, for formats that it has no map of.
    #[must_use]
    pub const fn unknown(length: u64) -> Self {
        Self {
            length,
            present: true,
            zero: false,
            data: true,
            compressed: false,
            place: None,
        }
    }

    /// What is left of it after its first `within` bytes, of which it has more.
    #[must_use]
    pub const fn skip(mut self, within: u64) -> Self {
        if let Some((slot, offset)) = self.place {
            self.place = Some((slot, offset.saturating_add(within)));
        }
        self.length = self.length.saturating_sub(within);
        self
    }

    /// With what `file` itself has at the place where this data stands: a hole there is zero, too, and the answer ends with
    /// the file's. What lies past the file's end goes with the hole before it.
    pub fn look_below(mut self, extents: &mut Extents<'_>, size: u64) -> Result<Self> {
        let Some((_, at)) = self.place.filter(|_| self.data && !self.zero) else {
            return Ok(self);
        };
        let extent = extents.at(at)?;
        self.zero = !extent.data;
        let to_the_end = !extent.data && at.saturating_add(extent.length) >= size;
        if !to_the_end {
            self.length = self.length.min(extent.length);
        }
        Ok(self)
    }
}

/// Where guest bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Plain bytes of a file; the space past the end of the file reads as zero.
    Data {
        /// The file that holds the bytes.
        slot: Slot,
        /// Where in it.
        offset: u64,
    },
    /// The bytes are zero in this layer. `at` is the space that is nevertheless allocated for them.
    Zero {
        /// File and offset of the allocated space.
        at: Option<(Slot, u64)>,
    },
    /// This layer has no answer: the layer below decides, and without one the bytes are zero.
    Unallocated,
    /// The bytes must be decoded.
    Encoded(Encoded),
    /// The bytes must be decrypted, with the key that [`Image::key`] gives.
    Sealed(Sealed),
}

/// Stored bytes that decode to one unit (cluster, grain) of guest bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// How the data is encoded.
    pub codec: Codec,
    /// The file that holds the stream.
    pub slot: Slot,
    /// Where in it the stream starts.
    pub offset: u64,
    /// Bytes from there on that the stream may use; it may end earlier.
    pub stored: u32,
    /// Bytes that it takes at least, as far as the tables tell.
    pub least: u32,
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
    /// A zlib stream of which the end, with the checksum, must be there (cloop, DMG).
    WholeZlib,
    /// Apple Data Compression (DMG).
    Adc,
    /// A bzip2 stream (DMG).
    Bzip2,
    /// An LZFSE stream, which may hold LZVN (DMG).
    Lzfse,
    /// An xz stream (DMG).
    Xz,
    /// A zstd frame (qcow2).
    Zstd,
    /// zstd frames that end where the stored bytes do, and half of the XXH64 of what they decode to.
    WholeZstd(Option<u32>),
}
