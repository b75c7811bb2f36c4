//! Where a name leads: the kernel looks up one component after the other, and each symbolic link is seen.
//!
//! ```text
//!  name ──► where to begin ──► openat2(directory, component, O_PATH | O_NOFOLLOW) ──► link? its words take its place
//!                                   └── mount crossed? only where that is allowed         └── last one? a landing
//! ```
//!
//! Nothing is opened for reading here, no path is shortened by its text, and whether what was found may be opened is
//! decided afterwards, by where it stands. A walk holds the directory that it is in, so renames elsewhere cannot move it.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat, openat2, readlinkat};
use rustix::io::Errno;

use crate::root::{DIRECTORY, Mount, Root, is_of_the_kernel};

/// A file that a name leads to, looked at and not opened.
#[derive(Debug)]
pub(crate) struct Landing {
    /// The directory in which it stands.
    pub(crate) parent: OwnedFd,
    /// Its name there.
    pub(crate) name: OsString,
    /// It, by `O_PATH`.
    pub(crate) file: OwnedFd,
    pub(crate) stat: Stat,
    /// The directory of the name as it was written, before a link at its end was followed: names in the file start there.
    pub(crate) written: Root,
    /// The way that was taken.
    pub(crate) path: PathBuf,
}

impl Landing {
    /// A file in an open directory.
    pub(crate) fn beside(home: &Root, name: &OsStr) -> Option<Self> {
        let open = || openat(home.fd(), ".", DIRECTORY, Mode::empty());
        let file = look_up(home.fd(), name, false).ok()?;
        Some(Self {
            parent: open().ok()?,
            name: name.to_owned(),
            stat: fstat(&file).ok().filter(is_file)?,
            file,
            written: Root::of(open().ok()?, home.real.clone()).ok()?,
            path: home.real.join(name),
        })
    }
}

fn is_file(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

/// A name that leads to no file.
#[derive(Debug)]
pub(crate) enum Astray {
    /// The system's answer, and the directory that was looked in.
    Lookup(OwnedFd, Errno),
    /// It leads where no walk may go.
    Forbidden,
    /// It is a directory: this one.
    Directory(OwnedFd),
}

/// The rules of a walk.
pub(crate) struct Walk<'a> {
    /// Directories in which a walk may begin by the text of their paths, and towards which mounts may be crossed.
    pub(crate) known: Vec<&'a Root>,
    /// Whether a mount may be crossed where we stand.
    pub(crate) may_cross: &'a dyn Fn(BorrowedFd<'_>) -> bool,
    /// Whether a symbolic link of this owner is followed.
    pub(crate) may_follow: &'a dyn Fn(u32) -> bool,
}

/// Where a walk is.
struct Position {
    directory: OwnedFd,
    path: PathBuf,
    /// What is still to be looked up, the next one last.
    todo: Vec<OsString>,
    /// What comes of it has to be a directory: the name ends with a slash.
    slash: bool,
}

