//! Opening what is written to: files of new images, and images that are there.

use std::path::{Path, PathBuf};

use instar_abi::job::Source;
use instar_abi::{FileFacts, Slot};
use instar_engine::{Files, OpenError, Rule, TargetOptions, Verdict};

use crate::{Error, Image, Policy, Refusal};

/// Makes the files of a new image.
#[derive(Debug)]
pub struct Maker<'a> {
    /// Where they are noted.
    pub files: &'a Files,
    /// Existing files stay until the new ones are complete.
    pub keeps: bool,
    /// How they are opened.
    pub options: TargetOptions,
}

impl Maker<'_> {
    /// Makes one.
    ///
    /// # Errors
    /// The engine's.
    pub fn make(&self, path: &Path) -> Result<FileFacts, OpenError> {
        if self.keeps {
            self.files.replacement(path, &self.options)
        } else {
            self.files.target(path, &self.options)
        }
    }
}

impl Image {
    /// Refuses an image that the caller says is not to be written to.
    ///
    /// # Errors
    /// [`Error::Image`]
    pub fn writable(&self) -> Result<(), Error> {
        if self.is_input {
            return Err(self.refused(Refusal::InputChanged));
        }
        if self.read_only {
            return Err(self.refused(Refusal::ReadOnly));
        }
        if self.forced {
            return Err(self.refused(Refusal::Shared));
        }
        if self.header.is_some() {
            return Err(self.refused(Refusal::Apart));
        }
        Ok(())
    }

    /// Refuses also an image that is a part of its file: it can be read but not changed.
    ///
    /// # Errors
    /// [`Error::Image`]
    pub fn changeable(&self) -> Result<(), Error> {
        self.writable()?;
        if self.remote.is_some() {
            return Err(self.refused(Refusal::Remote));
        }
        if self.is_part {
            return Err(self.refused(Refusal::Part));
        }
        Ok(())
    }

    /// Opens it to be written to.
    ///
    /// # Errors
    /// [`Error::Image`]
    pub fn in_place(&self, files: &Files, options: &TargetOptions) -> Result<FileFacts, Error> {
        if self.remote.is_some() {
            return Err(self.refused(Refusal::Remote));
        }
        let opened = files.in_place(&self.path, options).map_err(Refusal::File);
        let suiting = opened.and_then(|facts| {
            self.protocol.suits(facts.kind, &self.path)?;
            Ok(facts)
        });
        suiting.map_err(|why| self.refused(why))
    }

    /// Opens it for changes that leave the names in it as they are.
    ///
    /// # Errors
    /// [`Error::Image`]
    pub fn for_change(&self, files: &Files, options: &TargetOptions) -> Result<(FileFacts, Source), Error> {
        let facts = self.in_place(files, options)?;
        files.keep_record_throughout(facts.slot);
        Ok((facts, self.described(files, facts, None)?))
    }
}

/// The file in which an image keeps its data.
#[derive(Clone, Copy, Debug)]
pub struct DataFile<'a> {
    /// The image, which is open.
    pub slot: Slot,
    /// Where the image is.
    pub image: &'a Path,
    /// What the image calls the file.
    pub name: &'a [u8],
    /// The same without a protocol's name before it.
    pub plain: &'a [u8],
    /// Where that leads.
    pub path: &'a Path,
}

impl Policy {
    /// Opens a file in which an image that is written to keeps its data. No guest causes that: the caller follows the name, and the
    /// policy decides.
    ///
    /// The gate would let the image read that file because it stands beside the image or in an allowed directory, and so it does where
    /// all links are followed. A record, by which this machine gave the image the name, is not enough for writing.
    ///
    /// # Errors
    /// [`Refusal::DataUntrusted`], [`Refusal::DataElsewhere`], [`Refusal::File`]
    pub fn data_file(
        &self,
        files: &Files,
        data: DataFile<'_>,
        options: &TargetOptions,
    ) -> Result<FileFacts, Refusal> {
        if self.untrusted {
            return Err(Refusal::DataUntrusted(data.plain.to_vec()));
        }
        let by_rules = matches!(
            files.verdict(data.slot, data.name),
            Verdict::LetIn(Rule::Beside | Rule::Allowed)
        );
        if !by_rules || !self.may_write(data.image, data.path) {
            return Err(Refusal::DataElsewhere(data.plain.to_vec()));
        }
        files.in_place(data.path, options).map_err(Refusal::File)
    }

    /// Whether what an image names at `path` stands, all links followed, where it may be written to: beside the image itself, not beside
    /// a link to it, or in an allowed directory.
    #[must_use]
    pub fn may_write(&self, image: &Path, path: &Path) -> bool {
        let (Ok(file), Ok(image)) = (path.canonicalize(), image.canonicalize()) else {
            return false;
        };
        let within = |directories: &[PathBuf], path: &Path| {
            let mut known = directories
                .iter()
                .filter_map(|directory| directory.canonicalize().ok());
            known.any(|directory| path.starts_with(directory))
        };
        let is_beside = file.parent() == image.parent() && !within(&self.untrusted_dirs, &image);
        is_beside || within(&self.allow_dirs, &file)
    }
}
