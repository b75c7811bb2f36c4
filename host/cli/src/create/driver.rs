//! What a new image may be: an image of a format, or the plain file or device itself.

use instar_abi::Format;

use super::table::{self, OptionRow};
use crate::value::protocol::Protocol;

/// A word of `-f` and `-O` for a new image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// A format.
    Format(Format),
    /// `file`: a plain file.
    File,
    /// `host_device`: a device that is there.
    Device,
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
            _ => Format::from_name(name).map(Self::Format),
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Format(format) => format.name(),
            Self::File => "file",
            Self::Device => "host_device",
        }
    }

    /// The format in which the bytes stand in the file.
    #[must_use]
    pub const fn format(self) -> Format {
        match self {
            Self::Format(format) => format,
            Self::File | Self::Device => Format::Raw,
        }
    }

    /// What the file must be.
    #[must_use]
    pub const fn protocol(self) -> Protocol {
        match self {
            Self::Format(_) => Protocol::Either,
            Self::File => Protocol::File,
            Self::Device => Protocol::Device,
        }
    }

    /// The driver's own options.
    pub(super) fn rows(self) -> Vec<&'static OptionRow> {
        match self {
            Self::Format(format) => table::rows(format).iter().collect(),
            Self::File => self.all(),
            Self::Device => table::DEVICE.iter().collect(),
        }
    }

    /// Its own options and those of the file below, in the order in which `create` prints them.
    pub(super) fn all(self) -> Vec<&'static OptionRow> {
        match self {
            Self::Format(format) => table::all(table::rows(format)).collect(),
            Self::File => table::all(table::rows(Format::Raw)).collect(),
            Self::Device => table::DEVICE.iter().collect(),
        }
    }

    /// As [`Driver::all`], where what is below is known to be a device.
    pub(super) fn all_on_device(self) -> Vec<&'static OptionRow> {
        match self {
            Self::Format(format) => table::on_device(table::rows(format)).collect(),
            Self::File | Self::Device => self.all(),
        }
    }
}
