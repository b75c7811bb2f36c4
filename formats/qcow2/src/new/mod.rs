//! Images that do not exist yet: their size, their content, and the order in which it is written.

pub(crate) mod batch;
pub(crate) mod compose;
pub(crate) mod create;
pub(crate) mod empty;
pub(crate) mod measure;
pub(crate) mod refcount;
pub(crate) mod target;
