//! The descriptor: a text that names the layout, the content IDs, the parent and the extents.
//!
//! Readers of this text differ: some search for keywords anywhere, some go line by line, some ignore case. An image that
//! shows one disk to one tool and another to the next is how files have leaked, so only texts that all readers take alike
//! are accepted: every line has a known shape, no keyword that matters appears twice, in another spelling, or outside its own line.

use alloc::vec::Vec;

use instar_disk::{Fault, FaultCode, Result, fault, from_usize};

/// Bytes of a descriptor at most: what qemu-img reads of one.
pub(crate) const BYTES_MAX: u64 = (1 << 20) - 1;
/// Extents at most: 2 TiB in pieces of 2 GiB. Ours; each is an open file.
pub(crate) const EXTENTS_MAX: usize = 1024;
/// Bytes of an extent's name at most. qemu-img's.
const NAME_MAX: usize = 511;
/// Bytes of the parent's name at most. Ours; a Linux path.
const PARENT_MAX: usize = 4095;
/// Bytes of a line that a message quotes.
const QUOTED: usize = 120;
/// `version=`: the newest.
const VERSION_MAX: u64 = 3;
/// Keywords on which the disk's content depends.
const KEYWORDS: [&str; 4] = ["CID", "parentCID", "createType", "parentFileNameHint"];

/// What a descriptor says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Descriptor {
    pub(crate) create_type: Vec<u8>,
    pub(crate) cid: u32,
    pub(crate) parent_cid: u32,
    pub(crate) parent_name: Option<Vec<u8>>,
    pub(crate) extents: Vec<Line>,
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
pub(crate) fn parse(bytes: &[u8]) -> Result<Descriptor> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let text = bytes.get(..end).unwrap_or_default();
    let mut found = Findings::default();
    for line in text.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        found.line(line)?;
    }
    let descriptor = found.descriptor()?;
    found.one_reading(text)?;
    Ok(descriptor)
}

/// Whether `bytes` after the text of a descriptor file hold anything.
///
/// qemu-img writes content IDs without leading zeros, over a text that may have been longer by up to [`CID_SHORTER`] digits:
/// then a zero and the end of that same text follow, and are nothing.
pub(crate) fn has_more_after_text(bytes: &[u8]) -> bool {
    let Some(end) = bytes.iter().position(|byte| *byte == 0) else {
        return false;
    };
    let (text, rest) = bytes.split_at(end);
    let rest = rest.get(1..).unwrap_or_default();
    let left = rest.iter().take_while(|byte| **byte != 0).count();
    let (left, beyond) = rest.split_at(left);
    let stale = left.len() < CID_SHORTER && text.ends_with(left);
    !stale || beyond.iter().any(|byte| *byte != 0)
}

/// Digits by which a content ID may be shorter than the longest.
const CID_SHORTER: usize = 7;

#[derive(Default)]
struct Findings<'a> {
    /// Values of [`KEYWORDS`].
    values: [Option<&'a [u8]>; KEYWORDS.len()],
    versions: usize,
    extents: Vec<Line>,
}

impl<'a> Findings<'a> {
    fn line(&mut self, line: &'a [u8]) -> Result<()> {
        if let Some(extent) = extent_line(line)? {
            if self.extents.len() >= EXTENTS_MAX {
                let numbers = [
                    from_usize(self.extents.len()).saturating_add(1),
                    from_usize(EXTENTS_MAX),
                ];
                return Err(Fault::new(fault::vmdk::EXTENT_COUNT).with(numbers));
            }
            self.extents.push(extent);
            return Ok(());
        }
        let (key, value) = setting(line).ok_or_else(|| quoted(fault::vmdk::LINE, line))?;
        if key == b"version" {
            return self.version(value);
        }
        for (keyword, known) in KEYWORDS.iter().zip(&mut self.values) {
            if key == keyword.as_bytes() {
                if known.replace(value).is_some() {
                    return Err(named(fault::vmdk::AMBIGUOUS, keyword));
                }
            } else if key.eq_ignore_ascii_case(keyword.as_bytes()) {
                return Err(named(fault::vmdk::AMBIGUOUS, keyword));
            }
        }
        Ok(())
    }

