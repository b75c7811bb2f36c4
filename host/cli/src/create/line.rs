//! `Formatting 'X', fmt=…`: the options of a new image as the reference tool prints them, in the order of its tables.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::Settings;
use super::table::{OptionKind, OptionRow};
use crate::value::{list, number};

/// The line, with its end.
#[must_use]
pub fn formatting(name: &OsStr, settings: &Settings) -> Vec<u8> {
    let mut line = [
        b"Formatting '",
        name.as_bytes(),
        b"', fmt=",
        settings.driver().name().as_bytes(),
    ]
    .concat();
    for row in settings.driver().all() {
        if let Some(value) = value(row, settings) {
            line.push(b' ');
            line.extend_from_slice(row.name.as_bytes());
            line.push(b'=');
            line.extend_from_slice(&value);
        }
    }
    line.push(b'\n');
    line
}

/// What stands right of `=`: sizes and numbers as numbers, truth values as they were given, texts with commas doubled.
fn value(row: &OptionRow, settings: &Settings) -> Option<Vec<u8>> {
    let given = settings.text(row.name);
    match (row.kind, given) {
        (_, None) => row.default.map(|text| text.as_bytes().to_vec()),
        (OptionKind::Bool, Some(text)) => Some(text.to_vec()),
        (OptionKind::Text, Some(text)) => Some(list::doubled(text)),
        (OptionKind::Size, Some(text)) => number::size(text).ok().map(signed),
        (OptionKind::Number, Some(text)) => number::unsigned(text).ok().map(signed),
    }
}

/// The reference tool prints every number as if it had a sign.
fn signed(number: u64) -> Vec<u8> {
    number.cast_signed().to_string().into_bytes()
}
