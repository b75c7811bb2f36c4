//! `check`: its command line.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use super::Line;
use super::shared::{CacheMode, SourceArgs, expects, output_is_json};
use crate::flags::{Id, Item};
use crate::release::{self, Fact};
use crate::stop::{Step, Stop};

/// What was typed.
#[derive(Debug)]
pub struct Args {
    /// The image.
    pub image: OsString,
    /// How to read it.
    pub source: SourceArgs,
    /// `-T`.
    pub cache: CacheMode,
    /// `-r`, in either mode.
    pub repair: bool,
    /// `-q`.
    pub quiet: bool,
    /// `--output json`.
    pub json: bool,
}

pub(super) fn parse(mut line: Line<'_>) -> Step<Args> {
    let mut source = SourceArgs::default();
    let (mut cache, mut repair, mut quiet, mut json) = (OsString::from("writeback"), false, false, false);
    let mut operands = Vec::new();
    while let Some(item) = line.item()? {
        match item {
            Item::Flag(Id::Format, value) => source.format = Some(value),
            Item::Flag(Id::ImageOpts, _) => source.image_opts = true,
            Item::Flag(Id::ForceShare, _) => source.share = true,
            Item::Flag(Id::SourceCache, value) => cache = value,
            Item::Flag(Id::Repair, value) => {
                if !matches!(value.as_bytes(), b"leaks" | b"all") {
                    return Err(bad_repair(value.as_bytes()));
                }
                repair = true;
            }
            Item::Flag(Id::Quiet, _) => quiet = true,
            Item::Flag(Id::Output, value) => json = output_is_json(&value)?,
            Item::Flag(..) => {}
            Item::Operand(word) => operands.push(word),
        }
    }
    let [image] = <[OsString; 1]>::try_from(operands)
        .map_err(|_| Stop::Misuse(b"Expecting one image file name".to_vec()))?;
    let cache = CacheMode::parse(&cache)
        .ok_or_else(|| Stop::Message([b"Invalid source cache option: ", cache.as_bytes()].concat()))?;
    Ok(Args {
        image,
        source,
        cache,
        repair,
        quiet,
        json,
    })
}

fn bad_repair(word: &[u8]) -> Stop {
    if release::has(Fact::RepairIsNamed) {
        return expects("--repair (-r)", ["leaks", "all"], word);
    }
    let text = b"Unknown option value for -r (expecting 'leaks' or 'all'): ";
    Stop::Message([text.as_slice(), word].concat())
}
