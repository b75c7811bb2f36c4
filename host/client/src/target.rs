//! Images that are written.

use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use instar_abi::job::{Encryption, Target as AbiTarget};
use instar_abi::worker::Purpose;
use tempfile::TempPath;

use crate::error::{Error, Kind};
use crate::image::{Files, Image};
use crate::new::NewImage;

/// An image to write: a file, and what to make of it.
#[derive(Debug)]
pub struct Target {
    file: File,
    name: PathBuf,
    new: NewImage,
    below: Option<Image>,
    /// A hidden file that takes its name when the image is complete.
    unborn: Option<TempPath>,
}

impl Target {
    /// A new file at `path`. It stands there when the image is complete, and takes the place of whatever does then, a link included;
    /// until then, and if the call fails, there is a hidden file beside it and then none.
    ///
    /// # Errors
    /// The system's.
    pub fn create(path: impl AsRef<Path>, new: NewImage) -> Result<Self, Error> {
        const EVERYBODY: u32 = 0o666;
        let path = path.as_ref();
        let name = path
            .file_name()
            .ok_or_else(|| Error::new(Kind::Arguments, format!("{}: no name of a file", path.display())))?;
        let directory = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let prefix = [b".", name.as_bytes(), b".instar-"].concat();
        let made = tempfile::Builder::new()
            .prefix(OsStr::from_bytes(&prefix))
            // As far as the mask of the process lets it.
            .permissions(Permissions::from_mode(EVERYBODY))
            .tempfile_in(directory);
        let made = made.map_err(|error| Error::system(&path.display().to_string(), &error))?;
        let (file, unborn) = made.into_parts();
        Ok(Self {
            unborn: Some(unborn),
            ..Self::of(file, path, new)
        })
    }

    /// A file or block device that is open for reading and writing, and is overwritten in place. `name` is what messages call it. If the
    /// call fails, it holds what has been written so far.
    #[must_use]
    pub fn of(file: File, name: impl Into<PathBuf>, new: NewImage) -> Self {
        Self {
            file,
            name: name.into(),
            new,
            below: None,
            unborn: None,
        }
    }

    /// It is a layer above this one, whose name is among the options of the new image, and whose format must have been said.
    #[must_use]
    pub fn above(self, layer: Image) -> Self {
        Self {
            below: Some(layer),
            ..self
        }
    }

    pub(crate) const fn below(&self) -> Option<&Image> {
        self.below.as_ref()
    }

    /// Adds its file to those that are handed over; the job's view of it.
    pub(crate) fn hand<'a>(&'a self, files: &mut Files<'a>) -> AbiTarget {
        let slot = files.add(&self.file, &self.name, Purpose::Target);
        let base = self.name.file_name().unwrap_or_default();
        AbiTarget {
            slot,
            create: self.new.named(base.as_bytes()),
            existing: false,
            backing: None,
            encrypt: Encryption::default(),
            export: None,
        }
    }

    /// The image is complete: it gets its name.
    pub(crate) fn complete(self) -> Result<(), Error> {
        match self.unborn {
            None => Ok(()),
            Some(unborn) => unborn
                .persist(&self.name)
                .map_err(|error| Error::system(&self.name.display().to_string(), &error.error)),
        }
    }
}
