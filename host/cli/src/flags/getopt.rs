//! A reader of command lines over a table of options, compatible with `getopt_long` down to its messages.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::{Flag, Id};
use crate::release::{self, Fact};

/// The next thing on a command line.
#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    /// An option with its argument.
    Flag(Id, OsString),
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
    /// The word being read, and the one before it: what old releases say is wrong.
    current: OsString,
    before: OsString,
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
            current: OsString::new(),
            before: OsString::new(),
        }
    }

    /// The words follow this one, the name of the program or of the verb.
    #[must_use]
    pub fn after(self, word: &OsStr) -> Self {
        Self {
            current: word.to_owned(),
            ..self
        }
    }

    /// The next word, if it is such a one, whatever it would be taken for otherwise.
    pub fn next_if(&mut self, is: fn(&[u8]) -> bool) -> Option<OsString> {
        let word = self.words.as_slice().first()?;
        if !is(word.as_bytes()) {
            return None;
        }
        self.words.next()
    }

    /// The last word, if it is not the only one; it is read then.
    pub fn last_of_two(&mut self) -> Option<OsString> {
        if self.words.len() < 2 {
            return None;
        }
        self.words.next_back()
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
        self.before = std::mem::replace(&mut self.current, word.clone());
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
            return Err(self.unrecognized(&[b"invalid option -- '", &[letter], b"'"]));
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
            None => Err(self.incomplete(&[b"option requires an argument -- '", &[letter], b"'"])),
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
            (None, Some(_)) => {
                Err(self.unrecognized(&[b"option '--", name.as_bytes(), b"' doesn't allow an argument"]))
            }
            (Some(_), Some(value)) => Ok(Item::Flag(flag.id, OsStr::from_bytes(value).to_owned())),
            (Some(called), None) if called.starts_with('[') => Ok(Item::Flag(flag.id, OsString::new())),
            (Some(_), None) => self
                .words
                .next()
                .map(|value| Item::Flag(flag.id, value))
                .ok_or_else(|| self.incomplete(&[b"option '--", name.as_bytes(), b"' requires an argument"])),
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
            return Err(self.unrecognized(&[b"unrecognized option '--", word, b"'"]));
        };
        if candidates.iter().all(|(flag, _, _)| flag.id == first.id) {
            return Ok((first, name));
        }
        let mut text = [b"option '--".as_slice(), word, b"' is ambiguous; possibilities:"].concat();
        for (_, name, _) in &candidates {
            text.extend_from_slice(b" '--");
            text.extend_from_slice(name.as_bytes());
            text.push(b'\'');
        }
        Err(self.unrecognized(&[&text]))
    }

    /// What getopt says, or what a release says that does not let it speak: it names the word that was read to its end last, which
    /// is not the wrong one where a letter is followed by others.
    fn unrecognized(&self, words: &[&[u8]]) -> UsageError {
        if release::has(Fact::GetoptComplains) {
            return UsageError(words.concat());
        }
        let word = if self.cluster.is_empty() {
            &self.current
        } else {
            &self.before
        };
        UsageError([b"unrecognized option '", word.as_bytes(), b"'"].concat())
    }

    fn incomplete(&self, words: &[&[u8]]) -> UsageError {
        if release::has(Fact::GetoptComplains) {
            return UsageError(words.concat());
        }
        UsageError([b"missing argument for option '", self.current.as_bytes(), b"'"].concat())
    }
}

impl Iterator for Getopt {
    type Item = Result<Item, UsageError>;

    /// The next option or operand, or getopt's words for what is wrong.
    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}
