//! `bench`, carried out. Its first line is printed, and its clock started, when the image is open.

use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use instar_abi::job::{Bench, BenchWrites, Source, Verb};
use instar_abi::{Format, Report};
use instar_engine::{Files, Policy as GatePolicy};
use instar_memory::Violation;

use super::args::Args;
use super::show;
use crate::console::Console;
use crate::release::{self, Fact};
use crate::run::change::guessed_raw;
use crate::run::files::{self, Names};
use crate::run::progress::Progress;
use crate::run::scene::RunScene;
use crate::run::{Context, concluded};
use crate::stop::{Step, Stop};
use crate::value::nodes::Part;
use crate::value::place::{Place, cannot_open};
use instar_run::Guest;
use instar_run::Listener;

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Step<u8> {
    let place = args.source.place(&args.image)?;
    let guest = prepare(args, context)?;
    let files = files::none_naming(context.policy, place.share, GatePolicy::Beside, true)?;
    let mut names = Names::new();
    let image = if args.write {
        open_for_writing(args, &place, &files, &mut names, context)?
    } else {
        files::looked_at(&files, &mut names, &place, args.mode.is_direct(), None)?.1
    };
    if args.native && !args.mode.is_direct() && !place.direct {
        let why = b"aio=native was specified, but it requires cache.direct=on, which was not specified.";
        return Err(Stop::Message(cannot_open(&place.given, why)));
    }
    let verb = Verb::Bench(Bench {
        image,
        count: args.count,
        depth: args.depth,
        size: args.size,
        step: args.step(),
        keeps_inside: release::has(Fact::BenchStaysOnTheDisk),
        offset: args.offset,
        writes: args.write.then_some(BenchWrites {
            pattern: args.pattern,
            flush_interval: args.flush_interval,
            drain: args.drain,
        }),
    });
    let job = context.job(verb, files.facts());
    let watch = Arc::new(Watch::default());
    let listener = Box::new(Heard {
        beginning: show::beginning(args),
        warning: (args.write && place.format.is_none()).then(|| guessed_raw(&place)),
        watch: Arc::clone(&watch),
    });
    let ended = guest.run_heard(&job, files, Arc::new(Progress::none()), Some(listener));
    if let Some(error) = watch.state().failure.take() {
        context.console.failed(error);
    }
    let ended = ended?;
    if let Some(took) = watch.state().took {
        context.console.print(show::end(took).as_bytes());
    }
    let scene = RunScene {
        moving: Some(["Failed request"; 2]),
        ..RunScene::of(&names, ended.files(), place.given.as_bytes())
    };
    concluded(&ended.reports, &scene, context.program)?;
    Ok(0)
}

/// Lanes at most where each waits for a device: as many as there can be.
const DIRECT_LANES: u64 = instar_abi::limits::LANES as u64;

/// Requests at once that are worth a lane, where none waits for a device. Ours, measured.
const LANE_DEPTH: u64 = 8;

fn prepare(args: &Args, context: &Context<'_>) -> Step<Guest> {
    let lanes = if args.mode.is_direct() {
        instar_run::direct_lanes(Some(args.depth.min(DIRECT_LANES)))
    } else {
        // A lane with little to do between two doorbells is slower than one that rings for both.
        instar_run::lanes(Some(args.depth / LANE_DEPTH))
    };
    Ok(Guest::prepare(context.policy, lanes)?)
}

fn open_for_writing(
    args: &Args,
    place: &Place,
    files: &Files,
    names: &mut Names,
    context: &Context<'_>,
) -> Step<Source> {
    place.image().writable()?;
    if place.part != Part::default() || !place.parts.is_empty() {
        let why = b"an image that is a part of a file is read, and not changed";
        return Err(Stop::Message(cannot_open(&place.given, why)));
    }
    let options = files::target_options(args.mode, context.policy);
    let facts = place.image().in_place(files, &options)?;
    if place.format != Some(Format::Raw) {
        // Its names stay in it. A raw disk may hold anything, an image of that name included.
        files.keep_record(facts.slot);
    }
    names.set(facts.slot, place.path.as_bytes());
    Ok(place.image().described(files, facts, None)?)
}

/// When the requests began and how long they took.
#[derive(Default)]
struct Watch(Mutex<Times>);

#[derive(Default)]
struct Times {
    began: Option<Instant>,
    took: Option<Duration>,
    /// Standard output takes no more.
    failure: Option<std::io::Error>,
}

impl Watch {
    fn state(&self) -> std::sync::MutexGuard<'_, Times> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The half that the engine calls.
struct Heard {
    beginning: String,
    /// What is said if the image turns out to be raw.
    warning: Option<Vec<u8>>,
    watch: Arc<Watch>,
}

impl Listener for Heard {
    fn hear(&self, _: &Files, report: Report) -> Result<Option<Report>, Violation> {
        let mut times = self.watch.state();
        match report {
            Report::Opened(Format::Raw) => {
                if let Some(warning) = &self.warning {
                    Console::complain(warning);
                }
            }
            Report::Size(_) => {
                let mut console = Console::default();
                console.print(self.beginning.as_bytes());
                times.failure = console.into_failure();
                times.began = Some(Instant::now());
            }
            Report::Answered => times.took = times.began.map(|began| began.elapsed()),
            _ => {}
        }
        Ok(Some(report))
    }
}
