//! What `info --safety` finds: one verdict for each way in which an image is known to attack its reader.

use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::file::{Format, Slot};

/// Everything that was found of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Safety {
    /// The file.
    pub slot: Slot,
    /// Its format, given or detected; none if it could not be told.
    pub format: Option<Format>,
    /// Virtual bytes, if the header could be read.
    pub virtual_size: Option<u64>,
    /// A verdict for each risk, in the order of [`Risk::ALL`].
    pub verdicts: Vec<Verdict>,
}

/// What was found of one risk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Which.
    pub risk: Risk,
    /// How bad it is.
    pub level: Level,
    /// What was found; none where there is nothing to say.
    pub why: Option<Fault>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Level {
    /// Nothing.
    Safe,
    /// Worth knowing, no danger to the reader.
    Note,
    /// Reason to refuse the image.
    Unsafe,
    /// It could not be looked at, because of what was found before.
    Unknown,
}

/// A way in which an image attacks its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Risk {
    /// It is not what it is taken for: two formats at once, or none of the one asked for.
    Format,
    /// Its header or tables cannot be what any tool wrote.
    Structure,
    /// It wants features that no version of this format's tools had.
    UnknownFeatures,
    /// It reads another file as the layer below.
    BackingFile,
    /// Its data is in another file.
    DataFile,
    /// Pieces of its disk are in other files.
    ExtentFiles,
    /// Its disk is larger than anything that was asked for.
    VirtualSize,
    /// Its tables are larger than its file justifies.
    TableSizes,
    /// It refers to the same bytes again and again.
    Amplification,
    /// It is encrypted.
    Encryption,
    /// It was not closed cleanly.
    Dirty,
    /// It is marked as corrupt.
    Corrupt,
}

impl Risk {
    /// All, in the order in which they are told.
    pub const ALL: [Self; 12] = [
        Self::Format,
        Self::Structure,
        Self::UnknownFeatures,
        Self::BackingFile,
        Self::DataFile,
        Self::ExtentFiles,
        Self::VirtualSize,
        Self::TableSizes,
        Self::Amplification,
        Self::Encryption,
        Self::Dirty,
        Self::Corrupt,
    ];
}
