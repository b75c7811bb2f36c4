//! Names that a new image is given, and whether it can be read with them.

use std::path::{Path, PathBuf};

use instar_abi::Slot;
use instar_engine::{Files, Verdict};

use crate::Policy;

/// A name that an image is given.
#[derive(Debug)]
pub struct Given {
    name: Vec<u8>,
    directory: Option<PathBuf>,
}

impl Given {
    /// The name, and the file that it means now.
    #[must_use]
    pub fn new(name: Vec<u8>, file: &Path) -> Self {
        let file = std::fs::canonicalize(file).ok();
        let directory = file.as_deref().and_then(Path::parent).map(Path::to_owned);
        Self { name, directory }
    }

    /// As it will stand in the image.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// The directory that it leads into.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    /// Whether there is such a file now.
    #[must_use]
    pub const fn is_there(&self) -> bool {
        self.directory.is_some()
    }

    /// Notes that these are the names that the image is given, and no others.
    pub fn remember(files: &Files, slot: Slot, given: &[Self]) {
        let names: Vec<&[u8]> = given.iter().map(Self::name).collect();
        files.remember(slot, &names);
    }

    /// The first of these names that would not be let in when the new image is read.
    #[must_use]
    pub fn unreadable<'a>(files: &Files, slot: Slot, given: &'a [Self], policy: &Policy) -> Option<&'a Self> {
        if policy.untrusted || files.is_recorded(slot) {
            return None;
        }
        let refused = |given: &&Self| files.verdict(slot, &given.name) == Verdict::Refused;
        given.iter().find(refused)
    }
}
