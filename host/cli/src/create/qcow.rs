//! qcow, version 1: what its options mean, and the reference tool's words when they mean nothing.

use instar_abi::ImageText;
use instar_abi::job::QcowCreate;

use super::{Settings, not_accepted};
use crate::value::driver;

/// Longest name of a backing file that is read again: reference tool.
const NAME_BYTES: usize = 1023;

pub(super) fn create(settings: &Settings) -> Result<QcowCreate, Vec<u8>> {
    let backing_format = settings.text("backing_fmt");
    if let Some(name) = backing_format.filter(|name| !driver::is_driver(name)) {
        return Err([b"unrecognized backing format '".as_slice(), name, b"'"].concat());
    }
    settings.protocol_preallocation()?;
    encryption(settings)?;
    let backing_file = settings.text("backing_file");
    if backing_file.is_some_and(|name| name.len() > NAME_BYTES) {
        return Err(b"Backing file name too long".to_vec());
    }
    Ok(QcowCreate {
        backing_file: backing_file.map(ImageText::new),
    })
}

/// What is wrong with the options of encryption, in the reference tool's order; if nothing is, that they are not carried out.
fn encryption(settings: &Settings) -> Result<(), Vec<u8>> {
    let (format, secret) = (
        settings.text("encrypt.format"),
        settings.text("encrypt.key-secret"),
    );
    if format.is_some() && settings.text("encryption").is_some() {
        return Err(b"'encrypt.format' and its alias 'encryption' can't be used at the same time".to_vec());
    }
    match format {
        None if settings.encrypts() => {}
        None if secret.is_some() => return Err(b"Parameter 'encrypt.format' is missing".to_vec()),
        None => return Ok(()),
        Some(b"aes") => {}
        Some(b"luks") => return Err(b"Unsupported encryption format".to_vec()),
        Some(other) => return Err(not_accepted("format", other)),
    }
    if secret.is_none() {
        return Err(b"Parameter 'encrypt.key-secret' is required for cipher".to_vec());
    }
    Err(b"instar does not write encrypted images yet".to_vec())
}
