//! What the guest is to do: plain values made from the command line.
//!
//! Files appear as slots that the host has opened; no path crosses.

mod bench;
mod change;
mod check;
mod create;
mod export;

use alloc::boxed::Box;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::file::{FileFacts, Format, Slot};
use crate::partitions::{PartitionChoice, TableChoice};
use crate::text::ImageText;

pub use bench::{Bench, BenchWrites};
pub use change::{
    Amend, AmendKeys, BitmapAction, Change, ChangeBitmaps, ChangeImage, Commit, Compact, KeyState,
    NewBacking, NewSize, NewSnapshot, Rebase, Resize,
};
pub use check::{Check, Repair};
pub use create::{
    Compression, Create, LuksCreate, NewEncryption, ParallelsCreate, Preallocation, Qcow2Create, QcowCreate,
    QedCreate, RawCreate, Speed, VdiCreate, VhdxCreate, VmdkAdapter, VmdkCreate, VmdkSubformat, VpcCreate,
};

pub use export::Export;

/// One run of the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// What to do.
    pub verb: Verb,
    /// Facts of every file open at the start, in slot order.
    pub files: Vec<FileFacts>,
    /// Bounds of this run.
    pub bounds: Bounds,
    /// Where identifiers and times in new images come from: same seed, same bytes. Also which of very many places are remembered.
    pub seed: Seed,
}

/// Bounds of one run, beside those in [`crate::limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Layers in a backing chain.
    pub chain_depth: u32,
    /// Largest virtual size that is read, bytes.
    pub virtual_size: u64,
    /// How often each physical source byte counts before the work limit of [`crate::fault::core::WORK_LIMIT`] is
    /// considered exceeded; 0 and 1 are once.
    pub amplification: u64,
    /// Files that match two formats are refused, and nothing an image names is opened.
    pub untrusted: bool,
    /// An archive that is an OVA is read as the disk in it where no format is named; else as a raw disk, as the reference tool does.
    pub archives: bool,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            chain_depth: 200,
            virtual_size: 1 << 62,
            amplification: 0,
            untrusted: false,
            archives: true,
        }
    }
}

/// Source of identifiers and times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed {
    /// Random bytes.
    pub random: [u8; 32],
    /// Seconds since 1970.
    pub unix_seconds: u64,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verb {
    /// `info`.
    Info(Info),
    /// `convert`.
    Convert(Convert),
    /// `dd`.
    Dd(Dd),
    /// `map`.
    Map(Map),
    /// `create`.
    Create(CreateImage),
    /// `measure`.
    Measure(Measure),
    /// `compare`.
    Compare(Compare),
    /// `checksum`.
    Checksum(Checksum),
    /// `snapshot -l`.
    Snapshots(Source),
    /// `info --safety`.
    Safety(Source),
    /// `info --partitions`.
    Partitions(Partitions),
    /// `check`.
    Check(Check),
    /// The verbs that change an image in place.
    Change(ChangeImage),
    /// `bitmap`.
    Bitmaps(ChangeBitmaps),
    /// `bench`.
    Bench(Bench),
    /// `rebase`, which looks at what lies below.
    Rebase(Rebase),
    /// `commit`.
    Commit(Commit),
}

impl Verb {
    /// The images that are read, in the order in which the user named them; the layers below are theirs.
    #[must_use]
    pub fn sources(&self) -> Vec<&Source> {
        match self {
            Self::Info(job) => [&job.source].into(),
            Self::Convert(job) => job.sources.iter().collect(),
            Self::Dd(job) => [&job.source].into(),
            Self::Map(job) => [&job.source].into(),
            Self::Create(job) => job.backing.iter().collect(),
            Self::Measure(job) => job.source.iter().collect(),
            Self::Compare(job) => [&job.left, &job.right].into(),
            Self::Checksum(job) => [&job.source].into(),
            Self::Snapshots(source) | Self::Safety(source) => [source].into(),
            Self::Partitions(job) => [&job.source].into(),
            Self::Check(job) => [&job.source].into(),
            Self::Bitmaps(job) => job.from.iter().collect(),
            Self::Bench(job) => [&job.image].into(),
            Self::Rebase(job) => job.backing.iter().collect(),
            Self::Change(_) | Self::Commit(_) => Vec::new(),
        }
    }
}

impl Verb {
    /// The names of the secrets that the run needs. Who only looks at an image, or judges it, needs none.
    #[must_use]
    pub fn secrets(&self) -> Vec<&ImageText> {
        match self {
            Self::Info(_) | Self::Safety(_) => Vec::new(),
            _ => {
                let layers = self.images().into_iter().flat_map(Source::layers);
                let target = self.target().and_then(Target::key);
                let keys = self.keys().map(|keys| [&keys.new, &keys.old]);
                layers
                    .flat_map(|image| [&image.key, &image.encrypt.key])
                    .flatten()
                    .chain(target)
                    .chain(keys.into_iter().flatten().flatten())
                    .collect()
            }
        }
    }

    /// Whether the run makes keys, and so needs random bytes for them.
    #[must_use]
    pub fn makes_keys(&self) -> bool {
        let makes = |target: &Target| !target.existing && target.key().is_some();
        self.target().is_some_and(makes) || self.keys().is_some()
    }

