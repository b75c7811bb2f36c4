//! VirtualBox disks (VDI): a header, a map of 1 MiB blocks, the blocks.
//!
//! ```text
//!  file   0 ────────── 512 ─────────────── data ─────────────────────────────────────
//!         │ RawHeader  │ map: u32 a block  │ place 0 │ place 1 │ place 2 │ …
//!         └────────────┴───────────────────┴─────────┴─────────┴─────────┴───────────
//!  map    block 0 → place 1,  block 1 → ffff_ffff (nothing),  block 2 → place 0, …
//! ```
//!
//! All fields are little-endian. A dynamic image gives out places as blocks are first written; a static image has place n
//! for block n. `ffff_ffff` (never written) and `ffff_fffe` (discarded) both read as zeros.
//!
//! Principles:
//!
//! 1. What qemu-img refuses is refused in its words: other block sizes, linked (differencing) images, odd offsets.
//! 2. The map is read piece by piece when guest bytes are asked for; nothing is allocated from a declared count.
//! 3. A new image is written map first, header last: until then the file is no VDI.
//!
//! Reference: VirtualBox's `VDICore.h`; behaviour: qemu-img 10.0.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing
)]

extern crate alloc;

mod check;
mod create;
mod edit;
mod header;
mod image;
mod probe;
pub mod raw;
mod table;
mod target;

pub use check::check;
pub use create::create;
pub use edit::edit;
pub use header::{Header, ImageType};
pub use image::open;
pub use probe::probe;
pub use target::{existing, readable};
