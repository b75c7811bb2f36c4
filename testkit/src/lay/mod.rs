//! Images of formats that qemu-img never makes, laid out byte by byte.

pub mod asif;
pub mod bochs;
pub mod cloop;
pub mod dmg;
pub mod ova;
pub mod zst;
