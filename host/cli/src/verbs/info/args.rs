//! `info`: its command line.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use instar_abi::partitions::TableChoice;

use crate::flags::Id;
use crate::stop::{Step, Stop};
use crate::value::cache::CacheMode;
use crate::value::partition;
use crate::verbs::shared::{Line, SourceArgs, only_image, output_is_json};

/// What was typed.
#[derive(Debug)]
pub(super) struct Args {
    pub(super) image: OsString,
    /// How to read it.
    pub(super) source: SourceArgs,
    /// `--backing-chain`.
    pub(super) backing_chain: bool,
    /// `--safety`.
    pub(super) safety: bool,
    /// `--limits`.
    pub(super) limits: bool,
    /// `--partitions`.
    pub(super) partitions: Option<TableChoice>,
    /// `-t`.
    pub(super) cache: CacheMode,
    /// `--output json`.
    pub(super) json: bool,
}

pub(super) fn parse(mut line: Line<'_>) -> Step<Args> {
    let mut source = SourceArgs::default();
    let (mut backing_chain, mut safety, mut json) = (false, false, false);
    let (mut limits, mut cache, mut partitions) = (false, None, None);
    let operands = line.read(|id, value| {
        match id {
            Id::BackingChain => backing_chain = true,
            Id::Safety => safety = true,
            Id::Limits => limits = true,
            Id::Partitions => partitions = Some(partition::table(value.as_bytes())?),
            Id::SourceCache => cache = Some(value),
            Id::Output => json = output_is_json(&value)?,
            _ => source.take(id, value),
        }
        Ok(())
    })?;
    let image = only_image(operands)?;
    if safety && backing_chain {
        return Err(Stop::Misuse(
            b"--safety checks one image and opens no layer below; leave out --backing-chain".to_vec(),
        ));
    }
    if partitions.is_some() && (safety || backing_chain || limits) {
        return Err(Stop::Misuse(
            b"--partitions shows the partition table only; leave out --safety, --backing-chain and --limits"
                .to_vec(),
        ));
    }
    Ok(Args {
        image,
        source,
        backing_chain,
        safety,
        limits,
        partitions,
        cache: CacheMode::of_image(cache.as_deref())?,
        json,
    })
}
