//! How a new file comes to stand under its name.
//!
//! ```text
//!  unnamed file in the directory ── all written ──► linked under the name
//!  hidden file beside it         ── all written ──► renamed, never over another; or linked, and the hidden name removed
//!  under the name from the start ── taken away again if the run fails
//! ```
//!
//! The first way that works here is taken. Whether it does is tried on an empty file, before the first byte is written: kernels,
//! filesystems and security modules each leave some of these calls out, and hours of work are not to be lost at the last of them.
//!
//! A kill leaves nothing in the first case, a hidden file in the second, which the next run takes away, and an incomplete file in
//! the third.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, RenameFlags, Stat, StatxAttributes, StatxFlags, Uid, fchmod,
    fchown, flistxattr, fstat, fsync, linkat, openat, readlinkat, renameat_with, statat, statx, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::directories::{Directories, open_directory};
use crate::file::{Identity, OpenFile};
use crate::lock::{self, Use};
use crate::open::own_path;
use crate::root::Mount;
use crate::{hidden, record, storage, sys};

/// A new file on its way to its name.
#[derive(Debug)]
pub(crate) struct Birth {
    pub(crate) directory: Arc<OwnedFd>,
    name: OsString,
    pub(crate) stage: Stage,
    naming: Naming,
    /// The file whose name it gets, open so that its locks last.
    replaces: Option<Replaced>,
}

/// A file that stays until another takes its name.
#[derive(Debug)]
struct Replaced {
    _fd: Arc<OwnedFd>,
    identity: Identity,
    /// A hidden name on the way there; at the end, no new one can be made up.
    hidden: OsString,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Without a name.
    Unnamed,
    /// Under a name of ours.
    Hidden(OsString),
    /// Under its name, as this file.
    Named(Identity),
}

/// How a hidden file gets a name that does not exist yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Naming {
    /// Renamed, by a kernel that refuses to replace.
    Exclusively,
    /// A second name never replaces either; then the first goes.
    ByLink,
    /// Renamed, after a look at the name.
    Plainly,
}

/// Finds out how a hidden file can get its name; gives the hidden name that it has then.
type FindNaming = fn(&Birth, &OsStr) -> Result<(OsString, Naming), Errno>;

impl Birth {
    /// Makes a file that is to stand at `path`, where nothing is. With `direct` it must be possible to open it once more.
    pub(crate) fn give(
        path: &Path,
        flags: OFlags,
        direct: bool,
        directories: &Directories,
    ) -> Result<(OwnedFd, Self), Errno> {
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
        let mut birth = Self::in_directory(directories.nest(parent)?, name);
        let flags = flags | OFlags::CLOEXEC;
        let fd = if birth.may_remove() {
            birth
                .unnamed(flags, direct, Self::can_link)
                .or_else(|_| birth.hidden(flags, Self::find_naming))
                .or_else(|_| birth.named(flags))
        } else {
            // What is tried out would stay behind.
            birth
                .unnamed(flags, direct, Self::may_link)
                .or_else(|_| birth.named(flags))
        }?;
        Ok((fd, birth))
    }

