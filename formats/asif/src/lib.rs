//! Sparse images of Apple (ASIF, macOS 26): a header, two directories, tables, chunks.
//!
//! ```text
//!  file       0 ─────── directory ──────────────────────────────── chunk n ──────────────────────
//!             │ header │ number │ u64 a table │ the other directory │ table │ chunk │ bitmap │ …
//!             └────────┴────────┴─────────────┴─────────────────────┴───────┴───────┴────────┴───
//!  table      group: 4 × sector size entries, one for their bitmap │ group │ …
//!  entry      2 bits: 00 zeros, 01 all there, 11 see the bitmap │ number of a chunk of the file
//!  bitmap     2 bits a sector: 00 zeros, 01 there
//! ```
//!
//! All fields are big-endian. The directory with the higher number counts.
//!
//! Principles:
//!
//! 1. What nobody has seen is refused, and not guessed: other versions, states, reserved bits.
//! 2. Directories, tables, bitmaps and chunks lie in the file as a whole. Nothing is allocated from a declared count.
//!
//! Reference: there is none by Apple; `README.md` of huven/asif-format describes what was found.
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
mod probe;
pub mod raw;
mod tables;

pub use header::Header;
pub use image::open;
pub use probe::probe;
