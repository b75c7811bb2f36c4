//! The confined process: one forked child that shares guest memory and nothing else with us.
//!
//! Its lanes are threads of it. By the time it runs a byte of the guest it has no descriptor, no memory but the
//! guest's, no signal handler but ours, and a filter of three system calls. The doorbell is a futex on the mailbox's
//! first word.

mod child;
mod filter;
mod stub;

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::{Duration, Instant};

use instar_abi::layout::{BASE, PAGE, mailbox};
use instar_abi::mailbox::{DOORBELL_GUEST, DOORBELL_HOST};
use instar_jail::SignalSet;
use instar_memory::{GuestMemory, Next, Violation};
use rustix::io::Errno;
use rustix::process::{Pid, Resource, WaitId, WaitIdOptions, WaitIdStatus, getrlimit, waitid};

use self::stub::{DOORBELL_FAULT, STATUS_FAULT, STATUS_SET_UP};
use crate::control::{Control, Target};
use crate::image::{Access, Image};
use crate::plan::Region;
use crate::probe::has_close_range;
use crate::sandbox::said;
use crate::{Cause, GuestFault, Outcome, Serve};

/// The system calls that a lane may make, for `instar sandbox`.
pub(crate) const SYSTEM_CALLS: [&str; 3] = ["exit", "exit_group", "futex (wait and wake)"];

