//! QEMU copy-on-write, version 1 (qcow): a header, two levels of tables, clusters.
//!
//! ```text
//!  file   0 ──────── 48 ───── l1 ──────────────────────────────────────────────────────
//!         │ RawHeader │ name │ L1: u64 a table │ L2 table │ cluster │ stream │ cluster …
//!         └───────────┴──────┴─────────────────┴──────────┴─────────┴────────┴──────────
//!  L1     0 → no table,  else byte offset of an L2 table
//!  L2     0 → the layer below,  bit 63 → a deflate stream: length and byte offset,  else byte offset of a cluster
//! ```
//!
//! All fields are big-endian. Tables and clusters stand anywhere; a cluster that is not compressed begins on a sector.
//!
//! Principles:
//!
//! 1. What qemu-img refuses is refused in its words and in its order. Tables, clusters and streams lie in the file, and not in the header.
//! 2. Tables are read piece by piece; nothing is allocated from a declared count.
//! 3. A writer that is stopped leaves at worst space that nothing refers to: data comes first, then L2 entries, then L1 entries.
//!
//! Reference: QEMU's `block/qcow.c`, its behaviour in version 10.0.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing
)]

extern crate alloc;

mod create;
mod edit;
mod existing;
mod geometry;
mod header;
mod image;
mod probe;
pub mod raw;
mod scan;
mod table;
mod target;

pub use create::{create, create_with};
pub use edit::edit;
pub use existing::{existing, readable};
pub use geometry::Geometry;
pub use header::Header;
pub use image::{expect_encryption, open, open_with, unlock};
pub use probe::probe;
