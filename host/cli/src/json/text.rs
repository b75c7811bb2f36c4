//! Strings: ASCII only, other characters as `\uXXXX`, and invalid UTF-8 as U+FFFD.

use std::fmt::Write;

/// The replacement for bytes that are not a character.
const REPLACEMENT: u32 = 0xFFFD;

/// Appends `bytes` as a JSON string.
pub(super) fn quote(out: &mut String, bytes: &[u8]) {
    out.push('"');
    for codepoint in lossy_codepoints(bytes) {
        match codepoint {
            0x22 => out.push_str("\\\""),
            0x5C => out.push_str("\\\\"),
            0x08 => out.push_str("\\b"),
            0x0C => out.push_str("\\f"),
            0x0A => out.push_str("\\n"),
            0x0D => out.push_str("\\r"),
            0x09 => out.push_str("\\t"),
            0x20..0x7F => out.push(char::from_u32(codepoint).unwrap_or('?')),
            0..0x1_0000 => unit(out, codepoint),
            _ => {
                let offset = codepoint - 0x1_0000;
                unit(out, 0xD800 + (offset >> 10));
                unit(out, 0xDC00 + (offset & 0x3FF));
            }
        }
    }
    out.push('"');
}

fn unit(out: &mut String, unit: u32) {
    let _ = write!(out, "\\u{unit:04X}");
}

/// The characters of `bytes`, by the reference tool's rules for invalid ones: surrogates, noncharacters, overlong and
/// cut sequences, each giving one U+FFFD for the bytes that it consumes.
pub fn lossy_codepoints(bytes: &[u8]) -> impl Iterator<Item = u32> + '_ {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let first = *rest.first()?;
        let (codepoint, used) = sequence(first, rest);
        rest = rest.get(used..).unwrap_or_default();
        Some(codepoint)
    })
}

fn sequence(first: u8, bytes: &[u8]) -> (u32, usize) {
    if first < 0x80 {
        return (first.into(), 1);
    }
    let length = usize::try_from(first.leading_ones()).unwrap_or(8);
    if !(2..=6).contains(&length) {
        return (REPLACEMENT, 1);
    }
    let mut codepoint = u32::from(first) & (0x7F >> length);
    for index in 1..length {
        match bytes.get(index) {
            Some(byte) if byte & 0xC0 == 0x80 => codepoint = codepoint << 6 | u32::from(byte & 0x3F),
            _ => return (REPLACEMENT, index),
        }
    }
    // The smallest value that needs a sequence of 2, 3, 4, 5 or 6 bytes; a shorter one would have done for less.
    const SMALLEST: [u32; 5] = [0x80, 0x800, 0x1_0000, 0x20_0000, 0x400_0000];
    let overlong = SMALLEST
        .get(length - 2)
        .is_some_and(|smallest| codepoint < *smallest)
        && !(codepoint == 0 && length == 2);
    let noncharacter = matches!(codepoint, 0xFDD0..=0xFDEF) || codepoint & 0xFFFE == 0xFFFE;
    let surrogate = matches!(codepoint, 0xD800..=0xDFFF);
    if overlong || noncharacter || surrogate || codepoint > 0x10_FFFF {
        return (REPLACEMENT, length);
    }
    (codepoint, length)
}
