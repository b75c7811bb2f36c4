//! The guest of a run: prepared early, given its job and its files, run to its end.

use std::os::fd::AsFd;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use instar_abi::job::Verb;
use instar_abi::{Job, Report};
use instar_engine::{Engine, Files, ReportLimits};
use instar_jail::{Confinement, Landlock, Role};
use instar_memory::GuestMemory;
use instar_sandbox::{Choice, Mode, Outcome, Sandbox};

use super::clock::{Clock, Limit};
use super::progress::Progress;
use super::reports::{Listener, Reports};
use super::room::Room;
use super::signals::{Signals, Watch};
use crate::console::Console;
use crate::program::Program;
use crate::settings::{Backend, Policy};
use crate::show::Escaped;
use crate::stop::{Step, Stop};
use crate::words;

/// A guest that has not run.
pub(crate) struct Guest {
    sandbox: Sandbox,
    signals: Option<Signals>,
    policy: Policy,
}

/// What is left when the guest has ended.
pub(crate) struct Ended {
    engine: Arc<Engine<Arc<GuestMemory>>>,
    /// What it said.
    pub(crate) reports: Vec<Report>,
    /// The time limit holds until what was found has been said.
    _clock: Option<Clock>,
}

impl Ended {
    pub(crate) fn files(&self) -> &Files {
        self.engine.files()
    }
}

/// New files that are not complete by now go. The thread that watches for signals holds on to the engine until the process
/// ends, so that its files are never dropped.
impl Drop for Ended {
    fn drop(&mut self) {
        self.engine.files().abort();
    }
}

impl Guest {
    /// Prepares a guest for work that leaves nothing behind: signals end it as they end any program.
    pub(crate) fn prepare(policy: &Policy, lanes: u32) -> Step<Self> {
        Self::new(policy, lanes, None)
    }

    /// Prepares a guest for work that has to be undone when a signal ends it.
    pub(crate) fn prepare_guarded(policy: &Policy, lanes: u32) -> Step<Self> {
        // Before the sandbox, so that a confined process has them blocked too: a terminal sends them to both.
        let signals = Signals::block();
        Self::new(policy, lanes, Some(signals))
    }

    fn new(policy: &Policy, lanes: u32, signals: Option<Signals>) -> Step<Self> {
        let choice = choice(policy)?;
        let sandbox = Sandbox::prepare(choice, lanes, policy.memory).map_err(|error| {
            let what = match choice {
                Choice::Kvm => "The KVM sandbox cannot be used",
                Choice::Auto | Choice::Process => "No sandbox can be used on this machine",
            };
            let remedy = match choice {
                Choice::Kvm if !policy.require_kvm => "; try --sandbox process, which does not need /dev/kvm",
                _ => "",
            };
            Stop::say(format!("{what}: {}{remedy}", words::system(&error)))
        })?;
        Ok(Self {
            sandbox,
            signals,
            policy: policy.clone(),
        })
    }

    /// Runs the guest. Without an error it has ended by itself, and its last report says how.
    pub(crate) fn run(self, job: &Job, files: Files, progress: Arc<Progress>) -> Step<Ended> {
        self.run_heard(job, files, progress, None)
    }

    /// As [`Guest::run`], with reports going to `listener` as they come.
    pub(crate) fn run_heard(
        mut self,
        job: &Job,
        files: Files,
        progress: Arc<Progress>,
        listener: Option<Box<dyn Listener>>,
    ) -> Step<Ended> {
        let bytes = instar_abi::encode(job)
            .map_err(|_| Stop::say("the job cannot be passed to the sandbox; please report it"))?;
        self.sandbox
            .set_job(&bytes)
            .map_err(|error| Stop::say(words::system(&error)))?;
        Room::new(job).begin(&files);
        let (sink, kept) = Reports::new(job, Arc::clone(&progress), listener);
        let memory = Arc::clone(self.sandbox.memory());
        let roles = self.roles();
        let window = window(&files, job);
        let limit = Limit::new(&self.policy, &files.facts(), rate(job));
        if let Some(end) = limit.and_then(Limit::deadline) {
            self.sandbox
                .set_timeout(end.saturating_duration_since(Instant::now()));
        }
        files.settle();
        self.confine(&files)?;
        let engine = Engine::new(files, memory, Box::new(sink), report_limits(job));
        let engine = engine
            .with_rate(rate(job))
            .with_window(window)
            .with_sign(self.sandbox.stop_sign());
        let engine = Arc::new(engine);
        let abandon = || {
            let engine = Arc::clone(&engine);
            move || engine.files().abort()
        };
        let watch = self.signals.as_ref().map(|signals| {
            let canceller = self.sandbox.canceller();
            signals.watch(
                move || canceller.cancel(),
                abandon(),
                move || progress.want_line(),
            )
        });
        let clock = limit.map(|limit| Clock::start(limit, abandon()));
        // Lane 0 is served by this thread, which goes on afterwards: it completes the target and prints.
        let control = std::thread::current().id();
        let outcome = self.sandbox.run(&|lane| engine.serve(lane), &|| {
            instar_jail::thread_start(if std::thread::current().id() == control {
                roles.and(Role::CONTROL)
            } else {
                roles
            })
        });
        let signal = watch.as_ref().and_then(Watch::caught).map(Stop::Signal);
        let changed = || engine.files().has_changed_what_was_there();
        if let Some(stop) = signal.or_else(|| broken(&outcome, limit, changed()).map(Stop::say)) {
            engine.files().abort();
            return Err(stop);
        }
        let (reports, warnings_left_out) = kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        if warnings_left_out > 0 {
            let text = format!("warning: {warnings_left_out} further warnings were left out");
            Console::complain(&Program::of_process().message(text.as_bytes()));
        }
        Ok(Ended {
            engine,
            reports,
            _clock: clock,
        })
    }

