//! Targets: how a file comes to stand under its name (design section 6).
//!
//! ```text
//!  new name          unnamed file in the directory ── all written ──► linked under the name
//!   no O_TMPFILE     hidden file beside it         ── all written ──► renamed, never over another
//!   sealed directory created under the name at once; taken away again if the run fails
//!  existing file     written in place, untouched until the first change; keeps its inode
//!   to be replaced   a new file, unnamed or hidden ── all written ──► renamed over it, if nothing else can tell them apart
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
    AtFlags, CWD, Gid, Mode, OFlags, RenameFlags, Stat, StatxFlags, Uid, fchmod, fchown, flistxattr, fstat,
    fsync, linkat, openat, renameat_with, statat, statx, unlinkat,
};
use rustix::io::Errno;

use crate::file::{Access, Identity, OpenFile, State};
use crate::lock::{self, Use};
use crate::name;
use crate::open::{self, OpenErrorKind, existing, own_path, reopen_direct};
use crate::record;

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
    /// The file whose name it gets, open so that its locks last.
    replaces: Option<Replaced>,
}

/// A file that stays until another takes its name.
#[derive(Debug)]
struct Replaced {
    _fd: OwnedFd,
    identity: Identity,
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
    /// Makes a file that is to stand at `path`, where nothing is.
    fn give(path: &Path, flags: OFlags) -> Result<(OwnedFd, Self), Errno> {
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
        let mut birth = Self {
            directory: open_directory(parent)?,
            name,
            stage: Stage::Unnamed,
            replaces: None,
        };
        let flags = flags | OFlags::CLOEXEC;
        let fd = birth
            .unnamed(flags)
            .or_else(|_| birth.hidden(flags))
            .or_else(|_| birth.named(flags))?;
        Ok((fd, birth))
    }

    /// Only where it can get a name later without a privilege, too: the way leads through /proc.
    fn unnamed(&mut self, flags: OFlags) -> Result<OwnedFd, Errno> {
        let fd = openat(&self.directory, ".", flags | OFlags::TMPFILE, MODE)?;
        let seen = statat(CWD, own_path(fd.as_fd()), AtFlags::empty())?;
        let same = Identity::from(&seen) == Identity::from(&fstat(&fd)?);
        if same { Ok(fd) } else { Err(Errno::NOENT) }
    }

    fn hidden(&mut self, flags: OFlags) -> Result<OwnedFd, Errno> {
        let hidden = hidden_name(&self.name);
        let fd = openat(
            &self.directory,
            &hidden,
            flags | OFlags::CREATE | OFlags::EXCL,
            MODE,
        )?;
        self.stage = Stage::Hidden(hidden);
        Ok(fd)
    }

    /// In a directory sealed but for this name: the file is visible from the start.
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

