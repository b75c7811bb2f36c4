//! What a name leads to, as far as the user says: a file, a device, or whichever is there.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use instar_run::Protocol;

use super::driver::Driver;
use super::remote;

/// What a driver's name and the prefix of a file's name say; the driver comes first.
#[must_use]
pub fn of(driver: Option<&[u8]>, name: &OsStr) -> Protocol {
    let named = driver.and_then(Driver::from_name).map(Driver::protocol);
    if let Some(named @ (Protocol::File | Protocol::Device)) = named {
        return named;
    }
    let name = name.as_bytes();
    if name.starts_with(b"file:") {
        Protocol::File
    } else if name.starts_with(b"host_device:") {
        Protocol::Device
    } else if remote::named(name).is_some() {
        Protocol::Server
    } else {
        Protocol::Either
    }
}
