//! Encryption inside a new image: what `encryption` and `encrypt.*` mean, and the reference tool's words when they mean nothing.

use instar_abi::ImageText;
use instar_abi::job::{LuksCreate, NewEncryption};

use super::{Settings, luks, not_accepted};

/// How the data is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// The older encryption.
    Aes,
    Luks,
}

/// What the names say, as far as the reference tool looks at them before it makes a file.
///
/// # Errors
/// The message.
pub(super) fn method(settings: &Settings) -> Result<Option<Method>, Vec<u8>> {
    let format = settings.text("encrypt.format");
    let legacy = settings.flag("encryption") == Some(true);
    if legacy && format.is_some() {
        return Err(b"'encrypt.format' and its alias 'encryption' can't be used at the same time".to_vec());
    }
    let given = |name: &&&str| settings.text(&full(name)).is_some();
    match format {
        None if legacy => {}
        None if given(&&KEY) || LUKS_ONLY.iter().any(|name| given(&name)) => {
            return Err(b"Parameter 'encrypt.format' is missing".to_vec());
        }
        None => return Ok(None),
        Some(b"aes" | b"qcow") => {}
        Some(b"luks") => {
            luks::check_names(&|name: &str| settings.text(&full(name)))?;
            luks::iter_time(settings, PREFIX)?;
            return Ok(Some(Method::Luks));
        }
        Some(other) => return Err(not_accepted("format", other)),
    }
    match LUKS_ONLY.iter().find(given) {
        Some(name) => Err(format!("Parameter '{}' is unexpected", full(name)).into_bytes()),
        None => Ok(Some(Method::Aes)),
    }
}

/// What a new image is sealed with.
///
/// # Errors
/// The message.
pub(super) fn create(settings: &Settings, method: Method) -> Result<NewEncryption, Vec<u8>> {
    let text = |name: &str| settings.text(&full(name));
    let key = text(KEY).ok_or_else(|| luks::no_key(PREFIX))?;
    match method {
        Method::Aes => Ok(NewEncryption::Aes(ImageText::new(key))),
        Method::Luks => {
            let iter_time = luks::iter_time(settings, PREFIX)?;
            Ok(NewEncryption::Luks(LuksCreate {
                key: Some(ImageText::new(key)),
                ..luks::sealed(&text, iter_time)?
            }))
        }
    }
}

/// The name of an option with what it begins with.
fn full(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// What the names of the options begin with.
const PREFIX: &str = "encrypt.";
/// The name of the secret.
const KEY: &str = "key-secret";
/// Options that the older encryption does not have.
const LUKS_ONLY: &[&str] = &[
    "cipher-alg",
    "cipher-mode",
    "ivgen-alg",
    "ivgen-hash-alg",
    "hash-alg",
    "iter-time",
];
