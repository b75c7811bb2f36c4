//! What a user's name for an image comes to: a file, perhaps its format.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use instar_abi::job::Encryption;
use instar_abi::partitions::PartitionChoice;
use instar_abi::{Format, ImageText};
use instar_run::{Image, Protocol, Remote};

use crate::program::Program;

use super::driver::{Driver, known, unknown_protocol};
use super::nodes::{NamedRule, Part};
use super::tree::Tree;
use super::{protocol, remote};

/// A file to open, and what the user said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// As the user wrote it, for the outer half of messages.
    pub given: OsString,
    pub path: OsString,
    /// Its format, unless it is to be detected.
    pub format: Option<Format>,
    /// The format named is `file`: the plain file itself, under that name in `info`.
    pub bare_file: bool,
    /// What the file must be.
    pub protocol: Protocol,
    /// Locks of other processes are ignored.
    pub share: bool,
    /// `given` is a list of options.
    pub image_opts: bool,
    /// What lies below it.
    pub below: Below,
    /// The part of a raw image that counts.
    pub part: Part,
    /// Raw images between the format and the file, the outermost first: each may be a part of the next.
    pub parts: Vec<Part>,
    /// `force_size_calc` of a VHD.
    pub size_rule: Option<NamedRule>,
    /// It is to be read past the page cache.
    pub direct: bool,
    /// The user said that it is not written to.
    pub read_only: bool,
    /// The user said `force-share=on`, here or by `-U`.
    pub forced: bool,
    /// `key-secret`: the name of the secret that unlocks it.
    pub key: Option<Vec<u8>>,
    /// `encrypt.format`: how it is encrypted.
    pub encrypt_method: Option<Vec<u8>>,
    /// `encrypt.key-secret`: the name of the secret that unlocks it, of other formats than LUKS.
    pub encrypt_key: Option<Vec<u8>>,
    /// `header`: the file of its header, if that is another one.
    pub header: Option<Header>,
    /// `--partition`.
    pub partition: Option<PartitionChoice>,
    /// The server that it is behind.
    pub remote: Option<Remote>,
    /// The options that say so.
    pub server: remote::Written,
    /// `--disk`: which of its disks is meant, if it is an OVA.
    pub disk: Option<Vec<u8>>,
}

/// The file of a detached header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub path: OsString,
    /// What the file must be.
    pub protocol: Protocol,
}

/// The layer below an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Below {
    /// The one that the image names.
    #[default]
    Named,
    Nothing,
    /// One that the user named.
    Given(Box<Place>),
}

/// How the name is to be read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading<'a> {
    /// `-f`.
    pub format: Option<&'a OsStr>,
    /// `--image-opts`.
    pub image_opts: bool,
    /// `-U`.
    pub share: bool,
}

impl Place {
    /// Reads the name of an image that exists.
    ///
    /// # Errors
    /// The message, whole.
    pub fn parse(given: &OsStr, reading: Reading<'_>) -> Result<Self, Vec<u8>> {
        let text = given.as_bytes();
        if reading.image_opts {
            if reading.format.is_some() {
                return Err(b"--image-opts and --format are mutually exclusive".to_vec());
            }
            let tree = Tree::from_options(text).map_err(|why| cannot_open(given, &why))?;
            return Self::from_tree(given, tree, reading).map_err(|why| why.word(given));
        }
        if let Some(json) = text.strip_prefix(b"json:") {
            let tree = Tree::from_json(json).map_err(|why| cannot_open(given, &why))?;
            return Self::from_tree(given, tree, reading).map_err(|why| why.word(given));
        }
        let driver = reading.format.map(OsStr::as_bytes);
        let known = driver
            .map(known)
            .transpose()
            .map_err(|why| cannot_open(given, &why))?;
        if let Some(remote) = remote::named(text) {
            let remote = remote.map_err(|why| cannot_open(given, &why))?;
            return Ok(Self {
                bare_file: known == Some(Driver::Nbd),
                share: reading.share,
                forced: reading.share,
                ..Self::behind(given, remote, known.map(Driver::format))
            });
        }
        let path = plain_path(text).map_err(|why| cannot_open(given, &why))?;
        if path.is_empty() {
            return Err(cannot_open(given, NO_NAME));
        }
        // What stood behind a protocol's name is a path, and is shown as one.
        let dotted = [b"./", path].concat();
        let path = if path.len() < text.len() && has_protocol(path) {
            &dotted
        } else {
            path
        };
        Ok(Self {
            bare_file: matches!(known, Some(Driver::File | Driver::Device)),
            protocol: protocol::of(driver, given),
            share: reading.share,
            forced: reading.share,
            ..Self::plain(given, path, known.map(Driver::format))
        })
    }

