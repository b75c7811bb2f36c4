//! The conformance suite: the duties of every format, for any image. Each format crate runs it on its own images.
//!
//! ```text
//!  Format   a driver's `open`, and what it may ask of the host
//!  Sound    an image that is all right, and where in it structures are
//!    ├─ covers_the_disk      the map has an answer for every byte, once, in any order, and none behind the end
//!    ├─ survives_cuts        cut at every structure and every 512 bytes of metadata: refused or read
//!    ├─ survives_changes     every bit of every field, every byte and word of every table: refused or read
//!    ├─ survives_failures    written in place until the n-th change fails: refused, untouched or complete
//!    └─ takes_changed_images written in place with any byte changed: refused or written
//! ```
//!
//! "Refused or read" is judged by [`walk`]: a fault that has words, or a map that keeps its contract; requests, bytes and heap
//! bounded in each call.

mod cover;
mod damage;
mod in_place;
mod walk;

use std::ops::Range;
use std::path::PathBuf;

use instar_disk::{File, Opened, Result};

pub use cover::covers_the_disk;
pub use damage::{survives_changes, survives_cuts};
pub use in_place::{Existing, survives_failures, takes_changed_images};
pub use walk::walk;

/// A driver's `open`.
pub type Open = for<'h> fn(File<'h>) -> Result<Opened<'h>>;

/// A driver, and what one call of it may cost.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// Opens an image.
    pub open: Open,
    /// Requests of `open`.
    pub open_requests: u64,
    /// Requests of `map`.
    pub map_requests: u64,
    /// Bytes that any one call may read.
    pub bytes: u64,
    /// Bytes that an open image may hold, and any call need meanwhile.
    pub heap: usize,
}

/// An image that is all right.
#[derive(Clone, Debug, Default)]
pub struct Sound {
    /// The peculiarity of this image.
    pub name: String,
    /// The file to open; files that it names are beside it.
    pub image: PathBuf,
    /// The file that is damaged, if it is not the image itself but one that it names.
    pub victim: Option<PathBuf>,
    /// Where every bit is flipped, and every word replaced.
    pub fields: Vec<Range<u64>>,
    /// Where every byte is changed, and every word replaced.
    pub tables: Vec<Range<u64>>,
    /// Where structures start and end.
    pub edges: Vec<u64>,
    /// Where the file is cut at every 512 bytes.
    pub metadata: Vec<Range<u64>>,
    /// A file shorter than this is refused.
    pub least: u64,
    /// Checksums over what is changed, which are made right again in half of the cases.
    pub sums: Vec<Sum>,
}

/// A checksum in the file.
#[derive(Clone, Debug)]
pub struct Sum {
    /// What it is taken of; the sum itself counts as zeros.
    pub of: Range<u64>,
    /// Where it stands.
    pub at: u64,
    /// Computes it, in its byte order.
    pub value: fn(&[u8]) -> [u8; 4],
}

/// How often damaged images were read, and how often refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Opened, and everything mapped.
    pub read: u64,
    /// Refused at some point.
    pub refused: u64,
}

impl Tally {
    fn count(&mut self, was_read: bool) {
        if was_read {
            self.read += 1;
        } else {
            self.refused += 1;
        }
    }
}

impl core::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.read += other.read;
        self.refused += other.refused;
    }
}
