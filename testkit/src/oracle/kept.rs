//! Programs of qemu-utils that are loaded once in a test's process and copied for each command line: `kept.c` is their other half.

use std::ffi::{OsStr, OsString};
use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::pipe::{PipeFlags, pipe_with};

use super::{LIBRARY, PRELOAD};

/// Tells a program to wait for command lines.
const VARIABLE: &str = "INSTAR_TEST_KEPT";

/// Those that wait for a command line.
static IDLE: Mutex<Vec<Kept>> = Mutex::new(Vec::new());

/// A program that is loaded and copies itself. It ends when its socket is closed.
#[derive(Debug)]
pub(crate) struct Kept {
    program: OsString,
    socket: UnixStream,
    process: Child,
}

impl Kept {
    /// One that can carry out `command`: [`super::program`] made it, and it takes nothing out of the environment.
    pub(crate) fn of(command: &Command) -> Option<Self> {
        let mut variables = command.get_envs();
        let ours =
            |(name, value): (&OsStr, Option<&OsStr>)| name == PRELOAD && value == Some(OsStr::new(LIBRARY));
        if !command.get_envs().any(ours) || variables.any(|(_, value)| value.is_none()) {
            return None;
        }
        let program = command.get_program();
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = idle.iter().position(|kept| kept.program == program) {
            return Some(idle.swap_remove(known));
        }
        drop(idle);
        let (socket, other) = UnixStream::pair().unwrap();
        let process = Command::new(program)
            .env(PRELOAD, LIBRARY)
            .env(VARIABLE, "1")
            .stdin(OwnedFd::from(other))
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error} (package qemu-utils)", program.display()));
        Some(Self {
            program: program.to_owned(),
            socket,
            process,
        })
    }

    /// Has a copy carry out `command`.
    pub(crate) fn begin(mut self, command: &Command) -> CopiedRun {
        let text = request(command);
        let (stdout, writes) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let (stderr, errors) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let files = [writes.as_fd(), errors.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut rights = SendAncillaryBuffer::new(&mut space);
        assert!(rights.push(SendAncillaryMessage::ScmRights(&files)));
        let size = u32::try_from(text.len()).unwrap().to_ne_bytes();
        let sent = sendmsg(
            &self.socket,
            &[IoSlice::new(&size)],
            &mut rights,
            SendFlags::NOSIGNAL,
        );
        assert_eq!(sent, Ok(size.len()));
        self.socket.write_all(&text).unwrap();
        CopiedRun {
            stdout: Some(stdout),
            stderr: Some(stderr),
            kept: self,
        }
    }
}

/// Directory, variables and words, as the other half takes them.
fn request(command: &Command) -> Vec<u8> {
    let mut text = Vec::new();
    let mut add = |parts: &[&OsStr]| {
        text.extend(parts.iter().flat_map(|part| part.as_bytes()));
        text.push(0);
    };
    add(&[command.get_current_dir().unwrap_or(Path::new(".")).as_os_str()]);
    for (name, value) in command.get_envs().filter(|(name, _)| *name != PRELOAD) {
        add(&[name, OsStr::new("="), value.unwrap_or_default()]);
    }
    add(&[]);
    add(&[Path::new(command.get_program()).file_name().unwrap()]);
    for word in command.get_args() {
        add(&[word]);
    }
    text
}

/// A copy at work.
#[derive(Debug)]
pub(crate) struct CopiedRun {
    pub(crate) stdout: Option<OwnedFd>,
    pub(crate) stderr: Option<OwnedFd>,
    kept: Kept,
}

impl CopiedRun {
    /// Ready when the copy has ended.
    pub(crate) fn end(&self) -> PollFd<'_> {
        PollFd::new(&self.kept.socket, PollFlags::IN)
    }

    /// How it ended.
    pub(crate) fn status(mut self, line: &str) -> ExitStatus {
        let mut status = [0; 4];
        if let Err(error) = self.kept.socket.read_exact(&mut status) {
            let ended = self.kept.process.wait().unwrap();
            panic!(
                "{line}: the program that is copied for it gave no answer ({error}), and ended with {ended}"
            );
        }
        IDLE.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(self.kept);
        ExitStatus::from_raw(i32::from_ne_bytes(status))
    }

    /// Kills it, and what it is a copy of.
    pub(crate) fn kill(mut self) {
        self.kept.process.kill().unwrap();
        self.kept.process.wait().unwrap();
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use crate::{Bench, Outcome, Running, oracle};

    /// Runs it by a copy and in a process of its own.
    fn both(name: &str, bench: &Bench, words: &[&str]) -> [Outcome; 2] {
        let program = || {
            let mut program = oracle::program(name);
            program
                .current_dir(bench.directory())
                .env("TZ", "UTC")
                .args(words);
            program
        };
        let copy = Running::of(&mut program());
        assert!(format!("{copy:?}").contains("CopiedRun"), "{copy:?}");
        [copy.finish(), Running::start(&mut program()).finish()]
    }

    #[test]
    fn a_copy_does_what_the_program_does() {
        let bench = Bench::new();
        let lines: [(&str, &[&str]); 6] = [
            ("qemu-img", &["create", "-f", "qcow2", "image", "1M"]),
            ("qemu-img", &["info", "nothing"]),
            ("qemu-img", &["compare", "image", "image", "extra"]),
            ("qemu-img", &[]),
            ("qemu-io", &["-c", "help", "image"]),
            ("qemu-io", &["-c", "sigraise 9", "image"]),
        ];
        for (name, words) in lines {
            let [copy, own] = both(name, &bench, words);
            assert_eq!(
                (copy.status, &copy.stdout, &copy.stderr),
                (own.status, &own.stdout, &own.stderr),
                "{name} {words:?}"
            );
        }
    }

    #[test]
    fn every_copy_draws_other_random_numbers() {
        let bench = Bench::new();
        let words = ["create", "-f", "vdi", "image", "1M"];
        let [copy, _] = both("qemu-img", &bench, &words);
        copy.succeeds();
        let first = std::fs::read(bench.path("image")).unwrap();
        let [copy, _] = both("qemu-img", &bench, &words);
        copy.succeeds();
        assert_ne!(first, std::fs::read(bench.path("image")).unwrap());
    }

    #[test]
    fn a_copy_that_hangs_is_killed() {
        let mut hangs = oracle::program("qemu-io");
        hangs.args(["-c", "sleep 60000"]);
        let started = Instant::now();
        assert!(
            Running::of(&mut hangs)
                .finish_within(Duration::from_millis(300), 1000)
                .is_none()
        );
        assert!(started.elapsed() < Duration::from_secs(30));
    }
}
