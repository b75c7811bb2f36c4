//! Block devices over files: needs root and loop devices.

use std::path::Path;
use std::process::Command;

use crate::{Bench, ledger};

/// A block device over a file; gone when dropped.
#[derive(Debug)]
pub struct Loop(String);

impl Loop {
    /// A device over `file`; none where none can be had, which the ledger notes.
    #[must_use]
    pub fn over(file: &Path) -> Option<Self> {
        let made = Command::new("losetup").args(["-f", "--show"]).arg(file).output();
        match made {
            Ok(made) if made.status.success() => {
                Some(Self(String::from_utf8_lossy(&made.stdout).trim().to_owned()))
            }
            _ => {
                ledger::skip("loop devices cannot be had here: targets that are devices are not tried");
                None
            }
        }
    }

    /// A device of so many MiB over a new file of the bench.
    ///
    /// # Panics
    ///
    /// If the file cannot be made.
    #[must_use]
    pub fn of_size(bench: &Bench, file: &str, mebibytes: u64) -> Option<Self> {
        let path = bench.path(file);
        std::fs::File::create(&path).unwrap().set_len(mebibytes << 20).unwrap();
        Self::over(&path)
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("-d").arg(&self.0).status();
    }
}
