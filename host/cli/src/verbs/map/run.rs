//! `map`, carried out. Runs are printed as they come: a map may be longer than our memory.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex, PoisonError};

use instar_abi::job::{self, Verb};
use instar_abi::report::MapRun;
use instar_abi::{FileKind, Report, Slot};
use instar_engine::{Files, Policy as GatePolicy};
use instar_memory::Violation;

use super::args::Args;
use super::show::{MapStyle, MapText};
use crate::run::one_image::Look;
use crate::run::progress::Progress;
use crate::run::scene::RunScene;
use crate::run::{Context, concluded};
use crate::show::Name;
use crate::stop::Step;
use crate::value::nodes;
use instar_run::Listener;

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Step<u8> {
    let place = args.source.place(&args.image)?;
    let opened = Look::at(&place, GatePolicy::Beside)
        .with_busy_layers()
        .open(context.policy)?;
    let verb = |source| {
        Verb::Map(job::Map {
            source,
            start: args.start,
            length: args.length,
            placed_only: !args.json,
        })
    };
    let facts = opened.facts;
    let style = if args.json {
        MapStyle::Json
    } else {
        MapStyle::Human
    };
    let printer = Arc::new(Printer::new(style, Name::given(place.path.as_bytes())));
    // What lies below the format: the part of the file that it stands in, or the file.
    let device = facts.kind == FileKind::Block;
    let part = nodes::names(&place, "", device).into_iter().nth(1);
    let file = Name::given(place.path.as_bytes());
    printer.name(facts.slot, part.filter(|_| !place.bare_file).unwrap_or(file));
    let listener = Box::new(Heard(Arc::clone(&printer)));
    let seen = opened.run_heard(verb, context, Arc::new(Progress::none()), Some(listener));
    // Whatever happened: what was begun is a whole document.
    if let Err(error) = printer.finish() {
        context.console.failed(error);
        return Ok(0);
    }
    let seen = seen?;
    let scene = RunScene {
        moving: Some(["Could not read image metadata"; 2]),
        ..seen.scene()
    };
    concluded(seen.reports(), &scene, context.program)?;
    Ok(0)
}

/// What has been printed so far, and what it takes to go on.
struct Printer(Mutex<State>);

struct State {
    text: MapText,
    buffer: Vec<u8>,
    /// The image's first.
    names: Vec<(Slot, Name)>,
    /// The file that the image or a part of it stands in.
    file: Name,
    failure: Option<std::io::Error>,
}

impl Printer {
    fn new(style: MapStyle, file: Name) -> Self {
        Self(Mutex::new(State {
            file,
            text: MapText::new(style),
            buffer: Vec::new(),
            names: Vec::new(),
            failure: None,
        }))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn name(&self, slot: Slot, name: Name) {
        self.state().name(slot, name);
    }

    /// Ends what was begun.
    fn finish(&self) -> std::io::Result<()> {
        let mut state = self.state();
        let State { text, buffer, .. } = &mut *state;
        text.end(buffer);
        state.print();
        match state.failure.take() {
            None => Ok(()),
            Some(error) => Err(error),
        }
    }
}

impl State {
    fn name(&mut self, slot: Slot, name: Name) {
        if self.known(slot).is_none() {
            self.names.push((slot, name));
        }
    }

    /// The image is raw: what it consists of is the file itself.
    fn is_raw(&mut self) {
        if let Some((_, name)) = self.names.first_mut() {
            name.clone_from(&self.file);
        }
    }

    fn known(&self, slot: Slot) -> Option<&Name> {
        let found = self.names.iter().find(|(known, _)| *known == slot);
        found.map(|(_, name)| name)
    }

    fn runs(&mut self, runs: &[MapRun]) -> Result<(), Violation> {
        let Self {
            text, buffer, names, ..
        } = self;
        let nameless = Name::default();
        for run in runs {
            let slot = run.place.map(|(slot, _)| slot);
            let name = names.iter().find(|(known, _)| Some(*known) == slot);
            let name = name.map_or(&nameless, |(_, name)| name);
            text.run(run, name, buffer).map_err(Violation::Other)?;
        }
        Ok(())
    }

    fn print(&mut self) {
        let mut out = std::io::stdout().lock();
        if self.failure.is_none()
            && let Err(error) = out.write_all(&self.buffer).and_then(|()| out.flush())
        {
            self.failure = Some(error);
        }
        self.buffer.clear();
    }
}

/// The half that the engine calls.
struct Heard(Arc<Printer>);

impl Listener for Heard {
    fn hear(&self, files: &Files, report: Report) -> Result<Option<Report>, Violation> {
        let mut state = self.0.state();
        match report {
            Report::Size(size) => {
                let State { text, buffer, .. } = &mut *state;
                text.begin(size, buffer).map_err(Violation::Other)?;
            }
            Report::Named { slot, namer, .. } if slot == namer => {
                state.is_raw();
                return Ok(None);
            }
            Report::Named { slot, .. } => {
                // Which file that is, and who named it how, is known here: the gate opened it.
                if let Some((namer, name)) = files.named_by(slot) {
                    let above = state.known(namer).cloned().unwrap_or_default();
                    state.name(slot, above.beside(name));
                }
                return Ok(None);
            }
            Report::Map(runs) => state.runs(&runs)?,
            other => return Ok(Some(other)),
        }
        state.print();
        if state.failure.is_some() {
            // Nobody reads on.
            return Err(Violation::Other("more than could be printed"));
        }
        Ok(None)
    }
}
