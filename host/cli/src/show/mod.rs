//! What people and programs see of an image, as far as several verbs show it.

mod date;
mod name;
mod size;
pub(crate) mod snapshot;
mod text;

pub use date::LocalTime;
pub use name::Name;
pub(crate) use name::beside;
pub use size::human_size;
pub use text::Escaped;
