//! Names of drivers: those that are here, and those that the reference tool has besides.

use instar_abi::Format;

use instar_run::Protocol;

/// A driver that is here: an image of a format, or the plain file or device itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    Format(Format),
    /// `file`: a plain file.
    File,
    /// `host_device`: a device that is there.
    Device,
    /// `nbd`: a disk behind a server.
    Nbd,
}

impl From<Format> for Driver {
    fn from(format: Format) -> Self {
        Self::Format(format)
    }
}

impl Driver {
    /// The driver of that name.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        match name {
            b"file" => Some(Self::File),
            b"host_device" => Some(Self::Device),
            b"nbd" => Some(Self::Nbd),
            _ => Format::from_name(name).map(Self::Format),
        }
    }

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Format(format) => format.name(),
            Self::File => "file",
            Self::Device => "host_device",
            Self::Nbd => "nbd",
        }
    }

    /// The format in which the bytes stand in the file.
    #[must_use]
    pub const fn format(self) -> Format {
        match self {
            Self::Format(format) => format,
            Self::File | Self::Device | Self::Nbd => Format::Raw,
        }
    }

    /// What the file must be.
    #[must_use]
    pub const fn protocol(self) -> Protocol {
        match self {
            Self::Format(_) | Self::Nbd => Protocol::Either,
            Self::File => Protocol::File,
            Self::Device => Protocol::Device,
        }
    }
}

/// The driver of that name.
///
/// # Errors
/// The reason.
pub fn known(name: &[u8]) -> Result<Driver, Vec<u8>> {
    Driver::from_name(name).ok_or_else(|| unknown_driver(name))
}

/// The driver of that name, for what is in a file.
///
/// # Errors
/// The reason.
pub fn known_in_files(name: &[u8]) -> Result<Driver, Vec<u8>> {
    match known(name)? {
        Driver::Nbd => Err(ONLY_ALONE.to_vec()),
        driver => Ok(driver),
    }
}

const ONLY_ALONE: &[u8] = b"instar reads a disk behind an NBD server as an image of its own only, not through the name of a layer or of a second file";

/// The words for a format that is not ours.
#[must_use]
pub fn unknown_driver(name: &[u8]) -> Vec<u8> {
    if ELSEWHERE.contains(&name) {
        let mut ours: Vec<&str> = Format::ALL.iter().map(|format| format.name()).collect();
        let last = ours.pop().unwrap_or_default();
        return [
            b"instar does not handle the format '".as_slice(),
            name,
            b"'; it handles ",
            ours.join(", ").as_bytes(),
            b" and ",
            last.as_bytes(),
        ]
        .concat();
    }
    if REMOTE.contains(&name) {
        return [
            b"instar opens local files and disks behind NBD servers only, not through the driver '"
                .as_slice(),
            name,
            b"'",
        ]
        .concat();
    }
    [b"Unknown driver '", name, b"'"].concat()
}

/// The words for a format that images are never made in.
#[must_use]
pub fn no_creation(name: &str) -> Vec<u8> {
    format!("Format driver '{name}' does not support image creation").into_bytes()
}

/// Whether a word is the name of a driver that makes no images even in the reference tool.
#[must_use]
pub fn is_never_written(name: &[u8]) -> bool {
    let ours = Driver::from_name(name).is_some_and(|driver| driver.format().is_read_only());
    ours || matches!(
        name,
        b"blkdebug"
            | b"blklogwrites"
            | b"blkverify"
            | b"compress"
            | b"copy-before-write"
            | b"copy-on-read"
            | b"null-aio"
            | b"null-co"
            | b"preallocate"
            | b"quorum"
            | b"replication"
            | b"snapshot-access"
            | b"throttle"
            | b"vvfat"
    )
}

/// Whether a word is the name of a driver of the reference tool's, ours or not: what an image may say of the layer below.
#[must_use]
pub fn is_driver(name: &[u8]) -> bool {
    known(name).is_ok() || ELSEWHERE.contains(&name) || REMOTE.contains(&name)
}

/// Formats that the reference tool has and instar has not.
const ELSEWHERE: &[&[u8]] = &[
    b"blkdebug",
    b"blklogwrites",
    b"blkverify",
    b"compress",
    b"copy-before-write",
    b"copy-on-read",
    b"preallocate",
    b"quorum",
    b"replication",
    b"snapshot-access",
    b"throttle",
    b"vvfat",
];

/// Protocols that the reference tool has and instar has not.
const REMOTE: &[&[u8]] = &[
    b"fat",
    b"ftp",
    b"ftps",
    b"gluster",
    b"host_cdrom",
    b"http",
    b"https",
    b"iscsi",
    b"iser",
    b"nfs",
    b"null-aio",
    b"null-co",
    b"nvme",
    b"rbd",
    b"ssh",
    b"vvfat",
];

/// The words for a file's name that begins with the name of a protocol.
#[must_use]
pub fn unknown_protocol(name: &[u8]) -> Vec<u8> {
    if name.starts_with(b"nbd") {
        return ONLY_ALONE.to_vec();
    }
    if REMOTE.contains(&name) {
        return [
            b"instar opens local files and disks behind NBD servers only, not '".as_slice(),
            name,
            b":'; if this is a file, write ./ before its name",
        ]
        .concat();
    }
    [b"Unknown protocol '", name, b"'"].concat()
}
