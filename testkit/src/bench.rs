//! A directory in which the tools work.

use crate::Outcome;
use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{XattrFlags, setxattr};
use tempfile::{Builder, TempDir};

use crate::oracle;
use crate::pattern::pattern;
use crate::spawn::without_fork;

/// A directory with the files of one test. The reference tools work in it, so that names are plain.
#[derive(Debug)]
pub struct Bench(TempDir);

impl Default for Bench {
    fn default() -> Self {
        Self::new()
    }
}

impl Bench {
    /// An empty directory, in memory if there is room.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn new() -> Self {
        Self(scratch())
    }

    /// One whose files have holes and pages as on a disk.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn on_disk() -> Self {
        Self(on_disk())
    }

    /// Where it is.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.0.path()
    }

    /// A file in it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The bytes of a file.
    ///
    /// # Panics
    /// If it cannot be read.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        let path = self.path(name);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Writes a file; gives its place.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    /// A raw disk of `size` bytes with the pattern in `ranges` (offset, length), holes elsewhere.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn raw(&self, name: &str, size: u64, ranges: &[(u64, u64)]) -> PathBuf {
        let path = self.path(name);
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(size).unwrap();
        for (offset, length) in ranges {
            let length = (*length).min(size.saturating_sub(*offset));
            file.write_all_at(&pattern(*offset, length), *offset).unwrap();
        }
        path
    }

    /// Runs qemu-img with the words of `line`, whatever comes of it.
    #[must_use]
    pub fn try_qemu_img(&self, line: &str) -> Outcome {
        let words: Vec<&str> = line.split_whitespace().collect();
        oracle::run_in(self.directory(), &words)
    }

    /// Runs qemu-img with the words of `line`, which must succeed; gives what it printed.
    ///
    /// # Panics
    /// If it fails.
    pub fn qemu_img(&self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        oracle::qemu_in(self.directory(), &words)
    }

    /// What qemu-img says when it refuses `line`.
    ///
    /// # Panics
    /// If it does not.
    pub fn refusal(&self, line: &str) -> String {
        let output = self.try_qemu_img(line);
        assert!(!output.status.success(), "qemu-img {line} was expected to fail");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Runs commands of qemu-io on an image.
    ///
    /// # Panics
    /// If one fails.
    pub fn qemu_io(&self, format: &str, image: &str, commands: &[&str]) {
        oracle::qemu_io_in(self.directory(), format, image, commands);
    }

    /// The disk that qemu-img sees in `image`, with options that say how to open it.
    ///
    /// # Panics
    /// If it does not.
    #[must_use]
    pub fn disk(&self, options: &str, image: &str) -> Vec<u8> {
        self.qemu_img(&format!("convert {options} -O raw {image} disk.seen"));
        let bytes = self.bytes("disk.seen");
        std::fs::remove_file(self.path("disk.seen")).unwrap();
        bytes
    }
}
/// A directory in memory if there is room: most of what tests write is a few megabytes that are flushed, cut and written again, and a
/// disk takes ten times as long for it. Otherwise it is where temporary files usually are.
///
/// A test has less than a gibibyte in it at a time; one that needs more, or the ways of a disk, takes [`on_disk`].
///
/// # Panics
/// If it cannot be made.
#[must_use]
pub fn scratch() -> TempDir {
    if free(MEMORY).min(available()) >= ENOUGH
        && let Ok(directory) = named().tempdir_in(MEMORY)
        && is_able(directory.path())
    {
        return directory;
    }
    on_disk()
}

/// A directory where temporary files usually are, on a disk.
///
/// # Panics
/// If it cannot be made.
#[must_use]
pub fn on_disk() -> TempDir {
    named().tempdir().unwrap()
}

fn named() -> Builder<'static, 'static> {
    // A test that has files starts programs.
    without_fork();
    let mut builder = Builder::new();
    builder.prefix("instar-test-");
    builder
}

/// Whether files here can be opened for direct I/O and have attributes of users: filesystems in memory can since Linux 6.6.
fn is_able(directory: &Path) -> bool {
    let probe = directory.join("probe");
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).custom_flags(libc::O_DIRECT);
    let able = options.open(&probe).is_ok()
        && setxattr(&probe, "user.instar.probe", b"x", XattrFlags::empty()).is_ok();
    let _ = std::fs::remove_file(probe);
    able
}

/// Bytes that still fit into a filesystem, none if it does not exist.
fn free(directory: &str) -> u64 {
    rustix::fs::statvfs(directory).map_or(0, |facts| facts.f_bavail * facts.f_frsize)
}

/// Bytes of memory that programs could still get: a filesystem in memory may be larger than that.
fn available() -> u64 {
    let facts = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = facts.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    kibibytes.unwrap_or(0_u64) << 10
}

/// Files that Linux keeps in memory.
const MEMORY: &str = "/dev/shm";
/// Bytes that several tests at once do not fill.
const ENOUGH: u64 = 4 << 30;