    /// What becomes of key slots.
    #[must_use]
    pub const fn keys(&self) -> Option<&AmendKeys> {
        match self {
            Self::Change(ChangeImage {
                change:
                    Change::Keys(keys)
                    | Change::Amend(Some(Amend {
                        encryption: Some(keys),
                        ..
                    })),
                ..
            }) => Some(keys),
            _ => None,
        }
    }

    /// The image that is written.
    #[must_use]
    pub const fn target(&self) -> Option<&Target> {
        match self {
            Self::Convert(job) => Some(&job.target),
            Self::Dd(job) => Some(&job.target),
            Self::Create(job) => job.target.as_ref(),
            _ => None,
        }
    }

    /// The images that are read, and those that are changed.
    #[must_use]
    pub fn images(&self) -> Vec<&Source> {
        let changed = match self {
            Self::Change(job) => Some(&job.image),
            Self::Bitmaps(job) => Some(&job.image),
            Self::Rebase(job) => Some(&job.image),
            Self::Commit(job) => Some(&job.image),
            _ => None,
        };
        let locked = match self {
            Self::Commit(job) => &job.locked[..],
            _ => &[],
        };
        self.sources().into_iter().chain(changed).chain(locked).collect()
    }
}

/// An image to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The file that the user named.
    pub slot: Slot,
    /// Its format if the user said so; else it is detected.
    pub format: Option<Format>,
    /// An internal snapshot instead of the active state.
    pub snapshot: Option<SnapshotName>,
    /// Another process is writing to it: only a raw image is read all the same.
    pub busy: bool,
    /// What lies below it.
    pub below: Below,
    /// The part of a raw image that counts; else all of it.
    pub window: Option<Window>,
    /// The parts that the image stands in, one in the other, the largest first; none: it is the whole file.
    pub inside: Vec<Window>,
    /// What says how large a VHD is.
    pub size_rule: SizeRule,
    /// The name of the secret that unlocks it, if it is nothing but encrypted: `key-secret`.
    pub key: Option<ImageText>,
    /// What the user says of an encrypted image of another format: `encrypt.*`.
    pub encrypt: Encryption,
    /// The file of its header, if that is another one: `header`.
    pub header: Option<Slot>,
    /// An empty file for what must be read from any place, if its own file can only be read from the front: it is packed, or a stream.
    pub spool: Option<Slot>,
    /// The partition that is read instead of the whole disk.
    pub partition: Option<PartitionChoice>,
    /// The slot is a connection to a server: what the disk is called there.
    pub export: Option<Export>,
    /// Which disk of an OVA: its number or its name.
    pub disk: Option<ImageText>,
}

/// What the user says of the encryption inside an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    /// `encrypt.format`: a name that must be the one of the image's method.
    pub method: Option<ImageText>,
    /// `encrypt.key-secret`: the name of the secret that unlocks it.
    pub key: Option<ImageText>,
}

impl Source {
    /// The image in `slot`, of which nothing else is known.
    #[must_use]
    pub const fn new(slot: Slot, format: Option<Format>) -> Self {
        Self {
            slot,
            format,
            snapshot: None,
            busy: false,
            below: Below::Named,
            window: None,
            inside: Vec::new(),
            size_rule: SizeRule::Creator,
            key: None,
            encrypt: Encryption {
                method: None,
                key: None,
            },
            header: None,
            spool: None,
            partition: None,
            export: None,
            disk: None,
        }
    }

    /// This image and those below it that the user named.
    pub fn layers(&self) -> impl Iterator<Item = &Self> {
        core::iter::successors(Some(self), |source| source.below.given())
    }
}

/// What says how large a VHD is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SizeRule {
    /// The program that made it: some mean the geometry, others the size.
    #[default]
    Creator,
    /// The geometry.
    Geometry,
    /// The size.
    CurrentSize,
}

/// The layer below an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Below {
    /// The one that the image names, if it names one.
    #[default]
    Named,
    /// None, whatever the image says: the user wants it alone.
    Nothing,
    /// One that the user named, whatever the image says.
    Given(Box<Source>),
}

impl Below {
    /// The layer that the user named.
    #[must_use]
    pub fn given(&self) -> Option<&Source> {
        match self {
            Self::Given(source) => Some(source),
            Self::Named | Self::Nothing => None,
        }
    }
}

/// A part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Its first byte.
    pub offset: u64,
    /// Its bytes; without this, up to the end.
    pub length: Option<u64>,
}

/// Which internal snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SnapshotName {
    /// A bare word: an ID, else a name.
    Either(Vec<u8>),
    /// `snapshot.id=…,snapshot.name=…`: all that are given must match.
    Exact {
        /// ID.
        id: Option<Vec<u8>>,
        /// Name.
        name: Option<Vec<u8>>,
    },
}

/// `info`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// What to look at.
    pub source: Source,
    /// Follow backing files: one [`crate::report::Info`] for each layer.
    pub backing_chain: bool,
}

/// `info --partitions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partitions {
    /// What to look at.
    pub source: Source,
    /// Which table to tell of.
    pub table: TableChoice,
}

