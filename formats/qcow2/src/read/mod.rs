//! Reading: from the tables of an image to what is where on its disk.

pub(crate) mod entries;
pub(crate) mod image;
mod info;
mod preallocated;
mod table;
