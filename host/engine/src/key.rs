//! The key by which this user, or this host, knows its own records again (see [`crate::record`]).

use std::fmt;
use std::io::{Error, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Where the key lies, and who may hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPlace {
    pub path: PathBuf,
    /// The configuration names it: it may belong to root and be read by a group, and it is never made here. Else it belongs to
    /// the user alone, and is made on first use.
    pub shared: bool,
}

#[derive(Clone)]
pub(crate) struct Key(pub(crate) [u8; 32]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl KeyPlace {
    /// The key. A key that others could read or change is refused.
    pub(crate) fn load(&self) -> std::io::Result<Key> {
        let mut file = std::fs::OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(&self.path)?;
        let about = file.metadata()?;
        let us = rustix::process::geteuid().as_raw();
        let (owners, others): (&[u32], u32) = if self.shared {
            (&[0, us], 0o037)
        } else {
            (&[us], 0o077)
        };
        if !about.is_file() || !owners.contains(&about.uid()) || about.mode() & others != 0 {
            return Err(Error::new(
                ErrorKind::PermissionDenied,
                "others can read or change the key, so it is ignored; make its mode 0600 and its owner root or yourself",
            ));
        }
        let mut key = [0; 32];
        file.read_exact(&mut key)?;
        Ok(Key(key))
    }

    /// The key, which is made if there is none yet. If two processes make it at once, one of them wins.
    pub(crate) fn load_or_make(&self) -> std::io::Result<Key> {
        match self.load() {
            Err(error) if error.kind() == ErrorKind::NotFound && !self.shared => {
                make(&self.path)?;
                self.load()
            }
            other => other,
        }
    }
}

fn make(path: &Path) -> std::io::Result<()> {
    let directory = path.parent().ok_or(ErrorKind::InvalidInput)?;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    let mut key = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut key)?;
    let draft = directory.join(format!(".trust.key-{}", std::process::id()));
    let written = write(&draft, &key).and_then(|()| match std::fs::hard_link(&draft, path) {
        // Where there are no hard links: not over a key that is there.
        Err(error) if error.kind() != ErrorKind::AlreadyExists => write(path, &key),
        Err(_) => Ok(()),
        Ok(()) => Ok(()),
    });
    // A draft of a process that was killed is never read; it may stay.
    let _ = std::fs::remove_file(&draft);
    written
}

fn write(path: &Path, key: &[u8]) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(key)?;
    file.sync_all()
}
