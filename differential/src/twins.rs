//! The two directories of a case, and the setups that are kept for later cases.

use std::collections::HashMap;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use instar_tests::{Reference, Sandbox};
use rustix::fs::SeekFrom;
use tempfile::TempDir;

use crate::case::Step;
use crate::content;
use crate::program::{Ended, run};

/// What setups made, by what they did; nothing for one that failed.
#[derive(Debug)]
pub(crate) struct Kept {
    made: Mutex<HashMap<u64, Option<Arc<TempDir>>>>,
    directory: TempDir,
}

impl Kept {
    pub(crate) fn new() -> Self {
        Self {
            made: Mutex::default(),
            directory: instar_testkit::scratch(),
        }
    }
}

/// Two directories with the same files: one for each program.
#[derive(Debug)]
pub(crate) struct Twins<'a> {
    root: TempDir,
    kept: &'a Kept,
    instar: &'a Path,
    pub(crate) reference: &'a Reference,
}

impl<'a> Twins<'a> {
    pub(crate) fn new(kept: &'a Kept, instar: &'a Path, reference: &'a Reference) -> Self {
        Self {
            root: instar_testkit::scratch(),
            kept,
            instar,
            reference,
        }
    }

    pub(crate) fn theirs(&self) -> PathBuf {
        self.root.path().join("theirs")
    }

    pub(crate) fn ours(&self) -> PathBuf {
        self.root.path().join("ours")
    }

    /// Empties both directories and fills them with what `setup` makes; false if it cannot be made.
    pub(crate) fn fill(&self, setup: &[Step]) -> bool {
        let mut hasher = DefaultHasher::new();
        (setup, &self.reference.version).hash(&mut hasher);
        let key = hasher.finish();
        let known = self.kept.made.lock().unwrap().get(&key).cloned();
        let made = known.unwrap_or_else(|| {
            let made = self.make(setup).map(Arc::new);
            let mut all = self.kept.made.lock().unwrap();
            if all.len() >= MOST_KEPT {
                all.clear();
            }
            all.insert(key, made.clone());
            made
        });
        let Some(made) = made else { return false };
        for directory in [self.theirs(), self.ours()] {
            let _ = fs::remove_dir_all(&directory);
            fs::create_dir(&directory).unwrap();
            copy_all(made.path(), &directory).unwrap();
        }
        true
    }

    fn make(&self, setup: &[Step]) -> Option<TempDir> {
        let directory = tempfile::tempdir_in(self.kept.directory.path()).unwrap();
        let done = setup.iter().all(|step| self.set_up(step, directory.path()));
        done.then_some(directory)
    }

    fn set_up(&self, step: &Step, directory: &Path) -> bool {
        match step {
            Step::Disk(name, size, pieces) => {
                content::make(&directory.join(name), *size, pieces);
                true
            }
            Step::File(name, bytes) => fs::write(directory.join(name), bytes).is_ok(),
            Step::Setup(words) => self.qemu(words, directory).succeeded(),
            Step::Io(format, image, commands) => self.io(format, image, commands, directory),
            _ => unreachable!("not a step of a setup"),
        }
    }

    /// qemu-io in a directory; whether all went well.
    pub(crate) fn io(&self, format: &str, image: &str, commands: &[String], directory: &Path) -> bool {
        let mut command = self.reference.program("qemu-io");
        command.args(["-f", format, "-d", "unmap"]);
        for words in commands {
            command.args(["-c", words]);
        }
        let ended = run(command.arg(image), directory);
        ended.succeeded() && !String::from_utf8_lossy(&ended.stdout).contains("failed")
    }

    pub(crate) fn qemu(&self, words: &[String], directory: &Path) -> Ended {
        run(self.reference.program("qemu-img").args(words), directory)
    }

    pub(crate) fn instar(&self, words: &[String], sandbox: Sandbox) -> Ended {
        let mut command = Command::new(self.instar);
        command
            .env(instar_tests::reference::VARIABLE, self.reference.profile())
            .env("INSTAR_SANDBOX", sandbox.name())
            .env_remove("XDG_CONFIG_HOME")
            .env("XDG_STATE_HOME", self.root.path())
            .env("HOME", self.root.path());
        run(command.args(words), &self.ours())
    }
}

/// Copies the files of a directory, holes as holes.
fn copy_all(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    let (source, target) = (File::open(from)?, File::create(to)?);
    let length = source.metadata()?.len();
    target.set_len(length)?;
    let mut at = 0;
    while let Some((start, end)) = next_data(&source, at, length) {
        let mut bytes = vec![0; (end - start) as usize];
        source.read_exact_at(&mut bytes, start)?;
        target.write_all_at(&bytes, start)?;
        at = end;
    }
    Ok(())
}

/// The next range with data.
pub(crate) fn next_data(file: &File, at: u64, length: u64) -> Option<(u64, u64)> {
    if at >= length {
        return None;
    }
    let start = rustix::fs::seek(file, SeekFrom::Data(at)).ok()?;
    let end = rustix::fs::seek(file, SeekFrom::Hole(start)).ok()?;
    Some((start, end.min(start + PIECE)))
}

/// Bytes that are copied at once.
const PIECE: u64 = 4 << 20;
/// Setups that are kept: a few hundred megabytes.
const MOST_KEPT: usize = 600;
