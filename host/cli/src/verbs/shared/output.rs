//! `--output`, and options that take one of two words.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::release::{self, Fact};
use crate::stop::{Step, Stop};

/// `--output`.
pub(crate) fn output_is_json(value: &OsStr) -> Step<bool> {
    match value.as_bytes() {
        b"human" => Ok(false),
        b"json" => Ok(true),
        _ if !release::has(Fact::BadOutputIsQuoted) => {
            Err(Stop::say("--output must be used with human or json as argument."))
        }
        other => Err(expects("--output", ["human", "json"], other)),
    }
}

/// An invalid argument of an option with two words.
pub(crate) fn expects(option: &str, words: [&str; 2], found: &[u8]) -> Stop {
    let [first, second] = words;
    let comma = if release::has(Fact::CommaBeforeNot) {
        ","
    } else {
        ""
    };
    let text = format!("{option} expects '{first}' or '{second}'{comma} not '");
    Stop::Misuse([text.as_bytes(), found, b"'"].concat())
}
