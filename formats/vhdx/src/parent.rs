//! What a differencing disk says of its parent.

use alloc::string::String;
use alloc::vec::Vec;

use instar_disk::{ImageText, Result, report, to_usize};
use zerocopy::FromBytes;

use crate::raw::{LOCATOR_VHDX, RawParentLocatorEntry, RawParentLocatorHeader};
use crate::replayed::Replayed;

/// Bytes of a parent locator that are read. Ours: keys and values have 16-bit lengths, and paths are shorter still.
const LOCATOR: u64 = 64 << 10;

/// Keys and values that are looked at. Ours; the specification has five.
const PAIRS: usize = 64;

/// The parent's name from the locator of `length` bytes at `offset`: the relative path if there is one, else the last component
/// of an absolute one. An absolute path of another machine leads nowhere, but the parent usually lies beside its child.
///
/// # Errors
/// The host's.
pub(crate) fn parent(file: &Replayed<'_>, offset: u64, length: u64) -> Result<Option<report::Backing>> {
    let mut item: Vec<u8> = alloc::vec![0; to_usize(length.min(LOCATOR))?];
    file.read(offset, &mut item)?;
    let name = name(&item).filter(|name| !name.is_empty());
    Ok(name.map(|name| report::Backing {
        name: ImageText::new(name.as_bytes()),
        format: Some(ImageText::new(b"vhdx")),
    }))
}

fn name(item: &[u8]) -> Option<String> {
    let (header, entries) = RawParentLocatorHeader::read_from_prefix(item).ok()?;
    if header.locator_type != LOCATOR_VHDX {
        return None;
    }
    let value = |wanted: &str| {
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
            .map(|path| path.replace('\\', "/"))
    };
    if let Some(relative) = value("relative_path") {
        return Some(relative.trim_start_matches("./").into());
    }
    let absolute = value("absolute_win32_path").or_else(|| value("volume_path"))?;
    absolute.rsplit(['/', ':']).next().map(Into::into)
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