    /// What the threads that serve lanes are for.
    fn roles(&self) -> Role {
        let lane = match self.sandbox.mode() {
            Mode::Kvm => Role::KVM_LANE,
            Mode::Process => Role::PROCESS_LANE,
        };
        if self.policy.untrusted {
            lane
        } else {
            lane.and(Role::GATE)
        }
    }

    /// Confines our own process: all that the user named is open by now, and no thread has started.
    fn confine(&self, files: &Files) -> Step<()> {
        let targets = files.target_directories();
        let read = files.gate_directories();
        let confinement = Confinement {
            read: read.iter().map(|directory| directory.as_fd()).collect(),
            names: targets.iter().map(|directory| directory.as_fd()).collect(),
            child: self.sandbox.child(),
        };
        let force = instar_jail::lock_process(&confinement).map_err(|error| {
            Stop::say(format!(
                "The host process cannot be confined: {}",
                words::system(&error)
            ))
        })?;
        if self.policy.require_landlock && force.landlock == Landlock::Absent {
            return Err(Stop::say(NO_LANDLOCK));
        }
        Ok(())
    }
}

/// What `require-landlock` asks for is not there.
pub(crate) const NO_LANDLOCK: &str = "the configuration requires Landlock (require-landlock), but this kernel does not have it or has it disabled";

/// The reports that the guest may send. A map is as long as the image is fragmented; the code that prints it checks each run.
fn report_limits(job: &Job) -> ReportLimits {
    match &job.verb {
        Verb::Map(_) => ReportLimits {
            count: u32::MAX,
            bytes: MAP_BYTES,
        },
        _ => ReportLimits::default(),
    }
}

/// Bytes of reports that make a map. Ours: about a billion runs, more than anybody reads.
const MAP_BYTES: u64 = 16 << 30;

/// Bytes a second that the job allows its target.
fn rate(job: &Job) -> u64 {
    match &job.verb {
        Verb::Convert(convert) => convert.rate,
        Verb::Commit(commit) => commit.rate,
        _ => 0,
    }
}

/// Bytes of its targets that the job leaves in the page cache at most; 0 for any number.
fn window(files: &Files, job: &Job) -> u64 {
    match &job.verb {
        Verb::Convert(_) | Verb::Dd(_) | Verb::Rebase(_) | Verb::Commit(_) => super::window::window(files),
        _ => 0,
    }
}

/// Which backend the policy asks for.
pub(crate) fn choice(policy: &Policy) -> Step<Choice> {
    match (policy.backend, policy.require_kvm) {
        (Backend::Process, true) => Err(Stop::say(
            "the configuration requires KVM (require-kvm), which contradicts --sandbox process",
        )),
        (Backend::Kvm, _) | (Backend::Auto, true) => Ok(Choice::Kvm),
        (Backend::Auto, false) => Ok(Choice::Auto),
        (Backend::Process, false) => Ok(Choice::Process),
    }
}

/// The message for an end that was not the guest's own.
fn broken(outcome: &Outcome, limit: Option<Limit>, changed: bool) -> Option<String> {
    let touched = if changed {
        "the target has been changed and may be incomplete; no other file was changed"
    } else {
        "no file was changed"
    };
    Some(match outcome {
        Outcome::Exited => return None,
        Outcome::Fault(fault) => format!("The sandbox stopped the guest: {fault}; {touched}"),
        Outcome::Panicked(text) => format!(
            "The sandboxed parser panicked: {}",
            Escaped(text.get(..SAYING).unwrap_or(text))
        ),
        Outcome::Violation(violation) => {
            format!("The sandbox stopped the guest: it sent {violation}; {touched}")
        }
        Outcome::TimedOut => limit.map(Limit::words).unwrap_or_default(),
        Outcome::Cancelled => "Interrupted".to_owned(),
        Outcome::Failed(error) => format!("The sandbox cannot run: {}", words::system(error)),
    })
}

/// Bytes of a panicking guest's words that are shown. Ours.
const SAYING: usize = 400;

#[cfg(test)]
mod tests {
    use super::{broken, choice};
    use crate::settings::{Backend, Policy};
    use instar_sandbox::{Cause, Choice, GuestFault, Outcome};

    #[test]
    fn requiring_kvm_leaves_no_other_choice() {
        let mut policy = Policy::default();
        assert_eq!(choice(&policy), Ok(Choice::Auto));
        policy.require_kvm = true;
        assert_eq!(choice(&policy), Ok(Choice::Kvm));
        policy.backend = Backend::Process;
        assert!(choice(&policy).is_err());
    }

    #[test]
    fn a_guests_own_words_are_escaped_and_short() {
        let text = broken(
            &Outcome::Panicked([b"a\x1b[2J".to_vec(), vec![b'x'; 1000]].concat()),
            None,
            false,
        );
        let text = text.unwrap();
        assert!(text.contains("a\\x1b[2J"));
        assert!(text.len() < 600);
        let fault = GuestFault {
            cause: Cause::Signal(9),
            instruction: None,
            address: None,
        };
        let untouched = broken(&Outcome::Fault(fault), None, false).unwrap();
        assert!(untouched.ends_with("; no file was changed"));
        let touched = broken(&Outcome::Fault(fault), None, true).unwrap();
        assert!(touched.contains("the target has been changed"), "{touched}");
        assert_eq!(broken(&Outcome::Exited, None, false), None);
    }
}