    /// A file of which nothing more is known.
    #[must_use]
    pub fn plain(given: &OsStr, path: &[u8], format: Option<Format>) -> Self {
        Self {
            given: given.to_owned(),
            path: OsString::from_vec(path.to_vec()),
            format,
            bare_file: false,
            protocol: Protocol::Either,
            share: false,
            image_opts: false,
            below: Below::Named,
            part: Part::default(),
            parts: Vec::new(),
            size_rule: None,
            direct: false,
            read_only: false,
            forced: false,
            key: None,
            encrypt_method: None,
            encrypt_key: None,
            header: None,
            partition: None,
            disk: None,
            remote: None,
            server: Vec::new(),
        }
    }

    /// A disk behind a server, of which nothing more is known.
    #[must_use]
    pub fn behind(given: &OsStr, remote: Remote, format: Option<Format>) -> Self {
        Self {
            server: remote::options(&remote),
            remote: Some(remote.clone()),
            ..Self::plain(given, &remote.url(), format)
        }
    }

    /// The place with nothing said of it but its file and its format, for verbs that go no further.
    ///
    /// # Errors
    /// What was said that would be ignored.
    pub fn plainly(self) -> Result<Self, Vec<u8>> {
        let what = match (&self.below, self.is_shaped()) {
            _ if self.remote.is_some() => "a server",
            (Below::Named, false) if self.header.is_some() => "'header'",
            (Below::Named, false) => return Ok(self),
            (Below::Named, true) => "'offset', 'size' and 'force_size_calc'",
            _ => "'backing'",
        };
        Err(cannot_open(
            &self.given,
            format!("{what} cannot be given for what this does").as_bytes(),
        ))
    }
}

impl Place {
    /// Whether it, or a layer below that the user named, takes a secret to be read.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        let below = match &self.below {
            Below::Given(layer) => layer.is_locked(),
            Below::Named | Below::Nothing => false,
        };
        self.key.is_some() || self.encrypt_key.is_some() || below
    }

    /// Whether it is standard input: `-`, and nothing more. A file of that name is `./-`.
    #[must_use]
    pub fn is_input(&self) -> bool {
        is_stream(&self.given) && self.path == STREAM && !self.image_opts
    }

    /// What it comes to for a run.
    #[must_use]
    pub fn image(&self) -> Image {
        Image {
            given: self.given.clone(),
            path: PathBuf::from(&self.path),
            is_input: self.is_input(),
            format: self.format,
            protocol: self.protocol,
            share: self.share,
            direct: self.direct,
            read_only: self.read_only,
            forced: self.forced,
            is_part: self.part != Part::default() || !self.parts.is_empty(),
            window: self.part.window,
            inside: self.inside(),
            size_rule: self
                .size_rule
                .as_ref()
                .map(|named| named.rule)
                .unwrap_or_default(),
            below: match &self.below {
                Below::Named => instar_run::Below::Named,
                Below::Nothing => instar_run::Below::Nothing,
                Below::Given(layer) => instar_run::Below::Given(Box::new(layer.image())),
            },
            key: self.key.clone(),
            encrypt: Encryption {
                method: self.encrypt_method.as_deref().map(ImageText::new),
                key: self.encrypt_key.as_deref().map(ImageText::new),
            },
            remote: self.remote.clone(),
            header: self
                .header
                .as_ref()
                .map(|header| (PathBuf::from(&header.path), header.protocol)),
            partition: self.partition,
            disk: self.disk.clone(),
        }
    }
}

/// The name of standard input, and of standard output.
pub const STREAM: &str = "-";

/// Whether a name is that of standard input or output. To the reference tool it is that of a file.
#[must_use]
pub fn is_stream(name: &OsStr) -> bool {
    name == STREAM && !Program::of_process().is_reference()
}

/// The file that a plain name stands for, `file:` removed.
///
/// # Errors
/// The reason, when the name is that of another protocol.
pub fn plain_path(text: &[u8]) -> Result<&[u8], Vec<u8>> {
    let colon = text.iter().position(|byte| matches!(byte, b':' | b'/'));
    let Some(at) = colon.filter(|at| text.get(*at) == Some(&b':')) else {
        return Ok(text);
    };
    let (protocol, rest) = text.split_at(at);
    let rest = rest.get(1..).unwrap_or_default();
    match protocol {
        b"file" | b"host_device" => Ok(rest),
        _ => Err(unknown_protocol(protocol)),
    }
}

/// A path as a word of a command line: what stands before a colon would be read as a protocol's name.
#[must_use]
pub fn word(path: &OsStr) -> OsString {
    if has_protocol(path.as_bytes()) {
        OsString::from_vec([b"file:", path.as_bytes()].concat())
    } else {
        path.to_owned()
    }
}

/// Whether a name would be read as that of another protocol.
#[must_use]
pub fn has_protocol(name: &[u8]) -> bool {
    let first = name.iter().find(|byte| matches!(byte, b':' | b'/'));
    first == Some(&b':')
}

/// `Could not open 'X': why`.
#[must_use]
pub fn cannot_open(name: &OsStr, why: &[u8]) -> Vec<u8> {
    [b"Could not open '", name.as_bytes(), b"': ", why].concat()
}

