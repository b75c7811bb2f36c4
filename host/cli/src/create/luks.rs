//! LUKS: what its options mean, and how long a header they make. Nothing is encrypted here.

use instar_abi::job::{LuksCreate, Preallocation};
use instar_abi::{CipherAlgorithm, CipherMode, CipherSpec, HashName, ImageText, IvGenerator, NamedSecret};

use super::{effort, known, not_accepted, table};
use crate::release::{self, Fact};
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
    pub fn header_bytes(&self, secrets: &[NamedSecret]) -> Result<u64, Vec<u8>> {
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
    secrets: &[NamedSecret],
) -> Result<u64, Vec<u8>> {
    check_names(&text)?;
    let secret = text("key-secret").ok_or_else(|| no_key(prefix))?;
    if !secrets.iter().any(|known| known.id.as_bytes() == secret) {
        return Err([b"No secret with id '".as_slice(), secret, b"'"].concat());
    }
    let cipher = cipher(&text)?;
    let key_bytes = u64::try_from(cipher.key_bytes()).unwrap_or(u64::MAX);
    let material = (key_bytes * STRIPES).next_multiple_of(ALIGN);
    Ok(ALIGN + KEY_SLOTS * material)
}

/// What a new LUKS image is made of.
///
/// # Errors
/// The message.
pub(super) fn create(settings: &super::Settings) -> Result<LuksCreate, Vec<u8>> {
    let text = |name: &str| settings.text(name);
    let detached = settings.flag("detached-header");
    if detached.is_some() && !release::has(Fact::LuksHeaderIsDetached) {
        return Err(b"Parameter 'detached-header' is unexpected".to_vec());
    }
    let iter_time = iter_time(settings, "")?;
    check_names(&text)?;
    let key = text("key-secret").ok_or_else(|| no_key(""))?;
    let sealed = sealed(&text, iter_time)?;
    let preallocation = match settings.measured_preallocation()? {
        Preallocation::Metadata => Preallocation::Off,
        other => other,
    };
    Ok(LuksCreate {
        key: Some(ImageText::new(key)),
        preallocation,
        detached: detached.unwrap_or(false),
        ..sealed
    })
}

/// A LUKS header for options of these values, whose names are sound.
///
/// # Errors
/// The message.
pub(super) fn sealed<'a>(
    text: &impl Fn(&str) -> Option<&'a [u8]>,
    iter_time: u64,
) -> Result<LuksCreate, Vec<u8>> {
    let hash = hash(text, "hash-alg").unwrap_or(HashName::Sha256);
    Ok(LuksCreate {
        cipher: cipher(text)?,
        hash,
        speed: effort::speed(hash, iter_time),
        ..LuksCreate::default()
    })
}

/// `iter-time`, or what it is when it is not given; `prefix` is what its name begins with.
pub(super) fn iter_time(settings: &super::Settings, prefix: &str) -> Result<u64, Vec<u8>> {
    let name = format!("{prefix}iter-time");
    let iter_time = settings.number(&name).unwrap_or(ITER_TIME);
    if i64::try_from(iter_time).is_err() {
        return Err(format!("Parameter '{name}' expects integer").into_bytes());
    }
    Ok(iter_time)
}

pub(super) fn no_key(prefix: &str) -> Vec<u8> {
    format!("Parameter '{prefix}key-secret' is required for cipher").into_bytes()
}

/// Refuses names that the reference tool does not know either.
pub(super) fn check_names<'a>(text: &impl Fn(&str) -> Option<&'a [u8]>) -> Result<(), Vec<u8>> {
    let ciphers: Vec<&str> = CipherAlgorithm::ALL.iter().map(|cipher| cipher.name()).collect();
    let ciphers = [&ciphers[..], BY_NAME_ONLY].concat();
    let modes: Vec<&str> = CipherMode::ALL.iter().map(|mode| mode.name()).collect();
    let generators: Vec<&str> = IvGenerator::ALL
        .iter()
        .map(|generator| generator.name())
        .collect();
    let hashes: Vec<&str> = HashName::ALL.iter().map(|hash| hash.name()).collect();
    for (name, accepted) in [
        ("cipher-alg", &ciphers),
        ("cipher-mode", &modes),
        ("ivgen-alg", &generators),
        ("ivgen-hash-alg", &hashes),
        ("hash-alg", &hashes),
    ] {
        let value = text(name).filter(|value| !accepted.iter().any(|word| word.as_bytes() == *value));
        if let Some(value) = value {
            return Err(not_accepted(name, value));
        }
    }
    Ok(())
}

/// The cipher that options with sound names ask for.
fn cipher<'a>(text: &impl Fn(&str) -> Option<&'a [u8]>) -> Result<CipherSpec, Vec<u8>> {
    let usual = LuksCreate::default().cipher;
    let algorithm = match text("cipher-alg") {
        None => usual.algorithm,
        Some(name) => CipherAlgorithm::named(name)
            .ok_or_else(|| [b"Algorithm '".as_slice(), name, b"' not supported"].concat())?,
    };
    let mode = text("cipher-mode")
        .and_then(CipherMode::named)
        .unwrap_or(usual.mode);
    let ivgen = text("ivgen-alg")
        .and_then(IvGenerator::named)
        .unwrap_or(usual.ivgen);
    let ivhash = hash(text, "ivgen-hash-alg");
    if mode == CipherMode::Xts && algorithm.block_bytes() != XTS_BLOCK {
        // The reference tool looks at the generator first.
        return Err(match ivgen {
            IvGenerator::Essiv => format!("Cipher {} not supported with essiv", algorithm.name()),
            _ => "Unsupported cipher mode xts".to_owned(),
        }
        .into_bytes());
    }
    Ok(CipherSpec {
        algorithm,
        mode,
        ivgen,
        ivhash: ivhash.or((ivgen == IvGenerator::Essiv).then_some(HashName::Sha256)),
    })
}

fn hash<'a>(text: &impl Fn(&str) -> Option<&'a [u8]>, name: &str) -> Option<HashName> {
    text(name).and_then(HashName::named)
}

impl super::Settings {
    /// Bytes of the encryption header of a qcow2 image with these options; 0 without one.
    ///
    /// # Errors
    /// The message.
    pub fn header_bytes(&self, secrets: &[NamedSecret]) -> Result<u64, Vec<u8>> {
        if self.text("encrypt.format") != Some(b"luks") {
            return Ok(0);
        }
        header_bytes(|name| self.text(&format!("encrypt.{name}")), "encrypt.", secrets)
    }
}

/// Ciphers that the reference tool knows by name only.
const BY_NAME_ONLY: &[&str] = &["des", "3des", "sm4"];

/// `iter-time` when it is not given, milliseconds: reference tool.
const ITER_TIME: u64 = 2000;

/// Bytes of a block of which XTS is defined.
const XTS_BLOCK: usize = 16;
/// Key slots, pieces that each key is split into, and the alignment of each: LUKS version 1.
const KEY_SLOTS: u64 = 8;
const STRIPES: u64 = 4000;
const ALIGN: u64 = 4096;
