//! The system calls that rustix has no safe face for.

use std::ffi::c_int;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

/// The errno that the last libc call left.
fn last() -> Errno {
    std::io::Error::last_os_error()
        .raw_os_error()
        .map_or(Errno::IO, Errno::from_raw_os_error)
}

/// `struct file_clone_range` of linux/fs.h.
#[repr(C)]
struct CloneRange {
    source: i64,
    source_offset: u64,
    length: u64,
    target_offset: u64,
}

/// `_IOW(0x94, 13, struct file_clone_range)`.
const FICLONERANGE: u32 = 0x4020_940D;

/// Shares `length` bytes of `source` with `target` (reflink).
pub(crate) fn clone_range(
    source: BorrowedFd<'_>,
    source_offset: u64,
    target: BorrowedFd<'_>,
    target_offset: u64,
    length: u64,
) -> Result<(), Errno> {
    let range = CloneRange {
        source: i64::from(source.as_raw_fd()),
        source_offset,
        length,
        target_offset,
    };
    // SAFETY: the request reads one `file_clone_range`, which outlives the call; both descriptors are borrowed.
    let result = unsafe { libc::ioctl(target.as_raw_fd(), FICLONERANGE.into(), &raw const range) };
    if result == 0 { Ok(()) } else { Err(last()) }
}

/// Starts to write a range of the page cache to the disk, and waits for nothing but room in the device's queue.
pub(crate) fn send_range(file: BorrowedFd<'_>, offset: u64, length: u64) -> Result<(), Errno> {
    sync_range(file, offset, length, libc::SYNC_FILE_RANGE_WRITE)
}

/// Writes a range of the page cache to the disk and waits until it is there. Its failures are not told again by a later flush.
pub(crate) fn wait_for_range(file: BorrowedFd<'_>, offset: u64, length: u64) -> Result<(), Errno> {
    let all =
        libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    sync_range(file, offset, length, all)
}

fn sync_range(file: BorrowedFd<'_>, offset: u64, length: u64, how: u32) -> Result<(), Errno> {
    if length == 0 {
        // To the kernel, 0 is everything.
        return Ok(());
    }
    let offset = i64::try_from(offset).map_err(|_| Errno::INVAL)?;
    let length = i64::try_from(length).map_err(|_| Errno::INVAL)?;
    // SAFETY: no memory is passed, and the descriptor is borrowed.
    let result = unsafe { libc::sync_file_range(file.as_raw_fd(), offset, length, how) };
    if result == 0 { Ok(()) } else { Err(last()) }
}

/// Takes a read lock on the byte at `at`, owned by the open file description.
pub(crate) fn lock_byte(file: BorrowedFd<'_>, at: i64) -> Result<(), Errno> {
    let mut lock = one_byte(libc::F_RDLCK, at);
    control(file, libc::F_OFD_SETLK, &mut lock)
}

/// Whether another open file description holds a lock on the byte at `at`.
pub(crate) fn is_byte_locked(file: BorrowedFd<'_>, at: i64) -> Result<bool, Errno> {
    let mut lock = one_byte(libc::F_WRLCK, at);
    control(file, libc::F_OFD_GETLK, &mut lock)?;
    Ok(c_int::from(lock.l_type) != libc::F_UNLCK)
}

fn one_byte(kind: c_int, at: i64) -> libc::flock {
    libc::flock {
        l_type: libc::c_short::try_from(kind).unwrap_or_default(),
        l_whence: libc::c_short::try_from(libc::SEEK_SET).unwrap_or_default(),
        l_start: at,
        l_len: 1,
        l_pid: 0,
    }
}

fn control(file: BorrowedFd<'_>, command: c_int, lock: &mut libc::flock) -> Result<(), Errno> {
    // SAFETY: both lock commands read and write one `flock`, which is borrowed for the call.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut *lock) };
    if result == 0 { Ok(()) } else { Err(last()) }
}
