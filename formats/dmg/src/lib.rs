//! Apple disk images (UDIF): chunks of a disk, tables that say where they are, and a trailer that says where those are.
//!
//! ```text
//!  file     │ data fork: chunk │ chunk │ chunk │ … │ property list, or resource fork │ trailer "koly" │
//!           └───────────────────────────────────────┴─────────────────────────────────┴────────────────┘
//!  list     <data>base64 of a block table</data>, one for each partition, gap and map of partitions
//!  fork     length and block table, one after the other
//!
//!  table    "mish" │ first sector │ sectors │ … │ entry │ entry │ … │ terminator
//!  entry    kind │ sector in the table │ sectors │ offset in the data fork │ length
//!  kind     zeros │ nothing written │ raw │ ADC │ zlib │ bzip2 │ LZFSE │ xz │ comment
//! ```
//!
//! All fields are big-endian.
//!
//! Principles:
//!
//! 1. What qemu-img refuses is refused; it has words for little of it.
//! 2. Block tables are found as by qemu-img: each `<data>` of the list is tried, and the rest of the list is not looked at.
//! 3. Chunks are kept sorted and apart: in tables that overlap, readers would find different disks. A table has as many entries as it
//!    says, for the same reason.
//! 4. Lists and tables are bounded by the file and by limits of our own, and nothing is allocated from a declared count.
//!
//! Reference: the behaviour of qemu-img 10.0, and libmodi's documentation. Decoders are in `codecs`.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing
)]

extern crate alloc;

mod base64;
mod chunks;
mod header;
mod image;
pub mod raw;
mod tables;

pub use header::{Header, is_marked};
pub use image::open;
