//! Images of formats that qemu-img reads and never makes, laid out byte by byte.
//!
//! Each file stands alone, so that the tests of a format's crate can use it, too.

pub mod bochs;
pub mod cloop;
pub mod dmg;
