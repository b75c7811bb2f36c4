//! What several verbs read alike.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use instar_abi::job::SnapshotName;

use crate::release::{self, Fact};
use crate::stop::{Step, Stop};
use crate::value::list;
use crate::value::place::{Place, Reading};

/// `--output`.
pub(super) fn output_is_json(value: &OsStr) -> Step<bool> {
    match value.as_bytes() {
        b"human" => Ok(false),
        b"json" => Ok(true),
        _ if !release::has(Fact::BadOutputIsQuoted) => {
            Err(Stop::say("--output must be used with human or json as argument."))
        }
        other => Err(expects("--output", ["human", "json"], other)),
    }
}

/// An option whose argument is none of its words.
pub(super) fn expects(option: &str, words: [&str; 2], found: &[u8]) -> Stop {
    let [first, second] = words;
    let comma = if release::has(Fact::CommaBeforeNot) {
        ","
    } else {
        ""
    };
    let text = format!("{option} expects '{first}' or '{second}'{comma} not '");
    Stop::Misuse([text.as_bytes(), found, b"'"].concat())
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ShowProgress {
    /// Not asked for.
    #[default]
    No,
    /// `-p`.
    Yes,
    /// `--progress=json`, and on which descriptor.
    Json(u16),
}

impl ShowProgress {
    /// The argument of `--progress`, empty where there is none.
    ///
    /// # Errors
    /// The words for any other argument than `json` and `json:N`: the reference tool takes none.
    pub fn parse(value: &[u8]) -> Step<Self> {
        const STDERR: u16 = 2;
        let descriptor = match value {
            b"" => return Ok(Self::Yes),
            b"json" => Some(STDERR),
            other => other
                .strip_prefix(b"json:")
                .and_then(|digits| str::from_utf8(digits).ok()?.parse().ok()),
        };
        descriptor
            .map(Self::Json)
            .ok_or_else(|| Stop::Usage(b"option '--progress' doesn't allow an argument".to_vec()))
    }
}

/// How a source is to be read, as options say it.
#[derive(Clone, Debug, Default)]
pub struct SourceArgs {
    /// `-f`.
    pub format: Option<OsString>,
    /// `--image-opts`.
    pub image_opts: bool,
    /// `-U`.
    pub share: bool,
}

impl SourceArgs {
    /// The place that `name` stands for.
    ///
    /// # Errors
    /// The message.
    pub fn place(&self, name: &OsStr) -> Step<Place> {
        let reading = Reading {
            format: self.format.as_deref(),
            image_opts: self.image_opts,
            share: self.share,
        };
        Place::parse(name, reading).map_err(Stop::Message)
    }
}

/// A cache mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheMode {
    /// Through the page cache, flushed at the end.
    Writeback,
    /// Through the page cache, each write flushed.
    Writethrough,
    /// Past the page cache.
    None,
    /// Past the page cache, each write flushed.
    DirectSync,
    /// Through the page cache, never flushed.
    Unsafe,
}

impl CacheMode {
    /// The mode of that name.
    #[must_use]
    pub fn parse(name: &OsStr) -> Option<Self> {
        Some(match name.as_bytes() {
            b"none" | b"off" => Self::None,
            b"directsync" => Self::DirectSync,
            b"writeback" => Self::Writeback,
            b"writethrough" => Self::Writethrough,
            b"unsafe" => Self::Unsafe,
            _ => return None,
        })
    }

    /// Whether the page cache is bypassed.
    #[must_use]
    pub const fn is_direct(self) -> bool {
        matches!(self, Self::None | Self::DirectSync)
    }
}

/// `-o`, which may be repeated: one list.
pub(super) fn join_options(options: &mut Option<Vec<u8>>, more: &[u8]) -> Step<()> {
    if !list::joinable(more) {
        return Err(Stop::Message([b"Invalid option list: ", more].concat()));
    }
    match options {
        Some(options) => {
            options.push(b',');
            options.extend_from_slice(more);
        }
        None => *options = Some(more.to_vec()),
    }
    Ok(())
}

/// A bare word, or `snapshot.id=…,snapshot.name=…`.
pub(super) fn snapshot(word: &[u8]) -> Step<SnapshotName> {
    if !word.starts_with(b"snapshot.") {
        return Ok(SnapshotName::Either(word.to_vec()));
    }
    let (mut id, mut name) = (None, None);
    for setting in list::settings(word) {
        match setting.name.as_slice() {
            b"snapshot.id" => id = Some(setting.value),
            b"snapshot.name" => name = Some(setting.value),
            other => {
                return Err(Stop::Messages(vec![
                    [b"Invalid parameter '", other, b"'"].concat(),
                    [b"Failed in parsing snapshot param '", word, b"'"].concat(),
                ]));
            }
        }
    }
    Ok(SnapshotName::Exact { id, name })
}
