//! What a user's name for an image comes to: a file, perhaps its format.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use instar_abi::Format;
use instar_abi::job::Window;

use super::runtime;
use super::tree::Tree;

/// A file to open, and what the user said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// As the user wrote it, for the outer half of messages.
    pub given: OsString,
    /// The file.
    pub path: OsString,
    /// Its format, unless it is to be detected.
    pub format: Option<Format>,
    /// The format named is `file`: the plain file itself, under that name in `info`.
    pub bare_file: bool,
    /// Locks of other processes are ignored.
    pub share: bool,
    /// `given` is a list of options.
    pub image_opts: bool,
    /// What lies below it.
    pub below: Below,
    /// The part of a raw image that counts.
    pub window: Option<Window>,
    /// It is to be read past the page cache.
    pub direct: bool,
    /// The user said that it is not written to.
    pub read_only: bool,
    /// The user said `force-share=on`.
    pub forced: bool,
}

/// The layer below an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Below {
    /// The one that the image names.
    #[default]
    Named,
    /// None.
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
        let (format, bare_file) = driver
            .map_or(Ok((None, false)), known_format)
            .map_err(|why| cannot_open(given, &why))?;
        let path = plain_path(text).map_err(|why| cannot_open(given, &why))?;
        if path.is_empty() {
            return Err(cannot_open(given, NO_NAME));
        }
        Ok(Self {
            bare_file,
            share: reading.share,
            ..Self::plain(given, path, format)
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
            share: false,
            image_opts: false,
            below: Below::Named,
            window: None,
            direct: false,
            read_only: false,
            forced: false,
        }
    }

    fn from_tree(given: &OsStr, mut tree: Tree, reading: Reading<'_>) -> Result<Self, Refusal> {
        let driver = tree.take("driver");
        let named = reading.format.map(|format| format.as_bytes().to_vec()).or(driver);
        let named = named.as_deref();
        let protocol = matches!(named, Some(b"file" | b"host_device"));
        let prefix = if protocol { "" } else { "file." };
        if !protocol && named.is_none() && !tree.has_prefix("file.") {
            return Err(Refusal::Open(b"Must specify either driver or file".to_vec()));
        }
        let (format, bare_file) = named.map_or(Ok((None, false)), known_format)?;
        if !protocol {
            if let Some(node) = tree.take("file") {
                return Err(Refusal::Open(
                    [
                        b"Cannot find device='",
                        node.as_slice(),
                        b"' nor node-name='",
                        &node,
                        b"'",
                    ]
                    .concat(),
                ));
            }
            if !tree.has_prefix("file.") {
                return Err(Refusal::Open(
                    b"A block device must be specified for \"file\"".to_vec(),
                ));
            }
            known_protocol(tree.take("file.driver").as_deref())?;
        }
        let path = tree.take(&format!("{prefix}filename")).unwrap_or_default();
        if path.is_empty() {
            return Err(Refusal::Open(NO_NAME.to_vec()));
        }
        let below = if protocol {
            Below::Named
        } else {
            below(given, &mut tree, format, reading)?
        };
        let common = runtime::take_common(&mut tree, reading.share)?;
        let window = match format {
            Some(Format::Raw) if !bare_file => runtime::take_window(&mut tree)?,
            _ => None,
        };
        if format == Some(Format::Qcow2) {
            runtime::take_qcow2(&mut tree)?;
        }
        if let Some(name) = tree.left_over() {
            return Err(Refusal::Open(left_over(name, named)));
        }
        Ok(Self {
            given: given.to_owned(),
            path: OsString::from_vec(path),
            format,
            bare_file,
            share: common.share,
            image_opts: reading.image_opts,
            below,
            window,
            direct: common.direct,
            read_only: common.read_only,
            forced: common.forced,
        })
    }

    /// The place with nothing said of it but its file and its format, for verbs that go no further.
    ///
    /// # Errors
    /// What was said that would be ignored.
    pub fn plainly(self) -> Result<Self, Vec<u8>> {
        let what = match (&self.below, self.window) {
            (Below::Named, None) => return Ok(self),
            (Below::Named, Some(_)) => "'offset' and 'size'",
            _ => "'backing'",
        };
        Err(cannot_open(
            &self.given,
            format!("{what} cannot be given for what this does").as_bytes(),
        ))
    }
}

