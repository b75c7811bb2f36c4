//! `bitmap`: its command line.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use instar_abi::job::BitmapAction;

use crate::flags::Id;
use crate::release::{self, Fact};
use crate::stop::{Step, Stop};
use crate::value::number;
use crate::verbs::shared::{Line, SourceArgs};

/// What was typed.
#[derive(Debug)]
pub(super) struct Args {
    pub(super) image: OsString,
    /// How it is to be opened.
    pub(super) source: SourceArgs,
    /// The bitmap; empty where every action is about all of them.
    pub(super) name: OsString,
    /// What is done, in this order.
    pub(super) actions: Vec<BitmapAction>,
    /// `-b`, and how it is to be read.
    pub(super) from: Option<(OsString, SourceArgs)>,
}

pub(super) fn parse(mut line: Line<'_>) -> Step<Args> {
    let mut source = SourceArgs::default();
    let (mut granularity, mut file, mut format) = (0, None, None);
    let mut actions = Vec::new();
    let operands = line.read(|id, value| {
        match id {
            Id::AddBitmap => actions.push(BitmapAction::Add(0)),
            Id::RemoveBitmap => actions.push(BitmapAction::Remove),
            Id::RemoveAllBitmaps => actions.push(BitmapAction::RemoveAll),
            Id::ClearBitmap => actions.push(BitmapAction::Clear),
            Id::EnableBitmap => actions.push(BitmapAction::Enable),
            Id::DisableBitmap => actions.push(BitmapAction::Disable),
            Id::MergeBitmap => actions.push(BitmapAction::Merge(value.as_bytes().to_vec())),
            Id::Granularity => {
                granularity = number::size_within("granularity", value.as_bytes(), 0, LARGEST)?;
            }
            Id::SourceFile => file = Some(value),
            Id::SourceFormat => format = Some(value),
            _ => source.take(id, value),
        }
        Ok(())
    })?;
    if actions.is_empty() {
        return Err(no_action());
    }
    let has = |wanted: fn(&BitmapAction) -> bool| actions.iter().any(wanted);
    if granularity != 0 && !has(|action| matches!(action, BitmapAction::Add(_))) {
        return Err(Stop::say("granularity only supported with --add"));
    }
    if format.is_some() && file.is_none() {
        return Err(Stop::say("-F only supported with -b"));
    }
    if file.is_some() && !has(|action| matches!(action, BitmapAction::Merge(_))) {
        return Err(Stop::say("Merge bitmap source file only supported with --merge"));
    }
    for action in &mut actions {
        if let BitmapAction::Add(of) = action {
            *of = granularity;
        }
    }
    let (image, name) = operands_of(operands, &actions)?;
    Ok(Args {
        image,
        source,
        name,
        actions,
        from: file.map(|file| {
            let source = SourceArgs {
                format,
                ..SourceArgs::default()
            };
            (file, source)
        }),
    })
}

/// The image, and the bitmap unless every action is about all of them.
fn operands_of(operands: Vec<OsString>, actions: &[BitmapAction]) -> Step<(OsString, OsString)> {
    if actions.iter().all(|action| *action == BitmapAction::RemoveAll) {
        let [image] = <[OsString; 1]>::try_from(operands).map_err(|_| Stop::say("Expecting filename"))?;
        return Ok((image, OsString::new()));
    }
    let [image, name] =
        <[OsString; 2]>::try_from(operands).map_err(|_| Stop::say("Expecting filename and bitmap name"))?;
    Ok((image, name))
}

fn no_action() -> Stop {
    let all = if release::has(Fact::RemovesAllBitmaps) {
        "--remove-all, "
    } else {
        ""
    };
    Stop::say(format!(
        "Need at least one of --add, --remove, {all}--clear, --enable, --disable, or --merge"
    ))
}

/// Largest size that the reference tool takes for one.
const LARGEST: u64 = (1 << 63) - 1;
