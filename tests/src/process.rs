//! Programs under observation: bounded in time, their whole output kept.

use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::{Errno, read};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// No command of the suite takes longer; one that does hangs.
const PATIENCE: Duration = Duration::from_secs(60);

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
    /// Runs `command` to its end.
    pub fn of(command: &mut Command) -> Self {
        Running::start(command).finish()
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
            ["qemu-img", "instar"].iter().any(|name| program.rsplit('/').next() == Some(name))
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
        assert!(self.errors().contains(words), "the message lacks {words:?}: {self}");
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

    /// It took less than this.
    ///
    /// # Panics
    ///
    /// If not.
    #[track_caller]
    pub fn within(&self, bound: Duration) -> &Self {
        assert!(self.took < bound, "took {:?}, the bound is {bound:?}: {self}", self.took);
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
    child: Child,
    started: Instant,
}

impl Running {
    /// Starts `command`.
    ///
    /// # Panics
    ///
    /// If there is no such program.
    pub fn start(command: &mut Command) -> Self {
        let words: Vec<_> = std::iter::once(command.get_program())
            .chain(command.get_args())
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        let started = Instant::now();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", words.join(" ")));
        Self {
            command: words.join(" "),
            child,
            started,
        }
    }

    /// Its process number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name, for example `INT`.
    ///
    /// # Panics
    ///
    /// If the process is gone.
    pub fn signal(&self, name: &str) {
        let done = Command::new("kill").args(["-s", name, &self.id().to_string()]).status().unwrap();
        assert!(done.success(), "{} is gone", self.command);
    }

    /// Whether it still runs.
    ///
    /// # Panics
    ///
    /// If the system cannot say.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
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
        let mut stdout = Stream::of(self.child.stdout.take(), most);
        let mut stderr = Stream::of(self.child.stderr.take(), most);
        while stdout.is_open() || stderr.is_open() {
            let mut waited: Vec<PollFd> =
                [&stdout, &stderr].into_iter().filter_map(Stream::waited_for).collect();
            self.wait(&mut waited, patience)?;
            drop(waited);
            stdout.take();
            stderr.take();
        }
        // A process that is gone already needs no file descriptor to be waited for.
        let status = match self.child.try_wait().unwrap() {
            Some(status) => status,
            None => {
                let process = Pid::from_child(&self.child);
                let end = pidfd_open(process, PidfdFlags::empty()).unwrap();
                self.wait(&mut [PollFd::new(&end, PollFlags::IN)], patience)?;
                self.child.wait().unwrap()
            }
        };
        Some(Outcome {
            took: self.started.elapsed(),
            command: self.command,
            status,
            stdout: stdout.bytes,
            stderr: stderr.bytes,
        })
    }

    /// Waits for one of these to be ready; kills the program if none is in time.
    fn wait(&mut self, files: &mut [PollFd<'_>], patience: Duration) -> Option<()> {
        let left = patience.saturating_sub(self.started.elapsed());
        let ready = loop {
            match poll(files, Some(&left.try_into().unwrap())) {
                Err(Errno::INTR) => {}
                done => break done.unwrap(),
            }
        };
        if ready == 0 {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
            return None;
        }
        Some(())
    }
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
    fn of(pipe: Option<impl Into<OwnedFd>>, most: usize) -> Self {
        let file = pipe.map(Into::into);
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
