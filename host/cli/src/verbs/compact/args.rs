//! `compact`: its command line.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use instar_abi::job::Compact;

use crate::flags::Id;
use crate::stop::{Step, Stop};
use crate::value::progress::ShowProgress;
use crate::verbs::shared::{self, Line, SourceArgs, only_image};

/// What was typed.
#[derive(Debug)]
pub(super) struct Args {
    pub(super) image: OsString,
    /// How it is to be opened.
    pub(super) source: SourceArgs,
    /// What it is to give up.
    pub(super) wanted: Compact,
    /// `--output=json`.
    pub(super) json: bool,
    /// `-p`.
    pub(super) progress: ShowProgress,
    /// `-q`.
    pub(super) quiet: bool,
}

pub(super) fn parse(mut line: Line<'_>) -> Step<Args> {
    let mut source = SourceArgs::default();
    let (mut only_trim, mut no_trim) = (false, false);
    let (mut json, mut quiet, mut progress) = (false, false, ShowProgress::default());
    let operands = line.read(|id, value| {
        match id {
            Id::Trim => only_trim = true,
            Id::NoTrim => no_trim = true,
            Id::Output => json = shared::output_is_json(&value)?,
            Id::Progress => progress = ShowProgress::parse(value.as_bytes())?,
            Id::Quiet => quiet = true,
            _ => source.take(id, value),
        }
        Ok(())
    })?;
    if only_trim && no_trim {
        return Err(Stop::Misuse(
            b"--trim and --no-trim together leave nothing to do; use one of them".to_vec(),
        ));
    }
    Ok(Args {
        image: only_image(operands)?,
        source,
        wanted: Compact {
            trim: !no_trim,
            shorten: !only_trim,
        },
        json,
        progress,
        quiet,
    })
}
