//! A directory of the test's own, and this program run in it.

use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::run::Context;

/// Gone, with all that is in it, when it is dropped.
pub(super) struct Room {
    directory: PathBuf,
    program: OsString,
}

impl Room {
    /// A new directory that only this user can enter, below the one for temporary files.
    pub(super) fn new(context: &Context<'_>) -> io::Result<Self> {
        let mut name = format!("instar-selftest-{}-", std::process::id());
        for byte in instar_run::fresh_seed().random.iter().take(8) {
            let _ = write!(name, "{byte:02x}");
        }
        let directory = std::env::temp_dir().join(name);
        fs::DirBuilder::new().mode(0o700).create(&directory)?;
        // Without /proc nobody knows where this program is, but its caller did.
        let program =
            std::env::current_exe().map_or_else(|_| context.program.called().to_owned(), OsString::from);
        Ok(Self { directory, program })
    }

    /// Whether this program can be started again.
    pub(super) fn starts(&self) -> io::Result<()> {
        self.instar(["--version"]).map(drop)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// This program, in the directory, with the same bytes in new images every time.
    pub(super) fn instar<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> io::Result<Output> {
        Command::new(&self.program)
            .args(words)
            .current_dir(&self.directory)
            .env("INSTAR_SEED", "selftest")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // Nothing depends on it, and there is nobody left to tell.
        let _ = fs::remove_dir_all(&self.directory);
    }
}
