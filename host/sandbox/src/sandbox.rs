//! One guest, from its preparation to its end, whichever backend runs it.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use instar_abi::layout::{
    BASE, BootInfo, CONTROL, JOB, LAST_WORDS, LAST_WORDS_BYTES, MAX_BYTES, MIN_BYTES, SECRETS, SECRETS_BYTES,
};
use instar_abi::limits::{JOB_BYTES, LANES};
use instar_memory::{GuestMemory, Next, StopSign};
use zerocopy::IntoBytes;

use crate::control::{Canceller, Control, install_handler};
use crate::image::{Access, Guest, Image};
use crate::kvm::{self, Machine};
use crate::plan::plan;
use crate::process::Child;
use crate::timer::Timer;
use crate::{Choice, Mode, Outcome, Serve};

/// A guest that is loaded and has not run yet, or has.
#[derive(Debug)]
pub struct Sandbox {
    backend: Backend,
    memory: Arc<GuestMemory>,
    control: Arc<Control>,
    lanes: u32,
    level: &'static str,
    fallback: Option<io::Error>,
    boot: Mutex<BootInfo>,
    /// Where the guest may write, from the start of its memory.
    writable: Vec<Range<u64>>,
    timeout: Option<Duration>,
    started: AtomicBool,
}

#[derive(Debug)]
enum Backend {
    Kvm(Machine),
    Process(Child),
}

impl Sandbox {
    /// Loads the embedded guest. Call it early: a confined process inherits a copy of what this one has in memory until
    /// it drops it.
    ///
    /// `lanes` is at least 1 and at most [`LANES`]; `memory_bytes` lies between [`MIN_BYTES`] and [`MAX_BYTES`] and is
    /// rounded up to 2 MiB. Keep the calling thread alive until the end of the run: a confined process dies with it.
    ///
    /// # Errors
    /// The system's, when the mode chosen is not available; for [`Choice::Auto`], when neither is.
    pub fn prepare(choice: Choice, lanes: u32, memory_bytes: u64) -> io::Result<Self> {
        // For tests of this program with a guest that has been taken over. No build for use knows the variable.
        #[cfg(debug_assertions)]
        if let Some(path) = std::env::var_os("INSTAR_TEST_GUEST") {
            let elf = std::fs::read(path)?;
            return Self::prepare_guest(choice, lanes, memory_bytes, Guest::from_elf(&elf));
        }
        Self::prepare_guest(choice, lanes, memory_bytes, Guest::embedded())
    }