    fn version(&mut self, value: &[u8]) -> Result<()> {
        self.versions = self.versions.saturating_add(1);
        if self.versions > 1 {
            return Err(named(fault::vmdk::AMBIGUOUS, "version"));
        }
        match decimal(value) {
            Some(1..=VERSION_MAX) => Ok(()),
            Some(version) => Err(Fault::new(fault::vmdk::VERSION).with([version])),
            None => Err(named(fault::vmdk::DESCRIPTOR, "version")),
        }
    }

    /// Makes sure that whoever searches `text` for a keyword, as qemu-img does, ends at the line found here.
    fn one_reading(&self, text: &[u8]) -> Result<()> {
        for (keyword, value) in KEYWORDS.iter().zip(&self.values) {
            let word = keyword.as_bytes();
            let first = text.windows(word.len()).position(|window| window == word);
            let own = first.is_none_or(|at| {
                let rest = text.get(at..).unwrap_or_default();
                let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
                let starts_line = text
                    .get(..at)
                    .and_then(|before| before.last())
                    .is_none_or(|byte| matches!(byte, b'\n' | b' ' | b'\t' | b'\r'));
                let here = setting(line.trim_ascii()).is_some_and(|(key, found)| {
                    key == word && value.is_some_and(|value| core::ptr::eq(found, value))
                });
                starts_line && here
            });
            if !own {
                return Err(named(fault::vmdk::AMBIGUOUS, keyword));
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
                let name = quotes(value).filter(|name| !name.is_empty() && name.len() <= PARENT_MAX);
                Some(name.ok_or_else(|| missing("parentFileNameHint"))?.to_vec())
            }
        };
        let create_type = create_type.and_then(quotes).filter(|name| name.len() < 128);
        Ok(Descriptor {
            create_type: create_type.ok_or_else(|| missing("createType"))?.to_vec(),
            cid: cid.and_then(hexadecimal).ok_or_else(|| missing("CID"))?,
            parent_cid: parent_cid
                .and_then(hexadecimal)
                .ok_or_else(|| missing("parentCID"))?,
            parent_name,
            extents: core::mem::take(&mut self.extents),
        })
    }
}

/// `key=value` or `key = "value"`; the keywords allow no blanks, because no reader skips them there.
fn setting(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = line.iter().position(|byte| *byte == b'=')?;
    let (key, value) = line.split_at_checked(equals)?;
    let value = value.get(1..)?;
    let bare = key.trim_ascii_end();
    let name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b':');
    if bare.is_empty() || !bare.iter().all(name) {
        return None;
    }
    let keyword = KEYWORDS
        .iter()
        .any(|word| bare.eq_ignore_ascii_case(word.as_bytes()));
    let blanks = bare.len() != key.len() || value.first().is_some_and(u8::is_ascii_whitespace);
    (!(keyword && blanks)).then(|| (bare, value.trim_ascii()))
}

/// `RW 4192256 SPARSE "name"`, `RW 100 FLAT "name" 0`. `None`: no extent line at all.
fn extent_line(line: &[u8]) -> Result<Option<Line>> {
    let (access, rest) = word(line);
    if !matches!(access, b"RW" | b"RDONLY" | b"NOACCESS") {
        return Ok(None);
    }
    let invalid = || quoted(fault::vmdk::EXTENT_LINE, line);
    let (sectors, rest) = word(rest);
    let sectors = decimal(sectors)
        .filter(|sectors| *sectors > 0)
        .ok_or_else(invalid)?;
    let (kind, rest) = word(rest);
    if access != b"RW" || !matches!(kind, b"FLAT" | b"VMFS" | b"SPARSE" | b"VMFSSPARSE" | b"SESPARSE") {
        return Err(quoted(fault::vmdk::EXTENT_TYPE, line));
    }
    let rest = rest.trim_ascii_start().strip_prefix(b"\"").ok_or_else(invalid)?;
    let close = rest.iter().position(|byte| *byte == b'"').ok_or_else(invalid)?;
    let (name, rest) = rest.split_at_checked(close).ok_or_else(invalid)?;
    let rest = rest.get(1..).unwrap_or_default().trim_ascii();
    if name.is_empty() || name.len() > NAME_MAX {
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
    Ok(Some(Line {
        sectors,
        kind,
        name: name.to_vec(),
    }))
}

/// The first word, and what follows it.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let text = text.trim_ascii_start();
    let end = text
        .iter()
        .position(u8::is_ascii_whitespace)
        .unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, &[]))
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