/// `convert`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Convert {
    /// Concatenated in this order.
    pub sources: Vec<Source>,
    /// Where to.
    pub target: Target,
    /// `-S` in bytes: zero runs at least this long are not written. 0: nothing is scanned and everything written.
    pub sparse: u64,
    /// The user chose it: all zeros of that length are to be found.
    pub sparse_chosen: bool,
    /// `-c`.
    pub compress: bool,
    /// `--target-is-zero`.
    pub target_is_zero: bool,
    /// `-n -B`: the top layer alone is copied; what it does not hold is left to what lies below the target.
    pub layer_only: bool,
    /// `-r`, bytes a second; 0 is no limit.
    pub rate: u64,
    /// Somebody watches: small disks are copied in small steps.
    pub watched: bool,
    /// `--salvage`.
    pub salvage: bool,
    /// `--checksum`: the source's checksum is reported, too.
    pub checksum: Option<Algorithm>,
    /// `--bitmaps`: persistent bitmaps are copied, too.
    pub bitmaps: CopyBitmaps,
    /// `-C`: plain data is copied by the kernel, which looks for no zeros in it.
    pub offload: bool,
    /// `--range`: only this part is copied, into an existing raw target.
    pub range: Option<CopiedRange>,
    /// The stream to which the new image goes: a raw disk as it is read, any other image from the target's file once it is complete.
    pub sent_to: Option<Slot>,
    /// `--for`: the size of a new target is rounded up to a multiple of this, with zeros; 0 and 1 are not rounded.
    pub granularity: u64,
}

/// A part of a disk, and where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopiedRange {
    /// Its first byte.
    pub offset: u64,
    /// Its bytes.
    pub length: u64,
    /// Where its first byte goes in the target.
    pub target: u64,
}

/// `checksum`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksum {
    /// Of what.
    pub source: Source,
    /// How.
    pub algorithm: Algorithm,
}

/// The hash function of a checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// BLAKE3, 32 bytes of output.
    Blake3,
    /// SHA-256.
    Sha256,
}

impl Algorithm {
    /// Its name on the command line and in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blake3 => "blake3",
            Self::Sha256 => "sha256",
        }
    }
}

/// Whether persistent bitmaps are copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CopyBitmaps {
    /// Not.
    #[default]
    No,
    /// All of them.
    All,
    /// Those that were saved cleanly (`--skip-broken-bitmaps`).
    Clean,
}

/// `dd`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dd {
    /// From.
    pub source: Source,
    /// Where to.
    pub target: Target,
    /// `bs`, bytes.
    pub block_size: u64,
    /// `count`, blocks; none: to the end.
    pub count: Option<u64>,
    /// `skip`, blocks.
    pub skip: u64,
    /// As for `convert`.
    pub sent_to: Option<Slot>,
}

/// `map`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Map {
    /// Of what.
    pub source: Source,
    /// First byte of the virtual disk.
    pub start: u64,
    /// Bytes; none: to the end.
    pub length: Option<u64>,
    /// Only data at a known place is of interest; the first data without one is a failure.
    pub placed_only: bool,
}

/// `create`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateImage {
    /// What to make; none: only the backing file is looked at, as the host knows already that nothing can be made.
    pub target: Option<Target>,
    /// The layer below, if it is to be opened. Its format must be known unless only its size is asked for.
    pub backing: Option<Source>,
    /// Virtual bytes; none: the backing file's.
    pub size: Option<u64>,
}

/// `measure`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measure {
    /// The image that would be converted; none: an empty one of `size` bytes.
    pub source: Option<Source>,
    /// Virtual bytes of a new image without a source; with one, what the options say, which is only judged.
    pub size: u64,
    /// The image that would be made. Its slots mean nothing: no file is written.
    pub create: Create,
    /// Bytes of an encryption header that would stand before the data.
    pub header_bytes: u64,
}

/// `compare`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compare {
    /// The first image.
    pub left: Source,
    /// The second image.
    pub right: Source,
    /// `-s`: sizes and allocation must agree, too.
    pub strict: bool,
}

/// An image to write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The file that the user named.
    pub slot: Slot,
    /// What to make of it.
    pub create: Create,
    /// `-n`: the image exists and stays; `create` then only says the format.
    pub existing: bool,
    /// The target's backing chain, opened from the top layer that the user named (`-B`, `-o backing_file=`).
    pub backing: Option<Source>,
    /// What the user says of the encryption inside an image that exists: `encrypt.*`.
    pub encrypt: Encryption,
    /// The slot is a connection to a server: what the disk is called there.
    pub export: Option<Export>,
}

impl Target {
    /// The name of the secret that it is sealed with.
    #[must_use]
    pub const fn key(&self) -> Option<&ImageText> {
        match &self.create {
            Create::Luks(options) => options.key.as_ref(),
            Create::Qcow(QcowCreate { key: Some(key), .. }) => Some(key),
            Create::Qcow2(Qcow2Create {
                encryption: Some(encryption),
                ..
            }) => encryption.key(),
            _ => self.encrypt.key.as_ref(),
        }
    }
}
