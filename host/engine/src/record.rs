//! What this machine wrote down of an image: the names that it was made with (provenance).
//!
//! ```text
//!  extended attribute of the image's file:  version │ seal │ (length, directory of the file named, name)…
//!                                                       │
//!      seal = keyed hash of: which file this is (filesystem, inode, birth) and all that follows
//! ```
//!
//! Bytes that came by upload, copy or archive cannot carry it: the attribute may travel with them, but it says another file.
//! Nor can somebody else make one, for want of the key. It lies beside the data, where no byte of an image reaches.

use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{
    AtFlags, StatxFlags, XattrFlags, fgetxattr, fremovexattr, fsetxattr, fstat, fstatvfs, lgetxattr, statx,
};
use rustix::io::Errno;

use crate::key::Key;

/// The attribute. In the space of users: writing it takes no privilege, and believing it takes the key.
pub(crate) const ATTRIBUTE: &str = "user.instar.made";

/// A file or directory, as it is told from any other and from any later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Which([u8; WHICH]);

/// A name in the image, and where the file that it meant stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: Vec<u8>,
    /// The directory; none: it meant a device, whose directory is made anew each time the machine starts.
    pub(crate) directory: Option<Which>,
}

impl Which {
    /// Of a file of which no other may be taken for it: filesystem, inode and time of birth.
    pub(crate) fn file(file: BorrowedFd<'_>) -> Result<Self, Errno> {
        let seen = statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::INO | StatxFlags::BTIME)?;
        if seen.stx_mask & StatxFlags::BTIME.bits() == 0 {
            return Err(Errno::OPNOTSUPP);
        }
        // Device numbers change from one start of the machine to the next; the filesystem's own number does not.
        let filesystem = match fstatvfs(file)?.f_fsid {
            0 => fstat(file)?.st_dev,
            id => id,
        };
        let mut which = [0; WHICH];
        let (number, rest) = which.split_at_mut(8);
        number.copy_from_slice(&filesystem.to_le_bytes());
        let (inode, birth) = rest.split_at_mut(8);
        inode.copy_from_slice(&seen.stx_ino.to_le_bytes());
        let (seconds, nanoseconds) = birth.split_at_mut(8);
        seconds.copy_from_slice(&seen.stx_btime.tv_sec.to_le_bytes());
        nanoseconds.copy_from_slice(&seen.stx_btime.tv_nsec.to_le_bytes());
        Ok(Self(which))
    }
}

/// The attribute's value for `file`.
pub(crate) fn seal(key: &Key, file: BorrowedFd<'_>, entries: &[Entry]) -> Result<Vec<u8>, Errno> {
    let mut body = Vec::new();
    for entry in entries {
        let length = u16::try_from(entry.name.len()).map_err(|_| Errno::NAMETOOLONG)?;
        body.extend_from_slice(&length.to_le_bytes());
        body.extend_from_slice(&entry.directory.map_or([0; WHICH], |which| which.0));
        body.extend_from_slice(&entry.name);
    }
    let seal = mark(key, Which::file(file)?, &body);
    let value = [&[VERSION][..], seal.as_bytes(), &body].concat();
    if value.len() > LONGEST {
        return Err(Errno::NAMETOOLONG);
    }
    Ok(value)
}

/// The entries of a value that was sealed with `key` for this very `file`.
pub(crate) fn unseal(key: &Key, file: BorrowedFd<'_>, value: &[u8]) -> Option<Vec<Entry>> {
    let (version, rest) = value.split_first()?;
    let (seal, mut body) = rest.split_at_checked(SEAL)?;
    let seal: [u8; SEAL] = seal.try_into().ok()?;
    // The comparison takes the same time whatever differs.
    let sound = *version == VERSION && mark(key, Which::file(file).ok()?, body) == seal;
    let mut entries = Vec::new();
    while sound && !body.is_empty() {
        let (length, rest) = body.split_first_chunk::<2>()?;
        let (directory, rest) = rest.split_first_chunk::<WHICH>()?;
        let (name, rest) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
        entries.push(Entry {
            name: name.to_vec(),
            directory: (*directory != [0; WHICH]).then_some(Which(*directory)),
        });
        body = rest;
    }
    sound.then_some(entries)
}

fn mark(key: &Key, which: Which, body: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_keyed(&key.0);
    hasher.update(PURPOSE).update(&which.0).update(body);
    hasher.finalize()
}

/// The attribute of an open file, if there is one.
pub(crate) fn read(file: BorrowedFd<'_>) -> Option<Vec<u8>> {
    let mut value = vec![0; LONGEST];
    let length = fgetxattr(file, ATTRIBUTE, &mut value[..]).ok()?;
    value.truncate(length);
    Some(value)
}

/// Whether the file of that name has the attribute.
pub(crate) fn is_there(path: &Path) -> bool {
    lgetxattr(path, ATTRIBUTE, &mut [0_u8; 0][..]).is_ok()
}

pub(crate) fn write(file: BorrowedFd<'_>, value: &[u8]) -> Result<(), Errno> {
    fsetxattr(file, ATTRIBUTE, value, XattrFlags::empty())
}

/// Takes the attribute away; without one there is nothing to do.
pub(crate) fn remove(file: BorrowedFd<'_>) -> Result<(), Errno> {
    match fremovexattr(file, ATTRIBUTE) {
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        other => other,
    }
}

const VERSION: u8 = 1;
const SEAL: usize = 32;
const WHICH: usize = 28;
/// Bytes of a value. Ours: ext4 keeps all attributes of a file in one block of 4 KiB.
const LONGEST: usize = 3072;
/// What the key is used for.
const PURPOSE: &[u8] = b"instar: names that an image was made with, version 1\0";

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;

    use super::*;

    fn entries() -> Vec<Entry> {
        vec![
            Entry {
                name: b"../base".to_vec(),
                directory: Some(Which([7; WHICH])),
            },
            Entry {
                name: b"/dev/vg/lv".to_vec(),
                directory: None,
            },
        ]
    }

    #[test]
    fn a_record_holds_for_its_file_and_its_key_alone() {
        let place = tempfile::tempdir().unwrap();
        let file = File::create(place.path().join("one")).unwrap();
        let other = File::create(place.path().join("two")).unwrap();
        let key = Key([1; 32]);
        let Ok(value) = seal(&key, file.as_fd(), &entries()) else {
            eprintln!("skipped: no times of birth here");
            return;
        };
        assert_eq!(unseal(&key, file.as_fd(), &value), Some(entries()));
        assert_eq!(unseal(&key, other.as_fd(), &value), None);
        assert_eq!(unseal(&Key([2; 32]), file.as_fd(), &value), None);
    }

    #[test]
    fn a_changed_or_truncated_record_is_ignored() {
        let file = tempfile::tempfile().unwrap();
        let key = Key([1; 32]);
        let Ok(value) = seal(&key, file.as_fd(), &entries()) else {
            eprintln!("skipped: no times of birth here");
            return;
        };
        for at in 0..value.len() {
            let mut changed = value.clone();
            changed[at] ^= 1;
            assert_eq!(unseal(&key, file.as_fd(), &changed), None, "byte {at}");
            assert_eq!(
                unseal(&key, file.as_fd(), &value[..at]),
                None,
                "the first {at} bytes"
            );
        }
        let longer = [value, vec![0; 31]].concat();
        assert_eq!(unseal(&key, file.as_fd(), &longer), None);
    }
}
