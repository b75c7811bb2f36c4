//! Running both tools on the same words, in the same directory.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::new_without_default,
    reason = "test support: each test file uses its part, and a failure is a test failure"
)]

use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The reference tool.
pub const REFERENCE: &str = "qemu-img";

/// Whether the reference tool can be run; says so if not.
pub fn reference_is_here() -> bool {
    let here = Command::new(REFERENCE).arg("--version").output().is_ok();
    if !here {
        instar_testkit::ledger::skip(&format!("{REFERENCE} is not installed"));
    }
    here
}

/// A directory in which both tools work.
pub struct Room {
    directory: tempfile::TempDir,
}

impl Room {
    /// An empty directory.
    pub fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// A file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file.
    pub fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    /// Runs the reference tool, which has to succeed.
    pub fn reference(&self, words: &[&str]) {
        let output = self.run(Path::new(REFERENCE), words);
        assert!(output.status.success(), "{words:?}: {}", shown(&output));
    }

    /// Our tool under the name of the reference tool.
    pub fn ours(&self, words: &[&str]) -> Output {
        self.run(Path::new(env!("CARGO_BIN_EXE_instar")), words)
    }

    /// The reference tool.
    pub fn theirs(&self, words: &[&str]) -> Output {
        let reference = instar_testkit::oracle::program(REFERENCE);
        self.run(Path::new(reference.get_program()), words)
    }

    pub fn run(&self, program: &Path, words: &[&str]) -> Output {
        self.command(program, words).output().unwrap()
    }

    /// A command in this directory, called by the name of the reference tool, in a plain environment.
    pub fn command(&self, program: &Path, words: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(program);
        command
            .arg0("qemu-img")
            .args(words)
            .current_dir(self.directory.path())
            .env_clear()
            .env("LC_ALL", "C")
            .env("PATH", "/usr/bin:/bin");
        for name in ["INSTAR_SANDBOX", "TZ"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
    }

    /// Differences between what both tools print and return for the same words.
    pub fn differences(&self, words: &[&str]) -> Option<String> {
        let (theirs, ours) = (self.theirs(words), self.ours(words));
        if theirs.stdout == ours.stdout && theirs.stderr == ours.stderr && theirs.status == ours.status {
            return None;
        }
        let mut text = format!("{words:?}\n");
        let _ = writeln!(text, "  theirs: {}", shown(&theirs));
        let _ = writeln!(text, "  ours:   {}", shown(&ours));
        Some(text)
    }
}

/// What a program printed and returned.
pub fn shown(output: &Output) -> String {
    format!(
        "{} {:?} {:?}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
