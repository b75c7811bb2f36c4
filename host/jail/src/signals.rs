//! Signals that wait in the kernel until a thread asks for them: they are blocked, and no handler runs.

use std::io;
use std::{fmt, mem};

/// A set of signals, by their numbers.
#[derive(Clone, Copy)]
pub struct SignalSet(libc::sigset_t);

impl SignalSet {
    /// These; numbers of no signal are left out.
    #[must_use]
    pub fn of(signals: &[i32]) -> Self {
        // SAFETY: on this platform a set is an array of words, and that of zeros is empty.
        let mut set: libc::sigset_t = unsafe { mem::zeroed() };
        for signal in signals {
            // SAFETY: changes one bit of a set of our own, or nothing.
            unsafe { libc::sigaddset(&raw mut set, *signal) };
        }
        Self(set)
    }

    /// Those that are blocked in this thread.
    #[must_use]
    pub fn blocked() -> Self {
        Self::of(&[]).mask(libc::SIG_BLOCK)
    }

    /// As the C library holds it.
    #[must_use]
    pub const fn raw(&self) -> libc::sigset_t {
        self.0
    }

    /// Whether the signal is one of them.
    #[must_use]
    pub fn contains(&self, signal: i32) -> bool {
        // SAFETY: reads a set of our own.
        unsafe { libc::sigismember(&raw const self.0, signal) == 1 }
    }

    /// Blocks them in this thread and in those that it starts.
    pub fn block(&self) {
        let _ = self.mask(libc::SIG_BLOCK);
    }

    /// Lets them through in this thread.
    pub fn unblock(&self) {
        let _ = self.mask(libc::SIG_UNBLOCK);
    }

    /// Blocks these in this thread and lets all others through; gives those that were blocked before.
    pub fn block_only(&self) -> Self {
        self.mask(libc::SIG_SETMASK)
    }

    /// Gives those that were blocked before. It fails only for a `how` that does not exist.
    fn mask(&self, how: libc::c_int) -> Self {
        let mut before = self.0;
        // SAFETY: reads one set of our own and fills in another. A handler that runs because of it is this crate's, or ends the process.
        unsafe { libc::pthread_sigmask(how, &raw const self.0, &raw mut before) };
        Self(before)
    }

    /// Waits for one of them, which must be blocked.
    ///
    /// # Errors
    /// The set has no signal that can be waited for.
    pub fn wait(&self) -> io::Result<i32> {
        let mut signal = 0;
        // SAFETY: reads a set of our own and fills in a number of our own.
        match unsafe { libc::sigwait(&raw const self.0, &raw mut signal) } {
            0 => Ok(signal),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

impl fmt::Debug for SignalSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries((1..=64).filter(|signal| self.contains(*signal)))
            .finish()
    }
}

/// Ends this process by the signal, so that its parent sees which one it was. Returns if the signal is ignored, or none.
pub fn die_by(signal: i32) {
    SignalSet::of(&[signal]).unblock();
    raise(signal);
}

fn raise(signal: i32) {
    // SAFETY: sends a signal to this thread; no memory is involved.
    unsafe { libc::raise(signal) };
}

/// A handler: it may be called at any instruction of any thread.
pub type Handler = extern "C" fn(libc::c_int, *const libc::siginfo_t, *const libc::c_void);

/// From now on `handler` runs when the signal comes; calls that sleep then return, without being begun again.
///
/// # Errors
/// The system's: no signal of that number, or one that cannot be handled.
///
/// # Safety
/// 1. `handler` does only what is safe at any instruction of any thread: no lock, no allocation, no panic.
/// 2. What it reads of its arguments is what the kernel passes for this signal.
pub unsafe fn handle(signal: libc::c_int, handler: Handler) -> io::Result<()> {
    let action = libc::sigaction {
        sa_sigaction: handler as libc::sighandler_t,
        sa_mask: SignalSet::of(&[]).raw(),
        sa_flags: libc::SA_SIGINFO | libc::SA_NODEFER,
        sa_restorer: None,
    };
    // SAFETY: reads one structure of our own; the caller vouches for the handler in it.
    match unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::SignalSet;

    #[test]
    fn a_set_holds_its_signals_and_no_other() {
        let set = SignalSet::of(&[libc::SIGUSR1, libc::SIGHUP, 0, -1, 1000]);
        let held: Vec<i32> = (-1..=1000).filter(|signal| set.contains(*signal)).collect();
        assert_eq!(held, [libc::SIGHUP, libc::SIGUSR1]);
        assert_eq!(format!("{set:?}"), "{1, 10}");
    }

    #[test]
    fn a_blocked_signal_waits_until_it_is_asked_for() {
        let set = SignalSet::of(&[libc::SIGUSR2]);
        set.block();
        assert!(SignalSet::blocked().contains(libc::SIGUSR2));
        super::raise(libc::SIGUSR2);
        assert_eq!(set.wait().unwrap(), libc::SIGUSR2);
        set.unblock();
        assert!(!SignalSet::blocked().contains(libc::SIGUSR2));
    }
}
