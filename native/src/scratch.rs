//! Directories for tests that write and judge the same few files thousands of times.

use tempfile::TempDir;

/// A directory in memory if there is room, since a disk spends most of such a test on files that are cut and written again. Otherwise it
/// is where temporary files usually are.
///
/// # Panics
/// If it cannot be made.
#[must_use]
pub fn scratch() -> TempDir {
    if free(MEMORY).is_some_and(|bytes| bytes >= ENOUGH)
        && let Ok(directory) = TempDir::new_in(MEMORY)
    {
        return directory;
    }
    TempDir::new().unwrap()
}

fn free(directory: &str) -> Option<u64> {
    let facts = rustix::fs::statvfs(directory).ok()?;
    Some(facts.f_bavail * facts.f_frsize)
}

/// Files that Linux keeps in memory.
const MEMORY: &str = "/dev/shm";
/// Bytes that several tests at once do not fill.
const ENOUGH: u64 = 4 << 30;
