//! What the guest says: facts for the host to word.

use alloc::boxed::Box;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::file::{Format, Slot};
use crate::job::Compression;
use crate::partitions::PartitionTable;
use crate::safety::Safety;
use crate::text::ImageText;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// One layer for `info`.
    Info(Box<Info>),
    /// A file that another one names, before the first run that stands in it.
    Named {
        /// The file.
        slot: Slot,
        /// The one that names it.
        namer: Slot,
        /// Its name there.
        name: ImageText,
    },
    /// Runs for `map`, in ascending order; many records make one map.
    Map(Vec<MapRun>),
    /// What was found of an image's size before it is made (`create` without a size) or read.
    Size(u64),
    /// The format of an image that is changed in place, given or detected.
    Opened(Format),
    /// The internal snapshots for `snapshot -l`.
    Snapshots(Vec<Snapshot>),
    /// What `info --safety` found.
    Safety(Box<Safety>),
    /// What `info --partitions` found.
    Partitions(Box<PartitionTable>),
    /// What `compare` found; the last one decides.
    Compared(Compared),
    /// What `measure` found.
    Measured(Measured),
    /// What is wrong with an image, in the order found; many records make one list.
    Findings(Vec<Fault>),
    /// What `check` counted.
    Checked(Format, Checked),
    /// The checksum of a virtual disk.
    Checksum([u8; 32]),
    /// What `compact` did.
    Compacted(Compacted),
    /// All requests of `bench` have been answered; what completes the image follows.
    Answered,
    /// Something to warn about; the work goes on.
    Warning(Failure),
    /// The verb failed: always the last report.
    Failed(Failure),
    /// The verb succeeded: always the last report.
    Done(Done),
}

/// A run of the virtual disk as `map` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapRun {
    /// First byte.
    pub start: u64,
    /// Bytes.
    pub length: u64,
    /// The layer that answers, 0 for the top.
    pub depth: u32,
    /// A layer has something for it.
    pub present: bool,
    /// It reads as zero.
    pub zero: bool,
    /// A file has data for it.
    pub data: bool,
    /// That data is compressed.
    pub compressed: bool,
    /// Where it stands as it is.
    pub place: Option<(Slot, u64)>,
}

/// What `compare` found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compared {
    /// Nothing differs.
    Identical,
    /// Sizes differ, and what both have is the same: what only one has is looked at next.
    Longer,
    /// Sizes differ (strict).
    Sizes,
    /// Content differs in the sector at this byte.
    Content(u64),
    /// Allocation differs at this byte (strict).
    Status(u64),
}

/// What a new image would take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// Bytes of its files with the data of the source.
    pub required: u64,
    /// Bytes of its files when every byte of the disk has been written.
    pub fully_allocated: u64,
    /// Bytes that its bitmaps would take, where source and target can have some.
    pub bitmaps: Option<u64>,
}

/// What `compact` did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compacted {
    /// Clusters that were given up, as they held nothing but zeros.
    pub trimmed: u64,
    /// Bytes that were moved.
    pub moved: u64,
    /// Bytes of the file before.
    pub before: u64,
    /// Bytes of the file now.
    pub after: u64,
}

/// What `check` counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Things that could not be looked at.
    pub check_errors: u64,
    /// Things that are wrong.
    pub corruptions: u64,
    /// Clusters that nothing refers to, yet in use by their refcount.
    pub leaks: u64,
    /// Clusters of the virtual disk.
    pub total_clusters: u64,
    /// Those with a place in the file.
    pub allocated_clusters: u64,
    /// Those that do not follow the one before.
    pub fragmented_clusters: u64,
    /// Those that are compressed.
    pub compressed_clusters: u64,
    /// Where the last cluster in use ends.
    pub image_end_offset: u64,
    /// Findings that were counted but not reported.
    pub left_out: u64,
    /// Things that were wrong and were put right; they are no longer among the corruptions.
    pub corruptions_fixed: u64,
    /// Leaked clusters that are free now.
    pub leaks_fixed: u64,
}

