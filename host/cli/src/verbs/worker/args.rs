//! `worker`: its command line.

use std::os::unix::ffi::OsStrExt;

use crate::flags::Id;
use crate::stop::{Step, Stop};
use crate::value::number;
use crate::verbs::shared::Line;

/// What was typed.
#[derive(Debug)]
pub(super) struct Args {
    /// `-m`
    pub(super) lanes: Option<u64>,
}

pub(super) fn parse(mut line: Line<'_>) -> Step<Args> {
    let mut lanes = None;
    let operands = line.read(|id, value| {
        if id == Id::Parallel {
            let given = number::integer_within("number of lanes", value.as_bytes(), 1, 16);
            lanes = Some(given?);
        }
        Ok(())
    })?;
    if !operands.is_empty() {
        return Err(Stop::Misuse(b"worker takes no file name".to_vec()));
    }
    Ok(Args { lanes })
}
