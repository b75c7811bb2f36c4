//! The settings themselves, and the words that set them.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use instar_abi::layout::{MAX_BYTES, MIN_BYTES};
use instar_abi::limits::CHAIN_DEPTH;
use instar_run::{Backend, Policy};

use crate::release::Release;
use crate::value::list;
use crate::value::number;

/// Every key of the configuration.
pub(crate) const KEYS: &[&str] = &[
    "untrusted",
    "allow-dir",
    "untrusted-dir",
    "trust-key",
    "sandbox",
    "require-kvm",
    "require-landlock",
    "timeout",
    "memory",
    "max-size",
    "max-output",
    "max-chain",
    "qemu-version",
];

/// What holds for this command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// What holds for its run.
    pub policy: Policy,
    /// The release of the reference tool that is stood in for.
    pub release: Release,
}

impl Settings {
    /// Sets one key from the word that a file, a variable or an option gives.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right.
    pub fn set(&mut self, key: &str, word: &[u8]) -> Result<(), String> {
        let policy = &mut self.policy;
        match key {
            "untrusted" => policy.untrusted |= truth(word)?,
            "require-kvm" => policy.require_kvm |= truth(word)?,
            "require-landlock" => policy.require_landlock |= truth(word)?,
            "allow-dir" => policy.allow_dirs.push(path(word, "a directory")?),
            "untrusted-dir" => policy.untrusted_dirs.push(path(word, "a directory")?),
            "trust-key" => policy.trust_key = Some(path(word, "a file")?),
            "sandbox" => {
                policy.backend = match word {
                    b"auto" => Backend::Auto,
                    b"kvm" => Backend::Kvm,
                    b"process" => Backend::Process,
                    _ => return Err(format!("expects auto, kvm or process, not '{}'", shown(word))),
                }
            }
            "timeout" => policy.timeout = Some(seconds(word)?),
            "memory" => policy.memory = memory(word)?,
            "max-size" => policy.max_size = Some(size(word)?),
            "max-output" => policy.max_output = Some(size(word)?),
            "max-chain" => policy.max_chain = layers(word)?,
            "qemu-version" => self.release = Release::parse(word)?,
            _ => return Err(format!("unknown key; the keys are {}", KEYS.join(", "))),
        }
        Ok(())
    }
}

fn path(word: &[u8], what: &str) -> Result<PathBuf, String> {
    if word.is_empty() {
        return Err(format!("expects the name of {what}"));
    }
    Ok(PathBuf::from(std::ffi::OsStr::from_bytes(word)))
}

fn truth(word: &[u8]) -> Result<bool, String> {
    match word {
        b"1" => Ok(true),
        b"0" => Ok(false),
        _ => list::boolean(word).ok_or_else(|| format!("expects on or off, not '{}'", shown(word))),
    }
}

fn size(word: &[u8]) -> Result<u64, String> {
    number::size(word).map_err(|_| format!("expects a size such as 10G, not '{}'", shown(word)))
}

fn memory(word: &[u8]) -> Result<u64, String> {
    let bytes = size(word)?;
    if !(MIN_BYTES..=MAX_BYTES).contains(&bytes) {
        return Err(format!(
            "expects a size from {}M to {}M, not {bytes} bytes",
            MIN_BYTES >> 20,
            MAX_BYTES >> 20
        ));
    }
    // Guest memory is mapped by huge pages.
    Ok(bytes & !((2 << 20) - 1))
}

fn layers(word: &[u8]) -> Result<u32, String> {
    match number::integer(word).map(u32::try_from) {
        Ok(Ok(layers)) if (1..=CHAIN_DEPTH).contains(&usize::try_from(layers).unwrap_or(usize::MAX)) => {
            Ok(layers)
        }
        _ => Err(format!(
            "expects a number from 1 to {CHAIN_DEPTH}, not '{}'",
            shown(word)
        )),
    }
}

fn seconds(word: &[u8]) -> Result<Duration, String> {
    str::from_utf8(word)
        .ok()
        .map(|text| text.strip_suffix('s').unwrap_or(text))
        .and_then(|text| text.parse::<f64>().ok())
        .filter(|seconds| *seconds > 0.0)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| format!("expects a number of seconds, not '{}'", shown(word)))
}

fn shown(word: &[u8]) -> String {
    crate::show::Escaped(word).to_string()
}
