//! What a secret of `--object` holds: given as it is, in a file, in base 64, or encrypted with another secret.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use aes::Aes256;
use aes::cipher::{BlockCipherDecrypt, KeyInit};
use instar_abi::layout::SECRETS_LENGTH;
use instar_abi::{NamedSecret, Secret};
use zeroize::Zeroizing;

use crate::stop::{Step, Stop};
use crate::value::base64;
use crate::words;

/// Bytes that are wiped when nobody needs them any more.
type Bytes = Zeroizing<Vec<u8>>;

/// What a secret is made of, as it was written.
pub(super) struct Ingredients<'a> {
    pub(super) data: Option<&'a [u8]>,
    pub(super) file: Option<&'a [u8]>,
    /// It is written in base 64.
    pub(super) base64: bool,
    /// The secret that it is encrypted with.
    pub(super) key: Option<&'a [u8]>,
    pub(super) iv: Option<&'a [u8]>,
}

impl Ingredients<'_> {
    /// The content. `known` are the secrets that were made before.
    pub(super) fn content(&self, known: &[NamedSecret]) -> Step<Secret> {
        let written = self.written()?;
        let content = match self.key {
            Some(id) => self.decrypted(id, written, known)?,
            None if self.base64 => base64::decode(&written).map_err(Stop::Message)?,
            None => written,
        };
        let mut content = content;
        Ok(Secret::new(std::mem::take(&mut *content)))
    }

    /// What stands in the one place that it comes from.
    fn written(&self) -> Step<Bytes> {
        match (self.data, self.file) {
            (Some(_), Some(_)) => Err(Stop::say("'file' and 'data' are mutually exclusive")),
            (None, None) => Err(Stop::say("Either 'file' or 'data' must be provided")),
            (Some(data), None) => Ok(Zeroizing::new(data.to_vec())),
            (None, Some(file)) => read(file),
        }
    }

    fn decrypted(&self, id: &[u8], written: Bytes, known: &[NamedSecret]) -> Step<Bytes> {
        let key = known.iter().find(|secret| secret.id.as_bytes() == id);
        let key = key.ok_or_else(|| Stop::Message([b"No secret with id '".as_slice(), id, b"'"].concat()))?;
        let key: &[u8; 32] = key
            .content
            .expose()
            .try_into()
            .map_err(|_| Stop::say("Key should be 32 bytes in length"))?;
        let iv = self
            .iv
            .ok_or_else(|| Stop::say("IV is required to decrypt secret"))?;
        let iv = base64::decode(iv).map_err(Stop::Message)?;
        let iv: [u8; BLOCK] = iv.as_slice().try_into().map_err(|_| {
            let found = iv.len();
            Stop::say(format!("IV should be 16 bytes in length not {found}"))
        })?;
        let sealed = if self.base64 {
            base64::decode(&written).map_err(Stop::Message)?
        } else {
            written
        };
        unchained(key, iv, sealed)
    }
}

/// Undoes AES-256 in CBC mode, and the padding.
fn unchained(key: &[u8; 32], iv: [u8; BLOCK], mut text: Bytes) -> Step<Bytes> {
    if !text.len().is_multiple_of(BLOCK) {
        let found = text.len();
        return Err(Stop::say(format!(
            "Length {found} must be a multiple of block size {BLOCK}"
        )));
    }
    let cipher = Aes256::new(key.into());
    let mut before = iv;
    let (blocks, _) = text.as_chunks_mut::<BLOCK>();
    for block in blocks {
        let sealed = *block;
        cipher.decrypt_block(block.into());
        for (byte, other) in block.iter_mut().zip(before) {
            *byte ^= other;
        }
        before = sealed;
    }
    let padding = text.last().copied().unwrap_or_default();
    let kept = text.len().checked_sub(padding.into());
    match kept.filter(|_| usize::from(padding) <= BLOCK) {
        Some(kept) => {
            text.truncate(kept);
            Ok(text)
        }
        None => Err(Stop::say(format!(
            "Incorrect number of padding bytes ({padding}) found on decrypted data"
        ))),
    }
}

/// The bytes of a file, or of a pipe.
fn read(name: &[u8]) -> Step<Bytes> {
    let path = Path::new(OsStr::from_bytes(name));
    let shown = String::from_utf8_lossy(name);
    let failed = |what: &str, error: &std::io::Error| {
        let why = words::system(error);
        Stop::say(format!(
            "Unable to read {shown}: {what} \u{201c}{shown}\u{201d}: {why}"
        ))
    };
    let mut file = File::open(path).map_err(|error| failed("Failed to open file", &error))?;
    // At once as long as it can get: what a vector leaves behind when it grows is not wiped.
    let mut bytes = Zeroizing::new(vec![0; LARGEST + 1]);
    let mut used = 0;
    while let Some(room) = bytes.get_mut(used..).filter(|room| !room.is_empty()) {
        match file.read(room) {
            Ok(0) => break,
            Ok(read) => used += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed("Error reading file", &error)),
        }
    }
    if used > LARGEST {
        return Err(Stop::say(format!(
            "Unable to read {shown}: a secret has at most {LARGEST} bytes"
        )));
    }
    Ok(Zeroizing::new(bytes.get(..used).unwrap_or_default().to_vec()))
}

/// Bytes of a block of AES.
const BLOCK: usize = 16;

/// Bytes of a file with a secret. Ours: those of all secrets of a run fit into the place that they have in the guest.
const LARGEST: usize = SECRETS_LENGTH / 2;
