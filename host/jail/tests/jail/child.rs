//! Children that try things.

use std::io::Read;

use rustix::process::{Pid, WaitOptions, waitpid};

/// How a child ended, and what it wrote to stderr.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) status: Status,
    pub(crate) words: String,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Exit(i32),
    Signal(i32),
}

/// Runs `work` in a child of one thread; its value is the exit code. A child that takes ten seconds is killed.
pub(crate) fn child(work: impl FnOnce() -> i32) -> Ended {
    let (mut reader, writer) = std::io::pipe().unwrap();
    // SAFETY: the child uses nothing that another thread of ours may hold but malloc, which glibc makes whole again.
    let process = unsafe { libc::fork() };
    assert!(process >= 0);
    if process == 0 {
        rustix::stdio::dup2_stderr(&writer).unwrap();
        // SAFETY: a timer of our own.
        unsafe { libc::alarm(10) };
        let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or(101);
        end(code);
    }
    drop(writer);
    let mut words = String::new();
    reader.read_to_string(&mut words).unwrap();
    let (_, status) = waitpid(Pid::from_raw(process), WaitOptions::empty())
        .unwrap()
        .unwrap();
    let status = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Status::Exit(code),
        (None, signal) => Status::Signal(signal.unwrap()),
    };
    Ended { status, words }
}

/// Ends the child, and runs nothing of it any more.
pub(crate) fn end(code: i32) -> ! {
    // SAFETY: ends the process, whatever state it is in.
    unsafe { libc::_exit(code) }
}

/// The child must end well.
pub(crate) fn succeeds(work: impl FnOnce()) {
    let ended = child(|| {
        work();
        0
    });
    assert_eq!(ended.status, Status::Exit(0), "{}", ended.words);
}

/// A system call, plainly: its result, or the negated errno.
pub(crate) fn call(number: libc::c_long, arguments: [u64; 6]) -> i64 {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: tests pass numbers that mean no memory, or memory of their own.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result == -1 {
        return -i64::from(std::io::Error::last_os_error().raw_os_error().unwrap());
    }
    result
}
