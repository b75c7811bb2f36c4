//! Names of files, and who gave them.

use std::fmt::{Display, Formatter, Result};

use super::Escaped;
use crate::json::Json;

/// A file's name that remembers which part of it the user gave. That part goes out as it came in; the rest stood in an image, and
/// nothing gives its bytes away but for JSON, which is valid whatever they are, and for comparing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Name {
    bytes: Vec<u8>,
    /// Bytes from the front that the user gave.
    given: usize,
}

/// Bytes that images can add to a name: no longer path can be opened.
const LONGEST: usize = 4096;

impl Name {
    /// A name that the user gave.
    #[must_use]
    pub fn given(name: &[u8]) -> Self {
        Self {
            bytes: name.to_vec(),
            given: name.len(),
        }
    }

    /// A name that an image led to.
    #[must_use]
    pub fn found(name: &[u8]) -> Self {
        let kept = name.get(..LONGEST).unwrap_or(name);
        Self {
            bytes: kept.to_vec(),
            given: 0,
        }
    }

    /// A name found in the image of this name, as a path that starts where the user's own names start.
    #[must_use]
    pub fn beside(&self, name: &[u8]) -> Self {
        let directory = self.bytes.iter().rposition(|byte| *byte == b'/');
        let directory = self
            .bytes
            .get(..directory.map_or(0, |slash| slash + 1))
            .unwrap_or_default();
        let found = (directory.len() + name.len()).saturating_sub(self.given);
        if name.starts_with(b"/") || found > LONGEST {
            return Self::found(name);
        }
        Self {
            bytes: [directory, name].concat(),
            given: self.given.min(directory.len()),
        }
    }

    /// As [`Name::beside`], for a name that an image gives its backing file: it may be a tree, and have a prefix that says that it is
    /// a plain file's.
    #[must_use]
    pub fn backing(&self, name: &[u8]) -> Self {
        if name.starts_with(b"json:") {
            return Self::found(name);
        }
        self.beside(name.strip_prefix(b"file:").unwrap_or(name))
    }

    /// Appends it: what the user gave as it is, the rest escaped.
    pub fn put(&self, out: &mut Vec<u8>) {
        let (given, found) = self.bytes.split_at(self.given.min(self.bytes.len()));
        out.extend_from_slice(given);
        out.extend_from_slice(Escaped(found).to_string().as_bytes());
    }

    /// Whether these are its bytes.
    #[must_use]
    pub fn is(&self, bytes: &[u8]) -> bool {
        self.bytes == bytes
    }

    /// Whether it leads from the root.
    #[must_use]
    pub fn is_absolute(&self) -> bool {
        self.bytes.starts_with(b"/")
    }

    /// Whether a reader could take it for a name with a protocol, `name:…`. A tree or a server that the user gave is not one.
    #[must_use]
    pub fn has_protocol(&self) -> bool {
        let first = self.bytes.iter().find(|byte| matches!(byte, b':' | b'/'));
        let kinds: [&[u8]; 3] = [b"json:{", b"nbd://", b"nbd+unix://"];
        let is_kind = kinds.iter().any(|kind| self.bytes.starts_with(kind));
        first == Some(&b':') && !(self.given == self.bytes.len() && is_kind)
    }
}

/// All of it escaped: for a line of text.
impl Display for Name {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        Escaped(&self.bytes).fmt(f)
    }
}

impl From<&Name> for Json {
    fn from(name: &Name) -> Self {
        Self::Text(name.bytes.clone())
    }
}

/// A name that the user gave for a file that another one names, as a path that starts where the user's own names start.
#[must_use]
pub(crate) fn beside(image: &[u8], name: &[u8]) -> Vec<u8> {
    if name.starts_with(b"/") {
        return name.to_vec();
    }
    let directory = image
        .iter()
        .rposition(|byte| *byte == b'/')
        .map_or(0, |slash| slash + 1);
    [image.get(..directory).unwrap_or_default(), name].concat()
}

#[cfg(test)]
mod tests {
    use super::Name;

    fn put(name: &Name) -> Vec<u8> {
        let mut out = Vec::new();
        name.put(&mut out);
        out
    }

    #[test]
    fn names_in_images_start_at_the_directory_of_the_image() {
        for (image, name, full) in [
            ("a/b.qcow2", "c", "a/c"),
            ("b.qcow2", "c", "c"),
            ("a/b", "/c", "/c"),
            ("a/b", "../c", "a/../c"),
        ] {
            let found = Name::given(image.as_bytes()).beside(name.as_bytes());
            assert!(found.is(full.as_bytes()), "{found}");
        }
    }

    #[test]
    fn names_of_the_user_stay_and_names_of_images_are_escaped() {
        let user = Name::given(b"dir\xff\x1b/top");
        assert_eq!(put(&user), b"dir\xff\x1b/top");
        let below = user.beside(b"a\nimage: b\xff");
        assert_eq!(put(&below), b"dir\xff\x1b/a\\x0aimage: b\\xff");
        assert_eq!(
            put(&below.beside(b"c\x1b/d").beside(b"e")),
            b"dir\xff\x1b/c\\x1b/e"
        );
        assert_eq!(put(&user.beside(b"/x\n")), b"/x\\x0a");
        assert_eq!(below.to_string(), "dir\\xff\\x1b/a\\x0aimage: b\\xff");
    }

    #[test]
    fn no_chain_of_names_grows_without_end() {
        let mut name = Name::given(b"x/y");
        for _ in 0..1000 {
            name = name.beside(&[&b"d/".repeat(2000)[..], b"f"].concat());
            assert!(put(&name).len() <= 2 + 4096);
        }
        assert!(put(&Name::found(&[b'a'; 9000])).len() == 4096);
    }

    #[test]
    fn backing_files_may_be_named_by_trees_and_prefixes() {
        let image = Name::given(b"d/top");
        assert!(image.backing(b"file:base").is(b"d/base"));
        assert!(image.backing(b"json:{}").is(b"json:{}"));
        assert!(Name::found(b"a:b").has_protocol());
        assert!(!Name::found(b"./a:b").has_protocol());
    }
}
