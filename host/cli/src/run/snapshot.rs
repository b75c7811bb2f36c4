//! `snapshot`, carried out: the list. What changes an image is refused.

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use instar_abi::Report;
use instar_abi::job::{Source, Verb};
use instar_engine::Policy as GatePolicy;

use super::files::{self, Names};
use super::guest::Guest;
use super::progress::Progress;
use super::scene::ImageScene;
use super::{Context, concluded};
use crate::show::{self, LocalTime};
use crate::stop::{Step, Stop};
use crate::verb::snapshot::{Action, Args};

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Step<u8> {
    let place = args.source.place(&args.image)?;
    if args.action != Action::List {
        let (what, letter) = match args.action {
            Action::Create => ("create", "-c"),
            Action::Apply => ("apply", "-a"),
            Action::Delete | Action::List => ("delete", "-d"),
        };
        return Err(Stop::say(format!(
            "instar does not change images in place yet, so it cannot {what} snapshots ({letter}); -l lists them"
        )));
    }
    let guest = Guest::prepare(context.policy, 1)?;
    // Read before our own process is confined.
    let time = LocalTime::load();
    let files = files::none_naming(context.policy, place.share, GatePolicy::Pieces)?;
    let (facts, busy) = files::source_or_busy(&files, &place, false)?;
    let mut names = Names::new();
    names.set(facts.slot, place.path.as_bytes());
    let source = files::described(&files, facts, &place, None)?;
    let verb = Verb::Snapshots(Source { busy, ..source });
    let job = context.job(verb, files.facts());
    let ended = guest.run(&job, files, Arc::new(Progress::none()))?;
    let scene = ImageScene {
        names: &names,
        given: place.given.as_bytes(),
        files: ended.files(),
    };
    concluded(&ended.reports, &scene, context.program)?;
    for report in &ended.reports {
        if let Report::Snapshots(snapshots) = report {
            context
                .console
                .print(show::snapshots(snapshots, &time).as_bytes());
        }
    }
    Ok(0)
}