    /// A file that can take the place of `old` without anybody's noticing but by the inode: same owner and mode, no other name,
    /// no attributes that would be lost, not mounted by itself (a mount cannot be renamed over), in a directory where names may change,
    /// and open nowhere else.
    pub(crate) fn succeed(
        path: &Path,
        old: &OpenFile,
        flags: OFlags,
        directories: &Directories,
    ) -> Result<(OwnedFd, Self), Errno> {
        let path = std::fs::canonicalize(path).map_err(|_| Errno::NOENT)?;
        let parent = path.parent().ok_or(Errno::NOENT)?;
        let was = fstat(&old.fd)?;
        let name = path.file_name().ok_or(Errno::NOENT)?.to_owned();
        let mut birth = Self::in_directory(directories.nest(parent)?, name);
        let there = statat(&birth.directory, &birth.name, AtFlags::SYMLINK_NOFOLLOW)?;
        let around = fstat(&birth.directory)?;
        let sticky = around.st_mode & STICKY != 0 && was.st_uid != geteuid().as_raw();
        if Identity::from(&there) != old.identity
            || was.st_nlink != 1
            || sticky
            || has_foreign_attributes(&old.fd)?
            || !Mount::of(old.fd())?.is(Mount::of(birth.directory.as_fd())?)
            || !birth.may_remove()
        {
            return Err(Errno::PERM);
        }
        // A loop device, or another process, would go on with the old file, which has no name any more.
        let alone = sys::is_open_once(old.fd()).unwrap_or_else(|_| !storage::is_shown(old.identity));
        if !alone {
            return Err(Errno::BUSY);
        }
        let flags = flags | OFlags::CLOEXEC;
        let fd = birth
            .unnamed(flags, false, Self::can_replace)
            .or_else(|_| birth.hidden(flags, Self::can_rename))?;
        let alike = || -> Result<(), Errno> {
            let is = fstat(&fd)?;
            if (is.st_uid, is.st_gid) != (was.st_uid, was.st_gid) {
                let owner = (Uid::from_raw(was.st_uid), Gid::from_raw(was.st_gid));
                fchown(&fd, Some(owner.0), Some(owner.1))?;
            }
            fchmod(&fd, Mode::from_raw_mode(was.st_mode & PERMISSIONS))
        };
        if let Err(errno) = alike() {
            birth.undo();
            return Err(errno);
        }
        Ok((fd, birth))
    }

    fn in_directory(directory: Arc<OwnedFd>, name: OsString) -> Self {
        Self {
            directory,
            name,
            stage: Stage::Unnamed,
            naming: Naming::Exclusively,
            replaces: None,
        }
    }

    /// The file takes the name of `old`, which is held open until then.
    pub(crate) fn replace(&mut self, old: &Arc<OwnedFd>, identity: Identity) {
        self.replaces = Some(Replaced {
            _fd: Arc::clone(old),
            identity,
            hidden: hidden::name(&self.name),
        });
    }

    /// The name under which the file can be opened now, if it has one.
    pub(crate) fn present(&self) -> Option<&OsStr> {
        match &self.stage {
            Stage::Unnamed => None,
            Stage::Hidden(hidden) => Some(hidden),
            Stage::Named(_) => Some(&self.name),
        }
    }

    /// Without a name, if it can be given one later.
    fn unnamed(&mut self, flags: OFlags, direct: bool, can: fn(&Self) -> bool) -> Result<OwnedFd, Errno> {
        let fd = self.tmpfile(flags)?;
        let seen = || statat(CWD, own_path(fd.as_fd()), AtFlags::empty()).is_ok();
        if direct && !seen() || !can(self) {
            return Err(Errno::OPNOTSUPP);
        }
        Ok(fd)
    }

    fn hidden(&mut self, flags: OFlags, can: FindNaming) -> Result<OwnedFd, Errno> {
        for _ in 0..ATTEMPTS {
            let first = hidden::name(&self.name);
            let fd = match openat(
                &self.directory,
                &first,
                flags | OFlags::CREATE | OFlags::EXCL,
                MODE,
            ) {
                Err(Errno::EXIST) => continue,
                other => other?,
            };
            self.stage = Stage::Hidden(first.clone());
            match can(self, &first) {
                Ok((now, naming)) => {
                    self.stage = Stage::Hidden(now);
                    self.naming = naming;
                }
                Err(errno) => {
                    self.undo();
                    return Err(errno);
                }
            }
            // A concurrent sweep has looked before this lock, or sees it.
            if lock::acquire(fd.as_fd(), Use::Target).is_ok() && self.is_there(&fd) {
                hidden::sweep(self.directory.as_fd(), &self.name);
                return Ok(fd);
            }
            self.undo();
        }
        Err(Errno::EXIST)
    }

    /// Under its name: visible from the start.
    fn named(&mut self, flags: OFlags) -> Result<OwnedFd, Errno> {
        let fd = openat(
            &self.directory,
            &self.name,
            flags | OFlags::CREATE | OFlags::EXCL,
            MODE,
        )?;
        self.stage = Stage::Named(Identity::from(&fstat(&fd)?));
        Ok(fd)
    }

    fn tmpfile(&self, flags: OFlags) -> Result<OwnedFd, Errno> {
        openat(&self.directory, ".", flags | OFlags::TMPFILE, MODE)
    }

