//! What a library and a worker say to each other. A worker is a process of this program that does one job for another process.
//!
//! ```text
//!  library                                                     worker
//!  ─────── one stream socket, which is its standard input ─────────
//!  PROTOCOL, length: 32 bits each, little-endian; descriptors ─►
//!  Order ─────────────────────────────────────────────────────► opens nothing by name
//!         ◄──────────── length: 32 bits; Frame, as often as there is one
//!         ◄──────────── the last one is Done or Failed
//! ```

use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::Report;
use crate::job::Verb;
use crate::report::Done;

/// The number of this protocol. Library and worker must have the same one; it grows with every change of a type that crosses.
pub const PROTOCOL: u32 = 1;

/// Files that one order may hand over. Ours.
pub const MOST_FILES: usize = 64;

/// Bytes of an order, and of a frame. Ours: more than the longest report has.
pub const MOST_BYTES: u32 = 64 << 20;

/// What a worker is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// What to do. Its slots are the places of the files in `files`.
    pub verb: Verb,
    /// The descriptors that come with it, in their order.
    pub files: Vec<Handed>,
}

/// What an order says of a descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handed {
    /// What messages call the file. Nothing is opened by it.
    pub name: Vec<u8>,
    /// What it is for.
    pub purpose: Purpose,
}

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// To be read.
    Source,
    /// To be read while others may be writing to it.
    Shared,
    /// To be written.
    Target,
}

/// What a worker says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Frame {
    /// So much of the work is done.
    Progress {
        /// Bytes, as a rule.
        done: u64,
        /// Of so many.
        total: u64,
    },
    /// What the guest found.
    Report(Report),
    /// Something to warn about, in words. The work goes on.
    Warning(Vec<u8>),
    /// It failed: the last frame.
    Failed {
        /// The word for the kind of failure.
        cause: String,
        /// The system's number for the reason, where it is the system's.
        errno: Option<i32>,
        /// Words for people.
        message: Vec<u8>,
    },
    /// It is done: the last frame.
    Done(Done),
}
