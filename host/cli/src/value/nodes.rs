//! Trees of the block layer that a user writes: a format, any number of raw parts below it, one file.
//!
//! ```text
//!  {"driver": "qcow2", "file": {"driver": "raw", "offset": 512, "size": 4096, "file": {"filename": "disk.ova"}}}
//!      format ─────────► parts, the outermost first ──────────────────────► file
//! ```

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use instar_abi::Format;
use instar_abi::job::{SizeRule, Window};

use super::driver::{Driver, known};
use super::place::{Below, Header, NO_NAME, Place, Reading, Refusal};
use super::tree::{Leaf, Tree};
use super::{remote, runtime};
use crate::release::{self, Fact};
use crate::show::Name;
use instar_run::Protocol;

/// A raw image, or a part of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// `offset`, as it was written.
    pub offset: Option<Leaf>,
    /// `size`, as it was written.
    pub size: Option<Leaf>,
    /// What they come to.
    pub window: Option<Window>,
}

impl Place {
    /// The place that a tree describes.
    pub(super) fn from_tree(given: &OsStr, mut tree: Tree, reading: Reading<'_>) -> Result<Self, Refusal> {
        let driver = tree.take("driver");
        let named = reading.format.map(|format| format.as_bytes().to_vec()).or(driver);
        let named = named.as_deref();
        let known = named.map(known).transpose()?;
        let (levels, parts, protocol) = match known {
            Some(Driver::File) => (vec![String::new()], Vec::new(), Protocol::File),
            Some(Driver::Device) => (vec![String::new()], Vec::new(), Protocol::Device),
            Some(Driver::Nbd) => (vec![String::new()], Vec::new(), Protocol::Server),
            None if !tree.has_prefix("file.") => {
                return Err(Refusal::Open(b"Must specify either driver or file".to_vec()));
            }
            _ => descend(&mut tree)?,
        };
        let bare = matches!(known, Some(Driver::File | Driver::Device | Driver::Nbd));
        let last = levels.last().map(String::as_str).unwrap_or_default();
        let end = End::take(&mut tree, last, protocol)?;
        let format = known.map(Driver::format);
        let below = if bare {
            Below::Named
        } else {
            below(given, &mut tree, format, reading)?
        };
        let common = runtime::take_common(&mut tree, &levels, reading.share)?;
        let part = match format {
            Some(Format::Raw) if !bare => runtime::take_part(&mut tree, "")?,
            _ => Part::default(),
        };
        if format == Some(Format::Qcow2) {
            runtime::take_qcow2(&mut tree)?;
        }
        let size_rule = match format {
            Some(Format::Vpc) => runtime::take_size_rule(&mut tree)?,
            _ => None,
        };
        // Which format the image has may not be known yet.
        let key = match format {
            None | Some(Format::Luks) => tree.take("key-secret"),
            _ => None,
        };
        let header = match format {
            Some(Format::Luks) if release::has(Fact::DetachedLuksHeader) => header(&mut tree, reading)?,
            _ => None,
        };
        let mut encrypt = |name| match format {
            None | Some(Format::Qcow | Format::Qcow2) => tree.take(name),
            _ => None,
        };
        let (encrypt_method, encrypt_key) = (encrypt("encrypt.format"), encrypt("encrypt.key-secret"));
        if let Some(name) = tree.left_over() {
            return Err(Refusal::Open(left_over(name, named, &levels)));
        }
        Ok(Self {
            bare_file: bare,
            protocol,
            share: common.share,
            image_opts: reading.image_opts,
            below,
            part,
            parts,
            size_rule,
            direct: common.direct,
            read_only: common.read_only,
            forced: common.forced,
            key,
            encrypt_method,
            encrypt_key,
            header,
            remote: end.remote,
            server: end.server,
            ..Self::plain(given, &end.path, format)
        })
    }

    /// Whether what is read is a part of the file, or read in another way than the image itself says.
    #[must_use]
    pub fn is_shaped(&self) -> bool {
        self.part.window.is_some()
            || self.parts.iter().any(|part| part.window.is_some())
            || self.size_rule.is_some()
    }

    /// The parts of the file that the image stands in, one in the other, the largest first.
    #[must_use]
    pub fn inside(&self) -> Vec<Window> {
        self.parts.iter().rev().filter_map(|part| part.window).collect()
    }
}