impl Checked {
    /// Something was put right.
    #[must_use]
    pub const fn has_repaired(&self) -> bool {
        self.corruptions_fixed > 0 || self.leaks_fixed > 0
    }
}

/// A fault, and what the guest was doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Doing what.
    pub stage: Stage,
    /// What went wrong.
    pub fault: Fault,
}

/// What the guest was doing; the host words the context of a message by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Opening the source with this index.
    OpenSource(u32),
    /// Opening the layer of a chain below `slot`.
    OpenBacking(Slot),
    /// Looking up the snapshot asked for.
    LoadSnapshot,
    /// Looking up the partition asked for in the source with this index.
    FindPartition(u32),
    /// Opening the target's backing file.
    OpenTargetBacking,
    /// Opening an existing target.
    OpenTarget,
    /// Laying out the new image.
    Create,
    /// Reading at this byte of the virtual disk.
    Read(u64),
    /// Asking where the data of the source with this index is.
    Locate(u32),
    /// Reading the source with this index at this byte of its disk.
    ReadSource(u32, u64),
    /// Writing at this byte of the virtual disk.
    Write(u64),
    /// Writing the tables that complete the target.
    Finish,
    /// Looking through an image's tables.
    Check,
    /// Changing an image in place.
    Change,
    /// Carrying out the action on bitmaps with this index; those before it are done.
    BitmapAction(u32),
    /// Anything else.
    Other,
}

/// A summary of finished work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Virtual bytes of the result, where the verb makes or reads an image.
    pub virtual_size: u64,
    /// `dd` was told to skip past the end.
    pub skipped_past_end: bool,
}

/// One layer for `info`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// The file.
    pub slot: Slot,
    /// Format, given or detected.
    pub format: Format,
    /// Virtual bytes.
    pub virtual_size: u64,
    /// Cluster, grain or block size in bytes, where the format has one.
    pub cluster_size: Option<u64>,
    /// Encrypted.
    pub encrypted: bool,
    /// Compressed as a whole (streamOptimized).
    pub compressed: bool,
    /// Not closed cleanly.
    pub dirty: bool,
    /// The layer below, by name.
    pub backing: Option<Backing>,
    /// Bytes of the file, where the host does not know: of an export.
    pub export_size: Option<u64>,
    /// Internal snapshots.
    pub snapshots: Vec<Snapshot>,
    /// What only this format has.
    pub specific: Option<Specific>,
}

impl Info {
    /// A layer of which there is no more to say than its size.
    #[must_use]
    pub const fn of(slot: Slot, format: Format, virtual_size: u64) -> Self {
        Self {
            slot,
            format,
            virtual_size,
            cluster_size: None,
            encrypted: false,
            compressed: false,
            dirty: false,
            backing: None,
            export_size: None,
            snapshots: Vec::new(),
            specific: None,
        }
    }
}

/// The layer below as an image names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backing {
    /// The name as it stands in the image.
    pub name: ImageText,
    /// Its format as it stands in the image.
    pub format: Option<ImageText>,
}

/// An internal snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// ID.
    pub id: ImageText,
    /// Name.
    pub name: ImageText,
    /// Bytes of machine state.
    pub vm_state_size: u64,
    /// Seconds since 1970.
    pub date_sec: u32,
    /// Nanoseconds of it.
    pub date_nsec: u32,
    /// Nanoseconds of machine time.
    pub vm_clock_nsec: u64,
    /// Instructions executed, if recorded.
    pub icount: Option<u64>,
    /// Virtual size when it was taken, if recorded.
    pub disk_size: Option<u64>,
}

/// What only one format has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Specific {
    /// qcow2.
    Qcow2(Qcow2Info),
    /// VMDK.
    Vmdk(VmdkInfo),
    /// LUKS.
    Luks(Box<LuksInfo>),
    /// An archive.
    Ova(Box<OvaInfo>),
}

