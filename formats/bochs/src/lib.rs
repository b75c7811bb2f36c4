//! Growing disks of the emulator Bochs: a header, a catalog of extents, the extents, each behind a bitmap of its sectors.
//!
//! ```text
//!  file     0 ─────── header ─────────────── header + 4·entries ──────────────────────────────────
//!           │ RawHeader │ catalog: u32 an extent │ bitmap │ extent 0 │ bitmap │ extent 1 │ …
//!           └───────────┴────────────────────────┴────────┴──────────┴────────┴──────────┴─────────
//!  catalog  guest extent 0 → place 1,  guest extent 1 → ffff_ffff (nothing),  guest extent 2 → place 0, …
//!  bitmap   sector n of the extent is there: bit n, the lowest of each byte first; otherwise it reads as zeros
//! ```
//!
//! All fields are little-endian. Such a file is a *redolog*; Bochs has two more kinds, `Undoable` and `Volatile`, which lie above
//! another disk. Neither qemu-img nor this driver reads them.
//!
//! Principles:
//!
//! 1. What qemu-img refuses is refused in its words.
//! 2. The catalog is read piece by piece when guest bytes are asked for; nothing is allocated from a declared count.
//! 3. The catalog, and every extent that is used, must lie inside the file: what is missing would read as place 0, or as zeros.
//!
//! Reference: Bochs's `hdimage.h`; behaviour: qemu-img 10.0.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing
)]

extern crate alloc;

mod catalog;
mod header;
mod image;
mod probe;
pub mod raw;

pub use header::Header;
pub use image::open;
pub use probe::probe;
