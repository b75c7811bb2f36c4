//! `create`: its command line.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::flags::Id;
use crate::stop::{Step, Stop};
use crate::value::{list, number};
use crate::verbs::shared::{Line, creatable, ground, join_options};

/// Largest size: reference tool.
const LARGEST: u64 = (1 << 63) - 1;

/// What was typed.
#[derive(Debug, Default)]
pub(super) struct Args {
    pub(super) image: OsString,
    /// `SIZE`, bytes.
    pub(super) size: Option<u64>,
    /// `-f`, not looked at yet.
    pub(super) format: Option<OsString>,
    /// `-o`, joined.
    pub(super) options: Option<Vec<u8>>,
    /// `-b`.
    pub(super) backing: Option<OsString>,
    /// `-F`.
    pub(super) backing_format: Option<OsString>,
    /// `-u`.
    pub(super) unchecked: bool,
    /// `-q`.
    pub(super) quiet: bool,
}

pub(super) fn parse(mut line: Line<'_>) -> Step<Args> {
    let mut args = Args::default();
    let operands = line.read(|id, value| {
        match id {
            Id::Format => args.format = Some(value),
            Id::Options => join_options(&mut args.options, value.as_bytes())?,
            Id::Backing => args.backing = Some(value),
            Id::BackingFormat => args.backing_format = Some(value),
            Id::BackingUnsafe => args.unchecked = true,
            Id::Quiet => args.quiet = true,
            _ => {}
        }
        Ok(())
    })?;
    let mut operands = operands.into_iter();
    let image = operands.next();
    if args.options.as_deref().is_some_and(list::asks_for_help) {
        let driver = creatable(args.format())?;
        let text = crate::create::help(driver, ground(driver, image.as_deref()));
        return Err(Stop::Print(text.into_bytes()));
    }
    args.image = image.ok_or_else(|| Stop::Misuse(b"Expecting image file name".to_vec()))?;
    if let Some(word) = operands.next() {
        let size = number::size_within("image size", word.as_bytes(), 0, LARGEST);
        args.size = Some(size?);
    }
    if let Some(word) = operands.next() {
        return Err(Stop::Misuse([b"Unexpected argument: ", word.as_bytes()].concat()));
    }
    Ok(args)
}

impl Args {
    /// The name of the format.
    pub(super) fn format(&self) -> &OsStr {
        self.format.as_deref().unwrap_or(OsStr::new("raw"))
    }
}