/// What only qcow2 has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Qcow2Info {
    /// 2 or 3.
    pub version: u32,
    /// Compression type.
    pub compression: Compression,
    /// Lazy refcounts.
    pub lazy_refcounts: bool,
    /// Refcount width.
    pub refcount_bits: u32,
    /// Marked corrupt.
    pub corrupt: bool,
    /// Subclusters.
    pub extended_l2: bool,
    /// External data file, as named.
    pub data_file: Option<ImageText>,
    /// Guest data is in an external data file: only then `data_file_raw` is shown.
    pub external_data: bool,
    /// The data file is a raw image too.
    pub data_file_raw: bool,
    /// Persistent bitmaps.
    pub bitmaps: Vec<Bitmap>,
    /// Encryption method of the header: 0 none, 1 AES, 2 LUKS.
    pub encryption: u32,
    /// The LUKS header, with method 2.
    pub luks: Option<Box<LuksInfo>>,
}

/// A LUKS header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LuksInfo {
    /// 1 or 2.
    pub version: u32,
    /// Cipher and key width, such as `aes-256`.
    pub cipher: ImageText,
    /// Such as `xts`.
    pub cipher_mode: ImageText,
    /// Such as `plain64`.
    pub iv_generator: ImageText,
    /// Hash of the generator, where it has one.
    pub iv_generator_hash: Option<ImageText>,
    /// Hash of key derivation.
    pub hash: ImageText,
    /// Identifier as it stands in the header.
    pub uuid: ImageText,
    /// The file that it stands in, if that is another one than the payload's.
    pub header: Option<Slot>,
    /// Byte at which the payload begins.
    pub payload_offset: u64,
    /// Iterations of the master key digest.
    pub master_key_iterations: u32,
    /// All key slots.
    pub slots: Vec<LuksSlot>,
}

/// A key slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LuksSlot {
    /// Byte of the key material.
    pub key_offset: u64,
    /// Iterations and stripes of a slot in use.
    pub active: Option<(u32, u32)>,
}

/// A persistent dirty bitmap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bitmap {
    /// Name.
    pub name: ImageText,
    /// Bytes a bit stands for.
    pub granularity: u64,
    /// Was not saved cleanly.
    pub in_use: bool,
    /// Records writes.
    pub auto: bool,
}

/// What only VMDK has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmdkInfo {
    /// `createType` of the descriptor.
    pub create_type: ImageText,
    /// Content identifier.
    pub cid: u32,
    /// Content identifier of the parent, or `0xffff_ffff`.
    pub parent_cid: u32,
    /// The extents.
    pub extents: Vec<VmdkExtentInfo>,
}

/// An extent of a VMDK.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmdkExtentInfo {
    /// Its name in the descriptor; none: the image file itself.
    pub name: Option<ImageText>,
    /// The file, if it was opened.
    pub slot: Option<Slot>,
    /// Virtual bytes.
    pub virtual_size: u64,
    /// `FLAT`, `SPARSE` and so on, as in the descriptor; empty when the image file itself is the extent.
    pub format: ImageText,
    /// Grain in bytes, for sparse extents.
    pub cluster_size: Option<u64>,
    /// Grains are compressed.
    pub compressed: bool,
}

/// What only an OVA has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OvaInfo {
    /// Files in the archive.
    pub members: Vec<OvaMember>,
    /// Files that are not among those, as their names would take too much.
    pub left_out: u64,
    /// The name of the descriptor.
    pub descriptor: ImageText,
    /// The name of the manifest, if there is one.
    pub manifest: Option<ImageText>,
    /// The disks, in the order of the descriptor.
    pub disks: Vec<OvaDisk>,
    /// Which of them is read.
    pub chosen: u32,
    /// The format of that disk.
    pub format: Format,
}

/// A file in an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OvaMember {
    /// Its name.
    pub name: ImageText,
    /// Its bytes.
    pub size: u64,
}

/// A disk in an archive, by its descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OvaDisk {
    /// Its ID.
    pub id: ImageText,
    /// The name of its file; none: it is blank.
    pub file: Option<ImageText>,
    /// Bytes of the disk, where the descriptor has a number.
    pub capacity: Option<u64>,
}
