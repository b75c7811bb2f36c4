//! `measure`: its command line.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use instar_abi::job::SnapshotName;

use crate::flags::Id;
use crate::stop::{Step, Stop};
use crate::value::number;
use crate::verbs::shared::{Line, SourceArgs, join_options, output_is_json, snapshot};

/// Largest size: reference tool.
const LARGEST: u64 = (1 << 63) - 1;

/// What was typed.
#[derive(Debug)]
pub(super) struct Args {
    /// What is measured.
    pub(super) subject: Subject,
    /// `-O`, not looked at yet.
    pub(super) target_format: OsString,
    /// `-o`, joined.
    pub(super) options: Option<Vec<u8>>,
    /// `--output json`.
    pub(super) json: bool,
}

/// What is measured.
#[derive(Debug)]
pub(super) enum Subject {
    /// A new image of so many bytes.
    Size(u64),
    /// The image that would be converted.
    Image {
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
    let mut operands = line.read(|id, value| {
        match id {
            Id::Snapshot => named = Some(snapshot(value.as_bytes())?),
            Id::OutputFormat => target_format = value,
            Id::Options => join_options(&mut options, value.as_bytes())?,
            Id::Output => json = output_is_json(&value)?,
            Id::Size => {
                let bytes = number::size_within("image size", value.as_bytes(), 0, LARGEST);
                size = Some(bytes?);
            }
            _ => source.take(id, value),
        }
        Ok(())
    })?;
    if operands.len() > 1 {
        return Err(Stop::say("At most one filename argument is allowed."));
    }
    if operands.is_empty() && source.partition.is_some() {
        return Err(Stop::say("--partition requires a filename argument."));
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
    })
}

impl Args {
    /// The name of the target's format.
    pub(super) fn target_format(&self) -> &OsStr {
        &self.target_format
    }
}