/// What a tree ends in: a file, or a disk behind a server.
struct End {
    /// Where it is, or what messages call it.
    path: Vec<u8>,
    remote: Option<instar_run::Remote>,
    server: remote::Written,
}

impl End {
    /// Takes it out of the node whose options begin with `level`.
    fn take(tree: &mut Tree, level: &str, protocol: Protocol) -> Result<Self, Refusal> {
        if protocol == Protocol::Server {
            let (remote, server) = remote::take(tree, level)?;
            return Ok(Self {
                path: remote.url(),
                remote: Some(remote),
                server,
            });
        }
        let path = tree.take(&format!("{level}filename")).unwrap_or_default();
        if path.is_empty() {
            return Err(Refusal::Open(NO_NAME.to_vec()));
        }
        Ok(Self {
            path,
            remote: None,
            server: Vec::new(),
        })
    }
}

/// Goes down from a format to the file: the prefixes of the names of all nodes, the raw parts between, and the file's kind.
fn descend(tree: &mut Tree) -> Result<(Vec<String>, Vec<Part>, Protocol), Refusal> {
    let (mut levels, mut parts) = (vec![String::new()], Vec::new());
    loop {
        let above = levels.last().cloned().unwrap_or_default();
        if let Some(node) = tree.take(&format!("{above}file")) {
            return Err(no_node(&node));
        }
        let level = format!("{above}file.");
        if !tree.has_prefix(&level) {
            return Err(Refusal::Open(
                b"A block device must be specified for \"file\"".to_vec(),
            ));
        }
        let driver = tree.take(&format!("{level}driver"));
        let protocol = match driver.as_deref().map(known).transpose()? {
            None if tree.has_prefix(&format!("{level}file.")) => {
                return Err(Refusal::Open(b"Must specify either driver or file".to_vec()));
            }
            None if tree.leads_to_server(&format!("{level}filename")) => Protocol::Server,
            None => Protocol::Either,
            Some(Driver::File) => Protocol::File,
            Some(Driver::Device) => Protocol::Device,
            Some(Driver::Nbd) => Protocol::Server,
            Some(Driver::Format(Format::Raw)) => {
                parts.push(runtime::take_part(tree, &level)?);
                levels.push(level);
                continue;
            }
            Some(Driver::Format(format)) => {
                let text = format!(
                    "instar reads formats in files and in parts of files, not inside '{}'",
                    format.name()
                );
                return Err(Refusal::Open(text.into_bytes()));
            }
        };
        levels.push(level);
        return Ok((levels, parts, protocol));
    }
}

/// `backing`: a layer that the user gives, or none.
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
        whole @ Refusal::Whole(_) => whole,
    })?;
    Ok(Below::Given(Box::new(place)))
}

/// `header`: the file of a detached header.
fn header(tree: &mut Tree, reading: Reading<'_>) -> Result<Option<Header>, Refusal> {
    if let Some(node) = tree.take("header") {
        return Err(no_node(&node));
    }
    let mut inner = tree.take_below("header.");
    if inner.left_over().is_none() {
        return Ok(None);
    }
    let driver = inner.take("driver");
    let known = driver.as_deref().map(known).transpose()?;
    let (levels, parts, protocol) = match known {
        Some(Driver::File) => (vec![String::new()], Vec::new(), Protocol::File),
        Some(Driver::Device) => (vec![String::new()], Vec::new(), Protocol::Device),
        None if inner.has_prefix("filename") => (vec![String::new()], Vec::new(), Protocol::Either),
        None => return Err(Refusal::Open(b"Must specify either driver or file".to_vec())),
        Some(Driver::Format(_) | Driver::Nbd) => descend(&mut inner)?,
    };
    let last = levels.last().map(String::as_str).unwrap_or_default();
    let path = inner.take(&format!("{last}filename")).unwrap_or_default();
    if path.is_empty() {
        return Err(Refusal::Open(NO_NAME.to_vec()));
    }
    runtime::take_common(&mut inner, &levels, reading.share)?;
    let raw = protocol != Protocol::Server
        && matches!(
            known,
            None | Some(Driver::File | Driver::Device | Driver::Format(Format::Raw))
        );
    if !raw
        || parts.iter().any(|part| part.window.is_some())
        || inner.has_prefix("offset")
        || inner.has_prefix("size")
    {
        return Err(Refusal::Open(
            b"instar reads a detached header in a file of its own only".to_vec(),
        ));
    }
    if let Some(name) = inner.left_over() {
        let words = match known {
            Some(Driver::Format(_)) => left_over(name, driver.as_deref(), &levels),
            _ => [
                b"Block protocol 'file' doesn't support the option '".as_slice(),
                name,
                b"'",
            ]
            .concat(),
        };
        return Err(Refusal::Open(words));
    }
    Ok(Some(Header {
        path: OsString::from_vec(path),
        protocol,
    }))
}

