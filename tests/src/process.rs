//! Programs under observation: bounded in time, their whole output kept.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

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
    streams: [Option<JoinHandle<Vec<u8>>>; 2],
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
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", words.join(" ")));
        let streams = [child.stdout.take().map(collect), child.stderr.take().map(collect)];
        Self {
            command: words.join(" "),
            child,
            started,
            streams,
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

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// If it does not end.
    pub fn finish(mut self) -> Outcome {
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if self.started.elapsed() > PATIENCE {
                self.child.kill().unwrap();
                self.child.wait().unwrap();
                panic!("still running after {PATIENCE:?}: {}", self.command);
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        let took = self.started.elapsed();
        let [stdout, stderr] = self.streams.map(|stream| stream.unwrap().join().unwrap());
        Outcome {
            command: self.command,
            status,
            stdout,
            stderr,
            took,
        }
    }
}

fn collect(mut stream: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        bytes
    })
}
