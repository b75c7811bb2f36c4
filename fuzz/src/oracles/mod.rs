//! The rules. An oracle takes any bytes and panics when a rule is broken.

pub mod change;
pub mod convert;
pub mod engine;
pub mod image;
pub mod packed;
pub mod partitions;
pub mod report;
pub mod request;
pub mod vhd;
pub mod window;
pub mod words;
