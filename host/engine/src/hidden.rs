//! Hidden names: of files that are not complete, where they must have one.
//!
//! ```text
//!  .disk.qcow2.instar-6f1c02d9-88c3a41e90b2d7f5
//!   └ the name that it will get  └ this boot of this machine
//!                                         └ at random: nobody can create it first
//! ```
//!
//! A file under such a name is locked as long as the run lives that makes it. One that is not locked was left by a run that was
//! killed, and goes when the same name is written to again.

use std::ffi::{OsStr, OsString};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, openat, statat, unlinkat};
use rustix::process::geteuid;

use crate::file::Identity;
use crate::lock::{self, Use};

/// An unused name beside `of`: hidden, recognisable, and short enough.
pub(crate) fn name(of: &OsStr) -> OsString {
    with_random(of, boot())
}

/// The same for a file that is only tried out and removed at once, for which the name need not identify the boot.
pub(crate) fn scratch(of: &OsStr) -> OsString {
    with_random(of, UNKNOWN)
}

/// Another hidden name beside `hidden`, and as good.
pub(crate) fn another(hidden: &OsStr) -> OsString {
    let bytes = hidden.as_bytes();
    let kept = bytes.len().saturating_sub(RANDOM);
    let mut other = OsStr::from_bytes(bytes.get(..kept).unwrap_or(bytes)).to_owned();
    other.push(random());
    other
}

fn with_random(of: &OsStr, boot: &str) -> OsString {
    let mut name = prefix(of);
    name.push(boot);
    name.push("-");
    name.push(random());
    name
}

/// Each hasher of the standard library's is keyed at random.
fn random() -> String {
    format!("{:016x}", RandomState::new().build_hasher().finish())
}

/// Takes away what runs that were killed have left of `of`. Whatever cannot be looked at stays.
pub(crate) fn sweep(directory: BorrowedFd<'_>, of: &OsStr) {
    let Ok(entries) = Dir::read_from(directory) else {
        return;
    };
    let prefix = prefix(of);
    let boot = boot();
    for entry in entries.take(ENTRIES).flatten() {
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if let Some(suffix) = name.as_bytes().strip_prefix(prefix.as_bytes())
            && let Some(maker) = maker(suffix)
        {
            let here = maker == boot.as_bytes() && boot != UNKNOWN;
            remove_if_dead(directory, name, here);
        }
    }
}

/// Removes a hidden file if no run is making it any more.
fn remove_if_dead(directory: BorrowedFd<'_>, name: &OsStr, here: bool) -> Option<()> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let fd = openat(directory, name, flags, Mode::empty()).ok()?;
    let stat = fstat(&fd).ok()?;
    let ours = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
        && stat.st_uid == geteuid().as_raw()
        && stat.st_nlink == 1;
    // Locks of another machine's may not be seen here.
    if !ours || !here && !is_old(&stat) {
        return None;
    }
    // Without locks nothing can be told.
    let free = lock::try_acquire(fd.as_fd(), Use::Target).ok()?;
    let now = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    if free && Identity::of(&now) == Identity::of(&stat) {
        unlinkat(directory, name, AtFlags::empty()).ok()?;
    }
    Some(())
}

/// Which boot of which machine the suffix speaks of; nothing if it is not one of ours.
fn maker(suffix: &[u8]) -> Option<&[u8]> {
    let (boot, random) = suffix.split_at_checked(BOOT)?;
    let random = random.strip_prefix(b"-")?;
    let hexadecimal = |bytes: &[u8]| bytes.iter().all(u8::is_ascii_hexdigit);
    (random.len() == RANDOM && hexadecimal(random) && hexadecimal(boot)).then_some(boot)
}

fn is_old(stat: &Stat) -> bool {
    let seconds = u64::try_from(stat.st_mtime).unwrap_or(u64::MAX);
    let changed = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    let age = changed.and_then(|changed| SystemTime::now().duration_since(changed).ok());
    age.is_some_and(|age| age > OLD)
}

fn prefix(of: &OsStr) -> OsString {
    let kept = of.as_bytes().get(..NAME_KEPT).unwrap_or(of.as_bytes());
    let mut prefix = OsString::from(".");
    prefix.push(OsStr::from_bytes(kept));
    prefix.push(".instar-");
    prefix
}

/// Says which boot of which machine this is. Asked once: a disk in pieces has thousands of hidden names.
fn boot() -> &'static str {
    static ID: OnceLock<String> = OnceLock::new();
    let id = ID
        .get_or_init(|| std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default())
        .get(..BOOT)
        .filter(|id| id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    id.unwrap_or(UNKNOWN)
}

/// Where the kernel does not say.
const UNKNOWN: &str = "00000000";
/// Digits of the boot's number, and of the random one.
const BOOT: usize = 8;
const RANDOM: usize = 16;
/// Bytes of a name kept in the hidden one, so that it stays below the 255 that Linux allows.
const NAME_KEPT: usize = 200;
/// Names looked at in a directory. Ours: a second's work at most.
const ENTRIES: usize = 100_000;
/// How long a file of another machine's must have been left alone. Ours.
const OLD: Duration = Duration::from_hours(24);

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn hidden_names_are_short_enough_for_any_name() {
        for length in [1, 200, 255] {
            let of = OsString::from("x".repeat(length));
            assert!(name(&of).len() <= 255);
            assert_ne!(name(&of), name(&of), "nobody can guess the next");
            assert!(another(&name(&of)).len() <= 255);
        }
    }

    #[test]
    fn hidden_files_without_a_lock_are_removed_and_others_stay() {
        let place = tempfile::tempdir().unwrap();
        let make = |name: &OsStr| {
            let file = File::create_new(place.path().join(name)).unwrap();
            (place.path().join(name), file)
        };
        let of = OsStr::new("out");
        let (dead, _) = make(&name(of));
        let (living, file) = make(&name(of));
        lock::acquire(file.as_fd(), Use::Target).unwrap();
        let (elsewhere, _) = make(OsStr::new(".out.instar-0123abcd-0123456789abcdef"));
        let (old, file) = make(OsStr::new(".out.instar-0123abcd-0123456789abcde0"));
        file.set_modified(SystemTime::now() - 2 * OLD).unwrap();
        let (other, _) = make(&name(OsStr::new("outer")));
        let (foreign, _) = make(OsStr::new(".out.instar-notes"));
        let (twin, _) = make(&name(of));
        std::fs::hard_link(&twin, place.path().join("twin")).unwrap();
        let link = place.path().join(name(of));
        std::os::unix::fs::symlink("twin", &link).unwrap();
        let directory = File::open(place.path()).unwrap();
        sweep(directory.as_fd(), of);
        assert!(!dead.exists() && !old.exists());
        for stays in [living, elsewhere, other, foreign, twin, link] {
            assert!(stays.exists(), "{}", stays.display());
        }
    }
}
