//! `measure`: its command line.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use instar_abi::job::SnapshotName;

use super::Line;
use super::shared::{SourceArgs, join_options, output_is_json, snapshot};
use crate::flags::{Id, Item};
use crate::stop::{Step, Stop};
use crate::value::number;

/// Largest size: reference tool.
const LARGEST: u64 = (1 << 63) - 1;

/// What was typed.
#[derive(Debug)]
pub struct Args {
    /// What is measured.
    pub subject: Subject,
    /// `-O`, not looked at yet.
    pub target_format: OsString,
    /// `-o`, joined.
    pub options: Option<Vec<u8>>,
    /// `--output json`.
    pub json: bool,
    /// Names of the secrets that `--object` made.
    pub secrets: Vec<Vec<u8>>,
}

/// What is measured.
#[derive(Debug)]
pub enum Subject {
    /// A new image of so many bytes.
    Size(u64),
    /// The image that would be converted.
    Image {
        /// Its name.
        name: OsString,
        /// How to read it.
        source: SourceArgs,
        /// `-l`.
        snapshot: Option<SnapshotName>,
    },
}

pub(super) fn parse(mut line: Line<'_>) -> Step<Args> {
    let mut source = SourceArgs::default();
    let (mut json, mut size, mut named) = (false, None, None);
    let mut target_format = OsString::from("raw");
    let mut options = None;
    let mut operands = Vec::new();
    while let Some(item) = line.item()? {
        match item {
            Item::Flag(Id::Format, value) => source.format = Some(value),
            Item::Flag(Id::ImageOpts, _) => source.image_opts = true,
            Item::Flag(Id::ForceShare, _) => source.share = true,
            Item::Flag(Id::Snapshot, value) => named = Some(snapshot(value.as_bytes())?),
            Item::Flag(Id::OutputFormat, value) => target_format = value,
            Item::Flag(Id::Options, value) => join_options(&mut options, value.as_bytes())?,
            Item::Flag(Id::Output, value) => json = output_is_json(&value)?,
            Item::Flag(Id::Size, value) => {
                let bytes = number::size_within("image size", value.as_bytes(), 0, LARGEST);
                size = Some(bytes?);
            }
            Item::Flag(..) => {}
            Item::Operand(word) => operands.push(word),
        }
    }
    if operands.len() > 1 {
        return Err(Stop::say("At most one filename argument is allowed."));
    }
    let reads = source.image_opts || source.format.is_some() || named.is_some();
    let subject = match (operands.pop(), size) {
        (None, _) if reads => {
            return Err(Stop::say("--image-opts, -f, and -l require a filename argument."));
        }
        (None, None) => return Err(Stop::say("Either --size N or one filename must be specified.")),
        (Some(_), Some(_)) => return Err(Stop::say("--size N cannot be used together with a filename.")),
        (None, Some(size)) => Subject::Size(size),
        (Some(name), None) => Subject::Image {
            name,
            source,
            snapshot: named,
        },
    };
    Ok(Args {
        subject,
        target_format,
        options,
        json,
        secrets: line.secrets,
    })
}

impl Args {
    /// The name of the target's format.
    #[must_use]
    pub fn target_format(&self) -> &OsStr {
        &self.target_format
    }
}
