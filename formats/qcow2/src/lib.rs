//! QEMU copy-on-write images, version 2 and 3.
//!
//! ```text
//!  guest offset ──► L1 entry ──► L2 entry ──► cluster in this file or the data file
//!
//!  byte 0      header, extensions, backing file name            one cluster
//!  somewhere   refcount table ─► refcount blocks                which clusters are in use; no reader needs them
//!  somewhere   L1 table: one entry for each L2 table            8 bytes, file offset of an L2 table or 0
//!  somewhere   L2 tables: one cluster each                      8 bytes an entry, 16 with subclusters
//!  somewhere   clusters: plain, compressed (deflate, zstd), or none: all zero, or whatever the backing file has
//!  somewhere   snapshot table ─► L1 tables of their own         bitmap directory ─► bitmaps
//! ```
//!
//! Where things are: the words of the format at the top (`header`, `extensions`, `snapshot`, `layout`, …), each with one meaning; `read`
//! turns tables into what is where on the disk; `new` makes images; `edit` changes those that exist; `bitmaps` is what several of them
//! know about bitmaps; `check` looks an image through.
//!
//! Principles:
//!
//! 1. [`Header::parse`] is the only way to a [`Header`], so a header need not be checked again.
//! 2. Tables are read in large pieces into two small windows, whatever the image says: a chain of hundreds of layers fits a
//!    small heap, and a megabyte of file never makes more than a megabyte of work.
//! 3. What qemu-img reads is read, with the same result; what it refuses is refused in its words. `docs/formats/qcow2.md`
//!    lists the differences.
//!
//! Specification: `docs/interop/qcow2` of QEMU.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing
)]

extern crate alloc;

mod basics;
mod bitmaps;
mod check;
mod edit;
mod entry;
mod extensions;
mod features;
mod header;
mod layout;
mod luks;
mod new;
mod num;
mod packed;
mod pieces;
mod probe;
pub mod raw;
mod read;
mod snapshot;
mod space;

pub use check::{check, check_within};
pub use edit::fill::{Keeping, existing, existing_with, readable};
pub use edit::{edit, edit_with};
pub use extensions::{BitmapDirectory, Extensions};
pub use features::Features;
pub use header::{Header, TableRange};
pub use layout::{Layout, RefcountSpace};
pub use luks::{Seal, Unlocked, expect_encryption, unlock};
pub use new::create::{create, create_with};
pub use new::empty::create_empty;
pub use new::measure::{Full, bitmap_bytes, check_size};
pub use probe::probe;
pub use read::image::{OpenOptions, open, open_with};