    fn is_there(&self, fd: &OwnedFd) -> bool {
        let Some(name) = self.present() else {
            return false;
        };
        let now = statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW);
        let identity = fstat(fd).map(|stat| Identity::of(&stat));
        now.is_ok_and(|now| identity == Ok(Identity::of(&now)))
    }

    /// Puts the complete file under its name. What has appeared there meanwhile is left alone: EEXIST.
    pub(crate) fn complete(&mut self, file: &OpenFile) -> Result<(), Errno> {
        if let Some(replaced) = &self.replaces {
            let now = statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW)?;
            if Identity::from(&now) != replaced.identity {
                return Err(Errno::EXIST);
            }
            if self.stage == Stage::Unnamed {
                link(&self.directory, &file.fd, &replaced.hidden)?;
                self.stage = Stage::Hidden(replaced.hidden.clone());
            }
        }
        let done = match (&self.stage, &self.replaces) {
            (Stage::Unnamed, _) => link(&self.directory, &file.fd, &self.name),
            (Stage::Hidden(hidden), None) => self.name(hidden),
            (Stage::Hidden(hidden), Some(_)) => self.rename(hidden, &self.name, RenameFlags::empty()),
            (Stage::Named(_), _) => Ok(()),
        };
        match done {
            // A server that had done it already when it was asked again.
            Err(Errno::EXIST) if self.has_name(file.identity) => {}
            other => other?,
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
                if self.has_name(*identity) {
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

    fn has_name(&self, identity: Identity) -> bool {
        let now = statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW);
        now.is_ok_and(|stat| Identity::of(&stat) == identity)
    }

    /// Gives a hidden file its name in the way that was found to work.
    fn name(&self, hidden: &OsStr) -> Result<(), Errno> {
        match self.naming {
            Naming::Exclusively => self.rename(hidden, &self.name, RenameFlags::NOREPLACE),
            Naming::ByLink => {
                self.link_again(hidden, &self.name)?;
                // The file is complete: a second name that stays is no reason to lose it.
                let _ = unlinkat(&self.directory, hidden, AtFlags::empty());
                Ok(())
            }
            Naming::Plainly => match statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => self.rename(hidden, &self.name, RenameFlags::empty()),
                Err(errno) => Err(errno),
                Ok(_) => Err(Errno::EXIST),
            },
        }
    }

    fn rename(&self, from: &OsStr, to: &OsStr, flags: RenameFlags) -> Result<(), Errno> {
        renameat_with(&self.directory, from, &self.directory, to, flags)
    }

    fn link_again(&self, from: &OsStr, to: &OsStr) -> Result<(), Errno> {
        linkat(&self.directory, from, &self.directory, to, AtFlags::empty())
    }
}

/// What can be done in this directory, found out on empty files.
impl Birth {
    /// Whether a name can be taken away again, as far as that can be told without one: a filter answers before it looks.
    fn may_remove(&self) -> bool {
        let attributes = statx(&self.directory, "", AtFlags::EMPTY_PATH, StatxFlags::empty());
        let append_only = attributes.is_ok_and(|seen| seen.stx_attributes.contains(StatxAttributes::APPEND));
        let nothing = hidden::scratch(&self.name);
        !append_only && unlinkat(&self.directory, &nothing, AtFlags::empty()) == Err(Errno::NOENT)
    }

    /// Whether an unnamed file can get a name.
    fn can_link(&self) -> bool {
        self.try_link(|hidden| Ok(hidden.to_owned()))
    }

    /// Whether an unnamed file can get a name and then that of another file.
    fn can_replace(&self) -> bool {
        self.try_link(|hidden| self.can_rename(hidden).map(|(now, _)| now))
    }

    /// Gives an empty file a hidden name, does `then` with it, and removes it.
    fn try_link(&self, then: impl Fn(&OsStr) -> Result<OsString, Errno>) -> bool {
        let hidden = hidden::scratch(&self.name);
        let linked = self
            .tmpfile(OFlags::RDWR | OFlags::CLOEXEC)
            .and_then(|fd| link(&self.directory, &fd, &hidden));
        if linked.is_err() {
            return false;
        }
        let done = then(&hidden);
        let now = done.as_ref().unwrap_or(&hidden);
        unlinkat(&self.directory, now, AtFlags::empty()).is_ok() && done.is_ok()
    }

