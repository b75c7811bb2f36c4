//! The options of a new image of each driver.

use instar_abi::Format;

use super::table::{self, OptionRow};
use crate::value::driver::Driver;

impl Driver {
    /// The driver's own options.
    pub(super) fn rows(self) -> Vec<&'static OptionRow> {
        match self {
            Self::Format(format) => table::rows(format).iter().collect(),
            Self::File => self.all(),
            Self::Device | Self::Nbd => table::DEVICE.iter().collect(),
        }
    }

    /// Its own options and those of the file below, in the order in which `create` prints them.
    pub(super) fn all(self) -> Vec<&'static OptionRow> {
        match self {
            Self::Format(format) => table::all(table::rows(format)).collect(),
            Self::File => table::all(table::rows(Format::Raw)).collect(),
            Self::Device | Self::Nbd => table::DEVICE.iter().collect(),
        }
    }

    /// As [`Driver::all`], where what is below is known to be a device.
    pub(super) fn all_on_device(self) -> Vec<&'static OptionRow> {
        match self {
            Self::Format(format) => table::on_device(table::rows(format)).collect(),
            Self::File | Self::Device | Self::Nbd => self.all(),
        }
    }
}
