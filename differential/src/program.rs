//! One run of one program, bounded in time, its output kept.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use instar_tests::Running;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code, if it exited.
    pub code: Option<i32>,
    pub signal: Option<i32>,
    /// It was killed because it took too long.
    pub hung: bool,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Ended {
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.code == Some(0)
    }

    #[must_use]
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// It ended by itself, as a program should.
    #[must_use]
    pub(crate) fn is_civil(&self) -> bool {
        !self.hung && self.signal.is_none()
    }
}

/// Runs `command` in `directory`, under the name of qemu-img.
pub(crate) fn run(command: &mut Command, directory: &Path) -> Ended {
    command
        .arg0("qemu-img")
        .current_dir(directory)
        .env("LC_ALL", "C")
        .env("TZ", "UTC");
    match Running::of(command).finish_within(PATIENCE, MOST) {
        Some(outcome) => Ended {
            code: outcome.code(),
            signal: outcome.status.signal(),
            hung: false,
            stdout: outcome.stdout,
            stderr: outcome.stderr,
        },
        None => Ended {
            code: None,
            signal: None,
            hung: true,
            stdout: Vec::new(),
            stderr: Vec::new(),
        },
    }
}

/// No command of a case takes longer; one that does hangs.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes of a stream that are kept.
const MOST: usize = 8 << 20;
