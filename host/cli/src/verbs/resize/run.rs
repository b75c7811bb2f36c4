//! `resize`, carried out.

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use instar_abi::fault;
use instar_abi::job::{Change, ChangeImage, Resize, Verb};

use super::args::Args;
use crate::run::apart::{self, Tried};
use crate::run::change::{opened, warn_of_guess, worded};
use crate::run::data_file::{self, Asked};
use crate::run::files::{self, Names};
use crate::run::progress::Progress;
use crate::run::scene::RunScene;
use crate::run::{Context, concluded_by};
use crate::stop::{Step, Stop};
use crate::value::cache::CacheMode;
use crate::value::place::Place;
use crate::words;
use instar_run::Guest;

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Step<u8> {
    let place = args.source.place(&args.image)?;
    place.image().changeable()?;
    // Images of other formats have their data in them: there is nothing to try without.
    if !data_file::may_be_apart(&place) {
        return work(args, &place, Some(data_file::ask(context, &place)), context);
    }
    match apart::tried() {
        Tried::Trying => work(args, &place, None, context),
        Tried::Over(end) => end,
        Tried::Again => {
            let asked = data_file::ask(context, &place);
            work(args, &place, Some(asked), context)
        }
    }
}

/// Carries it out, `apart` being asked for the files in which the image keeps its data; none: it is tried without them.
fn work(args: &Args, place: &Place, apart: Option<Asked>, context: &mut Context<'_>) -> Step<u8> {
    let tries = apart.is_none();
    let guest = Guest::prepare(context.policy, 1)?;
    let files = files::none(context.policy, false)?;
    let mut names = Names::new();
    // Flushes are honoured: the order of writes is what keeps the image whole.
    let options = files::target_options(CacheMode::Writeback, context.policy);
    let (facts, image) = opened(&files, &mut names, place, &options)?;
    let apart = match apart {
        Some(asked) => asked.open(place, facts.slot, context, &files, &options)?,
        None => Vec::new(),
    };
    let change = Change::Resize(Resize {
        size: args.size,
        preallocation: args.preallocation,
        shrink: args.shrink,
        apart: apart.iter().map(|facts| facts.slot).collect(),
    });
    let job = context.job(Verb::Change(ChangeImage { image, change }), files.facts());
    let ended = guest.run(&job, files, Arc::new(Progress::none()))?;
    let scene = RunScene::of(&names, ended.files(), place.given.as_bytes());
    if tries && apart::is_to_be_tried_again(&ended, &scene, context) {
        return Ok(apart::AGAIN);
    }
    warn_of_guess(place, &ended.reports);
    concluded_by(&ended.reports, &scene, context.program, |failure| {
        let why = words::failure(failure, &scene);
        match failure.fault.code {
            fault::resize::SHRINK => Stop::Messages(vec![why, SHRINK_WARNING.into()]),
            _ => worded("resize", place, failure, why),
        }
    })?;
    if !args.quiet {
        context.console.print(b"Image resized.\n");
    }
    Ok(0)
}

/// What the reference tool says besides when `--shrink` is missing.
const SHRINK_WARNING: &str = "warning: Shrinking an image will delete all data beyond the shrunken image's end. Before performing such an operation, make sure there is no important data there.";