/// How long a server sleeps before it looks after the child, the clock and the canceller.
const TICK: Duration = Duration::from_millis(20);
/// How long a child that was killed may take to be gone.
const LAST_WAIT: Duration = Duration::from_millis(500);
/// What is waited between two looks at it: most are gone at once, one with much memory takes a while.
const FIRST_PAUSE: Duration = Duration::from_micros(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(5);
/// How long a child that says it has faulted may take to end. On a busy machine it waits for its turn.
const LAST_BREATH: Duration = Duration::from_millis(500);

/// The child, before and while it runs the guest. Killed and reaped when dropped.
#[derive(Debug)]
pub(crate) struct Child {
    pid: libc::pid_t,
    /// None where the kernel has no such thing.
    pidfd: Option<OwnedFd>,
    memory: Arc<GuestMemory>,
}

impl Child {
    /// Forks the child. It sets itself up on its own and then waits for [`Child::start`].
    pub(crate) fn new(
        memory: Arc<GuestMemory>,
        regions: &[Region],
        lanes: u32,
        image: &Image<'_>,
    ) -> io::Result<Self> {
        let parameters = stub::Parameters {
            lanes,
            parent: std::process::id(),
            end: BASE + memory.len(),
            entry: image.entry,
        };
        stub::install(&memory, &parameters)?;
        let protections = protections(regions, parameters.end);
        let plan = child::Plan {
            from: memory.as_ptr().expose_provenance() as u64,
            to: BASE,
            length: memory.len(),
            resident: image.resident.map(|resident| (resident.place, resident.length)),
            protections: &protections,
            handler: stub::handler(),
            highest: highest_descriptor()?,
        };
        let (pid, pidfd) = fork(&plan)?;
        Ok(Self { pid, pidfd, memory })
    }

    /// For [`Control::set_child`].
    pub(crate) fn target(&self) -> Target {
        Target {
            pid: self.pid,
            pidfd: self.pidfd.as_ref().map(AsRawFd::as_raw_fd),
        }
    }

    /// Lets the lanes enter the guest.
    pub(crate) fn start(&self) -> io::Result<()> {
        self.memory.store_u32(stub::GO - BASE, 1)?;
        self.memory.futex_wake(stub::GO - BASE, u32::MAX)?;
        Ok(())
    }

    /// Serves a lane until the run is over.
    pub(crate) fn run(&self, lane: u32, control: &Control, serve: &Serve<'_>) {
        let word = mailbox(lane) - BASE;
        while !control.is_over() {
            match self.memory.load_u32(word) {
                Ok(DOORBELL_HOST) => match serve(lane) {
                    Next::Continue => self.answer(word),
                    Next::Exit => control.end(Outcome::Exited),
                    Next::Kill(violation) => control.end(Outcome::Violation(violation)),
                },
                Ok(DOORBELL_GUEST) => {
                    let start = Instant::now();
                    // Cannot be out of bounds: the word was just read.
                    let _ = self.memory.futex_wait(word, DOORBELL_GUEST, Some(TICK));
                    if start.elapsed() >= TICK {
                        self.look_after(control);
                    }
                }
                Ok(DOORBELL_FAULT) => self.fault(control),
                Ok(_) | Err(_) => {
                    control.end(Outcome::Violation(Violation::Other("an unknown doorbell value")));
                }
            }
        }
        // The first lane to notice that time is up tells the others.
        control.check_deadline();
    }

    fn answer(&self, word: u64) {
        // Cannot be out of bounds: the word was just read.
        let _ = self.memory.store_u32(word, DOORBELL_GUEST);
        let _ = self.memory.futex_wake(word, 1);
    }

    /// Ends the run if the child is gone.
    fn look_after(&self, control: &Control) {
        if let Some(outcome) = self.ended() {
            control.end(outcome);
        }
    }

    /// The child says that it has faulted: what came of it.
    fn fault(&self, control: &Control) {
        let mut ended = None;
        look_often(LAST_BREATH, || {
            ended = self.ended();
            ended.is_some() || control.is_over()
        });
        match ended {
            Some(outcome) => control.end(outcome),
            // Another reason came first.
            None if control.is_over() => {}
            None => control.end(Outcome::Violation(Violation::Other("a false report of a fault"))),
        }
    }

    /// How the child ended, if it has.
    fn ended(&self) -> Option<Outcome> {
        let status = match wait(self.pid, WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT) {
            Ok(status) => status?,
            Err(error) => return Some(Outcome::Failed(error)),
        };
        let cause = match (status.exit_status(), status.terminating_signal()) {
            (Some(STATUS_FAULT), _) => return Some(self.recorded_fault()),
            (Some(STATUS_SET_UP), _) => return Some(Outcome::Failed(self.not_set_up())),
            (Some(status), _) => Cause::Ended(status),
            (None, signal) => Cause::Signal(signal.unwrap_or_default()),
        };
        Some(Outcome::Fault(GuestFault::bare(cause)))
    }

    /// The step of its set-up that failed, and the reason.
    fn not_set_up(&self) -> io::Error {
        fence(Ordering::SeqCst);
        let word = |at| self.memory.load_u32(at - BASE).unwrap_or(0);
        let step = usize::try_from(word(stub::FAILED)).unwrap_or(0);
        let step = child::STEPS.get(step).unwrap_or(&child::STEPS[0]);
        let errno = i32::try_from(word(stub::FAILED + 4)).unwrap_or(0);
        let why = match errno {
            0 => "refused by the system".to_owned(),
            errno => said(&io::Error::from_raw_os_error(errno)),
        };
        io::Error::other(format!(
            "the confined process could not be set up; {step} failed: {why}"
        ))
    }

    /// The record of the fault handler.
    fn recorded_fault(&self) -> Outcome {
        fence(Ordering::SeqCst);
        let mut record = [0; 24];
        if let Err(error) = self.memory.read(stub::FAULT - BASE, &mut record) {
            return Outcome::Failed(error.into());
        }
        let mut words = [0; 3];
        for (word, bytes) in words.iter_mut().zip(record.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        let [signal, address, instruction] = words;
        // The guest could have written it too: it may be anything.
        let signal = i32::try_from(signal & 0xff).unwrap_or(0);
        let has_address = [libc::SIGSEGV, libc::SIGBUS].contains(&signal);
        Outcome::Fault(GuestFault {
            cause: Cause::Signal(signal),
            instruction: Some(instruction),
            address: has_address.then_some(address),
        })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.target().kill();
        // A child that cannot be killed dies with this thread. Nothing to be done about a failure: it is not ours any more.
        look_often(LAST_WAIT, || {
            !matches!(wait(self.pid, WaitIdOptions::NOHANG), Ok(None))
        });
    }
}

/// Looks until what is waited for is there, or as long as `most`.
fn look_often(most: Duration, mut is_there: impl FnMut() -> bool) {
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    while !is_there() && start.elapsed() < most {
        std::thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The highest descriptor that may be open, where they cannot be closed all at once.
fn highest_descriptor() -> io::Result<Option<u64>> {
    if has_close_range() {
        return Ok(None);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        let names = open
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok());
        let highest = names.filter_map(|name| name.parse::<u64>().ok()).max();
        // Other threads may be opening files.
        return Ok(Some(highest.unwrap_or(0) + MARGIN));
    }
    let most = getrlimit(Resource::Nofile).maximum.filter(|most| *most <= MANY);
    let most = most.ok_or_else(|| {
        let why = "its open files cannot be closed, because close_range and /proc are both missing (lower ulimit -Hn)";
        io::Error::new(io::ErrorKind::Unsupported, why)
    });
    most.map(Some)
}

/// Ours: what may be opened between looking and closing; and how many descriptors are closed one by one without knowing them.
const MARGIN: u64 = 64;
const MANY: u64 = 1 << 20;

/// Forks. Returns the child's process ID to the parent, and a pidfd where the kernel has them. Never returns in the child.
fn fork(plan: &child::Plan<'_>) -> io::Result<(libc::pid_t, Option<OwnedFd>)> {
    let mut pidfd: libc::c_int = -1;
    let before = all_but_faults().block_only();
    let flags = libc::CLONE_PIDFD;
    // No exit signal: the parent waits for the child by its pidfd, and no other wait in this program must see the child.
    let no_stack: *mut u8 = ptr::null_mut();
    // SAFETY: without CLONE_VM this is a fork; the child makes raw system calls only.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, no_stack, &raw mut pidfd, 0, 0) };
    if pid == 0 {
        // SAFETY: 1. this is the child; 2. signals are blocked; 3. the stub was installed by the caller.
        unsafe { child::become_guest(plan) };
    }
    let error = io::Error::last_os_error();
    before.block_only();
    if pid < 0 {
        return Err(not_started(&error));
    }
    let pid = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
    // A kernel that does not know the flag ignores it.
    let pidfd = (pidfd >= 0).then(|| {
        // SAFETY: the kernel has just made it for us.
        unsafe { OwnedFd::from_raw_fd(pidfd) }
    });
    Ok((pid, pidfd))
}

/// The system refuses to fork. EAGAIN means that a limit on processes was reached.
fn not_started(error: &io::Error) -> io::Error {
    let why = said(error);
    let hint = match error.raw_os_error() {
        Some(libc::EAGAIN) => " (see ulimit -u and the control group's pids.max)",
        _ => "",
    };
    io::Error::other(format!("the confined process cannot be started: {why}{hint}"))
}

/// Every signal that can be blocked and is not a fault.
fn all_but_faults() -> SignalSet {
    let signals = (1..=libc::SIGRTMAX()).filter(|signal| !child::FAULTS.contains(signal));
    SignalSet::of(&signals.collect::<Vec<_>>())
}

/// Waits for the child's end; none if it has not ended and `options` say not to wait.
fn wait(pid: libc::pid_t, options: WaitIdOptions) -> io::Result<Option<WaitIdStatus>> {
    // Its number is its own until it has been waited for, which `Drop` alone does.
    let child = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
    // It was started without a signal for its end.
    let any_kind = WaitIdOptions::from_bits_retain(libc::__WALL.cast_unsigned());
    loop {
        match waitid(WaitId::Pid(child), WaitIdOptions::EXITED | any_kind | options) {
            Err(Errno::INTR) => {}
            ended => return Ok(ended?),
        }
    }
}

/// The mprotect calls that carry the plan out: what it does not name gets no access. The whole starts readable and
/// writable.
fn protections(regions: &[Region], end: u64) -> Vec<(u64, u64, u64)> {
    const NONE: u64 = libc::PROT_NONE as u64;
    const READ: u64 = libc::PROT_READ as u64;
    const EXECUTE: u64 = (libc::PROT_READ | libc::PROT_EXEC) as u64;
    let backend = [
        (stub::STUB, PAGE, Some(EXECUTE)),
        (stub::RECORD, stub::SIGNAL_STACKS - stub::RECORD, None),
        (stub::SIGNAL_STACKS, stub::SIGNAL_STACK_BYTES * 16, None),
    ];
    let planned = regions.iter().map(|region| {
        let protection = match region.access {
            Access::Read => Some(READ),
            Access::Execute => Some(EXECUTE),
            Access::Write => None,
        };
        (region.start, region.length, protection)
    });
    let mut wanted: Vec<_> = planned.chain(backend).collect();
    wanted.sort_unstable();
    let mut calls = Vec::with_capacity(2 * wanted.len());
    let mut free = BASE;
    for (start, length, protection) in wanted {
        if start > free {
            calls.push((free, start - free, NONE));
        }
        calls.extend(protection.map(|protection| (start, length, protection)));
        free = start + length;
    }
    if end > free {
        calls.push((free, end - free, NONE));
    }
    calls
}
