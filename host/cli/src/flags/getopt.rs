//! A reader of command lines over a table of options, compatible with `getopt_long` down to its messages.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::{Flag, Id};

/// The next thing on a command line.
#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    /// An option with its argument.
    Flag(Id, OsString),
    /// Anything else.
    Operand(OsString),
}

/// What is wrong with a command line: the rest of a line that starts with the program and the verb.
#[derive(Debug, PartialEq, Eq)]
pub struct UsageError(pub Vec<u8>);

/// Reads a command line option by option, so that what is wrong is reported in the order of the line.
#[derive(Debug)]
pub struct Getopt {
    flags: Vec<&'static Flag>,
    words: std::vec::IntoIter<OsString>,
    /// The rest of a word of single letters, such as `cn` of `-pcn`.
    cluster: Vec<u8>,
    /// Only operands follow.
    ended: bool,
    stop_at_operand: bool,
}

impl Getopt {
    /// Reads `words`, which do not contain the program's name. Options may follow operands unless `stop_at_operand`.
    pub fn new(
        flags: impl IntoIterator<Item = &'static Flag>,
        words: Vec<OsString>,
        stop_at_operand: bool,
    ) -> Self {
        Self {
            flags: flags.into_iter().collect(),
            words: words.into_iter(),
            cluster: Vec::new(),
            ended: false,
            stop_at_operand,
        }
    }

    /// What has not been read.
    pub fn rest(self) -> Vec<OsString> {
        self.words.collect()
    }

    fn advance(&mut self) -> Result<Option<Item>, UsageError> {
        if !self.cluster.is_empty() {
            return self.letter().map(Some);
        }
        let Some(word) = self.words.next() else {
            return Ok(None);
        };
        let bytes = word.as_bytes();
        if self.ended || bytes.len() < 2 || !bytes.starts_with(b"-") {
            self.ended |= self.stop_at_operand;
            return Ok(Some(Item::Operand(word)));
        }
        if bytes == b"--" {
            self.ended = true;
            return self.advance();
        }
        if let Some(long) = bytes.strip_prefix(b"--") {
            return self.long(long).map(Some);
        }
        self.cluster = bytes.get(1..).unwrap_or_default().to_vec();
        self.letter().map(Some)
    }

    fn letter(&mut self) -> Result<Item, UsageError> {
        let letter = self.cluster.remove(0);
        let Some(flag) = self.flags.iter().find(|flag| flag.short == Some(letter)) else {
            return Err(UsageError(concat(&[b"invalid option -- '", &[letter], b"'"])));
        };
        if flag.value.is_none_or(|called| called.starts_with('[')) {
            return Ok(Item::Flag(flag.id, OsString::new()));
        }
        let attached = std::mem::take(&mut self.cluster);
        if !attached.is_empty() {
            return Ok(Item::Flag(flag.id, OsString::from_vec(attached)));
        }
        match self.words.next() {
            Some(value) => Ok(Item::Flag(flag.id, value)),
            None => Err(UsageError(concat(&[
                b"option requires an argument -- '",
                &[letter],
                b"'",
            ]))),
        }
    }

    fn long(&mut self, word: &[u8]) -> Result<Item, UsageError> {
        let equals = word.iter().position(|byte| *byte == b'=');
        let (typed, attached) = match equals {
            Some(at) => (word.get(..at).unwrap_or_default(), word.get(at + 1..)),
            None => (word, None),
        };
        let (flag, name) = self.lookup(typed, word)?;
        match (flag.value, attached) {
            (None, None) => Ok(Item::Flag(flag.id, OsString::new())),
            (None, Some(_)) => Err(UsageError(concat(&[
                b"option '--",
                name.as_bytes(),
                b"' doesn't allow an argument",
            ]))),
            (Some(_), Some(value)) => Ok(Item::Flag(flag.id, OsStr::from_bytes(value).to_owned())),
            (Some(called), None) if called.starts_with('[') => Ok(Item::Flag(flag.id, OsString::new())),
            (Some(_), None) => self
                .words
                .next()
                .map(|value| Item::Flag(flag.id, value))
                .ok_or_else(|| {
                    UsageError(concat(&[
                        b"option '--",
                        name.as_bytes(),
                        b"' requires an argument",
                    ]))
                }),
        }
    }

    fn lookup(&self, typed: &[u8], word: &[u8]) -> Result<(&'static Flag, &'static str), UsageError> {
        let names = self.flags.iter().copied().flat_map(|flag| {
            let whole = flag.exact.iter().map(move |name| (flag, *name, true));
            flag.long
                .iter()
                .map(move |name| (flag, *name, false))
                .chain(whole)
        });
        if let Some((flag, name, _)) = names.clone().find(|(_, name, _)| name.as_bytes() == typed) {
            return Ok((flag, name));
        }
        let candidates: Vec<_> = names
            .filter(|(_, name, whole)| !whole && name.as_bytes().starts_with(typed))
            .collect();
        let Some((first, name, _)) = candidates.first() else {
            return Err(UsageError(concat(&[b"unrecognized option '--", word, b"'"])));
        };
        if candidates.iter().all(|(flag, _, _)| flag.id == first.id) {
            return Ok((first, name));
        }
        let mut text = concat(&[b"option '--", word, b"' is ambiguous; possibilities:"]);
        for (_, name, _) in &candidates {
            text.extend_from_slice(b" '--");
            text.extend_from_slice(name.as_bytes());
            text.push(b'\'');
        }
        Err(UsageError(text))
    }
}

impl Iterator for Getopt {
    type Item = Result<Item, UsageError>;

    /// The next option or operand, or getopt's words for what is wrong.
    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}

fn concat(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}
