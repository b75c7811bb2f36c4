//! How a run ends, and how every lane learns of it.
//!
//! One sign says that the run is over. A lane's thread may be asleep in a system call when it is set, so each is sent a
//! signal whose handler does nothing but interrupt; under KVM it also tells the vCPU's next entry to return at once,
//! which closes the gap between looking at the word and entering the guest.

use std::cell::Cell;
use std::io;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use instar_abi::limits::LANES;
use instar_memory::StopSign;
use rustix::process::{Pid, Signal, getpid, kill_process};
use rustix::thread::gettid;

use crate::Outcome;

/// Ends a run from elsewhere. Cheap to copy.
#[derive(Clone, Debug)]
pub struct Canceller(pub(crate) Arc<Control>);

impl Canceller {
    /// Ends the run with [`Outcome::Cancelled`], also one that has not begun.
    ///
    /// May be called from any thread and from a signal handler: it sets a word and sends signals, nothing else.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::SeqCst);
        self.0.sign.raise();
        self.0.kick();
    }
}

/// The state that the lanes' threads share.
#[derive(Debug)]
pub(crate) struct Control {
    cancelled: AtomicBool,
    sign: StopSign,
    outcome: Mutex<Option<Outcome>>,
    /// The threads that serve lanes now; 0 means none.
    threads: [AtomicI32; LANES],
    /// The confined process, if there is one.
    child: OnceLock<Target>,
}

impl Control {
    pub(crate) fn new() -> Self {
        Self {
            cancelled: AtomicBool::new(false),
            sign: StopSign::default(),
            outcome: Mutex::new(None),
            threads: [const { AtomicI32::new(0) }; LANES],
            child: OnceLock::new(),
        }
    }

    /// The stop sign, for the servers of lanes.
    pub(crate) const fn sign(&self) -> &StopSign {
        &self.sign
    }

    /// Whether the run is over.
    pub(crate) fn is_over(&self) -> bool {
        self.sign.is_up()
    }

    /// Ends the run; the first outcome stands.
    pub(crate) fn end(&self, outcome: Outcome) {
        self.outcome
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(outcome);
        self.sign.raise();
        self.kick();
    }

    /// The outcome of the run.
    pub(crate) fn outcome(&self) -> Outcome {
        let ended = self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
        match ended {
            // The guest is not at fault if its child was killed because of the cancellation.
            Some(outcome @ (Outcome::Exited | Outcome::Violation(_) | Outcome::Failed(_))) => outcome,
            _ if self.cancelled.load(Ordering::SeqCst) => Outcome::Cancelled,
            Some(outcome) => outcome,
            None => Outcome::Failed(io::Error::other("the run ended without an outcome")),
        }
    }

    /// Sets the moment when time is over.
    pub(crate) fn set_deadline(&self, deadline: Instant) {
        self.sign.set_deadline(deadline);
    }

    /// Ends the run if its time is over.
    pub(crate) fn check_deadline(&self) {
        if self.sign.is_late() {
            self.end(Outcome::TimedOut);
        }
    }

    /// The process to kill when the run ends.
    pub(crate) fn set_child(&self, child: Target) {
        let _ = self.child.set(child);
        if self.is_over() {
            self.kick();
        }
    }

    /// The calling thread serves `lane` until the guard is dropped. A thread that unwinds ends the run.
    pub(crate) fn enter(&self, lane: u32) -> Serving<'_> {
        let place = usize::try_from(lane).ok().and_then(|lane| self.threads.get(lane));
        if let Some(place) = place {
            place.store(gettid().as_raw_pid(), Ordering::SeqCst);
        }
        Serving { control: self, place }
    }

    fn kick(&self) {
        if let Some(child) = self.child.get() {
            child.kill();
        }
        let process = getpid().as_raw_pid();
        for thread in &self.threads {
            let thread = thread.load(Ordering::SeqCst);
            if thread != 0 {
                // SAFETY: the signal has a handler since `install_handler`; a thread that is gone is an error, no harm.
                unsafe { libc::syscall(libc::SYS_tgkill, process, thread, kick_signal()) };
            }
        }
    }
}

/// A child to kill: its number, which is its own until it has been waited for, and its descriptor if the kernel has such things.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) pid: i32,
    pub(crate) pidfd: Option<i32>,
}

impl Target {
    /// Kills it; harmless when it is gone and not waited for yet.
    pub(crate) fn kill(self) {
        let no_info: *const libc::siginfo_t = std::ptr::null();
        if let Some(pidfd) = self.pidfd {
            // SAFETY: a pidfd always refers to the same process, and no information is passed.
            let sent =
                unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd, libc::SIGKILL, no_info, 0) };
            if sent == 0 {
                return;
            }
        }
        // Where descriptors of processes are unknown or forbidden. (Gone already: this fails as that did.)
        if let Some(child) = Pid::from_raw(self.pid) {
            let _ = kill_process(child, Signal::KILL);
        }
    }
}

/// A thread that serves a lane.
pub(crate) struct Serving<'a> {
    control: &'a Control,
    place: Option<&'a AtomicI32>,
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            place.store(0, Ordering::SeqCst);
        }
        if std::thread::panicking() {
            self.control
                .end(Outcome::Failed(io::Error::other("a thread of the host panicked")));
        }
    }
}

thread_local! {
    /// Where this thread's vCPU looks before it enters the guest.
    static IMMEDIATE_EXIT: Cell<*mut u8> = const { Cell::new(null_mut()) };
}

/// From now on the signal makes this thread's vCPU return at once. `place` is null to end that.
///
/// # Safety
/// 1. `place` is null or good for writes of a byte.
/// 2. It stays so until the next call on this thread.
pub(crate) unsafe fn set_immediate_exit(place: *mut u8) {
    IMMEDIATE_EXIT.set(place);
}

/// The signal that interrupts a lane's thread.
pub(crate) fn kick_signal() -> libc::c_int {
    libc::SIGRTMIN().saturating_add(7)
}

/// Gives the signal its handler. Without SA_RESTART, so that sleeping calls return.
pub(crate) fn install_handler() -> io::Result<()> {
    // SAFETY: 1. the handler touches a thread-local cell, and the byte behind it; 2. it reads no argument.
    unsafe { instar_jail::handle(kick_signal(), on_kick) }
}

extern "C" fn on_kick(_signal: libc::c_int, _: *const libc::siginfo_t, _: *const libc::c_void) {
    let place = IMMEDIATE_EXIT.get();
    if !place.is_null() {
        // SAFETY: 1. and 2. of `set_immediate_exit`, and this is its thread.
        unsafe { place.write_volatile(1) };
    }
}
