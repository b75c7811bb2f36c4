//! Carrying out a command, whichever verb it is: files are opened, the guest runs, what it reports is shown.
//!
//! ```text
//!  Args ──► Guest::prepare ──► Files: what the user named ──► Job ──► Guest::run ──► reports ──► words
//!                 (the process sandbox forks here, before any file is open)            └──► commit or abort
//! ```

mod aside;
pub(crate) mod change;
pub(crate) mod clock;
pub(crate) mod data_file;
pub(crate) mod files;
pub(crate) mod guest;
pub(crate) mod instance;
pub(crate) mod one_image;
pub(crate) mod progress;
pub(crate) mod reports;
mod room;
pub(crate) mod scene;
mod signals;
pub(crate) mod size;
pub(crate) mod target;
mod window;

pub(crate) use signals::die_by;

use instar_abi::job::{Bounds, Job, Seed, Verb};
use instar_abi::report::{Done, Failure};
use instar_abi::{FileFacts, Report};

use crate::console::Console;
use crate::program::Program;
use crate::settings::{Policy, UNTRUSTED_SIZE};
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
        clock::started();
        Self {
            policy,
            program,
            console,
        }
    }

    /// The job for `verb` on `files`.
    pub(crate) fn job(&self, verb: Verb, files: Vec<FileFacts>) -> Job {
        let policy = self.policy;
        let default = Bounds::default();
        let untrusted_cap = if policy.untrusted || matches!(verb, Verb::Safety(_)) {
            UNTRUSTED_SIZE
        } else {
            default.virtual_size
        };
        // For what is written, and for what an image that is walked through must not be able to foresee.
        let seed = match verb {
            Verb::Info(_) | Verb::Snapshots(_) | Verb::Check(_) => Seed::default(),
            _ => seed(),
        };
        Job {
            verb,
            files,
            bounds: Bounds {
                chain_depth: policy.max_chain,
                virtual_size: policy.max_size.unwrap_or(untrusted_cap),
                untrusted: policy.untrusted,
                // Who bounds the output need not guess at what a sound image may come to.
                amplification: policy.max_output.map_or(default.amplification, |_| u64::MAX),
            },
            seed,
        }
    }

    /// Lanes for work that can be shared out: as many as asked for, else one for each CPU.
    pub(crate) fn lanes(asked: Option<u64>) -> u32 {
        let cpus = Self::cpus();
        asked.map_or(cpus, Self::bounded).min(cpus)
    }

    /// Lanes for work past the page cache, which waits for its devices with every request: more of them than there are CPUs can
    /// be of use, and one alone never writes while it reads.
    pub(crate) fn direct_lanes(asked: Option<u64>) -> u32 {
        asked.map_or(Self::cpus().max(2), Self::bounded)
    }

    fn cpus() -> u32 {
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        u64::try_from(cpus).map_or(1, Self::bounded)
    }

    fn bounded(lanes: u64) -> u32 {
        u32::try_from(lanes).unwrap_or(u32::MAX).clamp(1, MOST_LANES)
    }
}

/// [`instar_abi::limits::LANES`], as lanes are counted.
const MOST_LANES: u32 = 16;
const _: () = assert!(instar_abi::limits::LANES == 16);

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
                let text = [b"warning: ".to_vec(), words::failure(failure, scene)].concat();
                Console::complain(&program.message(&text));
            }
            // Of an image that had to be repaired before it was changed.
            Report::Findings(found) => Console::complain(&words::findings(found, program)),
            Report::Checked(_, checked) => Console::complain(&words::left_out(checked, program)),
            Report::Done(done) => return Ok(*done),
            Report::Failed(failure) => return Err(failed(failure)),
            _ => {}
        }
    }
    Err(Stop::say("the sandbox exited without reporting a result"))
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
    let mut random = [0; 32];
    // A machine without it cannot make good identifiers, but it can convert images.
    let _ = std::fs::File::open("/dev/urandom")
        .and_then(|mut source| std::io::Read::read_exact(&mut source, &mut random));
    let unix_seconds = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    Seed { random, unix_seconds }
}
