//! qcow, version 1: what its options mean, and the reference tool's words when they mean nothing.

use instar_abi::ImageText;
use instar_abi::job::QcowCreate;

use super::Settings;
use super::encryption::{self, Method};
use crate::value::driver;

/// Longest name of a backing file that is read again: reference tool.
const NAME_BYTES: usize = 1023;

pub(super) fn create(settings: &Settings) -> Result<QcowCreate, Vec<u8>> {
    let backing_format = settings.text("backing_fmt");
    if let Some(name) = backing_format.filter(|name| !driver::is_driver(name)) {
        return Err([b"unrecognized backing format '".as_slice(), name, b"'"].concat());
    }
    settings.protocol_preallocation()?;
    let key = encryption(settings)?;
    let backing_file = settings.text("backing_file");
    if backing_file.is_some_and(|name| name.len() > NAME_BYTES) {
        return Err(b"Backing file name too long".to_vec());
    }
    Ok(QcowCreate {
        backing_file: backing_file.map(ImageText::new),
        key,
    })
}

/// The secret that the image is encrypted with, if it is; what is wrong with the options of that, in the reference tool's order.
fn encryption(settings: &Settings) -> Result<Option<ImageText>, Vec<u8>> {
    match encryption::method(settings)? {
        None => Ok(None),
        Some(Method::Luks) => Err(b"Unsupported encryption format".to_vec()),
        Some(Method::Aes) => Ok(encryption::create(settings, Method::Aes)?.key().cloned()),
    }
}
