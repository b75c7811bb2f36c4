//! The descriptor: a text that names the layout, the content IDs, the parent and the extents.
//!
//! Readers of this text differ: some search for keywords anywhere, some go line by line, some ignore case. An image that
//! shows one disk to one tool and another to the next is how files have leaked. So the lines on which the disk depends (the
//! four [`KEYWORDS`] and whatever a reader could take for an extent) have one known shape, and no keyword appears with two
//! values, in another spelling, or outside its own line in front of it. All other lines are comments, whatever they look like.
//!
//! ```text
//!  descriptor file             every extent line counts and must be exact
//!  inside a sparse extent      the header around it is the disk; its one extent line must not lead elsewhere
//! ```

use alloc::vec::Vec;

use instar_disk::{Fault, FaultCode, Result, fault, from_usize};

use crate::uuid;

/// Bytes of a descriptor at most: what qemu-img reads of one. It bounds the extents, too: a line has 14 bytes at least.
pub(crate) const BYTES_MAX: u64 = (1 << 20) - 1;
/// Extents at most: each is an open file.
pub(crate) const EXTENTS_MAX: usize = instar_disk::vmdk::EXTENTS_MAX;
/// Bytes of an extent's name at most. qemu-img's.
const NAME_MAX: usize = 511;
/// Bytes of the parent's name at most. Ours; a Linux path.
const PARENT_MAX: usize = 4095;
/// Bytes of a line that a message quotes.
const QUOTED: usize = 120;
/// Keywords on which the disk's content depends.
const KEYWORDS: [&str; 4] = ["CID", "parentCID", "createType", "parentFileNameHint"];
/// The first words of extent lines.
const ACCESS: [&str; 3] = ["RW", "RDONLY", "NOACCESS"];
/// `parentCID` of a disk without parent.
pub(crate) const NO_PARENT: u32 = u32::MAX;

/// What a descriptor says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Descriptor {
    /// Empty where it is not said, which only an embedded descriptor may do.
    pub(crate) create_type: Vec<u8>,
    pub(crate) cid: u32,
    pub(crate) parent_cid: u32,
    pub(crate) parent_name: Option<Vec<u8>>,
    /// `ddb.uuid.image`, by which VirtualBox knows the disk.
    pub(crate) uuid: Option<[u8; 16]>,
    /// `ddb.uuid.parent`, unless it is all zeros: the parent as VirtualBox remembers it.
    pub(crate) parent_uuid: Option<[u8; 16]>,
    /// Of a descriptor file.
    pub(crate) extents: Vec<Line>,
}

/// Where a descriptor stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    /// In a file of its own.
    File,
    /// In the sparse extent that it describes.
    Extent,
}

/// An extent line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) sectors: u64,
    pub(crate) kind: LineKind,
    pub(crate) name: Vec<u8>,
}

/// What kind of extent a line announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineKind {
    /// Plain bytes from this sector of the file on.
    Flat { sector: u64 },
    /// Plain bytes of a file on an ESX file system.
    Vmfs,
    /// A file with a header.
    Sparse,
    /// A file with an ESX header.
    VmfsSparse,
    /// A space-efficient sparse file.
    SeSparse,
}

impl LineKind {
    /// The word in the line.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Flat { .. } => "FLAT",
            Self::Vmfs => "VMFS",
            Self::Sparse => "SPARSE",
            Self::VmfsSparse => "VMFSSPARSE",
            Self::SeSparse => "SESPARSE",
        }
    }
}

/// Reads a descriptor: the text before the first NUL of `bytes`.
///
/// # Errors
/// What is wrong with it; see the module.
pub(crate) fn parse(bytes: &[u8], home: Home) -> Result<Descriptor> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (text, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
    let mut found = Findings::new(home);
    for line in text.split(|byte| *byte == b'\n') {
        found.line(trim(line))?;
    }
    let descriptor = found.descriptor()?;
    found.one_reading(text)?;
    if home == Home::File {
        found.after_text(text, rest)?;
    }
    Ok(descriptor)
}

