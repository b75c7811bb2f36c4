//! Programs under observation: bounded in time, their whole output kept.

use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::{Errno, read};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::oracle::{CopiedRun, Kept};

/// No command of the suite takes longer; one that does hangs.
const PATIENCE: Duration = Duration::from_secs(300);

/// How much slower than the fastest a machine is on which tests pass.
const SLOWEST: u32 = 8;

/// How a program ended.
#[derive(Debug)]
pub struct Outcome {
    /// What was run.
    pub command: String,
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// From start to end.
    pub took: Duration,
}

impl Outcome {
    /// Runs `command` to its end. What [`oracle::program`](crate::oracle::program) made is carried out by a program that is loaded already.
    pub fn of(command: &mut Command) -> Self {
        Running::of(command).finish()
    }

    /// Standard output as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    #[must_use]
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// The first line on standard error, without the program's name.
    #[must_use]
    pub fn message(&self) -> String {
        let errors = self.errors();
        let line = errors.lines().next().unwrap_or_default();
        let named = |head: &str| {
            let program = head.split(' ').next().unwrap_or_default();
            ["qemu-img", "instar"]
                .iter()
                .any(|name| program.rsplit('/').next() == Some(name))
        };
        let line = match line.split_once(": ") {
            Some((head, tail)) if named(head) => tail,
            _ => line,
        };
        line.to_owned()
    }

    /// The exit code, where it did exit.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// It succeeded, and said nothing on standard error.
    ///
    /// # Panics
    ///
    /// If not.
    #[track_caller]
    pub fn succeeds(&self) -> &Self {
        assert_eq!(self.code(), Some(0), "{self}");
        assert!(self.stderr.is_empty(), "succeeded, yet not in silence: {self}");
        self
    }

    /// It failed with exit code 1 and a message, and neither crashed nor hung.
    ///
    /// # Panics
    ///
    /// If not.
    #[track_caller]
    pub fn fails(&self) -> &Self {
        assert_eq!(self.code(), Some(1), "{self}");
        assert!(!self.stderr.is_empty(), "failed without a word: {self}");
        self.is_civil()
    }

    /// [`Outcome::fails`], and the message has `words` in it.
    ///
    /// # Panics
    ///
    /// If not.
    #[track_caller]
    pub fn fails_with(&self, words: &str) -> &Self {
        self.fails();
        assert!(
            self.errors().contains(words),
            "the message lacks {words:?}: {self}"
        );
        self
    }

    /// Whatever it did, it did not die of a signal or a panic.
    ///
    /// # Panics
    ///
    /// If it did.
    #[track_caller]
    pub fn is_civil(&self) -> &Self {
        assert_eq!(self.status.signal(), None, "{self}");
        let errors = self.errors();
        assert!(!errors.contains("panicked"), "{self}");
        assert!(!errors.contains("internal error"), "{self}");
        self
    }

    /// It took less than this on a machine at full speed that does nothing else.
    ///
    /// Others are slower, by a factor of four as was seen. What this is to catch is work that grows with what an image claims, which is
    /// slower by orders of magnitude.
    ///
    /// # Panics
    ///
    /// If not.
    #[track_caller]
    pub fn within(&self, bound: Duration) -> &Self {
        let bound = bound * SLOWEST;
        assert!(
            self.took < bound,
            "took {:?}, the bound is {bound:?}: {self}",
            self.took
        );
        self
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.command)?;
        writeln!(f, "  {} after {:?}", self.status, self.took)?;
        writeln!(f, "  stdout: {}", self.text().trim_end())?;
        writeln!(f, "  stderr: {}", self.errors().trim_end())
    }
}

/// A program that has not ended yet.
#[derive(Debug)]
pub struct Running {
    command: String,
    process: Process,
    started: Instant,
}

#[derive(Debug)]
enum Process {
    Own(Child),
    CopiedRun(CopiedRun),
}

impl Running {
    /// Starts `command` as [`Outcome::of`] does.
    ///
    /// # Panics
    ///
    /// If there is no such program.
    pub fn of(command: &mut Command) -> Self {
        let started = Instant::now();
        match Kept::of(command) {
            Some(kept) => Self {
                command: line(command),
                process: Process::CopiedRun(kept.begin(command)),
                started,
            },
            None => Self::start(command),
        }
    }

    /// Starts `command` in a process of its own.
    ///
    /// # Panics
    ///
    /// If there is no such program.
    pub fn start(command: &mut Command) -> Self {
        let started = Instant::now();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", line(command)));
        Self {
            command: line(command),
            process: Process::Own(child),
            started,
        }
    }

    /// Its process number.
    ///
    /// # Panics
    ///
    /// If it has no process that was [started](Self::start) for it.
    #[must_use]
    pub fn id(&self) -> u32 {
        match &self.process {
            Process::Own(child) => child.id(),
            Process::CopiedRun(_) => panic!("{} is carried out by a copy", self.command),
        }
    }

