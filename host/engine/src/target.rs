//! Targets: how a file comes to stand under its name (design section 6).
//!
//! ```text
//!  new name          unnamed file in the directory ── all written ──► linked under the name
//!   no O_TMPFILE     hidden file beside it         ── all written ──► renamed, never over another
//!   sealed directory created under the name at once; taken away again if the run fails
//!  existing file     written in place, untouched until the first change; keeps its inode
//!  block device      likewise
//! ```
//!
//! In the first case a kill at any moment leaves nothing; in the second, a hidden file.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use instar_abi::FileKind;
use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, RenameFlags, Stat, fstat, fsync, linkat, openat, renameat_with, statat,
    unlinkat,
};
use rustix::io::Errno;

use crate::file::{Access, Identity, OpenFile, State};
use crate::lock::{self, Use};
use crate::name;
use crate::open::{self, OpenErrorKind, existing, own_path, reopen_direct};

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

    fn flags(self) -> OFlags {
        match self {
            Self::Writethrough | Self::DirectSync => OFlags::RDWR | OFlags::DSYNC,
            Self::Unsafe | Self::Writeback | Self::None => OFlags::RDWR,
        }
    }
}

/// How a target is opened.
#[derive(Clone, Copy, Debug)]
pub struct TargetOptions {
    /// Cache mode.
    pub cache: Cache,
    /// No byte past this one is written.
    pub limit: u64,
}

impl Default for TargetOptions {
    fn default() -> Self {
        Self {
            cache: Cache::default(),
            limit: u64::MAX,
        }
    }
}

/// A new file on its way to its name.
#[derive(Debug)]
pub(crate) struct Birth {
    pub(crate) directory: OwnedFd,
    name: OsString,
    stage: Stage,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    /// Without a name.
    Unnamed,
    /// Under a name of ours.
    Hidden(OsString),
    /// Under its name, as this file.
    Named(Identity),
}

impl Birth {
    /// Puts the complete file under its name. What has appeared there meanwhile is left alone: EEXIST.
    pub(crate) fn complete(&mut self, file: &OpenFile) -> Result<(), Errno> {
        match &self.stage {
            Stage::Unnamed => self.link(file)?,
            Stage::Hidden(hidden) => self.rename(hidden)?,
            Stage::Named(_) => {}
        }
        self.stage = Stage::Named(file.identity);
        Ok(())
    }

    /// Takes away what the run has made, as far as it is still ours.
    pub(crate) fn undo(&mut self) {
        match &self.stage {
            Stage::Unnamed => {}
            Stage::Hidden(hidden) => {
                // Nothing better can be done about a failure here than to leave the hidden file.
                let _ = unlinkat(&self.directory, hidden, AtFlags::empty());
            }
            Stage::Named(identity) => {
                let now = statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW);
                if now.is_ok_and(|stat| Identity::from(&stat) == *identity) {
                    let _ = unlinkat(&self.directory, &self.name, AtFlags::empty());
                }
            }
        }
        self.stage = Stage::Unnamed;
    }

    /// The new name on stable storage.
    pub(crate) fn sync(&self) -> Result<(), Errno> {
        match fsync(&self.directory) {
            // A directory that may not be read cannot be flushed, and some filesystems have nothing to flush.
            Err(Errno::BADF | Errno::INVAL) => Ok(()),
            other => other,
        }
    }

    fn link(&self, file: &OpenFile) -> Result<(), Errno> {
        let direct = linkat(&file.fd, "", &self.directory, &self.name, AtFlags::EMPTY_PATH);
        match direct {
            // Before Linux 6.10 that takes a privilege; the detour through /proc does not.
            Err(Errno::NOENT | Errno::PERM | Errno::INVAL) => linkat(
                CWD,
                own_path(file.fd()),
                &self.directory,
                &self.name,
                AtFlags::SYMLINK_FOLLOW,
            ),
            other => other,
        }
    }

    fn rename(&self, hidden: &OsStr) -> Result<(), Errno> {
        let renamed = renameat_with(
            &self.directory,
            hidden,
            &self.directory,
            &self.name,
            RenameFlags::NOREPLACE,
        );
        match renamed {
            // A filesystem without that flag: a second name never replaces either.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                linkat(
                    &self.directory,
                    hidden,
                    &self.directory,
                    &self.name,
                    AtFlags::empty(),
                )?;
                unlinkat(&self.directory, hidden, AtFlags::empty())
            }
            other => other,
        }
    }
}

/// Opens an existing file or device for changes in place.
pub(crate) fn in_place(name: &OsStr, options: &TargetOptions, lock: bool) -> Result<OpenFile, OpenErrorKind> {
    let (fd, stat, kind) = existing(name, options.cache.flags())?;
    if lock {
        lock::acquire(fd.as_fd(), Use::Target).map_err(OpenErrorKind::Lock)?;
    }
    finish(name, fd, &stat, kind, options, false)
}

