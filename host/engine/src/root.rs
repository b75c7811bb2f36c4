//! A directory as the gate knows it: an open handle, whose identity decides, and texts by which names refer to it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, StatxFlags, fstat, fstatfs, major, minor, openat, statat, statx,
};
use rustix::io::Errno;

use crate::file::Identity;

/// An open directory.
#[derive(Debug)]
pub(crate) struct Root {
    pub(crate) directory: Arc<OwnedFd>,
    pub(crate) identity: Identity,
    mount: Mount,
    /// Its path as the kernel knows it: where relative names start, for messages and as a hint.
    pub(crate) real: PathBuf,
    /// Its path as it was given, made absolute: absolute names in images are often written that way.
    given: PathBuf,
    /// Whether names in it may mean the files beside them, once that has been asked.
    siblings: OnceLock<bool>,
}

impl Root {
    /// Opens a directory that the user named.
    pub(crate) fn open(directory: &Path) -> std::io::Result<Self> {
        // An empty path is what `Path::parent` makes of a bare file name.
        let directory = if directory.as_os_str().is_empty() {
            Path::new(".")
        } else {
            directory
        };
        let fd = rustix::fs::open(directory, DIRECTORY, Mode::empty())?;
        let real = std::fs::canonicalize(directory)?;
        let given = std::path::absolute(directory)?;
        Ok(Self::new(fd, real, given)?)
    }

    /// A directory that is open already.
    pub(crate) fn of(directory: OwnedFd, path: PathBuf) -> Result<Self, Errno> {
        Self::new(directory, path.clone(), path)
    }

    fn new(directory: OwnedFd, real: PathBuf, given: PathBuf) -> Result<Self, Errno> {
        Ok(Self {
            identity: Identity::from(&fstat(&directory)?),
            mount: Mount::of(directory.as_fd())?,
            directory: Arc::new(directory),
            real,
            given,
            siblings: OnceLock::new(),
        })
    }

    /// What of `path` lies below this directory by its text. Where a path goes up again before that, its text says nothing.
    pub(crate) fn beneath<'p>(&self, path: &'p Path) -> Option<&'p Path> {
        [&self.real, &self.given].into_iter().find_map(|own| {
            let plain = !own.components().any(|part| part == Component::ParentDir);
            plain.then(|| path.strip_prefix(own).ok()).flatten()
        })
    }

    /// Whether the way to this directory leads through `path`, by its text.
    pub(crate) fn is_reached_through(&self, path: &Path) -> bool {
        self.real.starts_with(path) || self.given.starts_with(path)
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Whether `other` is this directory, on the same mount and under the same path, so that one handle serves for both. How the
    /// user wrote that path may differ.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.identity == other.identity && self.mount.is(other.mount) && self.real == other.real
    }

    /// Whether `other` is the same, and the user wrote its path alike.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.same(other) && self.given == other.given
    }

    /// Whether a file is seen through the same mount as this directory.
    pub(crate) fn shares_mount(&self, file: BorrowedFd<'_>) -> Result<bool, Errno> {
        Ok(Mount::of(file)?.is(self.mount))
    }

    /// Whether names in it may mean the files beside them. No directory that is open changes in that, and a split image asks for
    /// each of its pieces.
    pub(crate) fn has_siblings(&self) -> bool {
        *self.siblings.get_or_init(|| has_siblings(self.fd()))
    }
}

/// Whether `directory` is one of `roots` or lies below one: by the identity of each directory above it, as they stand now.
pub(crate) fn lies_beneath<'r>(
    directory: BorrowedFd<'_>,
    roots: impl Iterator<Item = &'r Root> + Clone,
) -> bool {
    if roots.clone().next().is_none() {
        return false;
    }
    let mut here: Option<OwnedFd> = None;
    let mut known = None;
    for _ in 0..DEPTH {
        let now = here.as_ref().map_or(directory, AsFd::as_fd);
        let Ok(stat) = fstat(now) else { return false };
        let identity = Identity::from(&stat);
        if roots.clone().any(|root| root.identity == identity) {
            return true;
        }
        // The root directory is its own parent.
        if known.replace(identity) == Some(identity) {
            return false;
        }
        let Ok(above) = openat(now, "..", DIRECTORY, Mode::empty()) else {
            return false;
        };
        here = Some(above);
    }
    false
}

