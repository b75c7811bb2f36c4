//! Files without a name, for what is read from any place but came from the front: they are gone with the process.

use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use instar_abi::FileKind;
use rustix::fs::{MemfdFlags, Mode, OFlags, fstat, memfd_create, open};
use rustix::io::Errno;

use crate::file::{Access, OpenFile};
use crate::open::read_from;
use crate::{OpenError, OpenErrorKind};

/// What a file in memory is called in `/proc`.
const IN_MEMORY: &CStr = c"instar spool";

/// Makes one in the first of these directories whose filesystem has such files, else where programs keep large temporary files, else in
/// memory. No byte past `limit` is written.
pub(crate) fn make(directories: &[PathBuf], limit: u64) -> Result<OpenFile, OpenError> {
    let usual = std::env::var_os("TMPDIR").map(PathBuf::from);
    let usual = usual.into_iter().chain(["/var/tmp", "/tmp"].map(PathBuf::from));
    let mut all = directories.iter().cloned().chain(usual);
    let made = all.find_map(|directory| Some((unnamed(&directory).ok()?, directory)));
    let opened = match made {
        Some(made) => Ok(made),
        None => memfd_create(IN_MEMORY, MemfdFlags::CLOEXEC).map(|fd| (fd, PathBuf::from("memory"))),
    };
    let named = |name: &Path, errno| OpenError::new(name, OpenErrorKind::Create(errno));
    let (fd, place) = opened.map_err(|errno| named(Path::new("a temporary file"), errno))?;
    let stat = fstat(&fd).map_err(|errno| named(&place, errno))?;
    let file = read_from(&place, fd, None, &stat, FileKind::Fresh);
    let file = file.map_err(|kind| OpenError::new(&place, kind))?;
    Ok(OpenFile {
        access: Access::Spool { limit },
        ..file
    })
}

fn unnamed(directory: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::EXCL | OFlags::CLOEXEC;
    open(directory, flags, Mode::RUSR | Mode::WUSR)
}

#[cfg(test)]
mod tests {
    use instar_abi::Slot;
    use std::path::PathBuf;

    use super::make;
    use crate::file::Failure;

    #[test]
    fn a_temporary_file_has_no_name_and_ends_at_its_limit() {
        let directory = tempfile::tempdir().unwrap();
        let places = [PathBuf::from("/proc"), directory.path().to_owned()];
        let spool = make(&places, 1000).unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        assert_eq!(spool.name, directory.path());
        assert!(spool.facts(Slot(0)).writable && !spool.is_target());
        assert!(spool.writable_to(1000).is_ok());
        assert_eq!(spool.writable_to(1001).err(), Some(Failure::REFUSED_OUTPUT));
    }
}
