//! `compact`, carried out.

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use instar_abi::Report;
use instar_abi::job::{Change, ChangeImage, Verb};
use instar_abi::report::Stage;
use instar_engine::Policy as GatePolicy;

use super::args::Args;
use super::show;
use crate::run::change::opened;
use crate::run::files::{self, Names};
use crate::run::progress::Progress;
use crate::run::scene::RunScene;
use crate::run::{Context, concluded_by};
use crate::stop::{Step, Stop};
use crate::value::cache::CacheMode;
use crate::words;
use instar_run::Guest;

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Step<u8> {
    let progress = Progress::new(args.progress, args.quiet, context.program.is_reference())?;
    let progress = Arc::new(progress);
    let place = args.source.place(&args.image)?;
    place.image().changeable()?;
    let guest = Guest::prepare(context.policy, 1)?;
    let files = files::none_naming(context.policy, false, GatePolicy::Nothing, false)?;
    let mut names = Names::new();
    // Flushes are honoured: the order of writes is what keeps the image whole.
    let options = files::target_options(CacheMode::Writeback, context.policy);
    let (_, image) = opened(&files, &mut names, &place, &options)?;
    let change = Change::Compact(args.wanted);
    let job = context.job(Verb::Change(ChangeImage { image, change }), files.facts());
    progress.begin();
    let ended = guest.run(&job, files, Arc::clone(&progress));
    progress.finish(ended.is_ok());
    let ended = ended?;
    let scene = RunScene::of(&names, ended.files(), place.given.as_bytes());
    concluded_by(&ended.reports, &scene, context.program, |failure| {
        let why = words::failure(failure, &scene);
        Stop::Message(match failure.stage {
            Stage::Change => [
                b"Could not compact '".as_slice(),
                place.given.as_bytes(),
                b"': ",
                &why,
            ]
            .concat(),
            _ => why,
        })
    })?;
    let done = ended.reports.iter().find_map(|report| match report {
        Report::Compacted(done) => Some(*done),
        _ => None,
    });
    let done = done.ok_or_else(|| Stop::say("the sandbox ended without saying what was done"))?;
    if args.json {
        let name = place.given.as_bytes();
        context.console.print(show::json(&done, name).as_bytes());
    } else if !args.quiet {
        context.console.print(show::human(&done).as_bytes());
    }
    Ok(0)
}
