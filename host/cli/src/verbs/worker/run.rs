//! `worker`, carried out.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use instar_abi::job::Verb;
use instar_abi::report::Done;
use instar_abi::worker::{Frame, Handed, Order, Purpose};
use instar_abi::{Report, Slot};
use instar_engine::{Cache, Files, Options, Policy as GatePolicy};
use instar_memory::Violation;
use instar_run::{Cause, Ended, Guest, Listener, Observer};
use rustix::process::{Signal, set_parent_process_death_signal};

use super::args::Args;
use super::order::Line;
use crate::run::Context;
use crate::run::files::Names;
use crate::run::scene::RunScene;
use crate::stop::{Step, Stop, silent};
use crate::words;

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Step<u8> {
    // Who does not wait for the answer any more does not want the work. There is nothing to undo: the files are his.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let broken = |error: std::io::Error| Stop::say(format!("standard input gives no order: {error}"));
    let line = Arc::new(Line::of_process().map_err(broken)?);
    // The process sandbox forks here, before any file has come.
    let prepared = Guest::prepare_guarded(context.policy, instar_run::lanes(args.lanes));
    let (order, files) = line.order().map_err(broken)?;
    let outcome = prepared
        .map_err(Stop::from)
        .and_then(|guest| work(guest, order, files, &line, context));
    let last = match outcome {
        Ok(done) => Frame::Done(done),
        Err(stop) => {
            let cause = stop.cause().unwrap_or(Cause::Sandbox);
            Frame::Failed {
                cause: cause.word().to_owned(),
                errno: cause.errno(),
                message: stop.words(),
            }
        }
    };
    // If nobody listens, there is nobody to tell.
    Ok(u8::from(
        line.say(&last).is_err() || matches!(last, Frame::Failed { .. }),
    ))
}

/// Carries out the order.
fn work(
    guest: Guest,
    order: Order,
    handed: Vec<OwnedFd>,
    line: &Arc<Line>,
    context: &Context<'_>,
) -> Step<Done> {
    if !is_served(&order.verb) {
        return Err(Stop::say("a worker does not do that"));
    }
    let files = context.policy.files(Options {
        policy: GatePolicy::Nothing,
        ..Options::default()
    })?;
    let mut names = Names::new();
    for (file, about) in handed.into_iter().zip(&order.files) {
        let slot = adopt(&files, file, about, context)?;
        names.set(slot, &about.name);
    }
    let sources = order.verb.sources();
    let sources = sources
        .iter()
        .map(|source| name(&order.files, source.slot))
        .collect();
    let target = order.verb.target().map(|target| name(&order.files, target.slot));
    let job = context.job(order.verb.clone(), files.facts());
    let watcher = Arc::new(Watcher::new(line));
    let listener = Box::new(Streams(Arc::clone(line)));
    let ended = guest.run_heard(&job, files, watcher, Some(listener))?;
    let scene = RunScene {
        sources,
        target: target.unwrap_or_default(),
        creating: "error while writing the image",
        ..RunScene::of(&names, ended.files(), b"")
    };
    let done = told(&ended, &scene, line)?;
    ended.files().commit(true)?;
    Ok(done)
}

/// What a library asks for. The others change images in place, by names that the host reads.
const fn is_served(verb: &Verb) -> bool {
    match verb {
        Verb::Check(check) => check.repair.is_none(),
        Verb::Info(info) => !info.backing_chain,
        Verb::Convert(_)
        | Verb::Map(_)
        | Verb::Create(_)
        | Verb::Measure(_)
        | Verb::Compare(_)
        | Verb::Checksum(_)
        | Verb::Safety(_) => true,
        _ => false,
    }
}

/// Takes one of the files.
fn adopt(files: &Files, file: OwnedFd, about: &Handed, context: &Context<'_>) -> Step<Slot> {
    let name = Path::new(OsStr::from_bytes(&about.name));
    let facts = match about.purpose {
        Purpose::Source => files.adopt_source(file, name, true),
        Purpose::Shared => files.adopt_source(file, name, false),
        Purpose::Target => files.adopt_target(file, name, &context.policy.target(Cache::Writeback)),
    };
    facts.map(|facts| facts.slot).map_err(|error| {
        let why = words::run::open(&error);
        Stop::Message(crate::value::place::cannot_open(name.as_os_str(), &why))
            .because(Cause::of_open(&error))
    })
}

/// What the file in that slot is called.
fn name(files: &[Handed], slot: Slot) -> &[u8] {
    usize::try_from(slot.0)
        .ok()
        .and_then(|slot| files.get(slot))
        .map_or(b"", |file| &file.name)
}

/// Hands on what was found, and how it ended.
fn told(ended: &Ended, scene: &RunScene<'_>, line: &Line) -> Step<Done> {
    let gone = |_| Stop::say("nobody listens").because(Cause::Interrupted);
    for report in &ended.reports {
        let frame = match report {
            Report::Done(done) => return Ok(*done),
            Report::Failed(failure) => {
                let words = words::failure(failure, scene);
                return Err(Stop::Message(words).because(Cause::of_failure(failure)));
            }
            Report::Warning(failure) => Frame::Warning(words::failure(failure, scene)),
            Report::Findings(found) => {
                for fault in found {
                    line.say(&Frame::Warning(words::fault(fault).into_bytes()))
                        .map_err(gone)?;
                }
                continue;
            }
            other => Frame::Report(other.clone()),
        };
        line.say(&frame).map_err(gone)?;
    }
    Err(silent("reporting a result"))
}

/// Runs of a map go out as they come: they may be more than our memory.
struct Streams(Arc<Line>);

impl Listener for Streams {
    fn hear(&self, _: &Files, report: Report) -> Result<Option<Report>, Violation> {
        match report {
            Report::Map(_) => {
                let said = self.0.say(&Frame::Report(report));
                said.map_err(|_| Violation::Other("more than anybody listens to"))?;
                Ok(None)
            }
            // Where a run stands is a slot, and every slot was handed over.
            Report::Named { .. } => Ok(None),
            other => Ok(Some(other)),
        }
    }
}

/// Hands on how far the work is, not too often.
struct Watcher {
    line: Arc<Line>,
    told: Mutex<Option<Instant>>,
}

/// Progress is told this often at most.
const PAUSE: Duration = Duration::from_millis(100);

impl Watcher {
    fn new(line: &Arc<Line>) -> Self {
        Self {
            line: Arc::clone(line),
            told: Mutex::new(None),
        }
    }
}

impl Observer for Watcher {
    fn progress(&self, done: u64, total: u64) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let too_soon = told.is_some_and(|told| now.duration_since(told) < PAUSE);
        if too_soon && done != total {
            return;
        }
        *told = Some(now);
        // Who has gone away is noticed at the end.
        let _ = self.line.say(&Frame::Progress { done, total });
    }

    fn warnings_left_out(&self, count: u64) {
        let text = format!("{count} further warnings were left out");
        let _ = self.line.say(&Frame::Warning(text.into_bytes()));
    }
}
