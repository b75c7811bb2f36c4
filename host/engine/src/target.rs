//! Targets: files that a run writes to.
//!
//! ```text
//!  new name          made, and named when it is complete (birth.rs)
//!  existing file     written in place, untouched until the first change; keeps its inode
//!   to be replaced   a new file takes its name when that is complete, if nothing else can tell them apart
//!  block device      written in place
//! ```

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use instar_abi::FileKind;
use rustix::fs::{Mode, OFlags, Stat, fstat, openat};
use rustix::io::Errno;

use crate::birth::{Birth, Stage};
use crate::directories::Directories;
use crate::file::{Access, Identity, OpenFile, State};
use crate::lock::{self, Use};
use crate::open::{self, OpenErrorKind, existing, reopen_direct};
use crate::storage::Storage;
use crate::wishes::Wishes;

/// How writes to a target reach its storage: qemu-img's `-t`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cache {
    /// Flush does nothing. The default of `convert`.
    #[default]
    Unsafe,
    /// Through the page cache; Flush flushes.
    Writeback,
    /// As `Writeback`, and every write is flushed.
    Writethrough,
    /// Past the page cache; Flush flushes.
    None,
    /// As `None`, and every write is flushed.
    DirectSync,
}

impl Cache {
    /// Whether the page cache is bypassed.
    #[must_use]
    pub const fn is_direct(self) -> bool {
        matches!(self, Self::None | Self::DirectSync)
    }

    pub(crate) fn flags(self) -> OFlags {
        match self {
            Self::Writethrough | Self::DirectSync => OFlags::RDWR | OFlags::DSYNC,
            Self::Unsafe | Self::Writeback | Self::None => OFlags::RDWR,
        }
    }
}

/// How a target is opened.
#[derive(Clone, Copy, Debug)]
pub struct TargetOptions {
    pub cache: Cache,
    /// No byte past this one is written.
    pub limit: u64,
    /// Others write other ranges of it at the same time.
    pub is_range: bool,
    /// What the filesystem is to know of the file before it holds anything.
    pub wishes: Wishes,
}

impl Default for TargetOptions {
    fn default() -> Self {
        Self {
            cache: Cache::default(),
            limit: u64::MAX,
            is_range: false,
            wishes: Wishes::default(),
        }
    }
}

/// Opens an existing file or device for changes in place.
pub(crate) fn in_place(path: &Path, options: &TargetOptions) -> Result<OpenFile, OpenErrorKind> {
    let (fd, stat, kind) = existing(path, options.cache.flags())?;
    taken(fd, &stat, kind, path, options)
}

/// The same for a file that has been opened with the flags of the cache mode.
pub(crate) fn taken(
    fd: OwnedFd,
    stat: &Stat,
    kind: FileKind,
    path: &Path,
    options: &TargetOptions,
) -> Result<OpenFile, OpenErrorKind> {
    let usage = if options.is_range { Use::Range } else { Use::Target };
    lock::acquire(fd.as_fd(), usage).map_err(OpenErrorKind::Lock)?;
    let direct = again(&fd, path, None, options)?;
    finish(path, fd, direct, stat, kind, options)
}

/// The same for a file that somebody else has opened. One that is empty reads as zeros wherever it is not written.
pub(crate) fn adopted(
    path: &Path,
    fd: OwnedFd,
    stat: &Stat,
    options: &TargetOptions,
) -> Result<OpenFile, OpenErrorKind> {
    let kind = match open::kind_of(stat, true)? {
        FileKind::Regular if stat.st_size == 0 => FileKind::Fresh,
        kind => kind,
    };
    taken(fd, stat, kind, path, options)
}