struct Findings<'a> {
    home: Home,
    /// Values of [`KEYWORDS`].
    values: [Option<&'a [u8]>; KEYWORDS.len()],
    uuid: Option<[u8; 16]>,
    parent_uuid: Option<[u8; 16]>,
    extents: Vec<Line>,
    /// Extent lines of an embedded descriptor.
    embedded: usize,
}

impl<'a> Findings<'a> {
    const fn new(home: Home) -> Self {
        Self {
            home,
            values: [None; KEYWORDS.len()],
            uuid: None,
            parent_uuid: None,
            extents: Vec::new(),
            embedded: 0,
        }
    }

    fn line(&mut self, line: &'a [u8]) -> Result<()> {
        if line.is_empty() || line.starts_with(b"#") {
            return Ok(());
        }
        if is_extent(line) {
            return self.extent(line);
        }
        // What a reader that ends lines elsewhere would take for an extent.
        if line
            .split(|byte| matches!(byte, b'\r' | 0x0b | 0x0c))
            .any(is_extent)
        {
            return Err(quoted(fault::vmdk::LINE, line));
        }
        let Some((key, value)) = setting(line) else {
            return Ok(());
        };
        match key {
            b"ddb.uuid.image" => self.uuid = uuid::parse(value).or(self.uuid),
            b"ddb.uuid.parent" => {
                self.parent_uuid = uuid::parse(value)
                    .filter(|uuid| *uuid != [0; 16])
                    .or(self.parent_uuid);
            }
            _ => {}
        }
        for (keyword, known) in KEYWORDS.iter().zip(&mut self.values) {
            if key == keyword.as_bytes() {
                if known.replace(value).is_some_and(|before| before != value) {
                    return Err(named(fault::vmdk::AMBIGUOUS, keyword));
                }
            } else if key.eq_ignore_ascii_case(keyword.as_bytes()) {
                return Err(named(fault::vmdk::AMBIGUOUS, keyword));
            }
        }
        Ok(())
    }

    fn extent(&mut self, line: &[u8]) -> Result<()> {
        if self.home == Home::Extent {
            // Readers that follow the lines must find the file that holds this text, and nothing else.
            self.embedded = self.embedded.saturating_add(1);
            let (_, rest) = word(line);
            let (_, rest) = word(rest);
            let (kind, _) = word(rest);
            let sparse = matches!(kind, b"SPARSE" | b"VMFSSPARSE" | b"SESPARSE");
            return if sparse && self.embedded == 1 {
                Ok(())
            } else {
                Err(quoted(fault::vmdk::EMBEDDED_EXTENT, line))
            };
        }
        if self.extents.len() >= EXTENTS_MAX {
            let limit = from_usize(EXTENTS_MAX);
            return Err(Fault::new(fault::vmdk::EXTENT_COUNT).with([limit.saturating_add(1), limit]));
        }
        self.extents.push(extent_line(line)?);
        Ok(())
    }

    /// Makes sure that readers that search `text` for a keyword, as qemu-img does, end at a line found here.
    fn one_reading(&self, text: &[u8]) -> Result<()> {
        for (keyword, value) in KEYWORDS.iter().zip(&self.values) {
            let own = first(text, keyword.as_bytes()).is_none_or(|at| {
                let rest = text.get(at..).unwrap_or_default();
                let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
                let starts_line = text
                    .get(..at)
                    .and_then(|before| before.last())
                    .is_none_or(|byte| *byte == b'\n' || is_blank(*byte));
                let here = setting(trim(line))
                    .is_some_and(|(key, found)| key == keyword.as_bytes() && Some(found) == *value);
                starts_line && here
            });
            if !own {
                return Err(named(fault::vmdk::AMBIGUOUS, keyword));
            }
        }
        Ok(())
    }

