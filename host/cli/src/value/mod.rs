//! What people write for values: sizes, numbers, option lists, names of images.

pub mod list;
pub mod number;
pub mod place;
mod runtime;
pub mod tree;
