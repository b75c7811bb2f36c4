//! `checksum`: its command line.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use instar_abi::job::{Algorithm, SnapshotName};

use crate::flags::Id;
use crate::stop::Step;
use crate::value::number;
use crate::value::progress::ShowProgress;
use crate::verbs::shared::{self, Line, SourceArgs, digest, only_image};

/// What was typed.
#[derive(Debug)]
pub(super) struct Args {
    pub(super) image: OsString,
    /// How to read it.
    pub(super) source: SourceArgs,
    /// `-l`.
    pub(super) snapshot: Option<SnapshotName>,
    /// `-a`.
    pub(super) algorithm: Algorithm,
    /// `--output=json`.
    pub(super) json: bool,
    /// `-p`.
    pub(super) progress: ShowProgress,
    /// `-m`.
    pub(super) parallel: Option<u64>,
}

pub(super) fn parse(mut line: Line<'_>) -> Step<Args> {
    let mut args = Args {
        image: OsString::new(),
        source: SourceArgs::default(),
        snapshot: None,
        algorithm: Algorithm::Blake3,
        json: false,
        progress: ShowProgress::No,
        parallel: None,
    };
    let operands = line.read(|id, value| {
        match id {
            Id::Snapshot => args.snapshot = Some(shared::snapshot(value.as_bytes())?),
            Id::Algorithm => args.algorithm = digest::algorithm(value.as_bytes())?,
            Id::Output => args.json = shared::output_is_json(&value)?,
            Id::Progress => args.progress = ShowProgress::parse(value.as_bytes())?,
            Id::Parallel => {
                let lanes = number::integer_within("number of lanes", value.as_bytes(), 1, 16);
                args.parallel = Some(lanes?);
            }
            _ => args.source.take(id, value),
        }
        Ok(())
    })?;
    args.image = only_image(operands)?;
    Ok(args)
}