/// The words for a node that was made elsewhere: there are none here.
fn no_node(node: &[u8]) -> Refusal {
    let parts = [b"Cannot find device='", node, b"' nor node-name='", node, b"'"];
    Refusal::Open(parts.concat())
}

/// The words for an option that the node it was given to does not have.
fn left_over(name: &[u8], driver: Option<&[u8]>, levels: &[String]) -> Vec<u8> {
    let depth = levels.iter().rev().find_map(|level| {
        let inner = name.strip_prefix(level.as_bytes())?;
        Some((level.as_str(), inner))
    });
    let (level, inner) = depth.unwrap_or(("", name));
    let last = levels.last().is_some_and(|last| last == level);
    if last && !level.is_empty() {
        return [
            b"Block protocol 'file' doesn't support the option '".as_slice(),
            inner,
            b"'",
        ]
        .concat();
    }
    let driver = if level.is_empty() { driver } else { None };
    [
        b"Block format '".as_slice(),
        driver.unwrap_or(b"raw"),
        b"' does not support the option '",
        inner,
        b"'",
    ]
    .concat()
}

/// The rule that was named, and the word for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedRule {
    /// As it was written.
    pub word: Vec<u8>,
    /// What it means.
    pub rule: SizeRule,
}

/// The names by which `info` calls the nodes of an image of `format`, the image first, then its raw parts, the outermost first.
#[must_use]
pub fn names(place: &Place, format: &str, device: bool) -> Vec<Name> {
    use crate::json::{Json, Object, one_line};
    let protocol = if device { "host_device" } else { "file" };
    let file = match place.remote {
        None => Object::new()
            .with("driver", protocol)
            .with("filename", place.path.as_bytes()),
        Some(_) => place
            .server
            .iter()
            .fold(Object::new().with("driver", "nbd"), |file, (name, value)| {
                file.with(name, value.as_slice())
            }),
    };
    let mut below = Json::from(file);
    let mut on_file = true;
    let mut names = Vec::new();
    let rule = place.size_rule.as_ref().map(|named| named.word.as_slice());
    let key = place.key.as_deref();
    let encrypt_key = place.encrypt_key.as_deref();
    let header = place.header.as_ref().map(|header| {
        let driver = if header.protocol == Protocol::Device {
            "host_device"
        } else {
            "file"
        };
        let file = Object::new()
            .with("driver", driver)
            .with("filename", header.path.as_bytes());
        Json::from(file)
    });
    let nodes = place
        .parts
        .iter()
        .rev()
        .map(|part| (part, "raw", None, None, None));
    for (part, driver, rule, key, encrypt_key) in nodes.chain([(&place.part, format, rule, key, encrypt_key)])
    {
        let whole = part.offset.is_none() && part.size.is_none();
        let plain = on_file && whole && rule.is_none() && key.is_none() && encrypt_key.is_none();
        let node: Json = Object::new()
            .with_some("header", key.and(header.clone()))
            .with_some("force_size_calc", rule)
            .with_some("encrypt.key-secret", encrypt_key)
            .with_some("offset", part.offset.as_ref().map(Leaf::json))
            .with("driver", driver)
            .with_some("size", part.size.as_ref().map(Leaf::json))
            .with("file", below)
            .with_some("key-secret", key)
            .into();
        names.push(if plain {
            Name::given(place.path.as_bytes())
        } else {
            Name::given(&[b"json:".as_slice(), one_line(&node).as_bytes()].concat())
        });
        (below, on_file) = (node, false);
    }
    names.reverse();
    names
}