pub(super) const NO_NAME: &[u8] = b"The 'file' block driver requires a file name";

pub(super) enum Refusal {
    /// Follows `Could not open 'X': `.
    Open(Vec<u8>),
    /// A message of its own.
    Whole(Vec<u8>),
}

impl Refusal {
    fn word(self, given: &OsStr) -> Vec<u8> {
        match self {
            Self::Open(why) => cannot_open(given, &why),
            Self::Whole(message) => message,
        }
    }
}

impl From<Vec<u8>> for Refusal {
    fn from(why: Vec<u8>) -> Self {
        Self::Open(why)
    }
}

/// The file that the name of a layer means: itself, or what a `json:` tree comes to.
#[must_use]
pub fn named(name: &[u8]) -> Option<Vec<u8>> {
    if name.starts_with(b"json:") {
        let place = Place::parse(OsStr::from_bytes(name), Reading::default()).ok()?;
        let path = place.plainly().ok()?.path.as_bytes().to_vec();
        return Some([b"file:", path.as_slice()].concat());
    }
    Some(name.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str, image_opts: bool) -> Result<Place, String> {
        let reading = Reading {
            image_opts,
            ..Reading::default()
        };
        Place::parse(OsStr::new(text), reading).map_err(|message| String::from_utf8(message).unwrap())
    }

    #[test]
    fn plain_names_are_files() {
        for (text, path) in [
            ("a", "a"),
            ("./a:b", "./a:b"),
            ("/x:y", "/x:y"),
            ("file:a", "a"),
            ("host_device:/dev/x", "/dev/x"),
        ] {
            assert_eq!(place(text, false).unwrap().path, path);
        }
    }

    #[test]
    fn other_protocols_are_refused_by_name() {
        assert_eq!(
            place("foo:bar", false).unwrap_err(),
            "Could not open 'foo:bar': Unknown protocol 'foo'"
        );
        for (name, why) in [
            ("ssh://host/x", "local files and disks behind NBD servers only"),
            ("nbds://host/x", "does not speak TLS"),
        ] {
            let message = place(name, false).unwrap_err();
            assert!(message.contains(why), "{message}");
        }
    }

    #[test]
    fn trees_of_plain_files_are_reduced() {
        let expected = Some(Format::Qcow2);
        for (text, options) in [
            ("driver=qcow2,file.driver=file,file.filename=a,,b", true),
            (
                r#"json:{"driver":"qcow2","file":{"driver":"file","filename":"a,b"}}"#,
                false,
            ),
            (r#"json:{"driver":"qcow2","file.filename":"a,b"}"#, false),
        ] {
            let place = place(text, options).unwrap();
            assert_eq!(place.format, expected, "{text}");
            assert_eq!(place.path, "a,b", "{text}");
        }
    }

    #[test]
    fn servers_are_found_below_any_format() {
        for (text, options) in [
            ("nbd://h:1/x", false),
            ("driver=nbd,host=h,port=1,export=x", true),
            (
                "driver=qcow2,file.driver=nbd,file.server.type=inet,file.server.host=h,file.server.port=1,file.export=x",
                true,
            ),
            (
                r#"json:{"driver":"raw","file":{"driver":"nbd","host":"h","port":1,"export":"x"}}"#,
                false,
            ),
            ("driver=raw,file.filename=nbd:h:1:exportname=x", true),
        ] {
            let place = place(text, options).unwrap();
            assert_eq!(place.path, "nbd://h:1/x", "{text}");
            assert!(place.remote.is_some(), "{text}");
        }
    }

    #[test]
    fn trees_that_lead_elsewhere_are_refused() {
        for (text, part) in [
            (r#"json:{"driver":"ssh","file.filename":"x"}"#, "local files and"),
            (
                r#"json:{"driver":"raw","file":{"driver":"ssh","host":"x"}}"#,
                "local files and",
            ),
            (
                r#"json:{"driver":"qcow2","file":{"filename":"a"},"backing":{"driver":"ssh","host":"x"}}"#,
                "local files and",
            ),
            (r#"json:{"driver":"nbd","export":"x"}"#, "address missing"),
            (
                r#"json:{"driver":"raw","file":{"driver":"nbd","host":"x","tls-creds":"t"}}"#,
                "does not speak TLS",
            ),
            (r#"json:{"driver":"qcow2"}"#, "must be specified for \"file\""),
            ("json:[]", "Invalid JSON object given"),
        ] {
            let message = place(text, false).unwrap_err();
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn force_share_in_the_tree_and_beside_it_must_agree() {
        let reading = Reading {
            image_opts: true,
            share: true,
            ..Reading::default()
        };
        assert_eq!(
            Place::parse(OsStr::new("driver=raw,force-share=off,file.filename=x"), reading),
            Err(b"--force-share/-U conflicts with image options".to_vec())
        );
    }
}