impl Walk<'_> {
    /// Follows `name` from the directory `start`.
    pub(crate) fn go(&self, start: &Root, name: &Path) -> Result<Landing, Astray> {
        let mut at = self.begin(start, name)?;
        at.slash = ends_as_directory(name);
        let mut written = None;
        let mut links = 0;
        while let Some(part) = at.todo.pop() {
            let found = self.step(&at, &part)?;
            let stat = match fstat(&found) {
                Ok(stat) => stat,
                Err(errno) => return Err(Astray::Lookup(at.directory, errno)),
            };
            if at.todo.is_empty() && written.is_none() {
                written = Some(at.root()?);
            }
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Symlink => {
                    links += 1;
                    if links > LINKS {
                        return Err(Astray::Lookup(at.directory, Errno::LOOP));
                    }
                    if !(self.may_follow)(stat.st_uid) {
                        return Err(Astray::Forbidden);
                    }
                    at = self.follow(at, &found)?;
                }
                FileType::Directory => {
                    if is_of_the_kernel(found.as_fd()) {
                        return Err(Astray::Forbidden);
                    }
                    at.enter(found, &part);
                }
                _ if !at.todo.is_empty() || at.slash => {
                    return Err(Astray::Lookup(at.directory, Errno::NOTDIR));
                }
                _ => {
                    return Ok(Landing {
                        written: match written {
                            Some(written) => written,
                            None => at.root()?,
                        },
                        path: at.path.join(&part),
                        parent: at.directory,
                        name: part,
                        file: found,
                        stat,
                    });
                }
            }
        }
        Err(Astray::Directory(at.directory))
    }

    /// The first directory of a walk. The text of a path only says where to begin: at a directory that is open already and has
    /// that path, or at the top.
    fn begin(&self, start: &Root, name: &Path) -> Result<Position, Astray> {
        let known = |path: &Path| {
            let best = self
                .known
                .iter()
                .filter_map(|root| Some((*root, root.beneath(path)?)));
            let best = best.min_by_key(|(_, rest)| rest.components().count());
            best.map(|(root, rest)| (root, rest.to_owned()))
        };
        let (root, rest) = if name.is_absolute() {
            match known(name) {
                Some((root, rest)) => (Some(root), rest),
                None => (None, name.to_owned()),
            }
        } else {
            // The directory's own path has no links, so going up from it is the same by text.
            let mut above = start.real.clone();
            let mut rest = name.components();
            while let Some(Component::ParentDir | Component::CurDir) = rest.clone().next() {
                if rest.next() == Some(Component::ParentDir) {
                    above.pop();
                }
            }
            let goes_up = above != start.real;
            match known(&above.join(rest.as_path())).filter(|_| goes_up) {
                Some((root, rest)) => (Some(root), rest),
                None => (Some(start), name.to_owned()),
            }
        };
        let at = match root {
            Some(root) => openat(root.fd(), ".", DIRECTORY, Mode::empty()),
            None => openat(CWD, "/", DIRECTORY, Mode::empty()),
        };
        let directory = at.map_err(|_| Astray::Forbidden)?;
        let path = root.map_or_else(|| PathBuf::from("/"), |root| root.real.clone());
        Ok(Position {
            directory,
            path,
            todo: parts(&rest),
            slash: false,
        })
    }

    /// Looks up one component. A link is not followed, and a mount is entered only where that is allowed.
    fn step(&self, at: &Position, part: &OsStr) -> Result<OwnedFd, Astray> {
        let crossing = (self.may_cross)(at.directory.as_fd()) || {
            let path = at.path.join(part);
            self.known.iter().any(|root| root.is_reached_through(&path))
        };
        look_up(at.directory.as_fd(), part, crossing).map_err(|errno| match errno {
            Errno::XDEV => Astray::Forbidden,
            errno => match openat(&at.directory, ".", DIRECTORY, Mode::empty()) {
                Ok(directory) => Astray::Lookup(directory, errno),
                Err(_) => Astray::Forbidden,
            },
        })
    }

    /// Puts the words of a link in its place.
    fn follow(&self, mut at: Position, link: &OwnedFd) -> Result<Position, Astray> {
        let words = match readlinkat(link, "", Vec::new()) {
            Ok(words) => OsString::from_vec(words.into_bytes()),
            Err(errno) => return Err(Astray::Lookup(at.directory, errno)),
        };
        let words = Path::new(&words);
        at.slash |= at.todo.is_empty() && ends_as_directory(words);
        if words.is_absolute() {
            let mut rest = words.to_owned();
            rest.extend(at.todo.iter().rev());
            let nowhere = at.root()?;
            let mut again = self.begin(&nowhere, &rest)?;
            again.slash = at.slash;
            return Ok(again);
        }
        at.todo.extend(parts(words));
        match at.todo.len() {
            0..=PARTS => Ok(at),
            _ => Err(Astray::Lookup(at.directory, Errno::NAMETOOLONG)),
        }
    }
}

impl Position {
    fn enter(&mut self, directory: OwnedFd, part: &OsStr) {
        self.directory = directory;
        if part == ".." {
            self.path.pop();
        } else {
            self.path.push(part);
        }
    }

