//! The image that a verb makes: what `-O`, `-f` and `-o` say of it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;

use crate::create::Ground;
use crate::stop::{Step, Stop};
use crate::value::driver::{self, Driver};
use crate::value::list;
use crate::value::protocol;
use instar_run::Protocol;

/// `-o`, which may be repeated: one list.
pub(crate) fn join_options(options: &mut Option<Vec<u8>>, more: &[u8]) -> Step<()> {
    if !list::joinable(more) {
        return Err(Stop::Message([b"Invalid option list: ", more].concat()));
    }
    match options {
        Some(options) => {
            options.push(b',');
            options.extend_from_slice(more);
        }
        None => *options = Some(more.to_vec()),
    }
    Ok(())
}

/// The format that can be made under that name; `unknown` words the message for an unknown name.
pub(crate) fn creatable_or(name: &OsStr, unknown: impl Fn() -> Vec<u8>) -> Step<Driver> {
    let name = name.as_bytes();
    if driver::is_never_written(name) {
        return Err(Stop::Message(driver::no_creation(&String::from_utf8_lossy(name))));
    }
    if let Some(driver) = Driver::from_name(name) {
        return Ok(driver);
    }
    let words = driver::unknown_driver(name);
    Err(Stop::Message(if words.starts_with(b"Unknown") {
        unknown()
    } else {
        words
    }))
}

/// As [`creatable_or`], with the words that most verbs have.
pub(crate) fn creatable(name: &OsStr) -> Step<Driver> {
    creatable_or(name, || {
        [b"Unknown file format '", name.as_bytes(), b"'"].concat()
    })
}

/// What lies below a new image of that name.
pub(crate) fn ground(driver: Driver, target: Option<&OsStr>) -> Ground {
    let Some(target) = target else {
        return Ground::Unknown;
    };
    let device = match (driver.protocol(), protocol::of(None, target)) {
        // A disk behind a server keeps its size, as a device does.
        (Protocol::Device | Protocol::Server, _)
        | (Protocol::Either, Protocol::Device | Protocol::Server) => true,
        (Protocol::File, _) | (Protocol::Either, Protocol::File) => false,
        (Protocol::Either, Protocol::Either) => std::fs::metadata(target)
            .is_ok_and(|found| found.file_type().is_block_device() || found.file_type().is_char_device()),
    };
    if device { Ground::Device } else { Ground::File }
}
