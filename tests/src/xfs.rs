//! An XFS of its own in the bench's directory, `xfs`: needs root, a loop device and mkfs.xfs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Bench, ledger};

/// A mounted filesystem; unmounted when dropped.
#[derive(Debug)]
pub struct Xfs(PathBuf);

impl Xfs {
    /// One whose files can share extents, or cannot; none where none can be had, which the ledger notes.
    ///
    /// # Panics
    ///
    /// If the bench's directory cannot be written to.
    #[must_use]
    pub fn mounted(bench: &Bench, shares: bool) -> Option<Self> {
        let (image, place) = (bench.path("xfs.img"), bench.path("xfs"));
        fs::create_dir(&place).unwrap();
        fs::File::create(&image).unwrap().set_len(512 << 20).unwrap();
        let run = |program: &str, words: &[&Path]| {
            let outcome = Command::new(program).args(words).output();
            outcome.is_ok_and(|outcome| outcome.status.success())
        };
        let shares = if shares { "reflink=1" } else { "reflink=0" };
        if !run(
            "mkfs.xfs",
            &["-q", "-m", shares].map(Path::new).into_iter().chain([&*image]).collect::<Vec<_>>(),
        ) {
            ledger::skip("an XFS cannot be made here (mkfs.xfs, package xfsprogs): extents are not shared");
            return None;
        }
        if !run("mount", &[Path::new("-oloop"), &image, &place]) {
            ledger::skip("an XFS cannot be mounted by a loop device here: extents are not shared");
            return None;
        }
        Some(Self(place))
    }

    /// Bytes free, once all is written.
    ///
    /// # Panics
    ///
    /// If sync or df fails.
    #[must_use]
    pub fn free(&self) -> u64 {
        assert!(Command::new("sync").arg("-f").arg(&self.0).status().unwrap().success());
        let outcome = Command::new("df").args(["-B1", "--output=avail"]).arg(&self.0).output().unwrap();
        let text = String::from_utf8(outcome.stdout).unwrap();
        text.lines().nth(1).unwrap().trim().parse().unwrap()
    }
}

impl Drop for Xfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}
