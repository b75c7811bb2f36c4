//! `check`: its command line.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use instar_abi::job::Repair;

use crate::flags::Id;
use crate::release::{self, Fact};
use crate::stop::{Step, Stop};
use crate::value::cache::CacheMode;
use crate::verbs::shared::{Line, SourceArgs, expects, only_image, output_is_json};

/// What was typed.
#[derive(Debug)]
pub(super) struct Args {
    pub(super) image: OsString,
    /// How to read it.
    pub(super) source: SourceArgs,
    /// `-T`.
    pub(super) cache: CacheMode,
    /// `-r`.
    pub(super) repair: Option<Repair>,
    /// `-q`.
    pub(super) quiet: bool,
    /// `--output json`.
    pub(super) json: bool,
}

pub(super) fn parse(mut line: Line<'_>) -> Step<Args> {
    let mut source = SourceArgs::default();
    let (mut cache, mut repair, mut quiet, mut json) = (None, None, false, false);
    let operands = line.read(|id, value| {
        match id {
            Id::SourceCache => cache = Some(value),
            Id::Repair => {
                repair = Some(match value.as_bytes() {
                    b"leaks" => Repair::Leaks,
                    b"all" => Repair::All,
                    other => return Err(bad_repair(other)),
                });
            }
            Id::Quiet => quiet = true,
            Id::Output => json = output_is_json(&value)?,
            _ => source.take(id, value),
        }
        Ok(())
    })?;
    let image = only_image(operands)?;
    let cache = CacheMode::of_source(cache.as_deref())?;
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
