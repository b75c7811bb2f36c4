//! Limits that a process may set for itself on any kernel.

use std::io;
use std::ptr;

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::set_no_new_privs;

use crate::signals::SignalSet;

/// No core file, whatever happens: it would hold the guest's memory and pieces of every image.
pub(crate) fn no_core_files() -> io::Result<()> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    Ok(setrlimit(Resource::Core, none)?)
}

/// No other process of the same user may look into this one; also no core file through a pipe.
pub(crate) fn not_dumpable() -> io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Nothing that is executed from here on gains a privilege: what Landlock and seccomp demand.
pub(crate) fn no_new_privileges() -> io::Result<()> {
    Ok(set_no_new_privs(true)?)
}

/// Gives malloc one arena for all threads, before there are any: each further one reserves 64 MiB of address space, and
/// many callers grant us 1 GiB or less. (And choosing among several makes glibc look for processors in /sys, for which a
/// locked thread has no call.)
pub fn limit_allocator() {
    // SAFETY: sets a number; called before threads that could be allocating.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

/// Whether a signal is ignored, as the caller of this program may have arranged.
#[must_use]
pub fn is_ignored(signal: libc::c_int) -> bool {
    let mut action = libc::sigaction {
        sa_sigaction: libc::SIG_DFL,
        sa_mask: SignalSet::of(&[]).raw(),
        sa_flags: 0,
        sa_restorer: None,
    };
    // SAFETY: asks only, and fills the structure in.
    let asked = unsafe { libc::sigaction(signal, ptr::null(), &raw mut action) };
    asked == 0 && action.sa_sigaction == libc::SIG_IGN
}

/// Makes room for as many open files as a run may have, as far as the hard limit allows. Call it before any file is opened: a
/// disk may be written in thousands of pieces, and most callers set the soft limit to 1024.
///
/// # Errors
/// The system's. The limit is then what it was, which is enough for most runs.
pub fn allow_files() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(FILES, |most| most.min(FILES));
    // None is no limit.
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let current = Some(wanted);
    Ok(setrlimit(Resource::Nofile, Rlimit { current, ..limit })?)
}

/// Slots of a run ([`instar_abi::limits::SLOTS`]), each perhaps with a directory of its own, and what the sandbox needs.
const FILES: u64 = 2 * 33_792 + 256;

const _: () = assert!(instar_abi::limits::SLOTS == 33_792);
