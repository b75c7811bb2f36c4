//! A directory of the test's own, and this program run in it.

use std::ffi::OsStr;
use std::fmt::Write;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::{Output, Stdio};

use crate::run::instance::again;

/// Gone, with all that is in it, when it is dropped.
pub(super) struct Room {
    directory: PathBuf,
}

impl Room {
    /// A new directory that only this user can enter, below the one for temporary files.
    pub(super) fn new() -> io::Result<Self> {
        let mut name = format!("instar-selftest-{}-", std::process::id());
        for byte in instar_run::fresh_seed().random.iter().take(8) {
            let _ = write!(name, "{byte:02x}");
        }
        let directory = std::env::temp_dir().join(name);
        let gone = directory.clone();
        instar_run::tidied_on_signals(move || {
            // What runs in it may add a file meanwhile, but not for long: it has lost its directory.
            while fs::remove_dir_all(&gone).is_err_and(|error| error.kind() == ErrorKind::DirectoryNotEmpty) {
            }
        })?;
        fs::DirBuilder::new().mode(0o700).create(&directory)?;
        Ok(Self { directory })
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
        again()
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
