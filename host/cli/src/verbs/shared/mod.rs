//! What several verbs read or say alike.

pub(crate) mod digest;
mod line;
mod new_image;
mod object;
mod output;
mod secret;
mod source;

pub(crate) use digest::ALGORITHMS;
pub(crate) use line::{Line, stop_at_operand};
pub(crate) use new_image::{creatable, creatable_or, ground, join_options};
pub(crate) use output::{expects, output_is_json};
pub(crate) use source::{SourceArgs, only_image, snapshot};
