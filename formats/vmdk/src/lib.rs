//! VMware virtual disks: one file that has everything, or a descriptor and the extents that it names.
//!
//! ```text
//!  monolithicSparse, and each -s001 of twoGbMaxExtentSparse     (offsets and sizes in sectors of 512 bytes)
//!  ┌────────┬────────────┬────────────────────┬──────────────────┬───────┬───────┬──
//!  │ KDMV   │ descriptor │ redundant directory│ grain directory  │ grain │ grain │ …
//!  │ header │ (text)     │ and grain tables   │ and grain tables │ 64 KiB│       │
//!  └────────┴────────────┴────────────────────┴──────────────────┴───────┴───────┴──
//!    disk offset ─► directory entry ─► grain table (512 entries) ─► grain
//!
//!  streamOptimized, written from front to end
//!  ┌────────┬────────────┬───────────────┬───────────────┬──┬─────────┬────────┬───────────┬────────┬─────┐
//!  │ header │ descriptor │ marker, zlib  │ marker, zlib  │ …│ marker, │ …      │ marker,   │ footer │ end │
//!  │        │            │ grain         │ grain         │  │ table   │        │ directory │        │     │
//!  └────────┴────────────┴───────────────┴───────────────┴──┴─────────┴────────┴───────────┴────────┴─────┘
//!
//!  monolithicFlat, twoGbMaxExtentFlat, vmfs: a descriptor file; the extents are plain bytes
//!  vmfsSparse: a descriptor file; the extents have a COWD header and tables of 4096 entries
//! ```
//!
//! Principles:
//!
//! 1. A descriptor is accepted only if every reader would take it alike ([`mod@descriptor`](self)); header and footer must agree.
//! 2. Extents are opened through the gate alone, by plain names beside the descriptor. The file that has everything names
//!    itself in its descriptor; that name is never used.
//! 3. Tables are read through a few pages of cache, whatever their declared size, and grains outside the file are
//!    faults, not zeros.
//! 4. New images are written in ascending order, tables when they are complete, and last the bytes by which the file is
//!    recognised.
//!
//! Specification: VMware "Virtual Disk Format 5.0"; for what it leaves open, the behaviour of qemu-img 10.0. See `docs/formats/vmdk.md`.
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
mod descriptor;
mod edit;
mod existing;
mod extent;
mod flat;
mod header;
mod image;
mod info;
mod layout;
mod probe;
mod raw;
mod stream;
mod table;
mod target;
mod uuid;

pub use check::check;
pub use create::{create, fillable};
pub use edit::edit;
pub use existing::{existing, readable};
pub use image::open;
pub use probe::probe;
