//! `commit`: its command line.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use crate::flags::Id;
use crate::stop::Step;
use crate::value::cache::CacheMode;
use crate::value::number;
use crate::value::progress::ShowProgress;
use crate::verbs::shared::{Line, SourceArgs, only_image};

/// Largest rate: reference tool.
const LARGEST: u64 = (1 << 63) - 1;

/// What was typed.
#[derive(Debug, Default)]
pub(super) struct Args {
    pub(super) image: OsString,
    /// How to read it.
    pub(super) source: SourceArgs,
    /// `-t`, not looked at yet.
    cache: Option<OsString>,
    /// `-b`.
    pub(super) base: Option<OsString>,
    /// `-d`.
    pub(super) drop: bool,
    /// `-r`, bytes a second.
    pub(super) rate: u64,
    /// `-p`.
    pub(super) progress: ShowProgress,
    /// `-q`.
    pub(super) quiet: bool,
}

pub(super) fn parse(mut line: Line<'_>) -> Step<Args> {
    let mut args = Args::default();
    let operands = line.read(|id, value| {
        match id {
            Id::TargetCache => args.cache = Some(value),
            Id::Backing => args.base = Some(value),
            Id::Drop => args.drop = true,
            Id::Rate => args.rate = number::size_within("rate limit", value.as_bytes(), 0, LARGEST)?,
            Id::Progress => args.progress = ShowProgress::parse(value.as_bytes())?,
            Id::Quiet => args.quiet = true,
            _ => args.source.take(id, value),
        }
        Ok(())
    })?;
    args.image = only_image(operands)?;
    Ok(args)
}

impl Args {
    /// `-t`.
    pub(super) fn mode(&self) -> Step<CacheMode> {
        CacheMode::of_image(self.cache.as_deref())
    }

    /// Whether the image gives up what it holds: what lies between it and a deeper layer would show through.
    pub(super) const fn empties(&self) -> bool {
        !self.drop && self.base.is_none()
    }
}
