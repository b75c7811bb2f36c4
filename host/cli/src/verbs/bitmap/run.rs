//! `bitmap`, carried out.

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use instar_abi::fault::bitmap as faults;
use instar_abi::job::{BitmapAction, ChangeBitmaps, Verb};
use instar_abi::report::{Failure, Stage};
use instar_engine::Policy as GatePolicy;

use super::args::Args;
use crate::run::change::{opened, warn_of_guess};
use crate::run::files::{self, Names};
use crate::run::progress::Progress;
use crate::run::scene::RunScene;
use crate::run::{Context, concluded_by};
use crate::stop::{Step, Stop};
use crate::value::cache::CacheMode;
use crate::words;
use instar_run::Guest;

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Step<u8> {
    let place = args.source.place(&args.image)?;
    let from = args
        .from
        .as_ref()
        .map(|(file, source)| source.place(file))
        .transpose()?;
    place.image().changeable()?;
    let guest = Guest::prepare(context.policy, 1)?;
    let files = files::none_naming(context.policy, false, GatePolicy::Nothing, false)?;
    let mut names = Names::new();
    // Flushes are honoured: the order of writes is what keeps the image whole.
    let options = files::target_options(CacheMode::Writeback, context.policy);
    let (_, image) = opened(&files, &mut names, &place, &options)?;
    let other = from
        .as_ref()
        .map(|from| files::looked_at(&files, &mut names, from, false, None));
    let verb = Verb::Bitmaps(ChangeBitmaps {
        image,
        name: args.name.as_bytes().to_vec(),
        actions: args.actions.clone(),
        from: other.transpose()?.map(|(_, source)| source),
    });
    let job = context.job(verb, files.facts());
    let ended = guest.run(&job, files, Arc::new(Progress::none()))?;
    warn_of_guess(&place, &ended.reports);
    let given = place.given.as_bytes();
    let scene = RunScene {
        sources: from.iter().map(|from| from.given.as_bytes()).collect(),
        ..RunScene::of(&names, ended.files(), given)
    };
    concluded_by(&ended.reports, &scene, context.program, |failure| {
        let why = words::failure(failure, &scene);
        Stop::Message([before(failure, args, given), why].concat())
    })?;
    Ok(0)
}

/// What stands before the reason of a failure.
fn before(failure: &Failure, args: &Args, image: &[u8]) -> Vec<u8> {
    let number = match failure.stage {
        Stage::BitmapAction(number) => number,
        Stage::Change => return [b"Could not change the bitmaps of '", image, b"': "].concat(),
        _ => return Vec::new(),
    };
    let name = args.name.as_bytes();
    let action = usize::try_from(number)
        .ok()
        .and_then(|number| args.actions.get(number));
    let mut text = b"Operation ".to_vec();
    text.extend_from_slice(action.map_or("", word).as_bytes());
    for part in [b" on bitmap ".as_slice(), name, b" failed: "] {
        text.extend_from_slice(part);
    }
    // The reference tool has a number for the image here, another one every time.
    let more: &[&[u8]] = match failure.fault.code {
        faults::NO_BITMAPS => &[b"Can't store persistent bitmaps to ", image, b": "],
        faults::VERSION
        | faults::NAME_LONG
        | faults::TOO_LARGE
        | faults::TOO_MANY
        | faults::DIRECTORY_FULL
        | faults::NO_DISK => &[b"Can't make bitmap '", name, b"' persistent in '", image, b"': "],
        _ => &[],
    };
    more.iter().for_each(|part| text.extend_from_slice(part));
    text
}

/// What the reference tool calls an action.
const fn word(action: &BitmapAction) -> &'static str {
    match action {
        BitmapAction::Add(_) => "add",
        BitmapAction::Remove => "remove",
        BitmapAction::RemoveAll => "remove-all",
        BitmapAction::Clear => "clear",
        BitmapAction::Enable => "enable",
        BitmapAction::Disable => "disable",
        BitmapAction::Merge(_) => "merge",
    }
}
