//! `map`: its command line.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::flags::Id;
use crate::stop::Step;
use crate::value::number;
use crate::verbs::shared::{Line, SourceArgs, only_image, output_is_json};

/// Largest offset and length: reference tool.
const LARGEST: u64 = (1 << 63) - 1;

/// What was typed.
#[derive(Debug)]
pub(super) struct Args {
    pub(super) image: OsString,
    /// How to read it.
    pub(super) source: SourceArgs,
    /// `-s`, bytes.
    pub(super) start: u64,
    /// `-l`, bytes.
    pub(super) length: Option<u64>,
    /// `--output json`.
    pub(super) json: bool,
}

pub(super) fn parse(mut line: Line<'_>) -> Step<Args> {
    let mut source = SourceArgs::default();
    let (mut start, mut length, mut json) = (0, None, false);
    let operands = line.read(|id, value| {
        match id {
            Id::StartOffset => start = bytes("start offset", &value)?,
            Id::MaxLength => length = Some(bytes("max length", &value)?),
            Id::Output => json = output_is_json(&value)?,
            _ => source.take(id, value),
        }
        Ok(())
    })?;
    let image = only_image(operands)?;
    Ok(Args {
        image,
        source,
        start,
        length,
        json,
    })
}

fn bytes(what: &str, word: &OsStr) -> Step<u64> {
    number::size_within(what, word.as_bytes(), 0, LARGEST)
}
