//! inflate, deflate, zstd, the codecs of Apple's disk images, and digests, behind thin faces.
//!
//! A [`Decoder`] or [`Encoder`] belongs to one lane and is reused for every unit, because creating their state costs
//! more than a small unit. All work is from slice to slice; nothing is allocated by a length found in an image.
//!
//! Deflate is zlib-rs throughout: twice as fast as C zlib, and it honours the 4 KiB window that qcow2 readers expect.
//! Zstandard is the C library: it is contained by the sandbox like everything else here. bzip2, LZFSE and ADC are our own, since no
//! crate without the standard library decodes them from slice to slice; LZMA is the crate lzma-rust2, in a container of our own that
//! bounds its dictionary. Whole files, as `gzip`, `xz` and `zstd` write them, are decoded in pieces by an [`Unpacker`].
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing
)]

extern crate alloc;

mod adc;
mod bzip2;
mod cursor;
mod decode;
mod digest;
mod encode;
mod lzfse;
mod lzvn;
mod noise;
mod stream;
mod xxh64;
mod xz;

pub use decode::Decoder;
pub use digest::{DIGEST_BYTES, Digest, digest};
pub use encode::Encoder;
pub use stream::{Packing, Step, Trouble, Unpacker};

/// The stream is damaged, or gives another number of bytes than it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadStream;