    /// Where we stand, as a directory of its own.
    fn root(&self) -> Result<Root, Astray> {
        openat(&self.directory, ".", DIRECTORY, Mode::empty())
            .and_then(|directory| Root::of(directory, self.path.clone()))
            .map_err(|_| Astray::Forbidden)
    }
}

/// One component of a path, by `O_PATH` and without following it. EXDEV: it is on another mount.
fn look_up(directory: BorrowedFd<'_>, part: &OsStr, crossing: bool) -> Result<OwnedFd, Errno> {
    match by_openat2(directory, part, crossing) {
        // Linux before 5.6, and filters of system calls that do not know it.
        Err(Errno::NOSYS | Errno::PERM) => by_openat(directory, part, crossing),
        other => other,
    }
}

fn by_openat2(directory: BorrowedFd<'_>, part: &OsStr, crossing: bool) -> Result<OwnedFd, Errno> {
    let mut resolve = ResolveFlags::NO_MAGICLINKS;
    if !crossing {
        resolve |= ResolveFlags::NO_XDEV;
    }
    openat2(directory, part, COMPONENT, Mode::empty(), resolve)
}

/// The same; the mount is looked at afterwards.
fn by_openat(directory: BorrowedFd<'_>, part: &OsStr, crossing: bool) -> Result<OwnedFd, Errno> {
    let found = openat(directory, part, COMPONENT, Mode::empty())?;
    if crossing || Mount::of(found.as_fd())?.is(Mount::of(directory)?) {
        Ok(found)
    } else {
        Err(Errno::XDEV)
    }
}

/// How one component is looked at.
const COMPONENT: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The components of a path, the first one last.
fn parts(path: &Path) -> Vec<OsString> {
    let mut parts: Vec<OsString> = path
        .components()
        .filter_map(|part| match part {
            Component::ParentDir => Some(OsString::from("..")),
            Component::Normal(name) => Some(name.to_owned()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
        })
        .collect();
    parts.reverse();
    parts
}

/// Whether a path can only be that of a directory.
fn ends_as_directory(path: &Path) -> bool {
    let bytes = path.as_os_str().as_bytes();
    bytes.ends_with(b"/") || bytes.ends_with(b"/.")
}

/// Symbolic links in one walk; as many as the kernel follows.
const LINKS: usize = 40;
/// Components that are still to be looked up. A path of 4096 bytes has fewer.
const PARTS: usize = 4096;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::file::Identity;

    #[test]
    fn a_component_is_found_alike_with_and_without_openat2() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("file"), "x").unwrap();
        std::fs::create_dir(place.path().join("directory")).unwrap();
        symlink("file", place.path().join("link")).unwrap();
        symlink("nowhere", place.path().join("dangling")).unwrap();
        let open = |path: &Path| openat(CWD, path, DIRECTORY, Mode::empty()).unwrap();
        let (here, top) = (open(place.path()), open(Path::new("/")));
        let names = [
            "file",
            "directory",
            "link",
            "dangling",
            "missing",
            "..",
            ".",
            "proc",
            "dev",
            "etc",
        ];
        let mut crossed = 0;
        for (directory, name, crossing) in [&here, &top]
            .into_iter()
            .flat_map(|directory| names.map(|name| (directory, name)))
            .flat_map(|(directory, name)| [true, false].map(|crossing| (directory, name, crossing)))
        {
            let (directory, name) = (directory.as_fd(), OsStr::new(name));
            let seen = |found: Result<OwnedFd, Errno>| {
                found
                    .and_then(|file| fstat(&file))
                    .map(|stat| (Identity::from(&stat), stat.st_mode))
            };
            let modern = by_openat2(directory, name, crossing);
            if matches!(modern, Err(Errno::NOSYS | Errno::PERM)) {
                eprintln!("skipped: there is no openat2 here");
                return;
            }
            crossed += usize::from(matches!(modern, Err(Errno::XDEV)));
            let classic = seen(by_openat(directory, name, crossing));
            assert_eq!(seen(modern), classic, "{}, {crossing}", name.display());
        }
        // /proc at least is a mount.
        assert!(crossed > 0);
    }
}
