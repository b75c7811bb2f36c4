//! Standard output and standard error. A reader that has gone away ends us quietly; nothing here panics.

use std::io::{ErrorKind, Write};

/// Where output goes, and whether it still arrives.
#[derive(Debug, Default)]
pub struct Console {
    failure: Option<std::io::Error>,
}

/// What a shell shows for a program that a closed pipe killed, as it does the reference tool.
pub const BROKEN_PIPE: u8 = 141;

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

    /// Writes to standard error, where nobody can be told about a failure.
    pub fn complain(bytes: &[u8]) {
        let _ = std::io::stderr().write_all(bytes);
    }

    /// The exit code, given the one of the work: output that did not arrive is a failure.
    #[must_use]
    pub fn conclude(self, program: &crate::program::Program, code: u8) -> u8 {
        match self.failure {
            None => code,
            Some(error) if error.kind() == ErrorKind::BrokenPipe => BROKEN_PIPE,
            Some(error) => {
                let text = format!(
                    "Could not write to standard output: {}",
                    crate::words::system(&error)
                );
                Self::complain(&program.message(text.as_bytes()));
                code.max(1)
            }
        }
    }
}
