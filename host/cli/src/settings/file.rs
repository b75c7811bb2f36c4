//! Configuration files: flat TOML with known keys. Anything else is an error, because a rule that is not understood would
//! be a rule that is not kept.

use std::io::ErrorKind;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::Settings;
use crate::stop::{Step, Stop};
use crate::words;

/// Reads a file that must exist.
pub(super) fn read(path: &Path) -> Step<String> {
    std::fs::read_to_string(path).map_err(|error| {
        Stop::say(format!(
            "Could not read '{}': {}",
            path.display(),
            words::system(&error)
        ))
    })
}

/// Reads a file that may be missing. A file that exists but cannot be read is an error.
pub(super) fn read_if_present(path: &Path) -> Step<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) => match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => Ok(None),
            // Under a profile that knows nothing but the images, the file is out of sight altogether.
            ErrorKind::PermissionDenied if std::fs::metadata(path).is_err() => Ok(None),
            _ => read(path).map(Some),
        },
    }
}

/// Applies the settings of the file.
pub(super) fn apply(path: &Path, text: &str, settings: &mut Settings) -> Step<()> {
    let wrong = |at: usize, why: &str| {
        let line = text
            .as_bytes()
            .iter()
            .take(at)
            .filter(|byte| **byte == b'\n')
            .count()
            + 1;
        Stop::say(format!("{}: line {line}: {why}", path.display()))
    };
    let table = DeTable::parse(text)
        .map_err(|error| wrong(error.span().map_or(0, |span| span.start), error.message()))?;
    for (key, value) in table.get_ref() {
        let name = key.get_ref().as_ref();
        for word in words_of(value.get_ref()) {
            let word = word.ok_or_else(|| {
                wrong(
                    value.span().start,
                    &format!("{name}: expects a word, a number or a list of words"),
                )
            })?;
            settings
                .set(name, word.as_bytes())
                .map_err(|why| wrong(key.span().start, &format!("{name}: {why}")))?;
        }
    }
    Ok(())
}

/// The words of a value; `None` in place of anything that is not a word.
fn words_of(value: &DeValue<'_>) -> Vec<Option<String>> {
    match value {
        DeValue::Array(items) => items.iter().map(|item| word(item.get_ref())).collect(),
        other => vec![word(other)],
    }
}

fn word(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.clone().into_owned()),
        DeValue::Boolean(true) => Some("on".to_owned()),
        DeValue::Boolean(false) => Some("off".to_owned()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        _ => None,
    }
}
