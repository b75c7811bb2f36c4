//! Work that may have to be begun anew with more files: tried first in a process of its own.
//!
//! ```text
//!  attempt ─┬─► trying: opens what it knows of, is confined, works, ends
//!           └─► waits for that; it was not confined, and can open more and begin anew
//! ```
//!
//! A process can be confined but once, and only a guest can tell what an image lacks.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, set_parent_process_death_signal, waitpid};

/// One of the two processes.
#[derive(Clone, Copy, Debug)]
pub enum Half {
    /// The one that tries.
    Trying,
    /// The one that was there before, and how the other one has ended.
    Waited(ExitStatus),
}

/// Has a copy of this process go on, which ends with this one at the latest, and waits for its end.
///
/// # Errors
/// The system's; more than one thread, or no way to know that: nothing has happened then.
pub fn attempt() -> io::Result<Half> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("there is more than one thread"));
    }
    let parent = std::process::id();
    // SAFETY: there is no other thread, of which the copy could have a lock that is never released.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            end_with(parent);
            Ok(Half::Trying)
        }
        child => Ok(Half::Waited(wait(Pid::from_raw(child))?)),
    }
}

/// This process is killed when its parent ends, or at once, if that has happened.
fn end_with(parent: u32) {
    let asked = set_parent_process_death_signal(Some(Signal::KILL));
    if asked.is_err() || std::os::unix::process::parent_id() != parent {
        std::process::abort();
    }
}

fn wait(child: Option<Pid>) -> io::Result<ExitStatus> {
    loop {
        match waitpid(child, WaitOptions::empty()) {
            Ok(Some((_, status))) => return Ok(ExitStatus::from_raw(status.as_raw())),
            Ok(None) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_process_with_several_threads_makes_no_copy_of_itself() {
        std::thread::scope(|scope| {
            let other = scope.spawn(std::thread::park);
            assert!(super::attempt().is_err());
            other.thread().unpark();
        });
    }
}
