//! The one printer of strings that came out of an image.

use std::fmt::{Display, Formatter, Result, Write};

/// Bytes from an image, safe on a terminal and on a line: control characters, direction marks and invalid UTF-8 appear
/// as escapes.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a [u8]);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                match character {
                    '\0'..=' ' if character != ' ' => write!(f, "\\x{:02x}", u32::from(character))?,
                    '\x7f' => f.write_str("\\x7f")?,
                    _ if misleads(character) => write!(f, "{}", character.escape_unicode())?,
                    _ => f.write_char(character)?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Characters that change how the rest of the line looks: C1 controls, line and paragraph separators, direction marks.
const fn misleads(character: char) -> bool {
    matches!(
        character,
        '\u{80}'..='\u{9f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
    )
}

#[cfg(test)]
mod tests {
    use super::Escaped;

    #[test]
    fn plain_text_stays_and_controls_do_not() {
        for (bytes, shown) in [
            (&b"base image.qcow2"[..], "base image.qcow2"),
            ("näme".as_bytes(), "näme"),
            (b"a\nb\x1b[2J\x7f", "a\\x0ab\\x1b[2J\\x7f"),
            (b"\xff\xc3", "\\xff\\xc3"),
            ("a\u{202e}b".as_bytes(), "a\\u{202e}b"),
            ("\u{85}".as_bytes(), "\\u{85}"),
        ] {
            assert_eq!(Escaped(bytes).to_string(), shown);
        }
    }
}
