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

/// An ioctl's number, and the structure that it reads or writes.
struct Control<T> {
    number: u32,
    structure: std::marker::PhantomData<T>,
}

impl<T> Control<T> {
    /// The kernel's `number` says that it takes a `T`: each use is a constant below.
    const fn new(number: u32) -> Self {
        Self {
            number,
            structure: std::marker::PhantomData,
        }
    }

    fn call(&self, file: BorrowedFd<'_>, structure: &mut T) -> Result<(), Errno> {
        // SAFETY: the constants pair each number with the structure that the kernel reads or writes for it, which is borrowed for
        // the call; any bytes are a value of each.
        let result = unsafe { libc::ioctl(file.as_raw_fd(), self.number.into(), &raw mut *structure) };
        if result == 0 { Ok(()) } else { Err(last()) }
    }
}

/// `_IOW(0x94, 13, struct file_clone_range)`.
const FICLONERANGE: Control<CloneRange> = Control::new(0x4020_940D);
/// `LOOP_GET_STATUS64`.
const LOOP_STATUS: Control<LoopInfo> = Control::new(0x4C05);
/// `_IOR('X', 31, struct fsxattr)` and `_IOW('X', 32, struct fsxattr)`.
const GET_ATTRIBUTES: Control<Attributes> = Control::new(0x801C_581F);
const SET_ATTRIBUTES: Control<Attributes> = Control::new(0x401C_5820);

/// `struct file_clone_range` of linux/fs.h.
#[repr(C)]
struct CloneRange {
    source: i64,
    source_offset: u64,
    length: u64,
    target_offset: u64,
}

/// `struct loop_info64` of linux/loop.h.
#[repr(C)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    rest: [u64; 24],
}

const _: () = assert!(size_of::<LoopInfo>() == 232);

/// `struct fsxattr` of linux/fs.h.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    flags: u32,
    extent_size: u32,
    rest: [u32; 5],
}

const _: () = assert!(size_of::<Attributes>() == 28);

/// `FS_XFLAG_EXTSIZE`.
const HAS_EXTENT_SIZE: u32 = 0x800;

/// What a loop device shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoopStatus {
    /// The file: device and inode.
    pub(crate) device: u64,
    pub(crate) inode: u64,
    /// Its part: the first byte, and how many; 0 is all.
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// What the loop device shows; fails on everything else.
pub(crate) fn loop_status(device: BorrowedFd<'_>) -> Result<LoopStatus, Errno> {
    let mut info = LoopInfo {
        device: 0,
        inode: 0,
        rdevice: 0,
        offset: 0,
        size_limit: 0,
        rest: [0; 24],
    };
    LOOP_STATUS.call(device, &mut info)?;
    Ok(LoopStatus {
        device: info.device,
        inode: info.inode,
        offset: info.offset,
        length: info.size_limit,
    })
}

/// Tells the filesystem in which units an empty file is to be given space; 0: as it likes.
pub(crate) fn set_extent_size(file: BorrowedFd<'_>, bytes: u32) -> Result<(), Errno> {
    let mut attributes = Attributes::default();
    GET_ATTRIBUTES.call(file, &mut attributes)?;
    attributes.flags &= !HAS_EXTENT_SIZE;
    if bytes != 0 {
        attributes.flags |= HAS_EXTENT_SIZE;
    }
    attributes.extent_size = bytes;
    SET_ATTRIBUTES.call(file, &mut attributes)
}

/// Shares `length` bytes of `source` with `target` (reflink).
pub(crate) fn clone_range(
    source: BorrowedFd<'_>,
    source_offset: u64,
    target: BorrowedFd<'_>,
    target_offset: u64,
    length: u64,
) -> Result<(), Errno> {
    let mut range = CloneRange {
        source: i64::from(source.as_raw_fd()),
        source_offset,
        length,
        target_offset,
    };
    FICLONERANGE.call(target, &mut range)
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

/// Whether this is the only descriptor of the file that is open anywhere; fails where the filesystem does not tell.
pub(crate) fn is_open_once(file: BorrowedFd<'_>) -> Result<bool, Errno> {
    // If another process opens the file before the lease is given back, the kernel sends us a signal, one that is ignored.
    number(file, F_SETSIG, libc::SIGURG)?;
    match number(file, libc::F_SETLEASE, libc::F_WRLCK) {
        Ok(()) => number(file, libc::F_SETLEASE, libc::F_UNLCK).map(|()| true),
        Err(Errno::AGAIN) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// The command of asm-generic/fcntl.h that libc leaves out.
const F_SETSIG: c_int = 10;

fn control(file: BorrowedFd<'_>, number: c_int, lock: &mut libc::flock) -> Result<(), Errno> {
    command(file, number, (&raw mut *lock).expose_provenance())
}

fn number(file: BorrowedFd<'_>, command: c_int, value: c_int) -> Result<(), Errno> {
    self::command(file, command, usize::try_from(value).unwrap_or_default())
}

fn command(file: BorrowedFd<'_>, number: c_int, argument: usize) -> Result<(), Errno> {
    // SAFETY: both lock commands read and write one `flock`, which is borrowed for the call; the others take a number.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), number, argument) };
    if result == 0 { Ok(()) } else { Err(last()) }
}
