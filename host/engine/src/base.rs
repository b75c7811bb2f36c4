//! The layer that a `commit` writes to. An image names it, but no guest opens it for writing: the host follows the names from the image
//! that the user gave, asks the rules at each, and opens the last one itself.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use instar_abi::request::status;
use instar_abi::{FileFacts, FileKind, Role, Slot};
use rustix::fs::{FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;

use crate::file::{Failure, Identity};
use crate::files::Files;
use crate::gate::{Rule, place_of};
use crate::lock::{self, Use};
use crate::name;
use crate::open::{OpenError, OpenErrorKind};
use crate::target::{self, TargetOptions};

/// Why a layer was not opened for writing.
#[derive(Debug)]
pub enum BaseError {
    /// No rule for names in images lets it in, or the caller did not want it.
    Refused,
    /// It leads to nothing that could be opened.
    Unknown(Errno),
    /// In qemu-img's words.
    Open(OpenError),
}

impl Files {
    /// Opens the layer that `name` in an open image leads to, for reading and writing. The rules for names in images must let it in, and
    /// `may` is asked for the rule that does and the path. Names in images that lead to it from now on get this file, although it is
    /// written to.
    ///
    /// # Errors
    /// Why not.
    pub fn base(
        &self,
        namer: Slot,
        name: &[u8],
        options: &TargetOptions,
        may: &dyn Fn(Rule, &Path) -> bool,
    ) -> Result<(FileFacts, PathBuf), BaseError> {
        let unknown = |failure: Failure| match failure.0 {
            status::REFUSED_OUTSIDE
            | status::REFUSED_KIND
            | status::REFUSED_UNTRUSTED
            | status::REFUSED_NAME => BaseError::Refused,
            number => BaseError::Unknown(i32::try_from(number).map_or(Errno::IO, Errno::from_raw_os_error)),
        };
        let image = self.slots.get(namer).ok_or(BaseError::Unknown(Errno::BADF))?;
        let (landing, rule) = self
            .gate
            .find(image, Role::Backing, &name::asked(name))
            .map_err(unknown)?;
        let path = landing.path.clone();
        if !may(rule, &path) {
            return Err(BaseError::Refused);
        }
        let failed = |kind| BaseError::Open(OpenError::new(&path, kind));
        let flags =
            options.cache.flags() | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(&landing.parent, &landing.name, flags, Mode::empty())
            .map_err(|errno| failed(OpenErrorKind::Open(errno)))?;
        let stat = fstat(&fd).map_err(|errno| failed(OpenErrorKind::Open(errno)))?;
        // Asked again: the name may mean another file by now.
        if Identity::from(&stat) != Identity::from(&landing.stat) || stat.st_mode != landing.stat.st_mode {
            return Err(BaseError::Unknown(Errno::AGAIN));
        }
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => FileKind::Regular,
            FileType::BlockDevice => FileKind::Block,
            _ => return Err(BaseError::Refused),
        };
        // A reader comes first: the words for what is in its way are those of a layer.
        lock::acquire(fd.as_fd(), Use::Source).map_err(|conflict| failed(OpenErrorKind::Lock(conflict)))?;
        let mut file = target::taken(fd, &stat, kind, &path, options).map_err(failed)?;
        file.place = Some(place_of(landing, rule, image).map_err(unknown)?);
        let facts = self.put(file).map_err(failed)?;
        self.make_layer(facts.slot);
        Ok((facts, path))
    }

    /// From now on names in images may lead to a file, although it is written to: it is a part of what is read.
    pub fn make_layer(&self, slot: Slot) {
        if let Some(file) = self.slots.get(slot) {
            file.state.make_layer();
        }
    }
}
