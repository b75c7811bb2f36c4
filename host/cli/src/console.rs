//! Standard output and standard error. A reader that has gone away changes nothing, as in the reference tool: the work is done and
//! its exit code counts. Nothing here panics.

use std::fs::File;
use std::io::{ErrorKind, Write};

/// A descriptor that the caller has opened for us to write to, as a file.
///
/// # Errors
/// Why nothing can be written there.
pub(crate) fn descriptor(number: u16) -> std::io::Result<File> {
    File::options()
        .append(true)
        .open(format!("/proc/self/fd/{number}"))
}

/// Where output goes, and whether it still arrives.
#[derive(Debug, Default)]
pub struct Console {
    failure: Option<std::io::Error>,
}

impl Console {
    /// Writes to standard output.
    pub fn print(&mut self, bytes: &[u8]) {
        if self.failure.is_some() {
            return;
        }
        let mut out = std::io::stdout().lock();
        if let Err(error) = out.write_all(bytes).and_then(|()| out.flush()) {
            self.failure = Some(error);
        }
    }

    /// Standard output failed elsewhere; nothing more is written to it.
    pub fn failed(&mut self, error: std::io::Error) {
        self.failure.get_or_insert(error);
    }

    /// Why standard output takes no more, if it does not.
    pub fn into_failure(self) -> Option<std::io::Error> {
        self.failure
    }

    /// Writes to standard error; a failure there cannot be reported.
    pub fn complain(bytes: &[u8]) {
        let _ = std::io::stderr().write_all(bytes);
    }

    /// Says what became of output that did not arrive, if its reader has not just gone away. The exit code is that of the work.
    pub fn conclude(self, program: &crate::program::Program) {
        if let Some(error) = self.failure.filter(|error| error.kind() != ErrorKind::BrokenPipe) {
            let text = format!(
                "warning: Could not write to standard output: {}",
                crate::words::system(&error)
            );
            Self::complain(&program.message(text.as_bytes()));
        }
    }
}