/// Whether names in a directory may mean the files beside them: not in `/`, and not among device nodes.
fn has_siblings(directory: BorrowedFd<'_>) -> bool {
    let is_top = || -> Result<bool, Errno> {
        let above = openat(directory, "..", DIRECTORY, Mode::empty())?;
        Ok(Identity::from(&fstat(&above)?) == Identity::from(&fstat(directory)?))
    };
    is_top() == Ok(false) && !is_of_the_kernel(directory) && !is_among_devices(directory)
}

/// Whether a directory holds device nodes: on the filesystem of `/dev`, or, where that is a directory like others, it.
fn is_among_devices(directory: BorrowedFd<'_>) -> bool {
    let at = |path: &str| statat(CWD, path, AtFlags::empty());
    let (Ok(own), Ok(top)) = (fstat(directory), at("/")) else {
        return true;
    };
    // Without /dev nothing is known to be like it.
    at("/dev").is_ok_and(|devices| {
        own.st_dev == devices.st_dev && (devices.st_dev != top.st_dev || own.st_ino == devices.st_ino)
    })
}

/// Whether a file is a window into the kernel, or a name that makes it act: never opened, nor walked through.
pub(crate) fn is_of_the_kernel(file: BorrowedFd<'_>) -> bool {
    // The magic numbers have 32 bits.
    fstatfs(file).map_or(true, |about| KERNEL.contains(&(about.f_type & 0xffff_ffff)))
}

/// The mount through which a file is seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mount {
    /// Its number, where the kernel tells it (since Linux 5.8).
    number: Option<u64>,
    device: (u32, u32),
}

impl Mount {
    pub(crate) fn of(file: BorrowedFd<'_>) -> Result<Self, Errno> {
        match statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID) {
            Ok(seen) => Ok(Self::from(&seen)),
            // A kernel, or a filter, without the call: the device says nearly as much.
            Err(Errno::NOSYS | Errno::PERM) => {
                let device = fstat(file)?.st_dev;
                Ok(Self {
                    number: None,
                    device: (major(device), minor(device)),
                })
            }
            Err(errno) => Err(errno),
        }
    }

    fn from(seen: &rustix::fs::Statx) -> Self {
        let told = seen.stx_mask & StatxFlags::MNT_ID.bits() != 0;
        Self {
            number: told.then_some(seen.stx_mnt_id),
            device: (seen.stx_dev_major, seen.stx_dev_minor),
        }
    }

    pub(crate) fn is(self, other: Self) -> bool {
        match (self.number, other.number) {
            (Some(one), Some(other)) => one == other,
            _ => self.device == other.device,
        }
    }
}

/// How a directory is opened to look names up in it, and for nothing else.
pub(crate) const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Directories above one another that are looked at. A path of 4096 bytes has no more.
const DEPTH: usize = 2048;

/// Magic numbers of linux/magic.h: proc, sysfs, debugfs, tracefs, securityfs, selinuxfs, configfs, cgroup, cgroup2, bpf,
/// pstore, efivarfs, autofs, binfmt_misc, hugetlbfs, fusectl.
const KERNEL: &[i64] = &[
    0x9fa0,
    0x6265_6572,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0xf97c_ff8c,
    0x6265_6570,
    0x0027_e0eb,
    0x6367_7270,
    0xcafe_4a11,
    0x6165_676c,
    0xde5e_81e4,
    0x0187,
    0x4249_4e4d,
    0x9584_58f6,
    0x6573_5543,
];
