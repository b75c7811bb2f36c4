//! What people and programs see of an image.

mod check;
mod date;
mod info;
mod map;
mod name;
mod safety;
mod size;
mod snapshot;
mod text;

pub use check::{human as checked_human, json as checked_json};
pub use date::LocalTime;
pub(crate) use info::beside;
pub use info::{Child, FileInfo, Layer, human, json};
pub use map::{MapStyle, MapText};
pub use name::Name;
pub use safety::{Findings, finding};
pub use size::human_size;
pub use snapshot::list as snapshots;
pub use text::Escaped;