    /// The same with another guest.
    ///
    /// # Errors
    /// As [`Sandbox::prepare`]; `InvalidData` if the guest is not a static ELF that follows the layout.
    pub fn prepare_guest(
        choice: Choice,
        lanes: u32,
        memory_bytes: u64,
        guest: Guest<'_>,
    ) -> io::Result<Self> {
        if !(1..=LANES).contains(&(lanes as usize)) || !(MIN_BYTES..=MAX_BYTES).contains(&memory_bytes) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "lanes or memory out of range",
            ));
        }
        let order = Order {
            image: guest.parse()?,
            lanes,
            memory_bytes: memory_bytes.next_multiple_of(2 << 20),
        };
        install_handler()?;
        instar_jail::limit_allocator();
        let (backend, memory, fallback) = match choice {
            Choice::Kvm => order.kvm().map(|(backend, memory)| (backend, memory, None)),
            Choice::Process => order.process().map(|(backend, memory)| (backend, memory, None)),
            Choice::Auto => match order.kvm() {
                Ok((backend, memory)) => Ok((backend, memory, None)),
                Err(error) => match order.process() {
                    Ok((backend, memory)) => Ok((backend, memory, Some(error))),
                    Err(process) => Err(neither(&error, &process)),
                },
            },
        }?;
        let control = Arc::new(Control::new());
        let doorbell = match &backend {
            Backend::Kvm(_) => BootInfo::DOORBELL_PORT,
            Backend::Process(child) => {
                control.set_child(child.target());
                BootInfo::DOORBELL_FUTEX
            }
        };
        order.load(&memory)?;
        let writable = order.writable();
        let boot = BootInfo {
            magic: BootInfo::MAGIC,
            memory_bytes: memory.len(),
            job_bytes: 0,
            secret_bytes: 0,
            lanes,
            doorbell,
        };
        Ok(Self {
            backend,
            memory,
            control,
            lanes,
            level: guest.level(),
            fallback,
            boot: Mutex::new(boot),
            writable,
            timeout: None,
            started: AtomicBool::new(false),
        })
    }

    /// The number of the confined process, if the guest runs in one.
    #[must_use]
    pub fn child(&self) -> Option<i32> {
        match &self.backend {
            Backend::Kvm(_) => None,
            Backend::Process(child) => Some(child.target().pid),
        }
    }

    /// The memory of the guest.
    #[must_use]
    pub const fn memory(&self) -> &Arc<GuestMemory> {
        &self.memory
    }

    /// The backend that runs the guest.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        match self.backend {
            Backend::Kvm(_) => Mode::Kvm,
            Backend::Process(_) => Mode::Process,
        }
    }

    /// Why [`Choice::Auto`] did not take KVM, if it did not.
    #[must_use]
    pub const fn fallback(&self) -> Option<&io::Error> {
        self.fallback.as_ref()
    }

    /// The processor level that the guest is built for.
    #[must_use]
    pub const fn level(&self) -> &'static str {
        self.level
    }

    /// Lanes of the guest.
    #[must_use]
    pub const fn lanes(&self) -> u32 {
        self.lanes
    }

    /// A handle that ends the run.
    #[must_use]
    pub fn canceller(&self) -> Canceller {
        Canceller(Arc::clone(&self.control))
    }

    /// The sign that the run is over: to be looked at between pieces of long work on behalf of the guest.
    #[must_use]
    pub fn stop_sign(&self) -> StopSign {
        self.control.sign().clone()
    }

    /// Ends the run with [`Outcome::TimedOut`] when it has lasted this long.
    pub const fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = Some(timeout);
    }

    /// Gives the guest its job, as [`instar_abi::encode`] makes it.
    ///
    /// # Errors
    /// `InvalidInput` for a job that is too long.
    pub fn set_job(&self, job: &[u8]) -> io::Result<()> {
        if job.len() > JOB_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the job is too long"));
        }
        self.memory.write(JOB - BASE, job)?;
        self.boot.lock().unwrap_or_else(PoisonError::into_inner).job_bytes = job.len() as u64;
        Ok(())
    }

    /// Gives the guest its secrets, as [`instar_abi::encode`] makes them.
    ///
    /// # Errors
    /// `InvalidInput` for secrets that are too long.
    pub fn set_secrets(&self, secrets: &[u8]) -> io::Result<()> {
        if secrets.len() as u64 > SECRETS_BYTES {
            let text = "the secrets are too long: they have room in 64 KiB together";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        self.memory.write(SECRETS - BASE, secrets)?;
        let mut boot = self.boot.lock().unwrap_or_else(PoisonError::into_inner);
        boot.secret_bytes = secrets.len() as u64;
        Ok(())
    }

    /// Runs the guest to its end; a second call fails.
    ///
    /// `serve` is called with a lane's number, on the thread of that lane, whenever the lane has rung; it must come back
    /// soon after [`Sandbox::stop_sign`] says so. `thread_start` is called once on every thread that will serve, before the
    /// guest's first instruction. Lane 0 is served by the calling thread, so one lane needs no thread at all.
    pub fn run(&self, serve: &Serve<'_>, thread_start: &(dyn Fn() -> io::Result<()> + Sync)) -> Outcome {
        match self.try_run(serve, thread_start) {
            Ok(()) => {}
            Err(error) => self.control.end(Outcome::Failed(error)),
        }
        match self.control.outcome() {
            Outcome::Fault(fault) => self.last_words().map_or(Outcome::Fault(fault), Outcome::Panicked),
            other => other,
        }
    }

    fn try_run(
        &self,
        serve: &Serve<'_>,
        thread_start: &(dyn Fn() -> io::Result<()> + Sync),
    ) -> io::Result<()> {
        if self.started.swap(true, Ordering::SeqCst) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the guest has already run",
            ));
        }
        let boot = *self.boot.lock().unwrap_or_else(PoisonError::into_inner);
        self.memory.write(CONTROL - BASE, boot.as_bytes())?;
        self.memory.seal(self.writable.clone());
        let gate = Gate::new(self.lanes);
        let lane = |lane: u32| {
            let serving = self.control.enter(lane);
            if let Err(error) = thread_start() {
                self.control.end(Outcome::Failed(error));
            }
            gate.pass(&self.control);
            if lane == 0 {
                self.start();
            }
            match &self.backend {
                Backend::Kvm(machine) => machine.run(lane, &self.control, serve),
                Backend::Process(child) => child.run(lane, &self.control, serve),
            }
            drop(serving);
        };
        // Interrupts this thread when time is over; dropped, and so disarmed, when the lanes have ended.
        let _timer = match self.timeout {
            Some(timeout) => {
                self.control.set_deadline(Instant::now() + timeout);
                Some(Timer::new(timeout)?)
            }
            None => None,
        };
        if self.lanes == 1 {
            lane(0);
            return Ok(());
        }
        thread::scope(|scope| {
            for number in 1..self.lanes {
                let lane = &lane;
                thread::Builder::new()
                    .name(format!("lane {number}"))
                    .stack_size(THREAD_STACK)
                    .spawn_scoped(scope, move || lane(number))
                    .inspect_err(|error| self.control.end(Outcome::Failed(no_thread(error))))?;
            }
            lane(0);
            Ok(())
        })
    }

    /// The last step before the guest's first instruction.
    fn start(&self) {
        if let Backend::Process(child) = &self.backend
            && let Err(error) = child.start()
        {
            self.control.end(Outcome::Failed(error));
        }
    }

    /// The last words of a guest that panicked.
    fn last_words(&self) -> Option<Vec<u8>> {
        let length = u64::from(self.memory.load_u32(LAST_WORDS - BASE).ok()?);
        if length == 0 {
            return None;
        }
        let length = length.min(LAST_WORDS_BYTES - 4);
        let mut words = vec![0; usize::try_from(length).ok()?];
        self.memory.read(LAST_WORDS - BASE + 4, &mut words).ok()?;
        Some(words)
    }
}