    /// Whether the calls that link an unnamed file are there: a name that exists is refused after that has been looked at.
    fn may_link(&self) -> bool {
        let fd = self.tmpfile(OFlags::RDWR | OFlags::CLOEXEC);
        fd.is_ok_and(|fd| link(&self.directory, &fd, OsStr::new(".")) == Err(Errno::EXIST))
    }

    /// How a hidden file can get a name that does not exist: tested by giving it another hidden name, which it keeps.
    fn find_naming(&self, first: &OsStr) -> Result<(OsString, Naming), Errno> {
        let second = hidden::another(first);
        if self.rename(first, &second, RenameFlags::NOREPLACE).is_ok() {
            return Ok((second, Naming::Exclusively));
        }
        if self.link_again(first, &second).is_ok() {
            let removed = unlinkat(&self.directory, first, AtFlags::empty());
            return removed.map(|()| (second, Naming::ByLink));
        }
        self.can_rename(first)
    }

    /// Whether a plain rename works.
    fn can_rename(&self, first: &OsStr) -> Result<(OsString, Naming), Errno> {
        let second = hidden::another(first);
        self.rename(first, &second, RenameFlags::empty())?;
        Ok((second, Naming::Plainly))
    }
}

/// Gives an unnamed file a name.
fn link(directory: &OwnedFd, file: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
    match linkat(file, "", directory, name, AtFlags::EMPTY_PATH) {
        // Before Linux 6.10 that takes a privilege; the detour through /proc does not.
        Err(Errno::NOENT | Errno::PERM | Errno::INVAL) => linkat(
            CWD,
            own_path(file.as_fd()),
            directory,
            name,
            AtFlags::SYMLINK_FOLLOW,
        ),
        other => other,
    }
}

/// Whether a file has attributes that would be lost. Our own record of it is not to outlive its content.
fn has_foreign_attributes(fd: &OwnedFd) -> Result<bool, Errno> {
    let mut names = [0; 64];
    let listed = match flistxattr(fd, &mut names[..]) {
        Err(Errno::RANGE) => return Ok(true),
        // A filesystem that has none.
        Err(Errno::OPNOTSUPP) => 0,
        other => other?,
    };
    let names = names.get(..listed).unwrap_or_default();
    Ok(names
        .split(|byte| *byte == 0)
        .any(|name| !name.is_empty() && name != record::ATTRIBUTE.as_bytes()))
}

/// Where `path` leads if it is a chain of symbolic links into nothing; else `path`.
///
/// Links are read here and not by the kernel, so its rule for them is kept here, too: in a sticky directory where everybody may
/// write, only the user's own links and those of the directory's owner are followed.
fn follow(path: &Path) -> Result<PathBuf, Errno> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let (Some(name), Ok(directory)) = (path.file_name(), open_directory(parent)) else {
            return Ok(path);
        };
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(link) = openat(&directory, name, flags, Mode::empty()) else {
            return Ok(path);
        };
        let is = fstat(&link)?;
        if FileType::from_raw_mode(is.st_mode) != FileType::Symlink {
            return Ok(path);
        }
        if !is_trusted(&is, &fstat(&directory)?) {
            return Err(Errno::ACCESS);
        }
        let goal = readlinkat(&link, "", Vec::new())?;
        path = parent.join(OsStr::from_bytes(goal.as_bytes()));
    }
    Err(Errno::LOOP)
}

fn is_trusted(link: &Stat, directory: &Stat) -> bool {
    let shared = directory.st_mode & (STICKY | OTHERS_WRITE) == STICKY | OTHERS_WRITE;
    !shared || link.st_uid == geteuid().as_raw() || link.st_uid == directory.st_uid
}

/// Bits of a mode: who may do what; that only owners may remove from a directory; that everybody may write.
const PERMISSIONS: u32 = 0o7777;
const STICKY: u32 = 0o1000;
const OTHERS_WRITE: u32 = 0o002;

/// What qemu-img gives new images, less the umask.
const MODE: Mode = Mode::from_raw_mode(0o644);
/// Links followed. The kernel's limit.
const LINKS: usize = 40;
/// Hidden names tried. Ours: one that is taken is a stroke of luck, two are somebody's doing.
const ATTEMPTS: usize = 16;

#[cfg(test)]
mod tests;
