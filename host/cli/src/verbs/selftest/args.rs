//! `selftest`: its command line.

use std::ffi::OsString;

use crate::flags::{Id, Item};
use crate::stop::{Step, Stop};
use crate::verbs::shared::{Line, output_is_json};

/// What was typed.
#[derive(Debug)]
pub(super) struct Args {
    /// `--output json`.
    pub(super) json: bool,
    /// `--act`: this one alone, in this process, with files in this directory.
    pub(super) act: Option<(OsString, OsString)>,
}

pub(super) fn parse(mut line: Line<'_>) -> Step<Args> {
    let (mut json, mut act, mut directory) = (false, None, None);
    while let Some(item) = line.item()? {
        match item {
            Item::Flag(Id::Output, value) => json = output_is_json(&value)?,
            Item::Flag(Id::Act, value) => act = Some(value),
            Item::Flag(..) => {}
            Item::Operand(word) if act.is_some() && directory.is_none() => directory = Some(word),
            Item::Operand(_) => return Err(Stop::Misuse(b"selftest takes no file name".to_vec())),
        }
    }
    Ok(Args {
        json,
        act: act.zip(directory),
    })
}
