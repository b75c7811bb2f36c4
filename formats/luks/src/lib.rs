//! Encrypted disks of Linux Unified Key Setup: a header with up to eight ways to the key, and behind it the disk, sealed with that key.
//!
//! ```text
//!  file  0 ──────────────────────── payload offset ─────────────────────
//!        │ header │ key material … │ disk, sealed in sectors from 0 on │
//!        └────────┴────────────────┴───────────────────────────────────┘
//!
//!  unlock  passphrase ─► Key      before any other table of any image is read
//!  open    Key        ─► Image    one run of sealed data
//!  look               ─► Image    what the header says, for `info`
//!  Unlocked::plan     ─► Plan     other keys, for edit, which writes it
//!  create  Made       ─► Target   a header that was made before, which is written last
//! ```
//!
//! Principles:
//!
//! 1. What the bytes mean is in `instar-crypt`; here they are read, and become an image.
//! 2. The header is judged in qemu-img's order and words.
//! 3. Nobody gets a map of the disk without its key.
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
mod header;
mod image;
mod info;
mod probe;
mod target;
mod unlock;

pub use create::create;
pub use edit::edit;
pub use image::{look, open};
pub use probe::probe;
pub use target::existing;
pub use unlock::{Unlocked, unlock, unlock_apart};
