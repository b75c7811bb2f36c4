//! QEMU enhanced disks (QED): a header, two levels of tables, clusters.
//!
//! ```text
//!  file   0 ──────── 1 ──────────────── 1 + table_size ────────────────────────────── clusters
//!         │ header   │ L1: u64 a table  │ L2 table  │ cluster │ cluster │ L2 table │ …
//!         │ and name │                  │           │         │         │          │
//!         └──────────┴──────────────────┴───────────┴─────────┴─────────┴──────────┴──
//!  L1     0 → no table,  else offset of an L2 table
//!  L2     0 → the layer below,  1 → zeros,  else offset of a cluster
//! ```
//!
//! All fields are little-endian. A cluster has 4 KiB to 64 MiB, a table 1 to 16 clusters.
//!
//! Principles:
//!
//! 1. What qemu-img refuses is refused in its words and in its order. Tables and clusters lie behind the header, and in the file.
//! 2. Tables are read piece by piece; nothing is allocated from a declared count.
//! 3. A writer that is stopped leaves at worst clusters that nothing refers to: data comes first, then L2 entries, then L1 entries. An image
//!    that another writer marked for a check is checked and repaired before it is changed.
//!
//! Reference: QEMU's `docs/interop/qed_spec.txt`; behaviour: qemu-img 10.0.
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
mod existing;
mod geometry;
mod header;
mod image;
mod probe;
pub mod raw;
mod repair;
mod scan;
mod table;
mod target;

pub use check::check;
pub use create::create;
pub use edit::edit;
pub use existing::{existing, readable};
pub use geometry::Geometry;
pub use header::Header;
pub use image::open;
pub use probe::probe;
