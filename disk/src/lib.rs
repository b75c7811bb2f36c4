//! The vocabulary of instar: the services of a host, the interface of a format driver, and their connection.
//!
//! ```text
//!              Host  (batched I/O on slots, lanes, reports)
//!               ▲ ▲
//!   ops ────────┘ └──────── File ◄── Image   guest offset → Mapping     (a format being read)
//!    └── the one copier              Target  guest range  → Placement   (a format being written)
//! ```
//!
//! Principles:
//!
//! 1. Formats describe data, and one engine moves it: an [`Image`] says where bytes are, a [`Target`] says where bytes
//!    go, and neither touches bulk data.
//! 2. No code here knows where it runs. The guest supplies a [`Host`] that rings a doorbell; tests supply one
//!    over ordinary files.
//! 3. Values from an image are hostile: arithmetic is checked, walks are bounded, and memory is allocated only for bytes present.
//! 4. Functions that read, write or ask for a file fail with what the host answers. Sections called `# Errors`, here and in the crates of the
//!    formats, name what there is besides.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing
)]

extern crate alloc;

mod atomic;
mod bitmap;
mod blocks;
mod budget;
mod check;
mod compacting;
mod edit;
mod extents;
mod file;
mod findings;
mod host;
mod identifiers;
mod image;
mod levels;
mod num;
mod places;
mod resizing;
mod sealed;
mod table;
mod target;
mod turnstile;
mod veil;
mod work;
mod zero;

pub use bitmap::{Bitmaps, ReadBits, bitmap_bytes};
pub use blocks::{BlockTarget, Blocks, behind};
pub use budget::Budget;
pub use check::Check;
pub use compacting::{Compacting, ROUND};
pub use edit::{Edit, EditBitmaps, Undone, is_granularity};
pub use extents::Extents;
pub use file::File;
pub use findings::Findings;
pub use host::{Action, Extent, Host, HostFilter, Io, IoError};
pub use identifiers::Identifiers;
pub use image::{Codec, Encoded, Image, Kind, Mapping, Opened, Status};
pub use instar_abi::request::{CompareRange, CopyRange, Preallocate, ZeroHow};
pub use instar_abi::{
    CipherAlgorithm, CipherMode, CipherSpec, Fault, FaultCode, FileFacts, FileKind, Format, HashName,
    ImageText, IvGenerator, Role, Sieve, Slot, Sparse, errno, fault, job, limits, partitions, report, vmdk,
};
pub use levels::{Leaf, Level, Levels, LevelsReader, LevelsWriter};
pub use num::{align_down, align_up, from_usize, to_usize};
pub use places::Places;
pub use resizing::{Distant, Fetch, LARGEST_SIZE, Resizing, copy_within, reservation, set_length};
pub use sealed::{Cipher, Key, Sealed, Sealing, Tweak};
pub use table::{FillEntries, TableReader, TableWriter};
pub use target::{Encoding, Placement, Target};
pub use turnstile::{Turn, Turnstile};
pub use work::{Seen, Walked, Work};
pub use zero::is_zero;

/// The result type of drivers.
pub type Result<T> = core::result::Result<T, Fault>;
