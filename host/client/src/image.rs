//! Images that are read.

use std::fs::{File, OpenOptions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use instar_abi::job::{Below as JobBelow, SnapshotName, Source};
use instar_abi::worker::{Handed, Purpose};
use instar_abi::{Format as AbiFormat, Slot};

use crate::error::Error;

/// An image to read: an open file, and what the caller says of it.
///
/// A worker takes the locks of qemu-img on it, unless it is [`Image::shared`]. They last until the image is dropped.
#[derive(Debug)]
pub struct Image {
    file: File,
    name: PathBuf,
    format: Option<Format>,
    snapshot: Option<String>,
    shared: bool,
    below: Below,
}

/// What lies below an image.
#[derive(Debug)]
enum Below {
    /// What it names, which is refused.
    Named,
    /// Nothing, whatever it names.
    Nothing,
    /// This one, whatever it names.
    Given(Box<Image>),
}

/// Formats of disk images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the names of the formats")]
pub enum Format {
    Asif,
    Bochs,
    Cloop,
    Dmg,
    Luks,
    Ova,
    Parallels,
    Qcow,
    Qcow2,
    Qed,
    Raw,
    Vdi,
    Vhdx,
    Vmdk,
    Vpc,
    Zst,
}

impl Image {
    /// Opens the image at `path`. Nothing else is opened, whatever it names.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let path = path.as_ref();
        // A FIFO without a writer is refused by the worker instead of waited for.
        let opened = OpenOptions::new().read(true).custom_flags(NONBLOCK).open(path);
        let opened = opened.map_err(|error| Error::system(&path.display().to_string(), &error))?;
        Ok(Self::of(opened, path))
    }

    /// The image in a file that is open for reading. `name` is what messages call it.
    #[must_use]
    pub fn of(file: File, name: impl Into<PathBuf>) -> Self {
        Self {
            file,
            name: name.into(),
            format: None,
            snapshot: None,
            shared: false,
            below: Below::Named,
        }
    }

    /// It is in this format. Without, its first bytes decide, which is not wise for images of strangers that may be raw.
    #[must_use]
    pub fn format(self, format: Format) -> Self {
        Self {
            format: Some(format),
            ..self
        }
    }

    /// The internal snapshot of that name instead of the active state.
    #[must_use]
    pub fn snapshot(self, name: impl Into<String>) -> Self {
        Self {
            snapshot: Some(name.into()),
            ..self
        }
    }

    /// It is read even while another process writes to it, and no locks are taken.
    #[must_use]
    pub fn shared(self) -> Self {
        Self { shared: true, ..self }
    }

    /// `layer` lies below it, whatever the image names.
    #[must_use]
    pub fn above(self, layer: Self) -> Self {
        Self {
            below: Below::Given(Box::new(layer)),
            ..self
        }
    }

    /// Nothing lies below it, whatever the image names: what it does not hold reads as zeros.
    #[must_use]
    pub fn alone(self) -> Self {
        Self {
            below: Below::Nothing,
            ..self
        }
    }

    /// Bytes of storage that its file occupies.
    pub(crate) fn stored(&self) -> Option<u64> {
        let about = self.file.metadata().ok()?;
        Some(about.blocks().saturating_mul(512))
    }

    /// Adds its files to those that are handed over; the job's view of it.
    pub(crate) fn hand<'a>(&'a self, files: &mut Files<'a>) -> Source {
        let purpose = if self.shared {
            Purpose::Shared
        } else {
            Purpose::Source
        };
        let slot = files.add(&self.file, &self.name, purpose);
        let name = |name: &String| SnapshotName::Exact {
            id: None,
            name: Some(name.clone().into_bytes()),
        };
        Source {
            snapshot: self.snapshot.as_ref().map(name),
            below: match &self.below {
                Below::Named => JobBelow::Named,
                Below::Nothing => JobBelow::Nothing,
                Below::Given(layer) => JobBelow::Given(Box::new(layer.hand(files))),
            },
            ..Source::new(slot, self.format.map(Format::abi))
        }
    }
}

/// What is handed over, in the order of its slots.
#[derive(Debug, Default)]
pub(crate) struct Files<'a> {
    pub(crate) open: Vec<&'a File>,
    pub(crate) about: Vec<Handed>,
}

impl<'a> Files<'a> {
    /// One more; its slot.
    pub(crate) fn add(&mut self, file: &'a File, name: &Path, purpose: Purpose) -> Slot {
        let slot = Slot(u32::try_from(self.open.len()).unwrap_or(u32::MAX));
        self.open.push(file);
        self.about.push(Handed {
            name: name.as_os_str().as_bytes().to_vec(),
            purpose,
        });
        slot
    }
}

/// Each name once, for both directions.
macro_rules! formats {
    ($($name:ident)+) => {
        impl Format {
            pub(crate) const fn abi(self) -> AbiFormat {
                match self {
                    $(Self::$name => AbiFormat::$name,)+
                }
            }

            pub(crate) const fn of_abi(format: AbiFormat) -> Self {
                match format {
                    $(AbiFormat::$name => Self::$name,)+
                }
            }
        }
    };
}
formats!(Asif Bochs Cloop Dmg Luks Ova Parallels Qcow Qcow2 Qed Raw Vdi Vhdx Vmdk Vpc Zst);

impl Format {
    /// The name that qemu-img uses for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.abi().name()
    }
}