/// `backing`: a layer of the user's, or none.
fn below(
    given: &OsStr,
    tree: &mut Tree,
    format: Option<Format>,
    reading: Reading<'_>,
) -> Result<Below, Refusal> {
    if tree.take_null("backing") {
        return Ok(Below::Nothing);
    }
    if !matches!(format, None | Some(Format::Qcow2 | Format::Vmdk)) {
        return Ok(Below::Named);
    }
    let inner = tree.take_below("backing.");
    if inner.left_over().is_none() {
        return Ok(Below::Named);
    }
    let reading = Reading {
        format: None,
        ..reading
    };
    let place = Place::from_tree(given, inner, reading).map_err(|why| match why {
        Refusal::Open(why) => Refusal::Open([b"Could not open backing file: ".to_vec(), why].concat()),
        whole => whole,
    })?;
    Ok(Below::Given(Box::new(place)))
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

/// `Could not open 'X': why`.
#[must_use]
pub fn cannot_open(name: &OsStr, why: &[u8]) -> Vec<u8> {
    [b"Could not open '", name.as_bytes(), b"': ", why].concat()
}

/// The words for a format that is not ours.
#[must_use]
pub fn unknown_driver(name: &[u8]) -> Vec<u8> {
    if ELSEWHERE.contains(&name) {
        let mut ours: Vec<&str> = Format::ALL.iter().map(|format| format.name()).collect();
        let last = ours.pop().unwrap_or_default();
        return [
            b"instar does not handle the format '".as_slice(),
            name,
            b"'; it handles ",
            ours.join(", ").as_bytes(),
            b" and ",
            last.as_bytes(),
        ]
        .concat();
    }
    if REMOTE.contains(&name) {
        return [
            b"instar opens local files only, not through the driver '".as_slice(),
            name,
            b"'",
        ]
        .concat();
    }
    [b"Unknown driver '", name, b"'"].concat()
}

/// Whether a word is the name of a driver that makes no images even in the reference tool.
#[must_use]
pub fn is_never_written(name: &[u8]) -> bool {
    matches!(
        name,
        b"blkdebug"
            | b"blklogwrites"
            | b"blkverify"
            | b"bochs"
            | b"cloop"
            | b"compress"
            | b"copy-before-write"
            | b"copy-on-read"
            | b"dmg"
            | b"null-aio"
            | b"null-co"
            | b"preallocate"
            | b"quorum"
            | b"replication"
            | b"snapshot-access"
            | b"throttle"
            | b"vvfat"
    )
}

/// Whether a word is the name of a driver of the reference tool's, ours or not: what an image may say of the layer below.
#[must_use]
pub fn is_driver(name: &[u8]) -> bool {
    Format::from_name(name).is_some()
        || matches!(name, b"file" | b"host_device")
        || ELSEWHERE.contains(&name)
        || REMOTE.contains(&name)
}

/// Formats that the reference tool has and instar has not.
const ELSEWHERE: &[&[u8]] = &[
    b"blkdebug",
    b"blklogwrites",
    b"blkverify",
    b"bochs",
    b"cloop",
    b"compress",
    b"copy-before-write",
    b"copy-on-read",
    b"dmg",
    b"luks",
    b"parallels",
    b"preallocate",
    b"qcow",
    b"qed",
    b"quorum",
    b"replication",
    b"snapshot-access",
    b"throttle",
    b"vvfat",
];

/// Protocols that the reference tool has and instar has not: no sandboxed tool opens sockets.
const REMOTE: &[&[u8]] = &[
    b"fat",
    b"ftp",
    b"ftps",
    b"gluster",
    b"host_cdrom",
    b"http",
    b"https",
    b"iscsi",
    b"iser",
    b"nbd",
    b"nfs",
    b"null-aio",
    b"null-co",
    b"nvme",
    b"rbd",
    b"ssh",
    b"vvfat",
];

const NO_NAME: &[u8] = b"The 'file' block driver requires a file name";

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

fn unknown_protocol(name: &[u8]) -> Vec<u8> {
    if REMOTE.contains(&name) {
        return [
            b"instar opens local files only, not '".as_slice(),
            name,
            b":'; if this is a file, write ./ before its name",
        ]
        .concat();
    }
    [b"Unknown protocol '", name, b"'"].concat()
}

/// The format of that name, and whether it is the plain file itself.
///
/// # Errors
/// The reason.
pub fn known_format(name: &[u8]) -> Result<(Option<Format>, bool), Vec<u8>> {
    if matches!(name, b"file" | b"host_device") {
        return Ok((Some(Format::Raw), true));
    }
    Format::from_name(name)
        .map(|format| (Some(format), false))
        .ok_or_else(|| unknown_driver(name))
}

fn known_protocol(name: Option<&[u8]>) -> Result<(), Vec<u8>> {
    match name {
        None | Some(b"file" | b"host_device") => Ok(()),
        Some(other) => Err(unknown_driver(other)),
    }
}

fn left_over(name: &[u8], driver: Option<&[u8]>) -> Vec<u8> {
    if let Some(inner) = name.strip_prefix(b"file.") {
        return [
            b"Block protocol 'file' doesn't support the option '".as_slice(),
            inner,
            b"'",
        ]
        .concat();
    }
    [
        b"Block format '".as_slice(),
        driver.unwrap_or(b"raw"),
        b"' does not support the option '",
        name,
        b"'",
    ]
    .concat()
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
        assert!(
            place("nbd:unix:/x", false)
                .unwrap_err()
                .contains("local files only")
        );
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
    fn trees_that_lead_elsewhere_are_refused() {
        for (text, part) in [
            (r#"json:{"driver":"nbd","file.filename":"x"}"#, "local files only"),
            (
                r#"json:{"driver":"raw","file":{"driver":"nbd","host":"x"}}"#,
                "local files only",
            ),
            (
                r#"json:{"driver":"qcow2","file":{"filename":"a"},"backing":{"driver":"nbd","host":"x"}}"#,
                "local files only",
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
