//! What a differencing disk says of its parent.

use alloc::string::String;
use alloc::vec::Vec;

use instar_disk::fault::vhdx as faults;
use instar_disk::{Fault, ImageText, Result, report, to_usize};
use zerocopy::FromBytes;

use crate::raw::{Guid, LOCATOR_VHDX, RawParentLocatorEntry, RawParentLocatorHeader};
use crate::replayed::Replayed;

/// Bytes of a parent locator that are read. Ours: keys and values have 16-bit lengths, and paths are shorter still.
const LOCATOR: u64 = 64 << 10;

/// Keys and values that are looked at. Ours; the specification has five.
const PAIRS: usize = 64;

/// What the locator says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parent {
    /// Where the parent is, if its name can be found.
    pub(crate) backing: Option<report::Backing>,
    /// Identifiers of which the parent must have one, as they stand there; none: nobody said.
    linkages: Vec<String>,
}

impl Parent {
    /// Reads the locator of `length` bytes at `offset`. The name is the relative path if there is one, else the last component of an
    /// absolute one. An absolute path of another machine leads nowhere, but the parent usually lies beside its child.
    pub(crate) fn read(file: &Replayed<'_>, offset: u64, length: u64) -> Result<Self> {
        let mut item: Vec<u8> = alloc::vec![0; to_usize(length.min(LOCATOR))?];
        file.read(offset, &mut item)?;
        let value = |key| value(&item, key);
        let absolute = || {
            let path = path(value("absolute_win32_path").or_else(|| value("volume_path"))?);
            path.rsplit(['/', ':']).next().map(String::from)
        };
        let relative = value("relative_path").map(path);
        let name = relative.map(|path| path.trim_start_matches("./").into());
        let name = name.or_else(absolute).filter(|name| !name.is_empty());
        Ok(Self {
            backing: name.map(|name| report::Backing {
                name: ImageText::new(name.as_bytes()),
                format: Some(ImageText::new(b"vhdx")),
            }),
            linkages: ["parent_linkage", "parent_linkage2"]
                .into_iter()
                .filter_map(value)
                .map(|text| digits(&text))
                .collect(),
        })
    }

    /// Whether a parent of this identity is the one.
    ///
    /// # Errors
    /// `PARENT_IDENTITY`.
    pub(crate) fn check(&self, identity: Option<Guid>) -> Result<()> {
        let found = crate::region::text(&identity.unwrap_or_default());
        if self.linkages.is_empty() || self.linkages.contains(&found) {
            return Ok(());
        }
        let text = alloc::format!("{found}, not {}", self.linkages.join(" or "));
        Err(Fault::new(faults::PARENT_IDENTITY).named(text.as_bytes()))
    }
}

fn path(text: String) -> String {
    text.replace('\\', "/")
}

/// A GUID's 32 digits, without braces and dashes; one more where there are more.
fn digits(text: &str) -> String {
    text.chars()
        .filter(char::is_ascii_hexdigit)
        .take(33)
        .map(|digit| digit.to_ascii_lowercase())
        .collect()
}

/// The value of `wanted`.
fn value(item: &[u8], wanted: &str) -> Option<String> {
    let (header, entries) = RawParentLocatorHeader::read_from_prefix(item).ok()?;
    if header.locator_type != LOCATOR_VHDX {
        return None;
    }
    entries
        .chunks_exact(12)
        .take(usize::from(header.key_value_count.get()).min(PAIRS))
        .filter_map(|raw| RawParentLocatorEntry::read_from_bytes(raw).ok())
        .find(|raw| {
            let key = part(item, raw.key_offset.get(), raw.key_length.get());
            key.and_then(decode).as_deref() == Some(wanted)
        })
        .and_then(|raw| part(item, raw.value_offset.get(), raw.value_length.get()))
        .and_then(decode)
}

fn part(item: &[u8], offset: u32, length: u16) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    item.get(start..start.checked_add(usize::from(length))?)
}

/// UTF-16, little-endian.
fn decode(bytes: &[u8]) -> Option<String> {
    let units = bytes
        .chunks_exact(2)
        .filter_map(|pair| <[u8; 2]>::try_from(pair).ok())
        .map(u16::from_le_bytes)
        .take_while(|unit| *unit != 0);
    char::decode_utf16(units)
        .collect::<core::result::Result<_, _>>()
        .ok()
}
