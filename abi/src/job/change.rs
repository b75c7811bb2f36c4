//! The jobs that change an image where it is.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{Preallocation, Source, Speed};
use crate::cipher::HashName;
use crate::file::{FileFacts, Slot};
use crate::text::ImageText;

/// A change of an image in place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeImage {
    /// The file that the user named, open for writing, and what the user said of the layers below it.
    pub image: Source,
    /// What becomes of it.
    pub change: Change,
}

/// What becomes of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// `snapshot -c`.
    CreateSnapshot(NewSnapshot),
    /// `snapshot -a`: the one of that ID, else the first of that name.
    ApplySnapshot(Vec<u8>),
    /// `snapshot -d`: the first of that name.
    DeleteSnapshot(Vec<u8>),
    /// `amend`; none: the image is only opened, as the host knows already that nothing can be changed.
    Amend(Option<Amend>),
    /// `amend` of the key slots of a LUKS disk.
    Keys(AmendKeys),
    /// The layer below is another one from now on (`rebase -u`, and the end of `rebase`).
    Rebase(NewBacking),
    /// The image gives up what it holds and shows what lies below it (the end of `commit`). Data in this file, open for writing, goes too.
    Empty(Option<FileFacts>),
    /// `resize`.
    Resize(Resize),
    /// `compact`.
    Compact(Compact),
}

/// What an image is to give up of the space that it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compact {
    /// Clusters that hold nothing but zeros.
    pub trim: bool,
    /// Free clusters: what stands behind them moves there, and the file ends before them.
    pub shorten: bool,
}

/// Another virtual size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resize {
    /// What was asked for.
    pub size: NewSize,
    /// How space is reserved for what is added.
    pub preallocation: Preallocation,
    /// `--shrink`: what lies behind the new end may go.
    pub shrink: bool,
    /// Files that hold the image's data, open for writing, in the order in which the image names them.
    pub apart: Vec<Slot>,
}

/// A virtual size, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NewSize {
    /// This one.
    Exactly(u64),
    /// So much larger than it is.
    Larger(u64),
    /// So much smaller than it is.
    Smaller(u64),
}

/// Other options of an image. Those that are none stay as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amend {
    /// What becomes of the key slots inside: options that begin with `encrypt.`.
    pub encryption: Option<AmendKeys>,
    /// `size`, bytes.
    pub size: Option<u64>,
    /// `compat`, the user's word.
    pub compat: Option<Vec<u8>>,
    /// `backing_file`.
    pub backing_file: Option<Vec<u8>>,
    /// `backing_fmt`.
    pub backing_format: Option<Vec<u8>>,
    /// `data_file`.
    pub data_file: Option<Vec<u8>>,
    /// `data_file_raw`.
    pub data_file_raw: Option<bool>,
    /// `lazy_refcounts`.
    pub lazy_refcounts: Option<bool>,
    /// `refcount_bits`.
    pub refcount_bits: Option<u64>,
    /// `--force`: a disk may get shorter.
    pub force: bool,
    /// With a size: files that hold the image's data, as for [`Resize`].
    pub apart: Vec<Slot>,
}

/// What becomes of the key slots of a LUKS disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AmendKeys {
    /// `state`: whether slots are to open, or no more.
    pub state: KeyState,
    /// `new-secret`: the name of the secret that is to open one.
    pub new: Option<ImageText>,
    /// `old-secret`: the name of a secret that opens them.
    pub old: Option<ImageText>,
    /// `keyslot`.
    pub slot: Option<u32>,
    /// Whether `iter-time` was given.
    pub timed: bool,
    /// How fast this machine derives keys, by hash.
    pub speeds: Vec<(HashName, Speed)>,
    /// `--force`: also what cannot be undone.
    pub force: bool,
}

/// `state`, as the user said it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyState {
    /// Slots are to open.
    Active,
    /// They are to open no more.
    Inactive,
    /// Not at all.
    Unsaid,
    /// By a word that means nothing.
    Unknown(ImageText),
}

/// `bitmap`: what is done with the bitmaps of an image, one action after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeBitmaps {
    /// The file that the user named, open for writing.
    pub image: Source,
    /// The bitmap that each action is about, any bytes; empty where all of them are about every bitmap.
    pub name: Vec<u8>,
    /// What is done.
    pub actions: Vec<BitmapAction>,
    /// `-b`: the image whose bitmaps are merged; without it, the one that is changed.
    pub from: Option<Source>,
}

/// One action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BitmapAction {
    /// `--add`, and the granularity in bytes as the user gave it; 0: by the size of clusters.
    Add(u64),
    /// `--remove`.
    Remove,
    /// `--remove-all`: every bitmap.
    RemoveAll,
    /// `--clear`.
    Clear,
    /// `--enable`.
    Enable,
    /// `--disable`.
    Disable,
    /// `--merge`, and the name of the bitmap whose bits are set, too.
    Merge(Vec<u8>),
}

/// What an image shall say of the layer below it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewBacking {
    /// Its name, as it shall stand there; none: there is no such layer any more.
    pub name: Option<Vec<u8>>,
    /// Its format.
    pub format: Option<Vec<u8>>,
    /// The user wants clusters compressed, which the image's format has to know.
    pub compress: bool,
}

/// `rebase`: the image goes on showing the same disk over another layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebase {
    /// The image, open for writing.
    pub image: Source,
    /// The file that holds its data, open for writing, if it names one.
    pub data_file: Option<Slot>,
    /// What it is to lie over; none: nothing.
    pub backing: Option<Source>,
    /// What it shall say of that.
    pub names: NewBacking,
    /// Somebody watches: small disks are copied in small steps.
    pub watched: bool,
}

/// `commit`: what layers hold goes into one below them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// The uppermost of them, open for writing if it is to be emptied.
    pub image: Source,
    /// The layer that it goes into, open for writing. The chain leads to it.
    pub base: Slot,
    /// Layers below the image that the user says something of: how they are unlocked. The chain leads to them all the same.
    pub locked: Vec<Source>,
    /// The files that hold that layer's data, open for writing, if it names such: its data file, or its extents in their order.
    pub apart: Vec<Slot>,
    /// The image is emptied afterwards, if its format can be.
    pub empties: bool,
    /// The file that holds the image's own data, open for writing, if it names one that is to be emptied as well.
    pub emptied_data: Option<Slot>,
    /// `-r`, bytes a second; 0 is no limit.
    pub rate: u64,
    /// Somebody watches: small disks are copied in small steps.
    pub watched: bool,
}

/// An internal snapshot to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewSnapshot {
    /// Its name, any bytes.
    pub name: Vec<u8>,
    /// When: seconds since 1970.
    pub seconds: u32,
    /// Nanoseconds of it.
    pub nanoseconds: u32,
}
