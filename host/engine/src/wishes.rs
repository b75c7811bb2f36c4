//! What a filesystem is told of a file while it is empty: how it is to give it space.

use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
use rustix::io::Errno;

use crate::file::OpenFile;
use crate::sys;

/// What is wished for. Where a filesystem cannot, the image is as good, only slower.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// No copy-on-write: btrfs.
    pub no_cow: bool,
    /// Bytes in which it is given space, against fragmentation: XFS. 0 is as the filesystem likes; nothing is the default, 1 MiB.
    pub extent_size: Option<u32>,
}

impl OpenFile {
    /// Hands the wishes on. The file is empty. Gives what kept the filesystem from one that the user insists on.
    pub(crate) fn heed_wishes(&self) -> Option<Errno> {
        if self.wishes.no_cow
            && let Ok(flags) = ioctl_getflags(&self.fd)
        {
            // An optimisation: as in the reference tool, nothing depends on it.
            let _ = ioctl_setflags(&self.fd, flags | IFlags::NOCOW);
        }
        let wished = self.wishes.extent_size;
        let outcome = sys::set_extent_size(self.fd(), wished.unwrap_or(EXTENT_SIZE));
        outcome.err().filter(|_| wished.is_some_and(|bytes| bytes != 0))
    }
}

/// The reference tool's default.
const EXTENT_SIZE: u32 = 1 << 20;
