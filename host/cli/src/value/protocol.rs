//! What a name leads to, as far as the user says: a file, a device, or whichever is there.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use instar_abi::FileKind;

use super::driver::Driver;

/// The driver below a format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Whichever is there.
    #[default]
    Either,
    /// `file`.
    File,
    /// `host_device`.
    Device,
}

impl Protocol {
    /// What a driver's name and the prefix of a file's name say; the driver comes first.
    #[must_use]
    pub fn of(driver: Option<&[u8]>, name: &OsStr) -> Self {
        let named = driver.and_then(Driver::from_name).map(Driver::protocol);
        if let Some(named @ (Self::File | Self::Device)) = named {
            return named;
        }
        let name = name.as_bytes();
        if name.starts_with(b"file:") {
            Self::File
        } else if name.starts_with(b"host_device:") {
            Self::Device
        } else {
            Self::Either
        }
    }

    /// Whether a file that exists is of that kind.
    ///
    /// # Errors
    /// The reason, without the name of the image.
    pub fn suits(self, kind: FileKind, path: &OsStr) -> Result<(), Vec<u8>> {
        let (driver, what) = match (self, kind) {
            (Self::File, FileKind::Block) => ("file", "a regular file"),
            (Self::Device, FileKind::Regular | FileKind::Fresh) => {
                ("host_device", "either a character or block device")
            }
            _ => return Ok(()),
        };
        Err([
            b"'".as_slice(),
            driver.as_bytes(),
            b"' driver requires '",
            path.as_bytes(),
            b"' to be ",
            what.as_bytes(),
        ]
        .concat())
    }
}