    /// Sends a signal by name, for example `INT`.
    ///
    /// # Panics
    ///
    /// If the process is gone.
    pub fn signal(&self, name: &str) {
        let done = Command::new("kill")
            .args(["-s", name, &self.id().to_string()])
            .status()
            .unwrap();
        assert!(done.success(), "{} is gone", self.command);
    }

    /// Whether it still runs.
    ///
    /// # Panics
    ///
    /// If the system cannot say.
    pub fn runs(&mut self) -> bool {
        match &mut self.process {
            Process::Own(child) => child.try_wait().unwrap().is_none(),
            Process::CopiedRun(copy) => poll(&mut [copy.end()], Some(&Timespec::default())).unwrap() == 0,
        }
    }

    /// Waits for its end. What it prints before is left in its pipes, which hold 64 KiB each.
    ///
    /// # Panics
    ///
    /// If it does not end.
    pub fn finish(self) -> Outcome {
        let command = self.command.clone();
        self.finish_within(PATIENCE, usize::MAX)
            .unwrap_or_else(|| panic!("still running after {PATIENCE:?}: {command}"))
    }

    /// The same for a program that may hang: it is killed after `patience`. Of each stream `most` bytes are kept, in whole pieces.
    ///
    /// # Panics
    ///
    /// If the system fails.
    pub fn finish_within(mut self, patience: Duration, most: usize) -> Option<Outcome> {
        let (stdout, stderr) = self.outputs();
        let (mut stdout, mut stderr) = (Stream::of(stdout, most), Stream::of(stderr, most));
        while stdout.is_open() || stderr.is_open() {
            let waited = [&stdout, &stderr].into_iter().filter_map(Stream::waited_for);
            if !self.in_time(&mut waited.collect::<Vec<_>>(), patience) {
                return self.kill();
            }
            stdout.take();
            stderr.take();
        }
        // One that is gone already needs no file descriptor to be waited for.
        let ended = !self.runs()
            || match &self.process {
                Process::Own(child) => {
                    let end = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).unwrap();
                    self.in_time(&mut [PollFd::new(&end, PollFlags::IN)], patience)
                }
                Process::CopiedRun(copy) => self.in_time(&mut [copy.end()], patience),
            };
        if !ended {
            return self.kill();
        }
        let status = match self.process {
            Process::Own(mut child) => child.wait().unwrap(),
            Process::CopiedRun(copy) => copy.status(&self.command),
        };
        Some(Outcome {
            took: self.started.elapsed(),
            command: self.command,
            status,
            stdout: stdout.bytes,
            stderr: stderr.bytes,
        })
    }

    fn outputs(&mut self) -> (Option<OwnedFd>, Option<OwnedFd>) {
        match &mut self.process {
            Process::Own(child) => (
                child.stdout.take().map(Into::into),
                child.stderr.take().map(Into::into),
            ),
            Process::CopiedRun(copy) => (copy.stdout.take(), copy.stderr.take()),
        }
    }

    /// Waits for one of these to be ready; whether one is.
    fn in_time(&self, files: &mut [PollFd<'_>], patience: Duration) -> bool {
        let left = patience.saturating_sub(self.started.elapsed());
        loop {
            match poll(files, Some(&left.try_into().unwrap())) {
                Err(Errno::INTR) => {}
                ready => return ready.unwrap() > 0,
            }
        }
    }

    fn kill(self) -> Option<Outcome> {
        match self.process {
            Process::Own(mut child) => {
                child.kill().unwrap();
                child.wait().unwrap();
            }
            Process::CopiedRun(copy) => copy.kill(),
        }
        None
    }
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

/// One output of a program.
struct Stream {
    /// None: at its end.
    file: Option<OwnedFd>,
    bytes: Vec<u8>,
    /// No more is kept when there are so many.
    most: usize,
}

impl Stream {
    fn of(file: Option<OwnedFd>, most: usize) -> Self {
        if let Some(file) = &file {
            fcntl_setfl(file, OFlags::NONBLOCK).unwrap();
        }
        Self {
            file,
            bytes: Vec::new(),
            most,
        }
    }

    fn is_open(&self) -> bool {
        self.file.is_some()
    }

    fn waited_for(&self) -> Option<PollFd<'_>> {
        self.file.as_ref().map(|file| PollFd::new(file, PollFlags::IN))
    }

    /// Takes what is there.
    fn take(&mut self) {
        let mut buffer = [0; 1 << 16];
        while let Some(file) = &self.file {
            match read(file, &mut buffer) {
                Ok(0) => self.file = None,
                Ok(length) if self.bytes.len() < self.most => self.bytes.extend_from_slice(&buffer[..length]),
                Ok(_) => {}
                Err(Errno::AGAIN | Errno::INTR) => return,
                Err(error) => panic!("a pipe cannot be read: {error}"),
            }
        }
    }
}
