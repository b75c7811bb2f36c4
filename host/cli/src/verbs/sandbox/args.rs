//! `sandbox`: its command line.

use crate::flags::{Id, Item};
use crate::stop::{Step, Stop};
use crate::verbs::shared::{Line, output_is_json};

/// What was typed.
#[derive(Debug)]
pub(super) struct Args {
    /// `--output json`.
    pub(super) json: bool,
}

pub(super) fn parse(mut line: Line<'_>) -> Step<Args> {
    let mut json = false;
    while let Some(item) = line.item()? {
        match item {
            Item::Flag(Id::Output, value) => json = output_is_json(&value)?,
            Item::Flag(..) => {}
            Item::Operand(_) => return Err(Stop::Misuse(b"sandbox takes no file name".to_vec())),
        }
    }
    Ok(Args { json })
}