    /// Judges what follows the NUL that ends `text` in a file: some readers go on there. The rest of an older text, or
    /// anything else, may stand there as long as nothing in it counts.
    fn after_text(&self, text: &[u8], rest: &[u8]) -> Result<()> {
        if !has_more_after_text(text, rest) {
            return Ok(());
        }
        for line in rest.split(|byte| matches!(byte, 0 | b'\n' | b'\r' | 0x0b | 0x0c)) {
            let line = trim(line);
            let counts = is_extent(line)
                || KEYWORDS.iter().any(|keyword| {
                    line.windows(keyword.len())
                        .any(|window| window.eq_ignore_ascii_case(keyword.as_bytes()))
                });
            if counts {
                return Err(quoted(fault::vmdk::AFTER_TEXT, line));
            }
        }
        Ok(())
    }

    fn descriptor(&mut self) -> Result<Descriptor> {
        let missing = |keyword| named(fault::vmdk::DESCRIPTOR, keyword);
        let [cid, parent_cid, create_type, parent_name] = self.values;
        let parent_name = match parent_name {
            None => None,
            Some(value) => {
                let name = quotes(value).filter(|name| name.len() <= PARENT_MAX);
                Some(name.ok_or_else(|| missing("parentFileNameHint"))?)
            }
        };
        let create_type = create_type.and_then(quotes).filter(|name| name.len() < 128);
        if create_type.is_none() && self.home == Home::File {
            return Err(missing("createType"));
        }
        Ok(Descriptor {
            create_type: create_type.unwrap_or_default().to_vec(),
            cid: cid.and_then(content_id).ok_or_else(|| missing("CID"))?,
            parent_cid: parent_cid
                .and_then(content_id)
                .ok_or_else(|| missing("parentCID"))?,
            parent_name: parent_name.filter(|name| !name.is_empty()).map(<[u8]>::to_vec),
            uuid: self.uuid,
            parent_uuid: self.parent_uuid,
            extents: core::mem::take(&mut self.extents),
        })
    }
}

/// Where a reader that searches for `keyword` finds it first. `CID` is the end of another keyword, which may come first.
fn first(text: &[u8], keyword: &[u8]) -> Option<usize> {
    text.windows(keyword.len()).enumerate().find_map(|(at, window)| {
        let within_another =
            keyword == b"CID" && text.get(..at).is_some_and(|before| before.ends_with(b"parent"));
        (window == keyword && !within_another).then_some(at)
    })
}

/// Whether `rest`, which follows the text of a descriptor file, holds anything.
///
/// qemu-img writes content IDs without leading zeros, over a text that may have been longer by up to [`CID_SHORTER`] digits:
/// then a zero and the end of that same text follow, and are nothing.
fn has_more_after_text(text: &[u8], rest: &[u8]) -> bool {
    let rest = rest.get(1..).unwrap_or_default();
    let left = rest.iter().take_while(|byte| **byte != 0).count();
    let (left, beyond) = rest.split_at_checked(left).unwrap_or((rest, &[]));
    let stale = left.len() < CID_SHORTER && text.ends_with(left);
    !stale || beyond.iter().any(|byte| *byte != 0)
}

/// Digits by which a content ID may be shorter than the longest.
const CID_SHORTER: usize = 7;

/// White space, as readers in C know it.
const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

pub(crate) fn trim(text: &[u8]) -> &[u8] {
    let start = text
        .iter()
        .position(|byte| !is_blank(*byte))
        .unwrap_or(text.len());
    let end = text
        .iter()
        .rposition(|byte| !is_blank(*byte))
        .map_or(start, |last| last.saturating_add(1));
    text.get(start..end).unwrap_or_default()
}

/// The first word, and what follows it.
pub(crate) fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let text = trim(text);
    let end = text.iter().position(|byte| is_blank(*byte)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, &[]))
}

