//! Opening what the user named.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use instar_abi::FileKind;
use rustix::fs::{FileType, Mode, OFlags, SeekFrom, Stat, fstat, makedev, openat, seek};
use rustix::io::Errno;

use crate::file::{Access, Identity, OpenFile, State};
use crate::lock::{self, LockConflict, Use};
use crate::storage::Storage;
use crate::wishes::Wishes;

/// Why a file that the user named was not opened.
#[derive(Debug)]
pub struct OpenError {
    /// Where it was looked for.
    pub name: PathBuf,
    pub kind: OpenErrorKind,
}

#[derive(Debug)]
pub enum OpenErrorKind {
    /// Neither a regular file nor a block device.
    Kind,
    /// The system's error while opening.
    Open(Errno),
    /// The system's error while creating.
    Create(Errno),
    /// The filesystem has no direct I/O.
    Direct,
    /// Somebody else uses it.
    Lock(LockConflict),
    /// Writing to the first would change the second, which the run reads or writes, too.
    Overwrites(PathBuf, PathBuf),
    /// More files than one run may have.
    TooMany,
}

impl fmt::Display for OpenError {
    /// In qemu-img's words, without its prefix.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.display();
        match &self.kind {
            OpenErrorKind::Kind => write!(f, "'file' driver requires '{name}' to be a regular file"),
            OpenErrorKind::Open(errno) => write!(f, "Could not open '{name}': {}", words(*errno)),
            OpenErrorKind::Create(errno) => write!(f, "Could not create '{name}': {}", words(*errno)),
            OpenErrorKind::Direct => {
                write!(f, "Could not open '{name}': filesystem does not support O_DIRECT")
            }
            OpenErrorKind::Lock(conflict) => write!(f, "{conflict}"),
            OpenErrorKind::Overwrites(target, other) => write!(
                f,
                "writing to '{}' would overwrite '{}', which is used in the same run",
                target.display(),
                other.display()
            ),
            OpenErrorKind::TooMany => write!(f, "Too many files"),
        }
    }
}

impl std::error::Error for OpenError {}

impl OpenError {
    pub(crate) fn new(name: &Path, kind: OpenErrorKind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
        }
    }

    /// The line that follows the message, if one does.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        matches!(self.kind, OpenErrorKind::Lock(_))
            .then(|| format!("Is another process using the image [{}]?", self.name.display()))
    }
}

/// The system's words for an errno, as C programs print them, and what to do about it where they do not tell.
#[must_use]
pub fn words(errno: Errno) -> String {
    said(&std::io::Error::from(errno))
}

/// The same for an error that others may have put words around.
#[must_use]
pub fn said(error: &std::io::Error) -> String {
    let mut text = error.to_string();
    if let Some(end) = text.rfind(" (os error ") {
        text.truncate(end);
    }
    if text.ends_with(TOO_MANY) {
        text.push_str(" (ulimit -Hn allows no more: raise it)");
    }
    text
}

/// EMFILE. The soft limit has been raised to the hard one by then.
const TOO_MANY: &str = "Too many open files";

/// Opens an existing file or device. Never waits: a FIFO without a writer is opened, then refused.
pub(crate) fn existing(path: &Path, flags: OFlags) -> Result<(OwnedFd, Stat, FileKind), OpenErrorKind> {
    let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(OpenErrorKind::Open)?;
    let stat = fstat(&fd).map_err(OpenErrorKind::Open)?;
    let kind = kind_of(&stat, flags.contains(OFlags::RDWR))?;
    Ok((fd, stat, kind))
}

/// What kind of file it is, if an image can be in it.
pub(crate) fn kind_of(stat: &Stat, to_write: bool) -> Result<FileKind, OpenErrorKind> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(FileKind::Regular),
        FileType::BlockDevice => Ok(FileKind::Block),
        // A disk of no size to read from, and nothing to write an image to.
        FileType::CharacterDevice if stat.st_rdev == makedev(NULL_DEVICE.0, NULL_DEVICE.1) && !to_write => {
            Ok(FileKind::Block)
        }
        _ => Err(OpenErrorKind::Kind),
    }
}

/// The number of `/dev/null`; opening it does nothing, which of no other character device is known.
const NULL_DEVICE: (u32, u32) = (1, 3);

/// Opens a source.
pub(crate) fn source(path: &Path, direct: bool, lock: bool) -> Result<OpenFile, OpenErrorKind> {
    let (fd, stat, kind) = existing(path, OFlags::RDONLY)?;
    if lock {
        lock::acquire(fd.as_fd(), Use::Source).map_err(OpenErrorKind::Lock)?;
    }
    let direct = direct
        .then(|| reopen_direct(fd.as_fd(), OFlags::RDONLY, |flags| by_path(path, flags)))
        .transpose()?;
    read_from(path, fd, direct, &stat, kind)
}

/// A source that has been opened.
pub(crate) fn read_from(
    path: &Path,
    fd: OwnedFd,
    direct: Option<OwnedFd>,
    stat: &Stat,
    kind: FileKind,
) -> Result<OpenFile, OpenErrorKind> {
    Ok(OpenFile {
        size: size(&fd, stat, kind).map_err(OpenErrorKind::Open)?,
        identity: Identity::from(stat),
        storage: Storage::of(&fd, stat, kind),
        fd,
        direct,
        kind,
        access: Access::Read,
        name: path.to_owned(),
        place: None,
        busy: false,
        window: None,
        durable: false,
        wishes: Wishes::default(),
        unheeded: None,
        predecessor: None,
        state: State::default(),
    })
}

/// The same file once more, past the page cache.
pub(crate) fn reopen_direct(
    fd: BorrowedFd<'_>,
    flags: OFlags,
    by_name: impl FnOnce(OFlags) -> Result<OwnedFd, Errno>,
) -> Result<OwnedFd, OpenErrorKind> {
    let flags = flags | OFlags::DIRECT | OFlags::CLOEXEC;
    let reopened = match openat(rustix::fs::CWD, own_path(fd), flags, Mode::empty()) {
        // Without /proc, by its name, as long as that still leads to it.
        Err(Errno::NOENT) => by_name(flags | OFlags::NONBLOCK | OFlags::NOCTTY).and_then(|again| {
            let same = Identity::from(&fstat(&again)?) == Identity::from(&fstat(fd)?);
            if same { Ok(again) } else { Err(Errno::NOENT) }
        }),
        other => other,
    };
    match reopened {
        Ok(fd) => Ok(fd),
        Err(Errno::INVAL) => Err(OpenErrorKind::Direct),
        Err(errno) => Err(OpenErrorKind::Open(errno)),
    }
}

/// Opens what the user named once more.
pub(crate) fn by_path(path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, flags, Mode::empty())
}

/// The name under which a process finds its own open file.
pub(crate) fn own_path(fd: BorrowedFd<'_>) -> PathBuf {
    use std::os::fd::AsRawFd;
    Path::new("/proc/self/fd").join(fd.as_raw_fd().to_string())
}

/// A file's length, a device's capacity.
pub(crate) fn size(fd: &OwnedFd, stat: &Stat, kind: FileKind) -> Result<u64, Errno> {
    if kind == FileKind::Block {
        return seek(fd, SeekFrom::End(0));
    }
    u64::try_from(stat.st_size).map_err(|_| Errno::OVERFLOW)
}
