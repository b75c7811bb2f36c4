//! Parallels disks (HDD, HDS): a header, a table of clusters (BAT), the clusters.
//!
//! ```text
//!  file   0 ─────── 64 ──────────────── data_off ─────────────────────────────────
//!         │ header  │ BAT: u32 a cluster │ cluster │ cluster │ extension │ cluster …
//!         └─────────┴────────────────────┴─────────┴─────────┴───────────┴─────────
//!  BAT    0 → zeros,  else where the cluster is: in sectors (old magic), or in clusters
//! ```
//!
//! All fields are little-endian. A cluster has any number of sectors.
//!
//! Principles:
//!
//! 1. What qemu-img refuses is refused in its words and in its order. The BAT is in the file, clusters begin behind it and in the file.
//! 2. The BAT is read piece by piece; nothing is allocated from a declared count.
//! 3. A writer that is stopped leaves at worst space that nothing refers to: data comes first, then BAT entries. What the format extension says
//!    of the disk is taken away before anything is written.
//!
//! Reference: QEMU's `docs/interop/parallels.rst`; behaviour: qemu-img 10.0.
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
mod extension;
mod header;
mod image;
mod probe;
pub mod raw;
mod scan;
mod table;
mod target;

pub use check::check;
pub use create::create;
pub use edit::edit;
pub use header::Header;
pub use image::open;
pub use probe::probe;
pub use target::{existing, readable};
