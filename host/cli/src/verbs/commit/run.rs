//! `commit`, carried out.
//!
//! ```text
//!  IMAGE ──► names followed to the base, which the host opens ──► guest: copies into the base, then empties IMAGE
//! ```

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use instar_abi::job::{self, Verb};
use instar_abi::report::{Failure, Stage};

use super::args::Args;
use super::base::{Absent, Base, Way};
use crate::console::Console;
use crate::run::change::guessed_raw;
use crate::run::files::{self, Names};
use crate::run::progress::Progress;
use crate::run::scene::RunScene;
use crate::run::{Context, concluded, concluded_by, target};
use crate::stop::{Step, Stop};
use crate::value::cache::CacheMode;
use crate::value::place::{Below, Place, cannot_open};
use crate::value::progress::ShowProgress;
use crate::words;
use instar_run::Guest;

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Step<u8> {
    let mode = args.mode()?;
    let place = args.source.place(&args.image)?;
    let progress = Arc::new(Progress::new(
        args.progress,
        args.quiet,
        context.program.is_reference(),
    )?);
    progress.begin();
    let result = work(args, mode, &place, &progress, context);
    progress.finish(result.is_ok());
    result?;
    if !args.quiet {
        context.console.print(b"Image committed.\n");
    }
    Ok(0)
}

fn work(
    args: &Args,
    mode: CacheMode,
    place: &Place,
    progress: &Arc<Progress>,
    context: &mut Context<'_>,
) -> Step<()> {
    committable(place)?;
    let lanes = match mode.is_direct() {
        true => instar_run::direct_lanes(None),
        false => instar_run::lanes(None),
    };
    let guest = Guest::prepare_guarded(context.policy, lanes)?;
    let files = files::none(context.policy, false)?;
    let options = files::target_options(mode, context.policy);
    let facts = place.image().in_place(&files, &options)?;
    // The image is the same one, or an empty one; its names stay.
    files.keep_record_throughout(facts.slot);
    let mut names = Names::new();
    names.set(facts.slot, place.path.as_bytes());
    // The layers below are opened by the names in the images, whatever the user says of them.
    let alone = Place {
        below: Below::Named,
        ..place.clone()
    };
    let image = alone.image().described(&files, facts, None)?;
    let mut probed_raw = false;
    let way = Way {
        args,
        place,
        files: &files,
        options: &options,
        context,
    };
    let found = way.follow(facts.slot, &mut probed_raw);
    if probed_raw {
        Console::complain(&guessed_raw(place));
    }
    let Base {
        slot,
        path,
        locked,
        apart,
        own_data,
    } = match found {
        Ok(base) => base,
        Err(Absent::Certain(stop)) => return Err(stop),
        Err(Absent::Layer(stop)) => {
            let ended = target::look_at(Some(&image), guest, files, context)?;
            let scene = RunScene::of(&names, ended.files(), place.given.as_bytes());
            concluded(&ended.reports, &scene, context.program)?;
            return Err(stop);
        }
    };
    let verb = Verb::Commit(job::Commit {
        image,
        base: slot,
        locked,
        apart,
        empties: args.empties(),
        emptied_data: args
            .empties()
            .then(|| way.own_data(facts.slot, &own_data?))
            .flatten(),
        rate: args.rate,
        watched: args.progress != ShowProgress::No && !args.quiet,
    });
    let job = context.job(verb, files.facts());
    let ended = guest.run(&job, files, Arc::clone(progress))?;
    let scene = RunScene {
        target: path.as_bytes(),
        moving: Some(["Block job failed"; 2]),
        ..RunScene::of(&names, ended.files(), place.given.as_bytes())
    };
    concluded_by(&ended.reports, &scene, context.program, |failure| {
        failed(failure, &scene, place)
    })?;
    Ok(ended.files().commit(false)?)
}

/// The image may have been committed, and not emptied.
fn failed(failure: &Failure, scene: &RunScene<'_>, place: &Place) -> Stop {
    let why = words::failure(failure, scene);
    Stop::Message(match failure.stage {
        Stage::Change => [b"Could not empty ", place.given.as_bytes(), b": ", &why].concat(),
        _ => why,
    })
}

/// Refuses an image that is not to be changed, or not by what it names.
fn committable(place: &Place) -> Step<()> {
    place.image().changeable()?;
    if place.below == Below::Nothing {
        let why = b"instar commits an image only to its own backing file, not to another 'backing'";
        return Err(Stop::Message(cannot_open(&place.given, why)));
    }
    Ok(())
}
