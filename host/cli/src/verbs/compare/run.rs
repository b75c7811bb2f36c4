//! `compare`, carried out.

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use instar_abi::Report;
use instar_abi::job::{self, Source, Verb};
use instar_abi::report::{Compared, Stage};
use instar_engine::{Files, Policy as GatePolicy};
use instar_memory::Violation;

use super::args::{Args, CANNOT_OPEN};
use crate::run::files::{self, Names};
use crate::run::progress::Progress;
use crate::run::scene::RunScene;
use crate::run::{Context, concluded};
use crate::stop::{Step, Stop};
use instar_run::Guest;
use instar_run::Listener;

/// The exit code where the images differ: reference tool.
const DIFFERENT: u8 = 1;
/// The exit code where it cannot be found out what an image has at a place: reference tool.
const CANNOT_LOCATE: u8 = 3;
/// The exit code where an image cannot be read: reference tool.
const CANNOT_READ: u8 = 4;

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Step<u8> {
    // The reference tool looks at this before it opens anything.
    let mode = args.mode().map_err(|stop| stop.with_code(CANNOT_OPEN))?;
    let guest = Guest::prepare(context.policy, instar_run::lanes(None))
        .map_err(|error| Stop::from(error).with_code(CANNOT_OPEN))?;
    let share = args.sources.iter().any(|source| source.share);
    let files = files::none_naming(context.policy, share, GatePolicy::Beside, true)
        .map_err(|stop| stop.with_code(CANNOT_OPEN))?;
    let mut names = Names::new();
    let mut sources = Vec::new();
    for (image, source) in args.images.iter().zip(&args.sources) {
        let opened = source.place(image).and_then(|place| {
            let direct = mode.is_direct();
            files::looked_at(&files, &mut names, &place, direct, None).map(|(_, source)| source)
        });
        sources.push(opened.map_err(|stop| stop.with_code(CANNOT_OPEN))?);
    }
    let Ok([left, right]) = <[Source; 2]>::try_from(sources) else {
        return Ok(CANNOT_OPEN);
    };
    let verb = Verb::Compare(job::Compare {
        left,
        right,
        strict: args.strict,
    });
    let job = context.job(verb, files.facts());
    let progress = Progress::new(args.progress, args.quiet, context.program.is_reference())
        .map_err(|stop| stop.with_code(CANNOT_OPEN))?;
    let progress = Arc::new(progress);
    let listener = Box::new(Opened(Arc::clone(&progress)));
    let ended = guest.run_heard(&job, files, Arc::clone(&progress), Some(listener));
    let ended = ended.map_err(|error| Stop::from(error).with_code(CANNOT_READ));
    let code = ended.and_then(|ended| {
        let scene = RunScene {
            sources: args.images.iter().map(|image| image.as_bytes()).collect(),
            ..RunScene::of(&names, ended.files(), b"")
        };
        concluded(&ended.reports, &scene, context.program)
            .map_err(|stop| stop.with_code(failure_code(&ended.reports)))?;
        let mut code = 0;
        for report in &ended.reports {
            if let Report::Compared(found) = report {
                let (line, differs) = words(*found);
                if !args.quiet {
                    context.console.print(line.as_bytes());
                }
                code = u8::from(differs) * DIFFERENT;
            }
        }
        Ok(code)
    });
    progress.close();
    code
}

/// Progress is shown once both images are open.
struct Opened(Arc<Progress>);

impl Listener for Opened {
    fn hear(&self, _: &Files, report: Report) -> Result<Option<Report>, Violation> {
        if matches!(report, Report::Size(_)) {
            self.0.begin();
        }
        Ok(Some(report))
    }
}

fn words(found: Compared) -> (String, bool) {
    match found {
        Compared::Identical => ("Images are identical.\n".to_owned(), false),
        Compared::Longer => ("Warning: Image size mismatch!\n".to_owned(), false),
        Compared::Sizes => ("Strict mode: Image size mismatch!\n".to_owned(), true),
        Compared::Content(at) => (format!("Content mismatch at offset {at}!\n"), true),
        Compared::Status(at) => (format!("Strict mode: Offset {at} block status mismatch!\n"), true),
    }
}

fn failure_code(reports: &[Report]) -> u8 {
    let stage = reports.iter().find_map(|report| match report {
        Report::Failed(failure) => Some(failure.stage),
        _ => None,
    });
    match stage {
        Some(Stage::OpenSource(_) | Stage::OpenBacking(_) | Stage::FindPartition(_)) => CANNOT_OPEN,
        Some(Stage::Locate(_)) => CANNOT_LOCATE,
        _ => CANNOT_READ,
    }
}
