//! Base 64 (RFC 4648), as salts and digests are written.

use alloc::vec::Vec;

/// The bytes, if `text` is nothing but them and the padding at its end.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.as_bytes();
    let mut bytes = Vec::new();
    let (groups, []) = text.as_chunks::<4>() else {
        return None;
    };
    for (number, group) in groups.iter().enumerate() {
        let last = number.checked_add(1) == Some(groups.len());
        let (digits, gone) = match group {
            [a, b, b'=', b'='] if last => ([*a, *b, b'A', b'A'], 2),
            [a, b, c, b'='] if last => ([*a, *b, *c, b'A'], 1),
            _ => (*group, 0),
        };
        let mut value = 0_u32;
        for digit in digits {
            value = value << 6 | u32::from(six_bits(digit)?);
        }
        let [_, three @ ..] = value.to_be_bytes();
        bytes.extend(three.iter().take(three.len().saturating_sub(gone)));
    }
    Some(bytes)
}

fn six_bits(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => digit.checked_sub(b'A'),
        b'a'..=b'z' => digit.checked_sub(b'a')?.checked_add(26),
        b'0'..=b'9' => digit.checked_sub(b'0')?.checked_add(52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::decode;

    /// RFC 4648, section 10.
    #[test]
    fn base64_gives_the_answers_of_its_standard() {
        for (text, bytes) in [
            ("", &b""[..]),
            ("Zg==", b"f"),
            ("Zm8=", b"fo"),
            ("Zm9v", b"foo"),
            ("Zm9vYg==", b"foob"),
            ("Zm9vYmFy", b"foobar"),
        ] {
            assert_eq!(decode(text).as_deref(), Some(bytes));
        }
        for text in ["Zg", "Zg=", "Z===", "Zg==Zg==", "Zm 9v", "Zm-v"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
