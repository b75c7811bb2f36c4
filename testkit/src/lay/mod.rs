//! Images of formats that qemu-img reads and never makes, laid out byte by byte.

pub mod asif;
pub mod bochs;
pub mod cloop;
pub mod dmg;
