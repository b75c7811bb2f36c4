//! `create`: its command line.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::Line;
use super::convert::{creatable, ground};
use super::shared::join_options;
use crate::flags::{Id, Item};
use crate::stop::{Step, Stop};
use crate::value::{list, number};

/// Largest size: reference tool.
const LARGEST: u64 = (1 << 63) - 1;

/// What was typed.
#[derive(Debug, Default)]
pub struct Args {
    /// The image.
    pub image: OsString,
    /// `SIZE`, bytes.
    pub size: Option<u64>,
    /// `-f`, not looked at yet.
    pub format: Option<OsString>,
    /// `-o`, joined.
    pub options: Option<Vec<u8>>,
    /// `-b`.
    pub backing: Option<OsString>,
    /// `-F`.
    pub backing_format: Option<OsString>,
    /// `-u`.
    pub unchecked: bool,
    /// `-q`.
    pub quiet: bool,
}

pub(super) fn parse(mut line: Line<'_>) -> Step<Args> {
    let mut args = Args::default();
    let mut operands = Vec::new();
    while let Some(item) = line.item()? {
        match item {
            Item::Flag(Id::Format, value) => args.format = Some(value),
            Item::Flag(Id::Options, value) => join_options(&mut args.options, value.as_bytes())?,
            Item::Flag(Id::Backing, value) => args.backing = Some(value),
            Item::Flag(Id::BackingFormat, value) => args.backing_format = Some(value),
            Item::Flag(Id::BackingUnsafe, _) => args.unchecked = true,
            Item::Flag(Id::Quiet, _) => args.quiet = true,
            Item::Flag(..) => {}
            Item::Operand(word) => operands.push(word),
        }
    }
    let mut operands = operands.into_iter();
    let image = operands.next();
    if args.options.as_deref().is_some_and(list::asks_for_help) {
        let driver = creatable(args.format(), || unknown(args.format()))?;
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
    #[must_use]
    pub fn format(&self) -> &OsStr {
        self.format.as_deref().unwrap_or(OsStr::new("raw"))
    }
}

/// The words for a format that nobody knows.
pub(crate) fn unknown(name: &OsStr) -> Vec<u8> {
    [b"Unknown file format '", name.as_bytes(), b"'"].concat()
}
