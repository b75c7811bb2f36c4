//! Limits that a process may set for itself on any kernel.

use std::io;
use std::ptr;

/// No core file, whatever happens: it would hold the guest's memory and pieces of every image.
pub(crate) fn no_core_files() -> io::Result<()> {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: reads one structure that outlives the call.
    checked(unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) })
}

/// No other process of the same user may look into this one; also no core file through a pipe.
pub(crate) fn not_dumpable() -> io::Result<()> {
    set(libc::PR_SET_DUMPABLE, 0)
}

/// Nothing that is executed from here on gains a privilege: what Landlock and seccomp demand.
pub(crate) fn no_new_privileges() -> io::Result<()> {
    set(libc::PR_SET_NO_NEW_PRIVS, 1)
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
    // SAFETY: every field of the structure may be zero.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
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
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: writes one structure that outlives the call.
    checked(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    let wanted = FILES.min(limit.rlim_max);
    if limit.rlim_cur >= wanted {
        return Ok(());
    }
    limit.rlim_cur = wanted;
    // SAFETY: reads one structure that outlives the call.
    checked(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })
}

fn set(option: libc::c_int, value: libc::c_ulong) -> io::Result<()> {
    let unused = ptr::null::<u8>();
    // SAFETY: both options used here take a number and no pointer.
    checked(unsafe { libc::prctl(option, value, unused, unused, unused) })
}

fn checked(result: libc::c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Slots of a run ([`instar_abi::limits::SLOTS`]), each perhaps with a directory of its own, and what the sandbox needs.
const FILES: u64 = 2 * 33_792 + 256;

const _: () = assert!(instar_abi::limits::SLOTS == 33_792);