/// Whether some reader could take `line` for an extent.
pub(crate) fn is_extent(line: &[u8]) -> bool {
    let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
    let (access, _) = word(line);
    ACCESS
        .iter()
        .any(|known| access.eq_ignore_ascii_case(known.as_bytes()))
}

/// What some editors put in front of a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// `key=value` or `key = "value"`. In front of the sign the keywords allow no blanks, and behind it only content IDs do,
/// because no reader skips them there; such a line has another spelling of its keyword.
fn setting(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = line.iter().position(|byte| *byte == b'=')?;
    let (key, value) = line.split_at_checked(equals)?;
    let value = value.get(1..)?;
    let bare = trim(key);
    let keyword = KEYWORDS
        .iter()
        .find(|word| bare.eq_ignore_ascii_case(word.as_bytes()));
    let blanks = value.first().is_some_and(|byte| is_blank(*byte));
    match keyword {
        Some(word) if blanks && !word.ends_with("CID") => Some((bare, value)),
        Some(_) if bare.len() != key.len() => Some((bare, &[])),
        _ => Some((bare, trim(value))),
    }
}

/// `RW 4192256 SPARSE "name"`, `RW 100 FLAT "name" 0`.
fn extent_line(line: &[u8]) -> Result<Line> {
    let invalid = || quoted(fault::vmdk::EXTENT_LINE, line);
    let (access, rest) = word(line);
    let (sectors, rest) = word(rest);
    let sectors = decimal(sectors)
        .filter(|sectors| *sectors > 0)
        .ok_or_else(invalid)?;
    let (kind, rest) = word(rest);
    if access != b"RW" || !matches!(kind, b"FLAT" | b"VMFS" | b"SPARSE" | b"VMFSSPARSE" | b"SESPARSE") {
        return Err(quoted(fault::vmdk::EXTENT_TYPE, line));
    }
    let rest = trim(rest).strip_prefix(b"\"").ok_or_else(invalid)?;
    let close = rest.iter().position(|byte| *byte == b'"').ok_or_else(invalid)?;
    let (name, rest) = rest.split_at_checked(close).ok_or_else(invalid)?;
    let rest = trim(rest.get(1..).unwrap_or_default());
    if name.is_empty() || name.len() > NAME_MAX || name.contains(&b'\r') {
        return Err(invalid());
    }
    let kind = match (kind, rest) {
        (b"FLAT", sector) => LineKind::Flat {
            sector: decimal(sector).ok_or_else(invalid)?,
        },
        (b"VMFS", b"") => LineKind::Vmfs,
        (b"SPARSE", b"") => LineKind::Sparse,
        (b"VMFSSPARSE", b"") => LineKind::VmfsSparse,
        (b"SESPARSE", b"") => LineKind::SeSparse,
        _ => return Err(invalid()),
    };
    Ok(Line {
        sectors,
        kind,
        name: name.to_vec(),
    })
}

/// What stands between two quotes, if that is all.
fn quotes(value: &[u8]) -> Option<&[u8]> {
    let inner = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    (!inner.contains(&b'"')).then_some(inner)
}

fn decimal(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    digits.then(|| str::from_utf8(text).ok()?.parse().ok()).flatten()
}

/// A content ID as C's `%x` takes it: the low 32 bits of a number that some writers write in decimal, with up to ten
/// digits, or with `0x` in front.
fn content_id(text: &[u8]) -> Option<u32> {
    let digits = text
        .strip_prefix(b"0x")
        .or_else(|| text.strip_prefix(b"0X"))
        .unwrap_or(text);
    if !(1..=16).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let low = digits.get(digits.len().saturating_sub(8)..)?;
    u32::from_str_radix(str::from_utf8(low).ok()?, 16).ok()
}

fn quoted(code: FaultCode, line: &[u8]) -> Fault {
    Fault::new(code).named(line.get(..QUOTED).unwrap_or(line))
}

fn named(code: FaultCode, keyword: &str) -> Fault {
    Fault::new(code).named(keyword.as_bytes())
}

#[cfg(test)]
mod tests;