/// A thread could not be started. The system gives the same error for memory, for the user's limit on processes and for a control
/// group's.
fn no_thread(error: &io::Error) -> io::Error {
    let why = said(error);
    io::Error::other(format!(
        "cannot start a thread for another lane: {why} (see ulimit -u and the control group's pids.max, or use one lane with -m 1)"
    ))
}

/// The system's message, without Rust's number.
pub(crate) fn said(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text.get(..end).unwrap_or(&text).to_owned(),
        None => text,
    }
}

/// Neither backend is available; gives both reasons.
fn neither(kvm: &io::Error, process: &io::Error) -> io::Error {
    let (kvm, process) = (said(kvm), said(process));
    io::Error::new(
        io::ErrorKind::Unsupported,
        format!("neither a virtual machine ({kvm}) nor a confined process ({process}) can be used"),
    )
}

/// Stack of a thread that serves a lane.
const THREAD_STACK: usize = 256 << 10;

/// The parameters of a sandbox.
struct Order<'a> {
    image: Image<'a>,
    lanes: u32,
    memory_bytes: u64,
}

impl Order<'_> {
    fn kvm(&self) -> io::Result<(Backend, Arc<GuestMemory>)> {
        let kvm = kvm::open()?;
        let memory = Arc::new(GuestMemory::private(self.memory_bytes)?);
        let regions = plan(&self.image, self.lanes, self.memory_bytes);
        let machine = Machine::new(&kvm, Arc::clone(&memory), &regions, self.lanes, &self.image)?;
        Ok((Backend::Kvm(machine), memory))
    }

    fn process(&self) -> io::Result<(Backend, Arc<GuestMemory>)> {
        let memory = Arc::new(GuestMemory::shared(self.memory_bytes)?);
        let regions = plan(&self.image, self.lanes, self.memory_bytes);
        let child = Child::new(Arc::clone(&memory), &regions, self.lanes, &self.image)?;
        Ok((Backend::Process(child), memory))
    }

    /// Where the plan lets the guest write: the one answer to where we may.
    fn writable(&self) -> Vec<Range<u64>> {
        let regions = plan(&self.image, self.lanes, self.memory_bytes);
        let writable = regions.iter().filter(|region| region.access == Access::Write);
        writable
            .map(|region| region.start - BASE..region.end() - BASE)
            .collect()
    }

    /// Copies the guest to its place, but for code that the backend has mapped. What follows a segment's bytes is zero
    /// already.
    fn load(&self, memory: &GuestMemory) -> io::Result<()> {
        for segment in self.image.copied() {
            memory.write(segment.address - BASE, segment.bytes)?;
        }
        Ok(())
    }
}

/// Holds the lanes until all of them have come.
struct Gate {
    missing: Mutex<u32>,
    open: Condvar,
}

impl Gate {
    fn new(lanes: u32) -> Self {
        Self {
            missing: Mutex::new(lanes),
            open: Condvar::new(),
        }
    }

    /// Returns when every lane has come here, or the run is over.
    fn pass(&self, control: &Control) {
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        *missing = missing.saturating_sub(1);
        if *missing == 0 {
            self.open.notify_all();
        }
        while *missing > 0 && !control.is_over() {
            missing = self
                .open
                .wait_timeout(missing, Duration::from_millis(10))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Sandbox>();
    // A lane's server gives Next.
    let _: Option<Next> = None;
};
