//! Waiting for what another process does. A fixed time is too short on a busy machine.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Longer than anything takes that happens at all.
const PATIENCE: Duration = Duration::from_secs(240);

/// Waits until `happened`.
///
/// # Panics
///
/// If it does not.
#[track_caller]
pub fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < PATIENCE, "{what}: that never happened");
        sleep(Duration::from_millis(5));
    }
}

/// Waits until processes have so many locks on `path`.
///
/// # Panics
///
/// If they never have, or /proc/locks cannot be read.
#[track_caller]
pub fn until_locked(path: &Path, locks: usize) {
    let inode = format!(":{} ", fs::metadata(path).unwrap().ino());
    until("a lock", || {
        let held = fs::read_to_string("/proc/locks").unwrap();
        held.lines().filter(|line| line.contains(&inode)).count() >= locks
    });
}

/// Waits until the process handles signal `number`, or blocks it to take it in its own time.
///
/// # Panics
///
/// If it never does.
#[track_caller]
pub fn until_handled(process: u32, number: u32) {
    until("a handler", || {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let masks = status
            .lines()
            .filter_map(|line| line.strip_prefix("SigCgt:").or(line.strip_prefix("SigBlk:")).map(str::trim));
        masks.filter_map(|mask| u64::from_str_radix(mask, 16).ok()).any(|mask| mask >> (number - 1) & 1 == 1)
    });
}
