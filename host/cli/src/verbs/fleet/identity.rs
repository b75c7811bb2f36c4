//! Which file it was that a plan was made for, and whether it still is.

use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// What tells that a file has been replaced or written to, on every machine that mounts its filesystem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Identity {
    /// Bytes; 0 for a device.
    pub(super) size: u64,
    pub(super) inode: u64,
    /// When it was last written to, in nanoseconds since 1970; nothing for a device, where no time tells.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) modified: Option<String>,
}

impl Identity {
    /// Of the file at `path`, all links followed.
    pub(super) fn of(path: &Path) -> std::io::Result<Self> {
        std::fs::metadata(path).map(|found| Self::from(&found))
    }
}

impl From<&Metadata> for Identity {
    fn from(found: &Metadata) -> Self {
        let is_device = found.file_type().is_block_device();
        // Numbers of JSON are taken for floating point by some programs.
        let modified = || format!("{}.{:09}", found.mtime(), found.mtime_nsec());
        Self {
            size: found.len(),
            inode: found.ino(),
            modified: (!is_device).then(modified),
        }
    }
}
