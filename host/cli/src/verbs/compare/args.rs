//! `compare`: its command line.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use crate::flags::{Id, Item};
use crate::stop::{Step, Stop};
use crate::value::cache::CacheMode;
use crate::value::progress::ShowProgress;
use crate::verbs::shared::{Line, SourceArgs};

/// The exit code where an image cannot be opened: reference tool.
pub(super) const CANNOT_OPEN: u8 = 2;

/// What was typed.
#[derive(Debug, Default)]
pub(super) struct Args {
    pub(super) images: [OsString; 2],
    /// How to read them.
    pub(super) sources: [SourceArgs; 2],
    /// `-T`, not looked at yet.
    pub(super) cache: Option<OsString>,
    /// `-s`.
    pub(super) strict: bool,
    /// `-p`.
    pub(super) progress: ShowProgress,
    /// `-q`.
    pub(super) quiet: bool,
}

pub(super) fn parse(mut line: Line<'_>) -> Step<Args> {
    let mut args = Args::default();
    let mut operands = Vec::new();
    // A bad --object counts as an image that cannot be opened.
    while let Some(item) = line.item().map_err(|stop| stop.with_code(CANNOT_OPEN))? {
        match item {
            Item::Flag(Id::Format, value) => args.sources[0].format = Some(value),
            Item::Flag(Id::RightFormat, value) => args.sources[1].format = Some(value),
            Item::Flag(Id::ImageOpts, _) => args.each(|source| source.image_opts = true),
            Item::Flag(Id::ForceShare, _) => args.each(|source| source.share = true),
            Item::Flag(Id::Partition, value) => args.choose_partition(value)?,
            Item::Flag(Id::Disk, value) => args.each(|source| source.disk = Some(value.clone())),
            Item::Flag(Id::SourceCache, value) => args.cache = Some(value),
            Item::Flag(Id::Strict, _) => args.strict = true,
            Item::Flag(Id::Progress, value) => args.progress = ShowProgress::parse(value.as_bytes())?,
            Item::Flag(Id::Quiet, _) => args.quiet = true,
            Item::Flag(..) => {}
            Item::Operand(word) => operands.push(word),
        }
    }
    args.images = <[OsString; 2]>::try_from(operands)
        .map_err(|_| Stop::Misuse(b"Expecting two image file names".to_vec()))?;
    Ok(args)
}

impl Args {
    fn each(&mut self, set: impl Fn(&mut SourceArgs)) {
        self.sources.iter_mut().for_each(set);
    }

    /// The first time of the first image, then of the second.
    fn choose_partition(&mut self, value: OsString) -> Step<()> {
        let free = self.sources.iter_mut().find(|source| source.partition.is_none());
        let source = free.ok_or_else(|| {
            Stop::say("--partition can be given twice: for the first image, then for the second")
                .with_code(CANNOT_OPEN)
        })?;
        source.partition = Some(value);
        Ok(())
    }

    /// `-T`.
    ///
    /// # Errors
    /// The message.
    pub(super) fn mode(&self) -> Step<CacheMode> {
        CacheMode::of_source(self.cache.as_deref())
    }
}