fn hexadecimal(text: &[u8]) -> Option<u32> {
    let digits = (1..=8).contains(&text.len()) && text.iter().all(u8::is_ascii_hexdigit);
    digits
        .then(|| u32::from_str_radix(str::from_utf8(text).ok()?, 16).ok())
        .flatten()
}

fn quoted(code: FaultCode, line: &[u8]) -> Fault {
    Fault::new(code).named(line.get(..QUOTED).unwrap_or(line))
}

fn named(code: FaultCode, keyword: &str) -> Fault {
    Fault::new(code).named(keyword.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\nCID=fffffffe\nparentCID=ffffffff\n\
        isNativeSnapshot=\"no\"\ncreateType=\"twoGbMaxExtentSparse\"\n\n# Extent description\n\
        RW 4192256 SPARSE \"a b-s001.vmdk\"\n RW 100 FLAT \"x\" 7 \n\n# DDB\n\nddb.adapterType = \"ide\"\n";

    fn refusal(text: &str) -> FaultCode {
        parse(text.as_bytes()).unwrap_err().code
    }

    #[test]
    fn a_descriptor_is_read_whatever_its_line_ends() {
        for text in [
            GOOD.to_owned(),
            GOOD.replace('\n', "\r\n"),
            format!("{GOOD}\0\0garbage"),
        ] {
            let found = parse(text.as_bytes()).unwrap();
            assert_eq!(found.create_type, b"twoGbMaxExtentSparse");
            assert_eq!((found.cid, found.parent_cid), (0xffff_fffe, 0xffff_ffff));
            assert_eq!(found.parent_name, None);
            assert_eq!(
                found.extents,
                [
                    Line {
                        sectors: 4_192_256,
                        kind: LineKind::Sparse,
                        name: b"a b-s001.vmdk".to_vec()
                    },
                    Line {
                        sectors: 100,
                        kind: LineKind::Flat { sector: 7 },
                        name: b"x".to_vec()
                    },
                ]
            );
        }
    }

    #[test]
    fn the_parent_is_found() {
        let text = GOOD.replace("createType", "parentFileNameHint=\"base disk.vmdk\"\ncreateType");
        assert_eq!(
            parse(text.as_bytes()).unwrap().parent_name,
            Some(b"base disk.vmdk".to_vec())
        );
        for bad in [
            "parentFileNameHint=base\n",
            "parentFileNameHint=\"\"\n",
            "parentFileNameHint=\"a\"b\"\n",
        ] {
            assert_eq!(
                refusal(&GOOD.replace("createType", &format!("{bad}createType"))),
                fault::vmdk::DESCRIPTOR
            );
        }
    }

    #[test]
    fn what_must_be_said_must_be_said_well() {
        for (from, to) in [
            ("CID=fffffffe\n", ""),
            ("parentCID=ffffffff\n", ""),
            ("createType=\"twoGbMaxExtentSparse\"\n", ""),
            ("CID=fffffffe", "CID=0xff"),
            ("CID=fffffffe", "CID=123456789"),
            ("CID=fffffffe", "CID="),
            ("=\"twoGb", "=twoGb"),
            ("version=1", "version=one"),
        ] {
            assert_eq!(
                refusal(&GOOD.replacen(from, to, 1)),
                fault::vmdk::DESCRIPTOR,
                "{from} {to}"
            );
        }
        assert_eq!(
            refusal(&GOOD.replace("version=1", "version=4")),
            fault::vmdk::VERSION
        );
        assert_eq!(refusal(""), fault::vmdk::DESCRIPTOR);
    }

    #[test]
    fn texts_that_readers_would_take_differently_are_refused() {
        for (from, to) in [
            ("CID=fffffffe\n", "CID=fffffffe\nCID=1\n"),
            ("CID=fffffffe\n", "CID=fffffffe\ncid=1\n"),
            ("# Disk", "# CID=1 Disk"),
            ("# Disk", "# createType=\"vmfs\" Disk"),
            ("createType", "CreateType=\"vmfs\"\ncreateType"),
            ("createType", "xcreateType=\"vmfs\"\ncreateType"),
            (
                "CID=fffffffe\nparentCID=ffffffff\n",
                "parentCID=ffffffff\nCID=fffffffe\n",
            ),
            ("a b-s001", "parentFileNameHint=\\"),
            ("version=1\n", "version=1\nversion=1\n"),
        ] {
            assert!(GOOD.contains(from) || from.contains("CID"), "{from}");
            let text = GOOD.replacen("encoding=\"UTF-8\"\n", "", 1).replacen(from, to, 1);
            assert_eq!(refusal(&text), fault::vmdk::AMBIGUOUS, "{from} {to}");
        }
    }

    #[test]
    fn lines_of_no_known_shape_are_refused() {
        for line in [
            "garbage",
            "RW",
            "=1",
            "a b=1",
            "CID =1",
            "\u{1}=2",
            "createType= \"x\"",
        ] {
            let refused = refusal(&format!("{GOOD}{line}\n"));
            assert!(
                [fault::vmdk::LINE, fault::vmdk::EXTENT_LINE].contains(&refused),
                "{line}"
            );
        }
    }

    #[test]
    fn extent_lines_are_exact() {
        for (line, code) in [
            ("RW 0 SPARSE \"a\"", fault::vmdk::EXTENT_LINE),
            ("RW -1 SPARSE \"a\"", fault::vmdk::EXTENT_LINE),
            ("RW 18446744073709551616 SPARSE \"a\"", fault::vmdk::EXTENT_LINE),
            ("RW 1 SPARSE a", fault::vmdk::EXTENT_LINE),
            ("RW 1 SPARSE \"a", fault::vmdk::EXTENT_LINE),
            ("RW 1 SPARSE \"\"", fault::vmdk::EXTENT_LINE),
            ("RW 1 SPARSE \"a\" 0", fault::vmdk::EXTENT_LINE),
            ("RW 1 FLAT \"a\"", fault::vmdk::EXTENT_LINE),
            ("RW 1 FLAT \"a\" -1", fault::vmdk::EXTENT_LINE),
            ("RW 1 FLAT \"a\" 0 junk", fault::vmdk::EXTENT_LINE),
            ("RW 1 VMFS \"a\" 0", fault::vmdk::EXTENT_LINE),
            ("RW 1 ZERO", fault::vmdk::EXTENT_TYPE),
            ("RW 1 VMFSRDM \"a\"", fault::vmdk::EXTENT_TYPE),
            ("RDONLY 1 FLAT \"a\" 0", fault::vmdk::EXTENT_TYPE),
            ("NOACCESS 1 FLAT \"a\" 0", fault::vmdk::EXTENT_TYPE),
        ] {
            assert_eq!(refusal(&format!("{GOOD}{line}\n")), code, "{line}");
        }
        let many = "RW 1 FLAT \"a\" 0\n".repeat(EXTENTS_MAX);
        assert_eq!(refusal(&format!("{GOOD}{many}")), fault::vmdk::EXTENT_COUNT);
    }

    #[test]
    fn only_zeros_may_follow_the_text_of_a_descriptor_file() {
        assert!(!has_more_after_text(b"text"));
        assert!(!has_more_after_text(b"text\0\0\0"));
        assert!(has_more_after_text(b"text\0\0x"));
        // A content ID has become shorter by two digits, by seven, and something else has happened.
        assert!(!has_more_after_text(b"text\n\0\n\0\0"));
        assert!(!has_more_after_text(b"0123456789\n\x0056789\n\0"));
        assert!(has_more_after_text(b"text\n\0x\0\0"));
        assert!(has_more_after_text(b"text\n\0\n\0\n"));
        assert!(has_more_after_text(b"0123456789\n\x00456789\n\0"));
    }

    #[test]
    fn no_bytes_make_the_parser_panic() {
        let mut state = 1_u64;
        for round in 0..2000 {
            let mut text = GOOD.as_bytes().to_vec();
            for _ in 0..=round % 4 {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                let at = usize::try_from(state >> 33).unwrap() % text.len();
                text[at] = state.to_le_bytes()[3];
            }
            let _ = parse(&text);
        }
    }
}