/// Opens a file that is to be written anew: one that exists, or one still to be born.
pub(crate) fn anew(
    path: &Path,
    options: &TargetOptions,
    directories: &Directories,
) -> Result<(OpenFile, Option<Birth>), OpenErrorKind> {
    match in_place(path, options) {
        Ok(file) => Ok((file, None)),
        Err(OpenErrorKind::Open(Errno::NOENT)) => {
            let (flags, direct) = (options.cache.flags(), options.cache.is_direct());
            let (fd, mut birth) =
                Birth::give(path, flags, direct, directories).map_err(OpenErrorKind::Create)?;
            let file = made(path, fd, &birth, options).inspect_err(|_| birth.undo())?;
            Ok((file, Some(birth)))
        }
        Err(OpenErrorKind::Open(errno)) => Err(OpenErrorKind::Create(errno)),
        Err(other) => Err(other),
    }
}

/// As [`anew`], but a regular file that exists is left alone until the new one is complete, where that can be done.
pub(crate) fn afresh(
    path: &Path,
    options: &TargetOptions,
    directories: &Directories,
) -> Result<(OpenFile, Option<Birth>), OpenErrorKind> {
    let (old, birth) = anew(path, options, directories)?;
    if birth.is_some() || old.kind != FileKind::Regular || old.direct.is_some() {
        return Ok((old, birth));
    }
    let Ok((fd, mut birth)) = Birth::succeed(path, &old, options.cache.flags(), directories) else {
        // Then it is written in place, like a device.
        return Ok((old, None));
    };
    let mut file = made(path, fd, &birth, options).inspect_err(|_| birth.undo())?;
    let predecessor = Arc::new(old.fd);
    birth.replace(&predecessor, old.identity);
    // What goes is the old file: it is that which nothing may be read from.
    file.storage = old.storage;
    file.predecessor = Some(predecessor);
    Ok((file, Some(birth)))
}

pub(crate) fn made(
    path: &Path,
    fd: OwnedFd,
    birth: &Birth,
    options: &TargetOptions,
) -> Result<OpenFile, OpenErrorKind> {
    if matches!(birth.stage, Stage::Named(_)) {
        // Other processes can see the file, so they must see that it is in use. A hidden file is locked already.
        lock::acquire(fd.as_fd(), Use::Target).map_err(OpenErrorKind::Lock)?;
    }
    let stat = fstat(&fd).map_err(OpenErrorKind::Create)?;
    let direct = again(&fd, path, Some(birth), options)?;
    let mut file = finish(path, fd, direct, &stat, FileKind::Fresh, options)?;
    file.unheeded = file.heed_wishes();
    Ok(file)
}

/// The second descriptor of a file whose cache mode wants one.
fn again(
    fd: &OwnedFd,
    path: &Path,
    birth: Option<&Birth>,
    options: &TargetOptions,
) -> Result<Option<OwnedFd>, OpenErrorKind> {
    if !options.cache.is_direct() {
        return Ok(None);
    }
    let flags = options.cache.flags();
    let by_name = |flags: OFlags| match birth.map(|birth| (birth, birth.present())) {
        None => open::by_path(path, flags),
        // Without /proc the hidden name leads to it.
        Some((birth, Some(present))) => openat(&birth.directory, present, flags, Mode::empty()),
        Some((_, None)) => Err(Errno::NOENT),
    };
    reopen_direct(fd.as_fd(), flags, by_name).map(Some)
}

fn finish(
    path: &Path,
    fd: OwnedFd,
    direct: Option<OwnedFd>,
    stat: &Stat,
    kind: FileKind,
    options: &TargetOptions,
) -> Result<OpenFile, OpenErrorKind> {
    Ok(OpenFile {
        size: open::size(&fd, stat, kind).map_err(OpenErrorKind::Open)?,
        identity: Identity::from(stat),
        storage: Storage::of(&fd, stat, kind),
        fd,
        direct,
        kind,
        access: Access::Write { limit: options.limit },
        name: path.to_owned(),
        place: None,
        busy: false,
        window: None,
        durable: options.cache != Cache::Unsafe,
        wishes: options.wishes,
        unheeded: None,
        predecessor: None,
        state: State::default(),
    })
}
