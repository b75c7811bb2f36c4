//! Disks in seekable zstd: frames that are decoded one by one, and a table that says where each is.
//!
//! ```text
//!  file   0 ────────────────────────────── end ──────────────────────────────────────────── size
//!         │ frame 0 │ frame 1 │ … │ frame n │ head of a │ entry 0 │ entry 1 │ … │ entry n │ footer │
//!         │         │         │   │         │ skipped   │ u32 stored, u32 plain,         │        │
//!         │         │         │   │         │ frame     │ and perhaps u32 of XXH64       │        │
//!         └─────────┴─────────┴───┴─────────┴───────────┴────────────────────────────────┴────────┘
//! ```
//!
//! All fields are little-endian. Where a frame is, in the file and on the disk, is the sum of the sizes before it.
//!
//! Principles:
//!
//! 1. Who decodes the file from start to end sees the same disk: frames fill the file up to the table, each decodes to exactly what its
//!    entry says, and its checksum is right.
//! 2. All entries are looked through once; a block of them is kept, and where each block starts.
//!
//! Reference: the Zstandard Seekable Format 0.1.0, and the Zstandard Compression Format (RFC 8878).
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing
)]

extern crate alloc;

mod frames;
mod header;
mod image;
mod probe;
pub mod raw;

pub use header::Header;
pub use image::open;
pub use probe::{is_seekable, probe};
