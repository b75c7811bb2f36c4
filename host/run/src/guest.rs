//! The guest of a run: prepared early, given its job and its files, run to its end.

use std::os::fd::AsFd;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use instar_abi::job::Verb;
use instar_abi::{Job, Report};
use instar_engine::{Engine, Files, ReportLimits};
use instar_jail::{Confinement, Landlock, Role};
use instar_memory::GuestMemory;
use instar_sandbox::{Mode, Outcome, Sandbox};

use crate::clock::{Clock, Limit};
use crate::handover::hand_over;
use crate::reports::{Listener, Reports};
use crate::room::Room;
use crate::signals::{Signals, Watch, survive_large_files};
use crate::{Error, Observer, Policy};

/// A guest that has not run.
pub struct Guest {
    sandbox: Sandbox,
    signals: Option<Signals>,
    policy: Policy,
}

/// What is left when the guest has ended.
pub struct Ended {
    engine: Arc<Engine<Arc<GuestMemory>>>,
    /// What it said.
    pub reports: Vec<Report>,
    /// The time limit holds until what was found has been said.
    _clock: Option<Clock>,
}

impl Ended {
    /// The files of the run.
    pub fn files(&self) -> &Files {
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
    pub fn prepare(policy: &Policy, lanes: u32) -> Result<Self, Error> {
        Self::new(policy, lanes, None)
    }

    /// Prepares a guest for work that has to be undone when a signal ends it.
    pub fn prepare_guarded(policy: &Policy, lanes: u32) -> Result<Self, Error> {
        // Before the sandbox, so that a confined process has them blocked too: a terminal sends them to both.
        let signals = Signals::block();
        Self::new(policy, lanes, Some(signals))
    }

    fn new(policy: &Policy, lanes: u32, signals: Option<Signals>) -> Result<Self, Error> {
        survive_large_files();
        let choice = policy.choice()?;
        let sandbox = Sandbox::prepare(choice, lanes, policy.memory).map_err(|error| Error::NoSandbox {
            choice,
            required: policy.require_kvm,
            error,
        })?;
        Ok(Self {
            sandbox,
            signals,
            policy: policy.clone(),
        })
    }

    /// Runs the guest. Without an error it has ended by itself, and its last report says how.
    pub fn run(
        self,
        job: &Job,
        files: Files,
        observer: Arc<impl Observer + 'static>,
    ) -> Result<Ended, Error> {
        self.run_heard(job, files, observer, None)
    }

    /// As [`Guest::run`], with reports going to `listener` as they come.
    pub fn run_heard(
        mut self,
        job: &Job,
        files: Files,
        observer: Arc<impl Observer + 'static>,
        listener: Option<Box<dyn Listener>>,
    ) -> Result<Ended, Error> {
        let bytes = instar_abi::encode(job).map_err(|_| Error::JobNotEncoded)?;
        self.sandbox.set_job(&bytes).map_err(Error::JobRefused)?;
        hand_over(&self.sandbox, &self.policy.secrets, &job.verb)?;
        let observer: Arc<dyn Observer> = observer;
        Room::new(job).begin(&files);
        let (sink, kept) = Reports::new(job, Arc::clone(&observer), listener);
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
            let asked = Arc::clone(&observer);
            signals.watch(move || canceller.cancel(), abandon(), move || asked.asked())
        });
        let clock = limit.map(|limit| {
            let observer = Arc::clone(&observer);
            Clock::start(limit, abandon(), move || observer.timed_out(limit))
        });
        // Lane 0 is served by this thread, which goes on afterwards: it completes the target and prints.
        let control = std::thread::current().id();
        let outcome = self.sandbox.run(&|lane| engine.serve(lane), &|| {
            instar_jail::thread_start(if std::thread::current().id() == control {
                roles.and(Role::CONTROL)
            } else {
                roles
            })
        });
        let signal = watch.as_ref().and_then(Watch::caught).map(Error::Signal);
        let changed = || engine.files().has_changed_what_was_there();
        if let Some(error) = signal.or_else(|| broken(outcome, limit, changed())) {
            engine.files().abort();
            return Err(error);
        }
        let (reports, warnings_left_out) = kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        if warnings_left_out > 0 {
            observer.warnings_left_out(warnings_left_out);
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
    fn confine(&self, files: &Files) -> Result<(), Error> {
        let targets = files.target_directories();
        let read = files.gate_directories();
        let confinement = Confinement {
            read: read.iter().map(|directory| directory.as_fd()).collect(),
            names: targets.iter().map(|directory| directory.as_fd()).collect(),
            child: self.sandbox.child(),
        };
        let force = instar_jail::lock_process(&confinement).map_err(Error::NotConfined)?;
        if self.policy.require_landlock && force.landlock == Landlock::Absent {
            return Err(Error::NoLandlock);
        }
        Ok(())
    }
}

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
        Verb::Convert(_) | Verb::Dd(_) | Verb::Rebase(_) | Verb::Commit(_) => crate::window::window(files),
        _ => 0,
    }
}

/// Why the guest did not end by itself, if it did not.
fn broken(outcome: Outcome, limit: Option<Limit>, changed: bool) -> Option<Error> {
    Some(match outcome {
        Outcome::Exited => return None,
        Outcome::Fault(fault) => Error::Fault { fault, changed },
        Outcome::Panicked(text) => Error::Panicked(text),
        Outcome::Violation(violation) => Error::Violation { violation, changed },
        Outcome::TimedOut => Error::TimedOut(limit),
        Outcome::Cancelled => Error::Cancelled,
        Outcome::Failed(error) => Error::SandboxFailed(error),
    })
}
