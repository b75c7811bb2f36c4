//! Hyper-V disks, version 2 (VHDX).
//!
//! ```text
//!  0        64 KiB   128 KiB  192 KiB   256 KiB     1 MiB
//!  │ file id │ header │ header │ regions │ regions │  │ log │ BAT │ metadata │ block │ block │ …
//!               ▲ the one with the higher sequence       ▲      │                ▲
//!               │ number counts, and says where the log is      └─ u64 a block ──┘
//!
//!  BAT   │ payload × ratio │ bitmap │ payload × ratio │ bitmap │ …      ratio = 2^23 · sector / block
//!  entry   offset in MiB << 20 | state: 0 absent 1 undefined 2 zero 3 unmapped 6 present 7 partially present
//! ```
//!
//! All fields are little-endian; headers, region tables and log entries carry a CRC-32C. A bitmap block (differencing disks
//! only) has one bit a sector, the least significant first: set, the sector is here; clear, in the parent.
//!
//! Principles:
//!
//! 1. A dirty image is read as it will be once its log is replayed; the replay is a list of where in the log changed bytes stand.
//!    Nothing is ever written to a source.
//! 2. Every walk has a bound: the log is read at most four times its length, whatever its entries say.
//! 3. The BAT is read piece by piece; a block must lie in the file and outside the image's own structures.
//! 4. A new image gets its headers last, and `vhdxfile` after them.
//!
//! Reference: Microsoft, \[MS-VHDX\]; behaviour: qemu-img 10.0.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing
)]

extern crate alloc;

mod check;
mod crc;
mod create;
mod edit;

mod header;
mod image;
mod layout;
mod log;
mod metadata;
mod parent;
mod plan;
mod probe;
pub mod raw;
mod region;
mod repair;
mod replayed;
mod ring;
mod table;
mod target;

pub use check::check;
pub use crc::crc32c;
pub use create::create;
pub use edit::edit;
pub use target::{existing, readable};

pub use image::open;
pub use probe::probe;
