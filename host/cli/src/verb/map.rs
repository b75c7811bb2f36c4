//! `map`: its command line.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::Line;
use super::shared::{SourceArgs, output_is_json};
use crate::flags::{Id, Item};
use crate::stop::{Step, Stop};
use crate::value::number;

/// Largest offset and length: reference tool.
const LARGEST: u64 = (1 << 63) - 1;

/// What was typed.
#[derive(Debug)]
pub struct Args {
    /// The image.
    pub image: OsString,
    /// How to read it.
    pub source: SourceArgs,
    /// `-s`, bytes.
    pub start: u64,
    /// `-l`, bytes.
    pub length: Option<u64>,
    /// `--output json`.
    pub json: bool,
}

pub(super) fn parse(mut line: Line<'_>) -> Step<Args> {
    let mut source = SourceArgs::default();
    let (mut start, mut length, mut json) = (0, None, false);
    let mut operands = Vec::new();
    while let Some(item) = line.item()? {
        match item {
            Item::Flag(Id::Format, value) => source.format = Some(value),
            Item::Flag(Id::ImageOpts, _) => source.image_opts = true,
            Item::Flag(Id::ForceShare, _) => source.share = true,
            Item::Flag(Id::StartOffset, value) => start = bytes("start offset", &value)?,
            Item::Flag(Id::MaxLength, value) => length = Some(bytes("max length", &value)?),
            Item::Flag(Id::Output, value) => json = output_is_json(&value)?,
            Item::Flag(..) => {}
            Item::Operand(word) => operands.push(word),
        }
    }
    let [image] = <[OsString; 1]>::try_from(operands)
        .map_err(|_| Stop::Misuse(b"Expecting one image file name".to_vec()))?;
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
