//! `amend`, carried out.

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use instar_abi::job::{Amend, AmendKeys, Change, ChangeImage, Verb};
use instar_abi::{Format, Report};
use instar_engine::{Files, Policy as GatePolicy};
use instar_memory::Violation;

use super::args::{self, Args};
use crate::create::amend;
use crate::run::change::{opened, warn_of_guess, worded};
use crate::run::files::{self, Names};
use crate::run::progress::Progress;
use crate::run::scene::RunScene;
use crate::run::{Context, concluded_by, data_file};
use crate::stop::{Step, Stop};
use crate::value::list;
use crate::value::place::Place;
use crate::value::progress::ShowProgress;
use crate::words;
use instar_run::Guest;
use instar_run::Listener;

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Step<u8> {
    let progress = Progress::new(args.progress, args.quiet, context.program.is_reference())?;
    let progress = Arc::new(progress);
    let help = list::asks_for_help(&args.options);
    // What is wrong with options depends on the format, which the image says.
    // A locked disk has nothing else to be amended by than its keys, and the user says that it is one.
    let place = args.source.place(&args.image)?;
    let wanted = if place.key.is_some() || place.format == Some(Format::Luks) {
        amend::keys(&args.options).map(|keys| {
            Change::Keys(AmendKeys {
                force: args.force,
                ..keys
            })
        })
    } else {
        amend::parse(&args.options).map(|options| {
            Change::Amend(Some(Amend {
                force: args.force,
                encryption: options.encryption.map(|keys| AmendKeys {
                    force: args.force,
                    ..keys
                }),
                ..options
            }))
        })
    };
    let begun = Arc::new(AtomicBool::new(false));
    let listener = Begins {
        progress: Arc::clone(&progress),
        begun: Arc::clone(&begun),
        known: wanted.is_ok() && !help,
    };
    let change = wanted.as_ref().ok().filter(|_| !help);
    let outcome = work(args, &place, change, listener, context);
    if let Ok(format) = &outcome
        && help
    {
        return Err(args::option_help(format.as_bytes()));
    }
    let outcome = outcome.and_then(|_| wanted.map(|_| ()).map_err(Stop::Message));
    match (&outcome, args.progress) {
        (Ok(()), _) => progress.finish(true),
        (Err(_), ShowProgress::Yes) => {
            // The reference tool shows the end of the work, however it ended.
            if begun.load(Ordering::Relaxed) {
                progress.step(1, 1);
            }
            progress.close();
        }
        (Err(_), _) => progress.finish(false),
    }
    outcome.map(|()| 0)
}

/// Progress is shown once it is known that there is something to be done.
struct Begins {
    progress: Arc<Progress>,
    begun: Arc<AtomicBool>,
    /// It is known what.
    known: bool,
}

impl Listener for Begins {
    fn hear(&self, _: &Files, report: Report) -> Result<Option<Report>, Violation> {
        let amendable = [Format::Qcow2, Format::Luks].map(Report::Opened);
        if self.known && amendable.contains(&report) {
            self.begun.store(true, Ordering::Relaxed);
            self.progress.begin();
        }
        Ok(Some(report))
    }
}

/// Changes the image, or only opens it if it is not known how; gives its format.
fn work(
    args: &Args,
    place: &Place,
    wanted: Option<&Change>,
    listener: Begins,
    context: &Context<'_>,
) -> Step<&'static str> {
    place.image().changeable()?;
    let options = match wanted {
        Some(Change::Amend(options)) => options.as_ref(),
        _ => None,
    };
    // Only another size takes more than the image's own file.
    let sized = options.is_some_and(|options| options.size.is_some_and(|size| size != 0));
    let (gate, apart) = if sized {
        (GatePolicy::Beside, Some(data_file::ask(context, place)))
    } else {
        (GatePolicy::Nothing, None)
    };
    let guest = Guest::prepare(context.policy, 1)?;
    let files = files::none_naming(context.policy, false, gate, false)?;
    let mut names = Names::new();
    let how = files::target_options(args.cache, context.policy);
    let (facts, image) = opened(&files, &mut names, place, &how)?;
    let apart = match apart {
        Some(asked) => asked.open(place, facts.slot, context, &files, &how)?,
        None => Vec::new(),
    };
    if let Some(name) = options.and_then(|options| options.data_file.as_deref()) {
        files.remember(facts.slot, &[name]);
    }
    let change = match wanted {
        Some(Change::Amend(Some(options))) => Change::Amend(Some(Amend {
            apart: apart.iter().map(|facts| facts.slot).collect(),
            ..options.clone()
        })),
        Some(other) => other.clone(),
        None => Change::Amend(None),
    };
    let job = context.job(Verb::Change(ChangeImage { image, change }), files.facts());
    let progress = Arc::clone(&listener.progress);
    let ended = guest.run_heard(&job, files, progress, Some(Box::new(listener)))?;
    warn_of_guess(place, &ended.reports);
    let scene = RunScene::of(&names, ended.files(), place.given.as_bytes());
    concluded_by(&ended.reports, &scene, context.program, |failure| {
        worded("amend", place, failure, words::failure(failure, &scene))
    })?;
    let format = ended.reports.iter().find_map(|report| match report {
        Report::Opened(format) => Some(format.name()),
        _ => None,
    });
    format.ok_or_else(|| Stop::say("the sandbox ended without saying what the image is"))
}
