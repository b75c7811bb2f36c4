//! `checksum`: its command line.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use instar_abi::job::{Algorithm, SnapshotName};

use super::Line;
use super::shared::{self, ShowProgress, SourceArgs};
use crate::flags::{Id, Item};
use crate::stop::{Step, Stop};
use crate::value::number;

/// What was typed.
#[derive(Debug)]
pub struct Args {
    /// The image.
    pub image: OsString,
    /// How to read it.
    pub source: SourceArgs,
    /// `-l`.
    pub snapshot: Option<SnapshotName>,
    /// `-a`.
    pub algorithm: Algorithm,
    /// `--output=json`.
    pub json: bool,
    /// `-p`.
    pub progress: ShowProgress,
    /// `-m`.
    pub parallel: Option<u64>,
}

pub(super) fn parse(mut line: Line<'_>) -> Step<Args> {
    let mut operands = Vec::new();
    let mut args = Args {
        image: OsString::new(),
        source: SourceArgs::default(),
        snapshot: None,
        algorithm: Algorithm::Blake3,
        json: false,
        progress: ShowProgress::No,
        parallel: None,
    };
    while let Some(item) = line.item()? {
        match item {
            Item::Flag(Id::Format, value) => args.source.format = Some(value),
            Item::Flag(Id::ImageOpts, _) => args.source.image_opts = true,
            Item::Flag(Id::ForceShare, _) => args.source.share = true,
            Item::Flag(Id::Snapshot, value) => args.snapshot = Some(shared::snapshot(value.as_bytes())?),
            Item::Flag(Id::Algorithm, value) => args.algorithm = algorithm(value.as_bytes())?,
            Item::Flag(Id::Output, value) => args.json = shared::output_is_json(&value)?,
            Item::Flag(Id::Progress, value) => args.progress = ShowProgress::parse(value.as_bytes())?,
            Item::Flag(Id::Parallel, value) => {
                let lanes = number::integer_within("number of lanes", value.as_bytes(), 1, 16);
                args.parallel = Some(lanes?);
            }
            Item::Flag(..) => {}
            Item::Operand(word) => operands.push(word),
        }
    }
    let [image] = <[OsString; 1]>::try_from(operands)
        .map_err(|_| Stop::Misuse(b"Expecting one image file name".to_vec()))?;
    Ok(Args { image, ..args })
}

/// The name of a hash function.
pub(super) fn algorithm(name: &[u8]) -> Step<Algorithm> {
    [Algorithm::Blake3, Algorithm::Sha256]
        .into_iter()
        .find(|known| known.name().as_bytes() == name)
        .ok_or_else(|| {
            let words = [
                b"Unknown checksum '".as_slice(),
                name,
                b"'; there are blake3 and sha256",
            ];
            Stop::Message(words.concat())
        })
}
