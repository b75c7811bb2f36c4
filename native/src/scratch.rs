//! Directories for the files of one test.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{XattrFlags, setxattr};
use tempfile::{Builder, TempDir};

use crate::spawn::without_fork;

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
    // Whoever has files starts programs.
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
