//! What a differencing disk says of its parent.

use alloc::string::String;
use alloc::vec::Vec;

use instar_disk::{File, ImageText, Result, limits, report, to_usize};

use crate::raw::{PLATFORM_W2KU, PLATFORM_W2RU, RawDynamicHeader, RawParentLocator};

/// The parent's name: the relative path if there is one, else the last component of the absolute path or of the name in the
/// header. An absolute path of another machine leads nowhere, but the parent usually lies beside its child.
pub(crate) fn parent(file: &File<'_>, raw: &RawDynamicHeader) -> Result<Option<report::Backing>> {
    let name = match path(file, raw, PLATFORM_W2RU)? {
        Some(relative) => Some(relative),
        None => path(file, raw, PLATFORM_W2KU)?
            .or_else(|| decode(&raw.parent_unicode_name, u16::from_be_bytes))
            .map(|absolute| last_component(&absolute).into()),
    };
    Ok(name.filter(|name| !name.is_empty()).map(|name| report::Backing {
        name: ImageText::new(name.as_bytes()),
        format: Some(ImageText::new(b"vpc")),
    }))
}

/// The path of the first locator for `platform`, with `/` between its components.
fn path(file: &File<'_>, raw: &RawDynamicHeader, platform: [u8; 4]) -> Result<Option<String>> {
    let of_platform = |locator: &&RawParentLocator| locator.platform_code == platform;
    let Some(locator) = raw.parent_locators.iter().find(of_platform) else {
        return Ok(None);
    };
    let offset = locator.platform_data_offset.get();
    let length = u64::from(locator.platform_data_length.get());
    let end = offset.saturating_add(length);
    if length > instar_disk::from_usize(limits::IMAGE_TEXT) || end > file.size() {
        return Ok(None);
    }
    let mut bytes: Vec<u8> = alloc::vec![0; to_usize(length)?];
    file.read_exact(offset, &mut bytes)?;
    Ok(decode(&bytes, u16::from_le_bytes))
}

/// UTF-16 up to a NUL, as a path with `/`, without a leading `./`.
fn decode(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Option<String> {
    let units = bytes
        .chunks_exact(2)
        .filter_map(|pair| <[u8; 2]>::try_from(pair).ok())
        .map(unit)
        .take_while(|unit| *unit != 0);
    let text: String = char::decode_utf16(units)
        .collect::<core::result::Result<_, _>>()
        .ok()?;
    let path = text.replace('\\', "/");
    let path = path.trim_start_matches("./");
    (!path.is_empty()).then(|| path.into())
}

fn last_component(path: &str) -> &str {
    path.rsplit(['/', ':']).next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_paths_become_plain_ones() {
        let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
        let decoded = |text: &str| decode(&utf16(text), u16::from_le_bytes);
        assert_eq!(decoded(".\\parent.vhd").as_deref(), Some("parent.vhd"));
        assert_eq!(decoded("..\\base\\p.vhd\0junk").as_deref(), Some("../base/p.vhd"));
        assert_eq!(decoded(""), None);
        assert_eq!(decode(&[0x00, 0xd8], u16::from_le_bytes), None);
        assert_eq!(last_component("C:/disks/p.vhd"), "p.vhd");
        assert_eq!(last_component("C:p.vhd"), "p.vhd");
    }
}
