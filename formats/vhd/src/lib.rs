//! Virtual PC and Hyper-V disks (VHD; qemu-img calls the format `vpc`).
//!
//! ```text
//!  fixed      │ the disk, byte for byte ……………………………………………………………………………………………… │ footer │
//!
//!  dynamic    │ footer │ dynamic header │ BAT: u32 a block │ block │ block │ … │ footer │
//!             0       512             1536               │
//!                                                        └─► │ sector bitmap │ 2 MiB of guest bytes │
//!
//!  differencing: the same, and the bitmap tells which sectors are here and which in the parent
//! ```
//!
//! All fields are big-endian. A BAT entry is the sector at which a block starts, or `ffff_ffff`.
//!
//! Principles:
//!
//! 1. What qemu-img refuses is refused in its words. The disk's size follows the geometry or the footer's size by
//!    qemu-img's rule of creators.
//! 2. In a dynamic disk the sector bitmaps are ignored, as qemu-img ignores them; in a differencing disk, which qemu-img
//!    cannot read, they decide sector by sector.
//! 3. The BAT is read piece by piece; nothing is allocated from a declared count.
//! 4. A new image gets its footer last: until then the file is no VHD.
//!
//! Reference: Microsoft, *Virtual Hard Disk Image Format Specification* 1.0 (2006); behaviour: qemu-img 10.0.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing
)]

extern crate alloc;

mod bitmap;
mod create;
mod edit;
mod fixed;
mod geometry;
mod header;
mod image;
mod parent;
mod probe;
pub mod raw;
mod table;
mod target;

pub use create::create;
pub use edit::edit;
pub use geometry::{Geometry, rounded_size};
pub use header::{DiskType, DynamicHeader, Footer};
pub use image::{open, open_by};
pub use probe::probe;
pub use target::{existing, readable};
