//! LUKS headers as far as `measure` needs them: how long they are. Nothing is encrypted here.

use super::{known, not_accepted, table};
use crate::value::list::Setting;

/// Settings of a LUKS target whose names and types are right.
#[derive(Debug)]
pub struct Luks(Vec<Setting>);

impl Luks {
    /// Checks names and types.
    ///
    /// # Errors
    /// The message.
    pub fn parse(list: Option<&[u8]>) -> Result<Self, Vec<u8>> {
        let rows: Vec<_> = table::all(table::LUKS).collect();
        known(&rows, list).map(Self)
    }

    /// Bytes before the data.
    ///
    /// # Errors
    /// The message.
    pub fn header_bytes(&self, secrets: &[Vec<u8>]) -> Result<u64, Vec<u8>> {
        let text = |name: &str| {
            let found = self.0.iter().rev();
            let mut found = found.filter(|setting| setting.name == name.as_bytes());
            found.next().map(|setting| setting.value.as_slice())
        };
        if text("detached-header").is_some() {
            return Err(b"Parameter 'detached-header' is unexpected".to_vec());
        }
        header_bytes(text, "", secrets)
    }
}

/// Bytes of the header that options of these values ask for; `prefix` is what their names begin with.
///
/// # Errors
/// The message.
pub(super) fn header_bytes<'a>(
    text: impl Fn(&str) -> Option<&'a [u8]>,
    prefix: &str,
    secrets: &[Vec<u8>],
) -> Result<u64, Vec<u8>> {
    let cipher = text("cipher-alg").unwrap_or(b"aes-256");
    let Some((_, key_bytes, block_bytes)) = CIPHERS.iter().find(|(name, ..)| name.as_bytes() == cipher)
    else {
        return Err(not_accepted("cipher-alg", cipher));
    };
    let mode = text("cipher-mode").unwrap_or(b"xts");
    for (name, value, accepted) in [
        ("cipher-mode", Some(mode), MODES),
        ("ivgen-alg", text("ivgen-alg"), IV_GENERATORS),
        ("ivgen-hash-alg", text("ivgen-hash-alg"), HASHES),
        ("hash-alg", text("hash-alg"), HASHES),
    ] {
        if let Some(value) = value.filter(|value| !accepted.iter().any(|word| word.as_bytes() == *value)) {
            return Err(not_accepted(name, value));
        }
    }
    let Some(secret) = text("key-secret") else {
        return Err(format!("Parameter '{prefix}key-secret' is required for cipher").into_bytes());
    };
    if !secrets.iter().any(|known| known == secret) {
        return Err([b"No secret with id '".as_slice(), secret, b"'"].concat());
    }
    if *key_bytes == 0 {
        return Err([b"Algorithm '".as_slice(), cipher, b"' not supported"].concat());
    }
    let with_two_keys = mode == b"xts";
    if with_two_keys && *block_bytes != XTS_BLOCK {
        return Err(b"Unsupported cipher mode xts".to_vec());
    }
    let key_bytes = if with_two_keys { key_bytes * 2 } else { *key_bytes };
    let material = (key_bytes * STRIPES).next_multiple_of(ALIGN);
    Ok(ALIGN + KEY_SLOTS * material)
}

impl super::Settings {
    /// Bytes of the encryption header of a qcow2 image with these options; 0 without one.
    ///
    /// # Errors
    /// The message.
    pub fn header_bytes(&self, secrets: &[Vec<u8>]) -> Result<u64, Vec<u8>> {
        if self.text("encrypt.format") != Some(b"luks") {
            return Ok(0);
        }
        header_bytes(|name| self.text(&format!("encrypt.{name}")), "encrypt.", secrets)
    }
}

/// Names, bytes of a key and of a block; no key for those that the reference tool knows by name only.
const CIPHERS: &[(&str, u64, u64)] = &[
    ("aes-128", 16, 16),
    ("aes-192", 24, 16),
    ("aes-256", 32, 16),
    ("serpent-128", 16, 16),
    ("serpent-192", 24, 16),
    ("serpent-256", 32, 16),
    ("twofish-128", 16, 16),
    ("twofish-192", 24, 16),
    ("twofish-256", 32, 16),
    ("cast5-128", 16, 8),
    ("des", 0, 8),
    ("3des", 0, 8),
    ("sm4", 0, 16),
];
const MODES: &[&str] = &["ecb", "cbc", "xts", "ctr"];
const IV_GENERATORS: &[&str] = &["plain", "plain64", "essiv"];
const HASHES: &[&str] = &[
    "md5",
    "sha1",
    "sha224",
    "sha256",
    "sha384",
    "sha512",
    "ripemd160",
    "sm3",
];

/// Bytes of a block of which XTS is defined.
const XTS_BLOCK: u64 = 16;
/// Key slots, pieces that each key is split into, and the alignment of each: LUKS version 1.
const KEY_SLOTS: u64 = 8;
const STRIPES: u64 = 4000;
const ALIGN: u64 = 4096;
