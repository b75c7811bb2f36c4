//! base64, as property lists have it: with line breaks and indentation.

/// Decodes `text` where it stands; gives the bytes decoded. What is not of the alphabet is skipped, and the first `=` ends it.
pub(crate) fn decode(text: &mut [u8]) -> &[u8] {
    let (mut held, mut bits, mut filled) = (0_u32, 0_u32, 0_usize);
    for at in 0..text.len() {
        let letter = text.get(at).copied().unwrap_or_default();
        if letter == b'=' {
            break;
        }
        let Some(value) = value(letter) else { continue };
        held = (held << 6) | u32::from(value);
        bits = bits.saturating_add(6);
        if bits >= 8 {
            bits = bits.saturating_sub(8);
            let [byte, ..] = held.wrapping_shr(bits).to_le_bytes();
            // Four letters are read for three bytes that are written, so this stays behind.
            if let Some(to) = text.get_mut(filled) {
                *to = byte;
            }
            filled = filled.saturating_add(1);
        }
    }
    text.get(..filled).unwrap_or_default()
}

fn value(letter: u8) -> Option<u8> {
    Some(match letter {
        b'A'..=b'Z' => letter.wrapping_sub(b'A'),
        b'a'..=b'z' => letter.wrapping_sub(b'a').wrapping_add(26),
        b'0'..=b'9' => letter.wrapping_sub(b'0').wrapping_add(52),
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn decodes_lines_and_ends_at_the_padding() {
        for (text, bytes) in [
            ("", &b""[..]),
            ("AA==", b"\0"),
            ("  bWlz\n\taA==\n", b"mish"),
            ("bWlzaC4u", b"mish.."),
            ("bWlzaC4=uuuu", b"mish."),
            ("////", &[255; 3]),
        ] {
            assert_eq!(decode(&mut text.as_bytes().to_vec()), bytes, "{text}");
        }
    }
}
