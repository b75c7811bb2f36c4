//! `rebase`: its command line.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::flags::Id;
use crate::stop::{Step, Stop};
use crate::value::cache::CacheMode;
use crate::value::progress::ShowProgress;
use crate::verbs::shared::{Line, SourceArgs, only_image};

/// What was typed.
#[derive(Debug, Default)]
pub(super) struct Args {
    pub(super) image: OsString,
    /// How to read it.
    pub(super) source: SourceArgs,
    /// `-t`, not looked at yet.
    pub(super) cache: Option<OsString>,
    /// `-b`.
    pub(super) backing: Option<OsString>,
    /// `-F`.
    pub(super) backing_format: Option<OsString>,
    /// `-T`, not looked at yet.
    pub(super) backing_cache: Option<OsString>,
    /// `-U`.
    pub(super) share: bool,
    /// `-u`.
    pub(super) unchecked: bool,
    /// `-c`.
    pub(super) compress: bool,
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
            Id::Backing => args.backing = Some(value),
            Id::BackingFormat => args.backing_format = Some(value),
            Id::SourceCache => args.backing_cache = Some(value),
            // It is said of the new backing file, not of the image.
            Id::ForceShare => args.share = true,
            Id::BackingUnsafe => args.unchecked = true,
            Id::Compress => args.compress = true,
            Id::Progress => args.progress = ShowProgress::parse(value.as_bytes())?,
            Id::Quiet => args.quiet = true,
            _ => args.source.take(id, value),
        }
        Ok(())
    })?;
    args.image = only_image(operands)?;
    if args.backing.is_none() && !args.unchecked {
        let text = b"Must specify backing file (-b) or use unsafe mode (-u)";
        return Err(Stop::Misuse(text.to_vec()));
    }
    Ok(args)
}

impl Args {
    /// `-t` and `-T`.
    pub(super) fn modes(&self) -> Step<(CacheMode, CacheMode)> {
        let image = CacheMode::of_image(self.cache.as_deref())?;
        Ok((image, CacheMode::of_source(self.backing_cache.as_deref())?))
    }

    /// What the image shall name; none: nothing.
    pub(super) fn name(&self) -> Option<&OsStr> {
        self.backing.as_deref().filter(|name| !name.is_empty())
    }

    /// The name as messages have it: what the reference tool makes of none.
    pub(super) fn shown(&self) -> &[u8] {
        self.backing.as_deref().map_or(b"(null)", OsStrExt::as_bytes)
    }
}
