//! Persistent bitmaps: which parts of a disk were written to since somebody asked.

pub(crate) mod bits;
pub(crate) mod carried;
pub(crate) mod directory;
