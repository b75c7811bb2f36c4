//! Raw disk images: guest offset equals file offset.
//!
//! ```text
//!  guest   0 ─────────────────────────────── size
//!  file    0 ───────────────────── length │ zeros up to a multiple of 512
//! ```
//!
//! There is no header, hence no `header.rs`, and nothing to probe: a file is raw when it is nothing else. Sparse files are
//! mapped by their holes, so that a hole is never read.
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
mod image;
mod target;

pub use create::{create, existing};
pub use edit::edit;
pub use image::open;
