//! How far an image is trusted and how hard it is confined: configuration, environment and options come together here.

mod file;
mod policy;

pub(crate) use policy::KEYS;
pub use policy::Settings;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use instar_engine::KeyPlace;
use instar_run::Policy;

use crate::flags::Id;
use crate::stop::{Step, Stop};

/// The system's configuration.
const SYSTEM: &str = "/etc/instar.toml";

/// What holds for this run before its options: defaults, system, user, `--config`, environment. Of the options it looks at `--config`
/// alone. Each file is read, and a pipe can be read but once: to be asked for once in a run.
///
/// Later ones win, directories add up, and what makes things stricter (`untrusted`, `require-kvm`) is never taken back by a later
/// `false`, here and in [`with_options`].
///
/// # Errors
/// A message that names where the wrong value stands.
pub fn outside(options: &[(Id, OsString)]) -> Step<Settings> {
    let mut settings = Settings::default();
    // With rights that the caller has not, his environment says nothing.
    let believed = !instar_engine::is_elevated();
    let user_file = if believed { user_file() } else { None };
    for path in [Some(PathBuf::from(SYSTEM)), user_file].into_iter().flatten() {
        if let Some(text) = file::read_if_present(&path)? {
            file::apply(&path, &text, &mut settings)?;
        }
    }
    let named = options
        .iter()
        .rev()
        .find(|(id, _)| *id == Id::Config)
        .map(|(_, value)| value.clone());
    let from_outside = || std::env::var_os("INSTAR_CONFIG").filter(|_| believed);
    if let Some(path) = named.or_else(from_outside) {
        let path = PathBuf::from(path);
        let text = file::read(&path)?;
        file::apply(&path, &text, &mut settings)?;
    }
    if believed {
        environment(&mut settings)?;
    }
    Ok(settings)
}

/// What a configuration file of this text comes to.
///
/// # Errors
/// A message that names the line.
pub fn of_text(text: &str) -> Step<Settings> {
    let mut settings = Settings::default();
    file::apply(Path::new("text"), text, &mut settings)?;
    Ok(settings)
}

/// What holds for this run: what was said [`outside`], and then the options.
///
/// # Errors
/// A message that names the option.
pub fn with_options(mut settings: Settings, options: &[(Id, OsString)]) -> Step<Settings> {
    for (id, value) in options {
        let Some(key) = key(*id) else { continue };
        let value = if *id == Id::Untrusted {
            b"on"
        } else {
            value.as_bytes()
        };
        settings
            .set(key, value)
            .map_err(|why| Stop::say(format!("--{key}: {why}")))?;
    }
    Ok(settings)
}

/// The configuration key that an option sets.
const fn key(id: Id) -> Option<&'static str> {
    Some(match id {
        Id::Untrusted => "untrusted",
        Id::AllowDir => "allow-dir",
        Id::UntrustedDir => "untrusted-dir",
        Id::Sandbox => "sandbox",
        Id::Timeout => "timeout",
        Id::Memory => "memory",
        Id::MaxSize => "max-size",
        Id::MaxOutput => "max-output",
        Id::MaxChain => "max-chain",
        Id::QemuVersion => "qemu-version",
        _ => return None,
    })
}

/// The variable that sets a key.
pub(crate) fn variable(key: &str) -> String {
    format!("INSTAR_{}", key.to_uppercase().replace('-', "_"))
}

fn environment(settings: &mut Settings) -> Step<()> {
    for key in KEYS {
        let name = variable(key);
        let Some(value) = std::env::var_os(&name).filter(|value| !value.is_empty()) else {
            continue;
        };
        let values: Vec<&[u8]> = if ["allow-dir", "untrusted-dir"].contains(key) {
            value.as_bytes().split(|byte| *byte == b':').collect()
        } else {
            vec![value.as_bytes()]
        };
        for value in values {
            settings
                .set(key, value)
                .map_err(|why| Stop::say(format!("{name}: {why}")))?;
        }
    }
    Ok(())
}

/// Where the key for records of images lies: the one that the configuration names, else the user's own.
#[must_use]
pub fn key_place(policy: &Policy) -> Option<KeyPlace> {
    if let Some(path) = &policy.trust_key {
        let (path, shared) = (path.clone(), true);
        return Some(KeyPlace { path, shared });
    }
    let state = if instar_engine::is_elevated() {
        None
    } else {
        let home = || absolute("HOME").map(|home| home.join(".local/state"));
        let system = || instar_engine::is_root().then(|| PathBuf::from("/var/lib"));
        absolute("XDG_STATE_HOME").or_else(system).or_else(home)
    };
    state.map(|state| KeyPlace {
        path: state.join("instar/trust.key"),
        shared: false,
    })
}

/// A directory that the environment names.
fn absolute(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
}

fn user_file() -> Option<PathBuf> {
    absolute("XDG_CONFIG_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".config")))
        .map(|directory| directory.join("instar/config.toml"))
}

#[cfg(test)]
mod tests;
