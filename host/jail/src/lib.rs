//! Confines the host process before the guest's first instruction runs.
//!
//! ```text
//!   allow_files ─► files opened ─► lock_process ─► lanes' threads ─► thread_start(role), each for itself ─► guest runs
//!                                  │                                  └── seccomp: the calls of its role, and no others
//!                                  ├── Landlock: read in the gate's directories, names in the targets', nothing else
//!                                  ├── no_new_privs, not dumpable, no core file, no capability that is no longer needed
//!                                  └── a handler that names the call that was stopped
//! ```
//!
//! Principles:
//!
//! 1. An attacker who takes over the host side of a lane finds no call that opens, connects, executes or forks.
//! 2. Every remaining call names its caller. The table in [`rules`] is the policy; tests make each call in it, and each
//!    call that is not in it.
//! 3. A protection that the kernel lacks is reported ([`InForce`]), never silently assumed.
//!
//! Order matters: Landlock and no_new_privs come before the threads that inherit them, seccomp after the threads that the
//! control thread may no longer start. Nothing here can be undone.

mod attempt;
pub mod bpf;
mod capabilities;
mod filter;
mod landlock;
mod limits;
mod report;
mod role;
pub mod rules;
mod signals;
mod stopped;

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicI32, Ordering};

pub use attempt::{Half, attempt};
pub use capabilities::{capabilities, keep_for};
pub use filter::{Filter, knows_action as seccomp_knows_action, supported as seccomp_supported};
pub use landlock::{Landlock, supported as landlock_abi};
pub use limits::{allow_files, is_ignored, limit_allocator};
pub use report::InForce;
pub use role::Role;
pub use signals::{Handler, SignalSet, die_by, handle};

/// The access to names that the locked process keeps.
#[derive(Clone, Debug, Default)]
pub struct Confinement<'a> {
    /// Directories in which files may be opened for reading: those of the gate.
    pub read: Vec<BorrowedFd<'a>>,
    /// Directories in which files may get and lose names: those of new targets.
    pub names: Vec<BorrowedFd<'a>>,
    /// A child that was started before must still be killed from here: the process backend's.
    pub child: Option<i32>,
}

/// Confines the calling thread, and the threads that it starts from now on, for good. Call it when all files are open and
/// before any thread is started.
///
/// Landlock is applied as far as the kernel has it; the result says how far.
///
/// # Errors
/// The system's, when something that every kernel has is refused.
pub fn lock_process(confinement: &Confinement<'_>) -> io::Result<InForce> {
    CHILD.store(confinement.child.unwrap_or_default(), Ordering::SeqCst);
    limit_allocator();
    limits::no_core_files()?;
    limits::not_dumpable()?;
    limits::no_new_privileges()?;
    stopped::install()?;
    let landlock = landlock::restrict(confinement)?;
    let capabilities = capabilities::drop_most(confinement)?;
    Ok(InForce {
        landlock,
        capabilities,
        no_new_privileges: true,
        no_core_files: true,
        not_dumpable: true,
        seccomp: seccomp_supported(),
    })
}

/// The child that may be killed; 0 means none.
static CHILD: AtomicI32 = AtomicI32::new(0);

fn child() -> Option<u32> {
    u32::try_from(CHILD.load(Ordering::SeqCst))
        .ok()
        .filter(|child| *child != 0)
}

/// Restricts the calling thread permanently to the capabilities and the system calls of `role`. Any other call ends the process, with
/// a message that names the call.
///
/// # Errors
/// Errors of the system, if it has no seccomp or no_new_privs is not set.
pub fn thread_start(role: Role) -> io::Result<()> {
    keep_for(role)?;
    Filter::new(role)?.apply().map_err(|error| {
        let text = format!("cannot confine a thread with seccomp: {error}");
        io::Error::new(error.kind(), text)
    })
}
