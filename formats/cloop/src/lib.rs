//! Compressed loop devices (cloop 2): a header that is a shell script, the offsets of blocks, the blocks.
//!
//! ```text
//!  file     0 ────────── 136 ───────────────────── offset 0 ─── offset 1 ─── offset 2 ──── offset n
//!           │ RawHeader  │ offsets: u64 a block, │ zlib       │ zlib       │ …           │
//!           │            │ and one for the end   │ block 0    │ block 1    │             │
//!           └────────────┴───────────────────────┴────────────┴────────────┴─────────────┘
//! ```
//!
//! All fields are big-endian. Every block decodes to the same number of bytes, the last one too.
//!
//! Principles:
//!
//! 1. What qemu-img refuses is refused in its words. It looks all offsets through before it describes an image, and so does this
//!    driver, which ends where the file ends: what is missing counts as zeros, and no more than one of those is needed.
//! 2. Offsets are kept a few pages at a time, however many the header declares.
//!
//! Reference: the behaviour of qemu-img 10.0; the format has no document.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing
)]

extern crate alloc;

mod header;
mod image;
mod offsets;
mod probe;
pub mod raw;

pub use header::Header;
pub use image::open;
pub use probe::probe;
