//! `amend`: its command line.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use crate::create::amend;
use crate::flags::Id;
use crate::stop::{Step, Stop};
use crate::value::cache::CacheMode;
use crate::value::progress::ShowProgress;
use crate::value::{driver, list};
use crate::verbs::shared::{Line, SourceArgs, join_options};

/// What was typed.
#[derive(Debug)]
pub(super) struct Args {
    pub(super) image: OsString,
    /// How it is to be opened.
    pub(super) source: SourceArgs,
    /// `-o`.
    pub(super) options: Vec<u8>,
    /// `--force`.
    pub(super) force: bool,
    /// `-t`.
    pub(super) cache: CacheMode,
    /// `-p`.
    pub(super) progress: ShowProgress,
    /// `-q`.
    pub(super) quiet: bool,
}

pub(super) fn parse(mut line: Line<'_>) -> Step<Args> {
    let mut source = SourceArgs::default();
    let (mut options, mut cache, mut progress) = (None, None, ShowProgress::default());
    let (mut force, mut quiet) = (false, false);
    let operands = line.read(|id, value| {
        match id {
            Id::Options => join_options(&mut options, value.as_bytes())?,
            Id::TargetCache => cache = Some(value),
            Id::Force => force = true,
            Id::Progress => progress = ShowProgress::parse(value.as_bytes())?,
            Id::Quiet => quiet = true,
            _ => source.take(id, value),
        }
        Ok(())
    })?;
    let options = options.ok_or_else(|| Stop::Misuse(b"Must specify options (-o)".to_vec()))?;
    if let Some(format) = source.format.as_ref().filter(|_| list::asks_for_help(&options)) {
        return Err(option_help(format.as_bytes()));
    }
    let [image] =
        <[OsString; 1]>::try_from(operands).map_err(|_| Stop::say("Expecting one image file name"))?;
    let cache = match &cache {
        None => CacheMode::Writeback,
        Some(name) => CacheMode::parse(name)
            .ok_or_else(|| Stop::Message([b"Invalid cache option: ", name.as_bytes()].concat()))?,
    };
    Ok(Args {
        image,
        source,
        options,
        force,
        cache,
        progress,
        quiet,
    })
}

/// What can be amended in an image of that format.
pub(super) fn option_help(format: &[u8]) -> Stop {
    if let Some(text) = amend::help(format) {
        return Stop::Print(text.into_bytes());
    }
    if driver::is_driver(format) || driver::is_never_written(format) {
        let text = [b"Format driver '", format, b"' does not support option amendment"];
        return Stop::Message(text.concat());
    }
    Stop::Message([b"Unknown file format '", format, b"'"].concat())
}
