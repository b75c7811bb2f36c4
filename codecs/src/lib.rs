//! inflate, deflate, zstd and digests behind thin faces.
//!
//! A [`Decoder`] or [`Encoder`] belongs to one lane and is reused for every unit, because creating their state costs
//! more than a small unit. All work is from slice to slice; nothing is allocated by a length found in an image.
//!
//! Deflate is zlib-rs throughout: twice as fast as C zlib, and it honours the 4 KiB window that qcow2 readers expect.
//! Zstandard is the C library: it is contained by the sandbox like everything else here.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing
)]

mod decode;
mod digest;
mod encode;
mod noise;

pub use decode::Decoder;
pub use digest::{DIGEST_BYTES, Digest, digest};
pub use encode::Encoder;

/// The stream is damaged, or gives another number of bytes than it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadStream;