    /// Puts the complete file under its name. What has appeared there meanwhile is left alone: EEXIST.
    pub(crate) fn complete(&mut self, file: &OpenFile) -> Result<(), Errno> {
        if let Some(replaced) = &self.replaces {
            let now = statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW)?;
            if Identity::from(&now) != replaced.identity {
                return Err(Errno::EXIST);
            }
            if self.stage == Stage::Unnamed {
                let hidden = hidden_name(&self.name);
                self.link(file, &hidden)?;
                self.stage = Stage::Hidden(hidden);
            }
        }
        match (&self.stage, &self.replaces) {
            (Stage::Unnamed, _) => self.link(file, &self.name)?,
            (Stage::Hidden(hidden), None) => self.rename(hidden)?,
            (Stage::Hidden(hidden), Some(_)) => {
                renameat_with(
                    &self.directory,
                    hidden,
                    &self.directory,
                    &self.name,
                    RenameFlags::empty(),
                )?;
            }
            (Stage::Named(_), _) => {}
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

    fn link(&self, file: &OpenFile, name: &OsStr) -> Result<(), Errno> {
        let direct = linkat(&file.fd, "", &self.directory, name, AtFlags::EMPTY_PATH);
        match direct {
            // Before Linux 6.10 that takes a privilege; the detour through /proc does not.
            Err(Errno::NOENT | Errno::PERM | Errno::INVAL) => linkat(
                CWD,
                own_path(file.fd()),
                &self.directory,
                name,
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
pub(crate) fn in_place(name: &OsStr, options: &TargetOptions) -> Result<OpenFile, OpenErrorKind> {
    let (fd, stat, kind) = existing(name, options.cache.flags())?;
    lock::acquire(fd.as_fd(), Use::Target).map_err(OpenErrorKind::Lock)?;
    finish(name, fd, &stat, kind, options, false)
}

/// Opens a file that is to be written anew: one that exists, or one still to be born.
pub(crate) fn anew(
    name: &OsStr,
    options: &TargetOptions,
) -> Result<(OpenFile, Option<Birth>), OpenErrorKind> {
    match existing(name, options.cache.flags()) {
        Ok((fd, stat, kind)) => {
            lock::acquire(fd.as_fd(), Use::Target).map_err(OpenErrorKind::Lock)?;
            Ok((finish(name, fd, &stat, kind, options, true)?, None))
        }
        Err(OpenErrorKind::Open(Errno::NOENT)) => {
            let path = name::typed(name).map_err(OpenErrorKind::Protocol)?;
            let (fd, mut birth) = Birth::give(path, options.cache.flags()).map_err(OpenErrorKind::Create)?;
            let file = born(name, fd, &birth, options).inspect_err(|_| birth.undo())?;
            Ok((file, Some(birth)))
        }
        Err(OpenErrorKind::Open(errno)) => Err(OpenErrorKind::Create(errno)),
        Err(other) => Err(other),
    }
}

/// As [`anew`], but a regular file that exists is left alone until the new one is complete, where that can be done.
pub(crate) fn afresh(
    name: &OsStr,
    options: &TargetOptions,
) -> Result<(OpenFile, Option<Birth>), OpenErrorKind> {
    let (old, birth) = anew(name, options)?;
    if birth.is_some() || old.kind != FileKind::Regular {
        return Ok((old, birth));
    }
    let Ok((fd, mut birth)) = successor(name, &old, options.cache.flags()) else {
        // Then it is written in place, like a device.
        return Ok((old, None));
    };
    let file = born(name, fd, &birth, options).inspect_err(|_| birth.undo())?;
    birth.replaces = Some(Replaced {
        identity: old.identity,
        _fd: old.fd,
    });
    Ok((file, Some(birth)))
}

/// A file that can take the place of `old` without anybody's noticing but by the inode: same owner and mode, no other name, no
/// attributes that would be lost, in a directory where names may change.
fn successor(name: &OsStr, old: &OpenFile, flags: OFlags) -> Result<(OwnedFd, Birth), Errno> {
    let path = name::typed(name).map_err(|_| Errno::NOENT)?;
    let path = std::fs::canonicalize(path).map_err(|_| Errno::NOENT)?;
    let parent = path.parent().ok_or(Errno::NOENT)?;
    let was = fstat(&old.fd)?;
    let mut birth = Birth {
        directory: open_directory(parent)?,
        name: path.file_name().ok_or(Errno::NOENT)?.to_owned(),
        stage: Stage::Unnamed,
        replaces: None,
    };
    let there = statat(&birth.directory, &birth.name, AtFlags::SYMLINK_NOFOLLOW)?;
    let around = fstat(&birth.directory)?;
    let sticky = around.st_mode & STICKY != 0 && was.st_uid != rustix::process::geteuid().as_raw();
    if Identity::from(&there) != old.identity
        || was.st_nlink != 1
        || sticky
        || has_foreign_attributes(&old.fd)?
        || mount(&old.fd)? != mount(&birth.directory)?
    {
        return Err(Errno::PERM);
    }
    let flags = flags | OFlags::CLOEXEC;
    let fd = birth.unnamed(flags).or_else(|_| birth.hidden(flags))?;
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

/// Whether a file has attributes that would be lost. Our own record of it is not to outlive its content.
fn has_foreign_attributes(fd: &OwnedFd) -> Result<bool, Errno> {
    let mut names = [0; 64];
    Ok(match flistxattr(fd, &mut names[..]) {
        Err(Errno::RANGE) => true,
        listed => {
            let names = names.get(..listed?).unwrap_or_default();
            names
                .split(|byte| *byte == 0)
                .any(|name| !name.is_empty() && name != record::ATTRIBUTE.as_bytes())
        }
    })
}

/// The mount that a file is seen through: one that is mounted by itself cannot be renamed over.
fn mount(fd: &OwnedFd) -> Result<u64, Errno> {
    let seen = statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
    Ok(seen.stx_mnt_id)
}

fn born(
    name: &OsStr,
    fd: OwnedFd,
    birth: &Birth,
    options: &TargetOptions,
) -> Result<OpenFile, OpenErrorKind> {
    if birth.stage != Stage::Unnamed {
        // Others can see it: they shall see that it is in use.
        lock::acquire(fd.as_fd(), Use::Target).map_err(OpenErrorKind::Lock)?;
    }
    let stat = fstat(&fd).map_err(OpenErrorKind::Create)?;
    finish(name, fd, &stat, FileKind::Fresh, options, true)
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
        Some(reopen_direct(fd.as_fd(), name, options.cache.flags())?)
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
        window: None,
        durable: options.cache != Cache::Unsafe,
        replaced,
        state: State::default(),
    })
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

/// Bits of a mode: who may do what, and that only owners may remove from a directory.
const PERMISSIONS: u32 = 0o7777;
const STICKY: u32 = 0o1000;

/// What qemu-img gives new images, less the umask.
const MODE: Mode = Mode::from_raw_mode(0o644);
/// Links followed. The kernel's limit.
const LINKS: usize = 40;
/// Bytes of a name kept in the hidden one, so that it stays below the 255 that Linux allows.
const NAME_KEPT: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    type Make = fn(&mut Birth, OFlags) -> Result<OwnedFd, Errno>;

    fn make(directory: &Path, how: Make) -> (OpenFile, Birth) {
        let mut birth = Birth {
            directory: open_directory(directory).unwrap(),
            name: "out".into(),
            stage: Stage::Unnamed,
            replaces: None,
        };
        let fd = how(&mut birth, OFlags::RDWR | OFlags::CLOEXEC).unwrap();
        let file = born(OsStr::new("out"), fd, &birth, &TargetOptions::default()).unwrap();
        (file, birth)
    }

    fn names(directory: &Path) -> Vec<OsString> {
        let entries = std::fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    }

    /// Every way, as if the better ones had failed.
    #[test]
    fn every_way_ends_under_the_name_or_with_nothing() {
        let ways: [(Make, usize); 3] = [(Birth::unnamed, 0), (Birth::hidden, 1), (Birth::named, 1)];
        for (way, visible) in ways {
            let directory = tempfile::tempdir().unwrap();
            let (_, mut birth) = make(directory.path(), way);
            assert_eq!(names(directory.path()).len(), visible);
            birth.undo();
            assert!(names(directory.path()).is_empty());

            let (file, mut birth) = make(directory.path(), way);
            let std_file = std::fs::File::from(file.fd.try_clone().unwrap());
            std_file.write_all_at(b"data", 0).unwrap();
            birth.complete(&file).unwrap();
            birth.sync().unwrap();
            assert_eq!(names(directory.path()), ["out"]);
            assert_eq!(std::fs::read(directory.path().join("out")).unwrap(), b"data");
            birth.undo();
            assert!(names(directory.path()).is_empty(), "also afterwards");
        }
    }

    #[test]
    fn no_way_replaces_or_removes_what_is_somebody_elses() {
        let ways: [Make; 2] = [Birth::unnamed, Birth::hidden];
        for way in ways {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("out");
            let (file, mut birth) = make(directory.path(), way);
            std::fs::write(&path, b"other").unwrap();
            assert_eq!(birth.complete(&file), Err(Errno::EXIST));
            birth.undo();
            assert_eq!(std::fs::read(&path).unwrap(), b"other");
            assert_eq!(names(directory.path()), ["out"]);
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        let (_file, mut birth) = make(directory.path(), Birth::named);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, b"other").unwrap();
        birth.undo();
        assert_eq!(std::fs::read(&path).unwrap(), b"other");
    }

    #[test]
    fn hidden_names_are_short_enough_for_any_name() {
        for length in [1, 200, 255] {
            let name = OsString::from("x".repeat(length));
            assert!(hidden_name(&name).len() <= 255);
        }
    }
}