/// Opens a file that is to be written anew: one that exists, or one still to be born.
pub(crate) fn anew(
    name: &OsStr,
    options: &TargetOptions,
    lock: bool,
) -> Result<(OpenFile, Option<Birth>), OpenErrorKind> {
    match existing(name, options.cache.flags()) {
        Ok((fd, stat, kind)) => {
            if lock {
                lock::acquire(fd.as_fd(), Use::Target).map_err(OpenErrorKind::Lock)?;
            }
            Ok((finish(name, fd, &stat, kind, options, true)?, None))
        }
        Err(OpenErrorKind::Open(Errno::NOENT)) => {
            let path = name::typed(name).map_err(OpenErrorKind::Protocol)?;
            let (fd, birth) = give_birth(path, options.cache.flags()).map_err(OpenErrorKind::Create)?;
            let stat = fstat(&fd).map_err(OpenErrorKind::Create)?;
            let mut birth = birth;
            if birth.stage != Stage::Unnamed && lock {
                // Others can see it: they shall see that it is in use.
                lock::acquire(fd.as_fd(), Use::Target).map_err(OpenErrorKind::Lock)?;
            }
            if let Stage::Named(identity) = &mut birth.stage {
                *identity = Identity::from(&stat);
            }
            let file =
                finish(name, fd, &stat, FileKind::Fresh, options, true).inspect_err(|_| birth.undo())?;
            Ok((file, Some(birth)))
        }
        Err(OpenErrorKind::Open(errno)) => Err(OpenErrorKind::Create(errno)),
        Err(other) => Err(other),
    }
}

fn finish(
    name: &OsStr,
    fd: OwnedFd,
    stat: &Stat,
    kind: FileKind,
    options: &TargetOptions,
    replaced: bool,
) -> Result<OpenFile, OpenErrorKind> {
    let direct = if options.cache.is_direct() {
        Some(reopen_direct(fd.as_fd(), options.cache.flags())?)
    } else {
        None
    };
    Ok(OpenFile {
        size: open::size(&fd, stat, kind).map_err(OpenErrorKind::Open)?,
        identity: Identity::from(stat),
        fd,
        direct,
        kind,
        access: Access::Write { limit: options.limit },
        name: PathBuf::from(name),
        place: None,
        durable: options.cache != Cache::Unsafe,
        replaced,
        state: State::default(),
    })
}

/// Makes a file that is to stand at `path`, where nothing is.
fn give_birth(path: &Path, flags: OFlags) -> Result<(OwnedFd, Birth), Errno> {
    if path.as_os_str().as_bytes().ends_with(b"/") {
        return Err(Errno::ISDIR);
    }
    // A link that leads nowhere is followed, as creating a file does; what is linked to may lie elsewhere.
    let path = follow(path)?;
    let name = path.file_name().ok_or(Errno::NOENT)?.to_owned();
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let directory = open_directory(parent)?;
    let flags = flags | OFlags::CLOEXEC;
    if let Ok(fd) = openat(&directory, ".", flags | OFlags::TMPFILE, MODE) {
        let stage = Stage::Unnamed;
        return Ok((
            fd,
            Birth {
                directory,
                name,
                stage,
            },
        ));
    }
    let flags = flags | OFlags::CREATE | OFlags::EXCL;
    let hidden = hidden_name(&name);
    if let Ok(fd) = openat(&directory, &hidden, flags, MODE) {
        let stage = Stage::Hidden(hidden);
        return Ok((
            fd,
            Birth {
                directory,
                name,
                stage,
            },
        ));
    }
    // A directory sealed but for this name: in it, the file is visible from the start.
    let fd = openat(&directory, &name, flags, MODE)?;
    let stage = Stage::Named(Identity::from(&fstat(&fd)?));
    Ok((
        fd,
        Birth {
            directory,
            name,
            stage,
        },
    ))
}

/// A directory to work in; one that may not be read can still be worked in, but not flushed.
fn open_directory(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags | OFlags::RDONLY, Mode::empty()) {
        Err(Errno::ACCESS) => rustix::fs::open(path, flags | OFlags::PATH, Mode::empty()),
        other => other,
    }
}

/// Where `path` leads if it is a chain of symbolic links into nothing; else `path`.
fn follow(path: &Path) -> Result<PathBuf, Errno> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        match std::fs::read_link(&path) {
            Ok(link) => path = path.parent().unwrap_or(Path::new("")).join(link),
            Err(_) => return Ok(path),
        }
    }
    Err(Errno::LOOP)
}

/// A name beside `name` that nobody uses: hidden, recognisable, and short enough.
fn hidden_name(name: &OsStr) -> OsString {
    let kept = name.as_bytes().get(..NAME_KEPT).unwrap_or(name.as_bytes());
    let mut hidden = OsString::from(".");
    hidden.push(OsStr::from_bytes(kept));
    hidden.push(format!(".instar-{}", std::process::id()));
    hidden
}

/// What qemu-img gives new images, less the umask.
const MODE: Mode = Mode::from_raw_mode(0o644);
/// Links followed. The kernel's limit.
const LINKS: usize = 40;
/// Bytes of a name kept in the hidden one, so that it stays below the 255 that Linux allows.
const NAME_KEPT: usize = 200;
