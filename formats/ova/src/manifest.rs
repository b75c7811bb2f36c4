//! The manifest: a line for each file, `SHA256(name)= digest`, or with spaces as other programs print it.

use alloc::vec::Vec;

use instar_disk::fault::ova as faults;
use instar_disk::{Fault, HashName, Result, from_usize};

use crate::members::plain;

/// What the bytes of a file must come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The hash function.
    pub hash: HashName,
    /// The digest.
    pub digest: Vec<u8>,
}

/// What `manifest` says of the file called `name`, in all lines that name it.
///
/// # Errors
/// `MANIFEST_LINE`, `MANIFEST_HASH`.
pub(crate) fn expected(manifest: &[u8], name: &[u8]) -> Result<Vec<Expected>> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(manifest.split(|byte| *byte == b'\n')) {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let wrong = || Fault::new(faults::MANIFEST_LINE).with([number]);
        let (word, named, digest) = parts(line).ok_or_else(wrong)?;
        if plain(named) != name {
            continue;
        }
        let hash = HASHES.iter().find(|(known, _, _)| word == *known);
        let (_, hash, bytes) =
            hash.ok_or_else(|| Fault::new(faults::MANIFEST_HASH).with([number]).named(word))?;
        let digest = hexadecimal(digest).filter(|digest| from_usize(digest.len()) == *bytes);
        found.push(Expected {
            hash: *hash,
            digest: digest.ok_or_else(wrong)?,
        });
    }
    Ok(found)
}

/// The word for the hash function, the name, and the digest.
fn parts(line: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let open = line.iter().position(|byte| *byte == b'(')?;
    // A name may have parentheses itself; a digest has none.
    let close = line.iter().rposition(|byte| *byte == b')')?;
    let name = line.get(open.checked_add(1)?..close)?;
    let digest = line.get(close.checked_add(1)?..)?.trim_ascii_start();
    let digest = digest.strip_prefix(b"=")?;
    Some((
        line.get(..open)?.trim_ascii_end(),
        name,
        digest.trim_ascii_start(),
    ))
}

fn hexadecimal(digits: &[u8]) -> Option<Vec<u8>> {
    let (pairs, []) = digits.as_chunks::<2>() else {
        return None;
    };
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let byte = |pair: &[u8; 2]| Some(digit(pair[0])? << 4 | digit(pair[1])?);
    pairs.iter().map(byte).collect()
}

/// Words, hash functions, and bytes of their digests.
const HASHES: [(&[u8], HashName, u64); 5] = [
    (b"SHA1", HashName::Sha1, 20),
    (b"SHA224", HashName::Sha224, 28),
    (b"SHA256", HashName::Sha256, 32),
    (b"SHA384", HashName::Sha384, 48),
    (b"SHA512", HashName::Sha512, 64),
];

#[cfg(test)]
mod tests {
    use super::*;

    const ONES: &str = "1111111111111111111111111111111111111111";

    fn of(manifest: &str) -> Result<Vec<Expected>> {
        expected(manifest.as_bytes(), b"a (1).vmdk")
    }

    #[test]
    fn both_spellings_are_read() {
        for line in [
            format!("SHA1(a (1).vmdk)= {ONES}\r\n"),
            format!("SHA1 (a (1).vmdk) = {ONES}"),
            format!("\nSHA256(b)= 00\nSHA1(./a (1).vmdk)={ONES}\n"),
        ] {
            let expected = Expected {
                hash: HashName::Sha1,
                digest: [0x11; 20].into(),
            };
            assert_eq!(of(&line), Ok([expected].into()), "{line}");
        }
        assert_eq!(of("SHA1(b)= x"), Ok(Vec::new()));
    }

    #[test]
    fn lines_that_say_nothing_are_refused() {
        for (line, code) in [
            ("nonsense".to_owned(), faults::MANIFEST_LINE),
            (format!("SHA1(a (1).vmdk) {ONES}"), faults::MANIFEST_LINE),
            (format!("SHA1(a (1).vmdk)= {ONES}11"), faults::MANIFEST_LINE),
            (format!("SHA256(a (1).vmdk)= {ONES}"), faults::MANIFEST_LINE),
            (
                format!("SHA1(a (1).vmdk)= x{}", &ONES[1..]),
                faults::MANIFEST_LINE,
            ),
            (format!("MD5(a (1).vmdk)= {ONES}"), faults::MANIFEST_HASH),
            (")(".to_owned(), faults::MANIFEST_LINE),
        ] {
            assert_eq!(of(&line).unwrap_err().code, code, "{line}");
        }
    }
}
