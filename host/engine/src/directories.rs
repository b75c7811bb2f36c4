//! The directories of a run, each open once: a disk may be written in thousands of pieces, which all stand in one.
//!
//! ```text
//!  name typed by the user ──► opened, as it is now ──► the same as one that is open? ──► that one
//! ```
//!
//! Each is opened again before it is compared: a path says nothing of the directory that it leads to by now.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{Mode, OFlags, fstat};
use rustix::io::Errno;

use crate::file::Identity;
use crate::root::{Mount, Root};

/// Those that are open.
#[derive(Debug, Default)]
pub(crate) struct Directories(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Where names start.
    roots: HashMap<Identity, Arc<Root>>,
    /// Where files are made, and the mount through which each is seen: names are made on that of the user's path.
    nests: HashMap<Identity, (Mount, Arc<OwnedFd>)>,
}

impl Directories {
    /// A directory in which names are looked up.
    pub(crate) fn root(&self, path: &Path) -> std::io::Result<Arc<Root>> {
        let root = Root::open(path)?;
        let mut known = self.known();
        if let Some(open) = known.roots.get(&root.identity)
            && open.is(&root)
        {
            return Ok(Arc::clone(open));
        }
        let root = Arc::new(root);
        known.roots.insert(root.identity, Arc::clone(&root));
        Ok(root)
    }

    /// A directory in which files get names; one that may not be read will do, but cannot be flushed.
    pub(crate) fn nest(&self, path: &Path) -> Result<Arc<OwnedFd>, Errno> {
        let directory = open_directory(path)?;
        let identity = Identity::from(&fstat(&directory)?);
        let mount = Mount::of(directory.as_fd())?;
        let mut known = self.known();
        if let Some((through, open)) = known.nests.get(&identity)
            && through.is(mount)
        {
            return Ok(Arc::clone(open));
        }
        let directory = Arc::new(directory);
        known.nests.insert(identity, (mount, Arc::clone(&directory)));
        Ok(directory)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Each entry is whole at every moment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A directory to work in; one that may not be read can still be worked in, but not flushed.
pub(crate) fn open_directory(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags | OFlags::RDONLY, Mode::empty()) {
        Err(Errno::ACCESS) => rustix::fs::open(path, flags | OFlags::PATH, Mode::empty()),
        other => other,
    }
}
