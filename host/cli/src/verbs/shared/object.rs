//! `--object`: secrets, which unlock images. Other objects are refused: the parts of the reference tool that they configure do not exist
//! here.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use instar_abi::{ImageText, NamedSecret};
use serde_json::Value;
use zeroize::Zeroize as _;

use super::secret::Ingredients;

use crate::stop::{Step, Stop};
use crate::value::list;

/// What the reference tool can make.
const KINDS: &[&str] = &[
    "authz-list",
    "authz-list-file",
    "authz-simple",
    "main-loop",
    "pr-manager-helper",
    "secret",
    "secret_keyring",
    "thread-context",
    "throttle-group",
    "tls-creds-anon",
    "tls-creds-psk",
    "tls-creds-x509",
];

/// What a secret is made of.
const SECRET: &[(&str, &str)] = &[
    ("data", "string"),
    ("file", "string"),
    ("format", "QCryptoSecretFormat"),
    ("iv", "string"),
    ("keyid", "string"),
];

/// Names and values, as written.
type Properties = Vec<(Vec<u8>, Vec<u8>)>;

/// Adds the secret that `value` makes to those known.
pub(super) fn add(value: &OsStr, known: &mut Vec<NamedSecret>) -> Step<()> {
    let (kind, mut properties) = properties(value.as_bytes())?;
    let made = make(&kind, &properties, known);
    properties.iter_mut().for_each(|(_, value)| value.zeroize());
    known.push(made?);
    Ok(())
}

fn make(kind: &[u8], properties: &Properties, known: &[NamedSecret]) -> Step<NamedSecret> {
    if kind != b"secret" {
        let ours = KINDS.iter().any(|name| name.as_bytes() == kind);
        let tail: &[u8] = if ours {
            b"': instar has nothing that it would configure"
        } else {
            b"'"
        };
        return Err(Stop::Message(
            [
                b"Parameter 'qom-type' does not accept value '".as_slice(),
                kind,
                tail,
            ]
            .concat(),
        ));
    }
    let last = |name: &str| {
        let found = properties
            .iter()
            .rev()
            .find(|(known, _)| known == name.as_bytes());
        found.map(|(_, value)| value.as_slice())
    };
    let Some(id) = last("id") else {
        return Err(Stop::say("Parameter 'id' is missing"));
    };
    if let Some(format) = last("format").filter(|format| !matches!(*format, b"raw" | b"base64")) {
        return Err(Stop::Message(
            [b"Parameter 'format' does not accept value '", format, b"'"].concat(),
        ));
    }
    let unknown = properties
        .iter()
        .find(|(name, _)| name != b"id" && SECRET.iter().all(|(known, _)| known.as_bytes() != name));
    if let Some((name, _)) = unknown {
        return Err(Stop::Message(
            [b"Parameter '".as_slice(), name, b"' is unexpected"].concat(),
        ));
    }
    if !is_identifier(id) {
        return Err(Stop::say(
            "Parameter 'id' expects an identifier\nIdentifiers consist of letters, digits, '-', '.', '_', starting with a letter.",
        ));
    }
    if known.iter().any(|secret| secret.id.as_bytes() == id) {
        return Err(Stop::Message(
            [
                b"attempt to add duplicate property '".as_slice(),
                id,
                b"' to object (type 'container')",
            ]
            .concat(),
        ));
    }
    let ingredients = Ingredients {
        data: last("data"),
        file: last("file"),
        base64: last("format") == Some(b"base64"),
        key: last("keyid"),
        iv: last("iv"),
    };
    Ok(NamedSecret {
        id: ImageText::new(id),
        content: ingredients.content(known)?,
    })
}

/// The type and the rest, of a list or of a JSON object.
fn properties(text: &[u8]) -> Step<(Vec<u8>, Properties)> {
    let missing = || Stop::say("Parameter 'qom-type' is missing");
    if text.starts_with(b"{") {
        let value: Value =
            serde_json::from_slice(text).map_err(|error| Stop::say(format!("JSON parse error, {error}")))?;
        let members = value.as_object().ok_or_else(missing)?;
        let mut properties = Properties::new();
        for (name, value) in members {
            let Some(value) = value.as_str() else {
                return Err(Stop::say(format!(
                    "Invalid parameter type for '{name}', expected: string"
                )));
            };
            properties.push((name.clone().into_bytes(), value.as_bytes().to_vec()));
        }
        let at = properties.iter().position(|(name, _)| name == b"qom-type");
        let (_, kind) = properties.remove(at.ok_or_else(missing)?);
        return Ok((kind, properties));
    }
    let settings = list::settings(text);
    let first = settings.first().ok_or_else(missing)?;
    let kind = match (first.bare, first.name.as_slice()) {
        (true, b"help" | b"?") => return Err(Stop::Print(all_kinds().into_bytes())),
        // Its value is all of the word: here `no` before a name does not mean `off`.
        (true, _) => text.split(|byte| *byte == b',').next().unwrap_or_default(),
        (false, b"qom-type") => &first.value,
        (false, _) => return Err(missing()),
    };
    if kind == b"secret" && list::asks_for_help(text) {
        return Err(Stop::Print(all_of_a_secret().into_bytes()));
    }
    let rest = settings.get(1..).unwrap_or_default().iter();
    let rest = rest.map(|setting| (setting.name.clone(), setting.value.clone()));
    Ok((kind.to_vec(), rest.collect()))
}

fn is_identifier(word: &[u8]) -> bool {
    word.first().is_some_and(u8::is_ascii_alphabetic)
        && word
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
}

fn all_kinds() -> String {
    let kinds: String = KINDS.iter().map(|kind| format!("  {kind}\n")).collect();
    format!("List of user creatable objects:\n{kinds}")
}

fn all_of_a_secret() -> String {
    let properties: String = SECRET
        .iter()
        .map(|(name, kind)| format!("  {name}=<{kind}>\n"))
        .collect();
    format!("secret options:\n{properties}")
}
