//! Advisory locks that qemu's tools understand.
//!
//! ```text
//!  byte 100 + n   held (read lock) by every process that uses permission n
//!  byte 200 + n   held (read lock) by every process that does not share permission n
//!  n              0 consistent read, 1 write, 2 write unchanged, 3 resize
//! ```
//!
//! A conflict is another's lock on the opposite byte. All locks are read locks, so taking one never fails for
//! another's sake; looking for the opposite comes after, so that of two who start at once at least one gives way.
//! They belong to the open file description and go with it.

use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use crate::sys;

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Reading, while no other process writes.
    Source,
    /// Reading and writing, while no other process writes.
    Target,
    /// Writing a range, while other processes write others, and none reads or resizes it.
    Range,
}

impl Use {
    /// Numbers of the permissions used.
    const fn uses(self) -> &'static [u8] {
        match self {
            Self::Source => &[READ],
            Self::Target => &[READ, WRITE, RESIZE],
            Self::Range => &[WRITE],
        }
    }

    /// Numbers of the permissions that no other process may use meanwhile.
    const fn keeps(self) -> &'static [u8] {
        match self {
            Self::Source | Self::Target => &[WRITE, RESIZE],
            Self::Range => &[READ, RESIZE],
        }
    }
}

/// A lock of another's is in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockConflict {
    /// The permission in dispute, in qemu's words.
    pub permission: &'static str,
    /// We do not share what the other one uses; else the other one does not share what we use.
    pub shared: bool,
}

impl std::fmt::Display for LockConflict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shared = if self.shared { "shared " } else { "" };
        write!(f, "Failed to get {shared}\"{}\" lock", self.permission)
    }
}

/// Takes the locks for `usage` on `file`, or says who is in the way.
///
/// Filesystems without such locks are taken as they are, unlocked, as qemu does when it is left the choice.
pub(crate) fn acquire(file: BorrowedFd<'_>, usage: Use) -> Result<(), LockConflict> {
    try_acquire(file, usage).map(|_| ())
}

/// As [`acquire`]; whether there are such locks, and all are held.
pub(crate) fn try_acquire(file: BorrowedFd<'_>, usage: Use) -> Result<bool, LockConflict> {
    let used = usage.uses().iter().map(|n| (*n, USED));
    let kept = usage.keeps().iter().map(|n| (*n, KEPT));
    for (n, base) in used.chain(kept) {
        match sys::lock_byte(file, base + i64::from(n)) {
            Ok(()) => {}
            // Somebody else's whole-file write lock, of a tool that knows nothing of these bytes.
            Err(Errno::AGAIN | Errno::ACCESS) => return Err(conflict(n, base == KEPT)),
            Err(_) => return Ok(false),
        }
    }
    for n in usage.uses() {
        if sys::is_byte_locked(file, KEPT + i64::from(*n)) == Ok(true) {
            return Err(conflict(*n, false));
        }
    }
    for n in usage.keeps() {
        if sys::is_byte_locked(file, USED + i64::from(*n)) == Ok(true) {
            return Err(conflict(*n, true));
        }
    }
    Ok(true)
}

const fn conflict(permission: u8, shared: bool) -> LockConflict {
    LockConflict {
        permission: match permission {
            READ => "consistent read",
            WRITE => "write",
            _ => "resize",
        },
        shared,
    }
}

const USED: i64 = 100;
const KEPT: i64 = 200;
const READ: u8 = 0;
const WRITE: u8 = 1;
const RESIZE: u8 = 3;
