//! Children that try things.

use std::io::Read;
use std::os::fd::FromRawFd;

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
    let mut pipe = [0; 2];
    // SAFETY: room for two descriptors.
    assert_eq!(unsafe { libc::pipe(pipe.as_mut_ptr()) }, 0);
    // SAFETY: the child uses nothing that another thread of ours may hold but malloc, which glibc makes whole again.
    let process = unsafe { libc::fork() };
    assert!(process >= 0);
    if process == 0 {
        // SAFETY: open descriptors.
        unsafe { libc::dup2(pipe[1], libc::STDERR_FILENO) };
        // SAFETY: a timer of our own.
        unsafe { libc::alarm(10) };
        let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or(101);
        // SAFETY: ends the child.
        unsafe { libc::_exit(code) };
    }
    // SAFETY: ours, and used nowhere else.
    unsafe { libc::close(pipe[1]) };
    // SAFETY: the descriptor is ours, and nothing else owns it.
    let mut reader = unsafe { std::fs::File::from_raw_fd(pipe[0]) };
    let mut words = String::new();
    reader.read_to_string(&mut words).unwrap();
    let mut status = 0;
    // SAFETY: our own child.
    assert_eq!(unsafe { libc::waitpid(process, &raw mut status, 0) }, process);
    let status = if libc::WIFEXITED(status) {
        Status::Exit(libc::WEXITSTATUS(status))
    } else {
        Status::Signal(libc::WTERMSIG(status))
    };
    Ended { status, words }
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
