//! Base 64 as the reference tool takes it.

use zeroize::Zeroizing;

/// The bytes that `text` stands for. Lines may end anywhere, and what is left of an incomplete group of four at the end is dropped.
///
/// # Errors
/// The message.
pub fn decode(text: &[u8]) -> Result<Zeroizing<Vec<u8>>, Vec<u8>> {
    if text.contains(&0) {
        return Err(b"Base64 data contains embedded NUL characters".to_vec());
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let (mut group, mut digits, mut padding) = (0_u32, 0, [false; 4]);
    for symbol in text.iter().copied().filter(|symbol| *symbol != b'\n') {
        let digit = value(symbol).ok_or_else(|| b"Base64 data contains invalid characters".to_vec())?;
        group = group << 6 | digit;
        padding[digits] = symbol == b'=';
        digits += 1;
        if digits == 4 {
            let [_, first, second, third] = group.to_be_bytes();
            bytes.push(first);
            bytes.extend((!padding[2]).then_some(second));
            bytes.extend((!padding[3]).then_some(third));
            (group, digits) = (0, 0);
        }
    }
    Ok(bytes)
}

/// The six bits of a symbol; those of the padding are zero.
const fn value(symbol: u8) -> Option<u32> {
    let digit = match symbol {
        b'A'..=b'Z' => symbol - b'A',
        b'a'..=b'z' => symbol - b'a' + 26,
        b'0'..=b'9' => symbol - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        b'=' => 0,
        _ => return None,
    };
    Some(digit as u32)
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn the_examples_of_rfc_4648_are_read() {
        let pairs = [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9v\nYg==\n", "foob"),
            ("Zm9vYmE=", "fooba"),
            ("Zm9vYmFy", "foobar"),
        ];
        for (text, bytes) in pairs {
            assert_eq!(&**decode(text.as_bytes()).unwrap(), bytes.as_bytes());
        }
        assert!(decode(b"Zm9v!").is_err() && decode(b"Zm9\0").is_err());
    }
}
