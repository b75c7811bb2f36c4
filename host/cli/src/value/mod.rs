//! What people write for values: sizes, numbers, option lists, names of images.

pub mod base64;
pub mod cache;
pub mod driver;
pub mod list;
pub mod nodes;
pub mod number;
pub mod partition;
pub mod place;
pub mod progress;
pub mod protocol;
pub mod remote;
mod runtime;
pub mod tree;
