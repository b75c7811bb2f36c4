//! The images: made once, kept.

mod bytes;
mod recipes;

use std::fs;
use std::path::{Path, PathBuf};

use crate::cleanup;

/// What carries the number of the process that made it, and goes when that process has ended.
const TEMPORARY: &[&str] = &[
    "output-",
    ".output-",
    "unfinished-",
    "tree-",
    "piece-",
    "mount-",
    "disk-",
];

/// Where the images are, and how large.
#[derive(Debug)]
pub(crate) struct Corpus {
    directory: PathBuf,
    /// Bytes of the file system's disk.
    disk_bytes: u64,
    _swept: cleanup::Guard,
}

impl Corpus {
    /// The directory; images are made when a row needs them.
    pub(crate) fn prepare(quick: bool) -> Self {
        let root = std::env::var_os("INSTAR_BENCH_CACHE").map_or_else(
            || Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bench-cache")).to_owned(),
            PathBuf::from,
        );
        let directory = root.join(if quick { "quick" } else { "full" });
        fs::create_dir_all(&directory).unwrap();
        let directory = directory.canonicalize().unwrap();
        remove_leftovers(&directory);
        let swept = directory.clone();
        Self {
            directory,
            disk_bytes: if quick { 1 << 30 } else { 4 << 30 },
            _swept: cleanup::later(move || remove_temporary(&swept, |id| id == std::process::id())),
        }
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Bytes of the disk that most images hold.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.disk_bytes
    }

    /// The path of an image.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// A path for something that this process makes and removes.
    pub(crate) fn temporary(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}-{}", std::process::id()))
    }

    /// Makes an image unless it is there.
    pub(crate) fn need(&self, name: &str) {
        if self.path(name).exists() {
            return;
        }
        for other in self.ingredients(name) {
            self.need(&other);
        }
        eprintln!("  making {name}");
        let unfinished = self.temporary("unfinished");
        let _ = fs::remove_file(&unfinished);
        self.make(name, &unfinished);
        fs::rename(&unfinished, self.path(name)).unwrap();
    }
}

/// Removes what was made by runs that have ended.
fn remove_leftovers(directory: &Path) {
    remove_temporary(directory, |id| !cleanup::alive(id));
}

fn remove_temporary(directory: &Path, made_by: impl Fn(u32) -> bool) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let maker = TEMPORARY.iter().find_map(|prefix| number(&name, prefix));
        if maker.is_some_and(&made_by) {
            let path = entry.path();
            // A directory that is still mounted cannot be removed, and must not be.
            let _ = match path.is_dir() {
                true if name.starts_with("tree-") => fs::remove_dir_all(path),
                true => fs::remove_dir(path),
                false => fs::remove_file(path),
            };
        }
    }
}

/// The number after `prefix`; whatever follows it belongs to the name.
fn number(name: &str, prefix: &str) -> Option<u32> {
    let tail = name.strip_prefix(prefix)?;
    let digits = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
    tail.get(..digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removes_only_what_the_process_made() {
        let directory = std::env::temp_dir().join(format!("instar-benches-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        for name in [
            "output-7",
            "output-7-flat.vmdk",
            ".output-7.partial",
            "output-8",
            "fs.raw",
        ] {
            fs::write(directory.join(name), "").unwrap();
        }
        remove_temporary(&directory, |id| id == 7);
        let mut left: Vec<String> = fs::read_dir(&directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(left, ["fs.raw", "output-8"]);
    }
}
