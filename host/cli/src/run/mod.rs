//! Carrying out a command, whichever verb it is: files are opened, the guest runs, what it reports is shown.
//!
//! ```text
//!  Args ──► Guest::prepare ──► Files: what the user named ──► Job ──► Guest::run ──► reports ──► words
//!                 (the process sandbox forks here, before any file is open)            └──► commit or abort
//! ```

pub(crate) mod apart;
pub(crate) mod change;
pub(crate) mod data_file;
pub(crate) mod files;
pub(crate) mod instance;
pub(crate) mod one_image;
pub(crate) mod output;
pub(crate) mod progress;
pub(crate) mod scene;
pub(crate) mod size;
pub(crate) mod target;

use instar_abi::job::{Job, Seed, Verb};
use instar_abi::report::{Done, Failure};
use instar_abi::{FileFacts, Report};
use instar_run::{Cause, Policy};

use crate::console::Console;
use crate::program::Program;
use crate::stop::{Step, Stop};
use crate::words::{self, Scene};

/// What every verb needs.
pub(crate) struct Context<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) program: &'a Program,
    pub(crate) console: &'a mut Console,
}

impl<'a> Context<'a> {
    /// A run begins: its time counts from here.
    pub(crate) fn begin(policy: &'a Policy, program: &'a Program, console: &'a mut Console) -> Self {
        instar_run::started();
        Self {
            policy,
            program,
            console,
        }
    }

    /// The job for `verb` on `files`.
    pub(crate) fn job(&self, verb: Verb, files: Vec<FileFacts>) -> Job {
        let mut job = self.policy.job(verb, files, seed);
        // Who calls the reference tool expects of an archive what that says of it.
        job.bounds.archives = !self.program.is_reference();
        job
    }
}

/// The end of a run as the guest tells it; warnings are said on the way.
pub(crate) fn concluded(reports: &[Report], scene: &dyn Scene, program: &Program) -> Step<Done> {
    concluded_by(reports, scene, program, |failure| failed(failure, scene))
}

/// As [`concluded`], with words of the verb's own for a failure.
pub(crate) fn concluded_by(
    reports: &[Report],
    scene: &dyn Scene,
    program: &Program,
    failed: impl Fn(&Failure) -> Stop,
) -> Step<Done> {
    for report in reports {
        match report {
            Report::Warning(failure) => {
                Console::complain(&words::warning(failure, scene, program));
            }
            // Of an image that had to be repaired before it was changed.
            Report::Findings(found) => Console::complain(&words::findings(found, program)),
            Report::Checked(_, checked) => Console::complain(&words::left_out(checked, program)),
            Report::Done(done) => return Ok(*done),
            Report::Failed(failure) => {
                return Err(failed(failure).because(Cause::of_failure(failure)));
            }
            _ => {}
        }
    }
    Err(crate::stop::silent("reporting a result"))
}

fn failed(failure: &Failure, scene: &dyn Scene) -> Stop {
    Stop::Message(words::failure(failure, scene))
}

/// Where identifiers and times of new images come from: `INSTAR_SEED` for the same bytes every time, else the system.
fn seed() -> Seed {
    if let Some(text) = std::env::var_os("INSTAR_SEED") {
        use std::os::unix::ffi::OsStrExt;
        let mut random = [0; 32];
        for (to, from) in random.iter_mut().zip(text.as_bytes().iter().cycle()) {
            *to = *from;
        }
        return Seed {
            random,
            unix_seconds: 0,
        };
    }
    instar_run::fresh_seed()
}
