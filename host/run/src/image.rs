//! Images as a caller names them, and why one is not opened.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use instar_abi::job::{Encryption, SizeRule, Window};
use instar_abi::partitions::PartitionChoice;
use instar_abi::{FileKind, Format};
use instar_engine::OpenError;

use crate::Remote;

/// A file with an image in it, and what the caller says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// What messages call it: the caller's own words.
    pub given: OsString,
    /// Where its file is.
    pub path: PathBuf,
    /// It is what comes in by standard input, and has no path.
    pub is_input: bool,
    /// Its format, unless it is to be detected.
    pub format: Option<Format>,
    /// What its file must be.
    pub protocol: Protocol,
    /// Locks of other processes are ignored.
    pub share: bool,
    /// It is read past the page cache.
    pub direct: bool,
    /// It must not be written to.
    pub read_only: bool,
    /// The caller asked for `share` by name, which no writer may.
    pub forced: bool,
    /// It is a part of its file, even if that is all of it.
    pub is_part: bool,
    /// The part of a raw image that counts.
    pub window: Option<Window>,
    /// The parts of the file that the image stands in, one in the other, the largest first.
    pub inside: Vec<Window>,
    /// Which of the two sizes of a VHD counts.
    pub size_rule: SizeRule,
    /// What lies below it.
    pub below: Below,
    /// The name of the secret that unlocks it, if it is nothing but encrypted.
    pub key: Option<Vec<u8>>,
    /// What the caller says of an encrypted image of another format.
    pub encrypt: Encryption,
    /// The server that its file is behind; `path` is what messages call it then.
    pub remote: Option<Remote>,
    /// The file of its header, and what that must be, if it is not the image's own.
    pub header: Option<(PathBuf, Protocol)>,
    /// The partition that is read instead of the whole disk.
    pub partition: Option<PartitionChoice>,
    /// Which of its disks is meant, if it is an OVA: a number or a name.
    pub disk: Option<Vec<u8>>,
}

/// The layer below an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Below {
    /// The one that the image names.
    #[default]
    Named,
    /// None.
    Nothing,
    /// One that the caller names.
    Given(Box<Image>),
}

/// What a file must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Whichever is there.
    #[default]
    Either,
    /// A regular file.
    File,
    /// A device.
    Device,
    /// A server.
    Server,
}

impl Protocol {
    /// Whether a file of that kind at `path` is what it must be.
    ///
    /// # Errors
    /// [`Refusal::NotAFile`], [`Refusal::NotADevice`]
    pub fn suits(self, kind: FileKind, path: &Path) -> Result<(), Refusal> {
        match (self, kind) {
            (Self::File, FileKind::Block) => Err(Refusal::NotAFile(path.to_owned())),
            (Self::Device, FileKind::Regular | FileKind::Fresh) => Err(Refusal::NotADevice(path.to_owned())),
            _ => Ok(()),
        }
    }
}

/// Why an image is not opened.
#[derive(Debug)]
pub enum Refusal {
    /// Its file cannot be opened.
    File(OpenError),
    /// It is standard input, and the system does not say what that is.
    Input(std::io::Error),
    /// It is standard input, and that is a terminal.
    Terminal,
    /// It is standard input, of which so many bytes were read before.
    Begun(u64),
    /// It is standard input, which is another image of the run already.
    InputTwice,
    /// It is standard input, and is to be changed.
    InputChanged,
    /// It is standard output, and that is a terminal.
    OutputTerminal,
    /// Its file is a device.
    NotAFile(PathBuf),
    /// Its file is not a device.
    NotADevice(PathBuf),
    /// It is to be changed, and the caller said that it is not to be.
    ReadOnly,
    /// It is to be changed, and the caller said that others may be writing to it.
    Shared,
    /// It is to be changed, and is a part of a file.
    Part,
    /// It is to be changed, and its header is in another file.
    Apart,
    /// It is to be changed in place, and is behind a server.
    Remote,
    /// The server at this address has no address that the system can find.
    Unresolved(Vec<u8>, std::io::Error),
    /// The server at this address does not accept a connection.
    Unreachable(Vec<u8>, std::io::Error),
    /// It keeps its data in another file, of this name in it, and the policy lets images name none.
    DataUntrusted(Vec<u8>),
    /// It keeps its data in another file, of this name in it, which is not where the policy lets an image write.
    DataElsewhere(Vec<u8>),
}
