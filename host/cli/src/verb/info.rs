//! `info`: its command line.

use std::ffi::OsString;

use super::Line;
use super::shared::{SourceArgs, output_is_json};
use crate::flags::{Id, Item};
use crate::stop::{Step, Stop};

/// What was typed.
#[derive(Debug)]
pub struct Args {
    /// The image.
    pub image: OsString,
    /// How to read it.
    pub source: SourceArgs,
    /// `--backing-chain`.
    pub backing_chain: bool,
    /// `--safety`.
    pub safety: bool,
    /// `--output json`.
    pub json: bool,
}

pub(super) fn parse(mut line: Line<'_>) -> Step<Args> {
    let mut source = SourceArgs::default();
    let (mut backing_chain, mut safety, mut json) = (false, false, false);
    let mut operands = Vec::new();
    while let Some(item) = line.item()? {
        match item {
            Item::Flag(Id::Format, value) => source.format = Some(value),
            Item::Flag(Id::ImageOpts, _) => source.image_opts = true,
            Item::Flag(Id::ForceShare, _) => source.share = true,
            Item::Flag(Id::BackingChain, _) => backing_chain = true,
            Item::Flag(Id::Safety, _) => safety = true,
            Item::Flag(Id::Output, value) => json = output_is_json(&value)?,
            Item::Flag(..) => {}
            Item::Operand(word) => operands.push(word),
        }
    }
    let [image] = <[OsString; 1]>::try_from(operands)
        .map_err(|_| Stop::Misuse(b"Expecting one image file name".to_vec()))?;
    if safety && backing_chain {
        return Err(Stop::Misuse(
            b"--safety looks at one image and opens no layer below; leave out --backing-chain".to_vec(),
        ));
    }
    Ok(Args {
        image,
        source,
        backing_chain,
        safety,
        json,
    })
}
