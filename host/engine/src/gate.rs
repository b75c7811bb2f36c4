//! The gate: the one way by which a name found in an image opens a file (invariant I5).
//!
//! ```text
//!  name ──► plain? ──► join to the namer's directory ──► normalise by text ──► inside an allowed root?
//!                                                                                     │
//!      slot ◄── same file, same slot ◄── regular file? ◄── openat2 beneath the root ◄─┘
//! ```
//!
//! Roots are directories, opened before our process is locked down: the one of the file that the user named, for names
//! in that file and in what it leads to there, and those that the user allows for all. A name outside of them is refused
//! by its text, before the filesystem is asked anything, so that a refusal tells nothing of what exists. Below a root the
//! kernel resolves: symbolic links may lead about inside of it, never out, and no magic link is followed.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use instar_abi::request::status;
use instar_abi::{FileFacts, FileKind, Role};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat2};
use rustix::io::Errno;

use crate::file::{Access, Failure, Identity, OpenFile, Outcome, State};
use crate::lock::{self, Use};
use crate::name;
use crate::slots::Slots;

/// What names in images may open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Files in the directory of the image that names them, and in allowed directories.
    #[default]
    Beside,
    /// Pieces of a split image beside it, which are the image; no layer and no data file.
    Pieces,
    /// Nothing.
    Nothing,
}

/// A directory beneath which names may lead.
#[derive(Debug)]
pub(crate) struct Root {
    directory: OwnedFd,
    /// Its path as the kernel knows it.
    real: PathBuf,
    /// Its path as it was given, made absolute: absolute names in images are often written that way.
    given: PathBuf,
}

/// Where an open file stands: names in it start at `directory` and lead beneath `root`.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    root: Arc<Root>,
    directory: PathBuf,
}

/// Policy, and the directories that it allows for every image.
#[derive(Debug)]
pub(crate) struct Gate {
    policy: Policy,
    allowed: Vec<Arc<Root>>,
    /// Take locks on what is opened.
    lock: bool,
}

impl Root {
    /// Opens a directory as a root.
    pub(crate) fn open(directory: &Path) -> std::io::Result<Self> {
        // An empty path is what `Path::parent` makes of a bare file name.
        let directory = if directory.as_os_str().is_empty() {
            Path::new(".")
        } else {
            directory
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(directory, flags, Mode::empty())?;
        let given = name::normalise(&std::path::absolute(directory)?);
        let real = std::fs::canonicalize(directory)?;
        Ok(Self {
            directory: fd,
            real,
            given,
        })
    }

    /// What of `path`, absolute and normal, lies beneath this root.
    fn beneath<'p>(&self, path: &'p Path) -> Option<&'p Path> {
        path.strip_prefix(&self.real)
            .or_else(|_| path.strip_prefix(&self.given))
            .ok()
    }
}

impl Place {
    /// The place of a file in the directory `root`.
    pub(crate) fn in_root(root: Arc<Root>) -> Self {
        let directory = root.real.clone();
        Self { root, directory }
    }

    /// The directory that names found there may not leave.
    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.directory.as_fd()
    }
}

impl Gate {
    pub(crate) const fn new(policy: Policy, allowed: Vec<Arc<Root>>, lock: bool) -> Self {
        Self {
            policy,
            allowed,
            lock,
        }
    }

    pub(crate) const fn policy(&self) -> Policy {
        self.policy
    }

    /// The directories that every image may name files in.
    pub(crate) fn allowed(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.allowed.iter().map(|root| root.directory.as_fd())
    }

    /// Opens `name`, found in `namer`, for reading.
    pub(crate) fn open(
        &self,
        slots: &Slots,
        namer: &OpenFile,
        role: Role,
        name: &[u8],
    ) -> Outcome<FileFacts> {
        let forbidden = match self.policy {
            Policy::Beside => false,
            Policy::Pieces => role != Role::Extent,
            Policy::Nothing => true,
        };
        if forbidden {
            return Err(Failure(status::REFUSED_UNTRUSTED));
        }
        let name = name::found(name).ok_or(Failure(status::REFUSED_NAME))?;
        let (root, beneath) = self
            .resolve(namer, role, name)
            .ok_or(Failure(status::REFUSED_OUTSIDE))?;
        let (fd, stat) = open_beneath(&root, &beneath)?;
        if let Some((slot, known)) = slots.find(Identity::from(&stat)) {
            // To read from what is about to be replaced would make an image of nothing.
            return if known.replaced {
                Err(Failure(status::REFUSED_LOCK))
            } else {
                Ok(known.facts(slot))
            };
        }
        if self.lock {
            lock::acquire(fd.as_fd(), Use::Source).map_err(|_| Failure(status::REFUSED_LOCK))?;
        }
        let path = root.real.join(&beneath);
        let directory = path.parent().unwrap_or(&root.real).to_owned();
        let file = OpenFile {
            fd,
            direct: None,
            kind: FileKind::Regular,
            access: Access::Read,
            size: u64::try_from(stat.st_size).map_err(|_| Errno::OVERFLOW)?,
            identity: Identity::from(&stat),
            name: path,
            place: Some(Place { root, directory }),
            durable: false,
            replaced: false,
            state: State::default(),
        };
        slots.add_once(file).map_err(|_| Failure(status::REFUSED_COUNT))
    }

    /// The root that allows the name, and what of it lies beneath.
    fn resolve(&self, namer: &OpenFile, role: Role, name: &Path) -> Option<(Arc<Root>, PathBuf)> {
        let place = namer.place.as_ref()?;
        let path = name::normalise(&place.directory.join(name));
        // A piece of a split image lies beside its descriptor; no sound one needs directories (CVE-2022-47951).
        let own = (role != Role::Extent || name.components().count() == 1).then_some(&place.root);
        own.into_iter().chain(&self.allowed).find_map(|root| {
            let beneath = root.beneath(&path)?;
            // The root itself is no file.
            (!beneath.as_os_str().is_empty()).then(|| (Arc::clone(root), beneath.to_owned()))
        })
    }
}

/// Opens a regular file beneath `root`. Anything else is looked at, not opened: opening a device does things, and a FIFO
/// would make us wait.
fn open_beneath(root: &Root, beneath: &Path) -> Outcome<(OwnedFd, Stat)> {
    let seen = fstat(resolve_beneath(root, beneath, OFlags::PATH)?)?;
    if FileType::from_raw_mode(seen.st_mode) != FileType::RegularFile {
        return Err(Failure(status::REFUSED_KIND));
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let fd = resolve_beneath(root, beneath, flags)?;
    // Asked again: the name may mean another file by now.
    let stat = fstat(&fd)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Failure(status::REFUSED_KIND));
    }
    Ok((fd, stat))
}

fn resolve_beneath(root: &Root, beneath: &Path, flags: OFlags) -> Outcome<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..RETRIES {
        match openat2(
            &root.directory,
            beneath,
            flags | OFlags::CLOEXEC,
            Mode::empty(),
            resolve,
        ) {
            Ok(fd) => return Ok(fd),
            // A rename elsewhere kept the kernel from being sure.
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::XDEV) => return Err(Failure(status::REFUSED_OUTSIDE)),
            Err(errno) => return Err(errno.into()),
        }
    }
    Err(Errno::AGAIN.into())
}

/// Attempts while somebody renames directories. Ours.
const RETRIES: usize = 32;
