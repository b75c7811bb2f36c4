//! Digests of 32 bytes.

use sha2::Digest as _;

/// Bytes of a digest.
pub const DIGEST_BYTES: usize = 32;

/// A digest of either hash function.
pub type Digest = [u8; DIGEST_BYTES];

/// The digest of `parts`, one after the other.
#[must_use]
pub fn digest(algorithm: instar_disk::job::Algorithm, parts: &[&[u8]]) -> Digest {
    use instar_disk::job::Algorithm;
    match algorithm {
        Algorithm::Blake3 => {
            let mut hasher = blake3::Hasher::new();
            for part in parts {
                hasher.update(part);
            }
            hasher.finalize().into()
        }
        Algorithm::Sha256 => {
            let mut hasher = sha2::Sha256::new();
            for part in parts {
                hasher.update(part);
            }
            hasher.finalize().into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::digest;
    use instar_disk::job::Algorithm;

    fn hexadecimal(bytes: [u8; 32]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The values that the specifications give for three letters: FIPS 180-4, and the BLAKE3 paper's reference program.
    #[test]
    fn digests_match_known_answers() {
        for (algorithm, expected) in [
            (
                Algorithm::Sha256,
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
            (
                Algorithm::Blake3,
                "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85",
            ),
        ] {
            assert_eq!(hexadecimal(digest(algorithm, &[b"abc"])), expected);
            assert_eq!(hexadecimal(digest(algorithm, &[b"a", b"", b"bc"])), expected);
        }
    }
}
