//! Bytes that nobody else may see.

use alloc::vec::Vec;
use core::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A key, a passphrase or what comes between them. Wiped when it is dropped, and never printed.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// So many zeros, to be filled.
    #[must_use]
    pub fn zeros(bytes: usize) -> Self {
        Self(Zeroizing::new(alloc::vec![0; bytes]))
    }

    /// Takes the bytes over: no copy stays behind, if `bytes` never grew.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A copy of `bytes`.
    #[must_use]
    pub fn copy_of(bytes: &[u8]) -> Self {
        Self::new(bytes.to_vec())
    }

    /// What is secret.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The same, to be filled.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

/// In the same time whatever the bytes are.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        equal(self.bytes(), other.bytes())
    }
}

impl Eq for Secret {}

/// Whether both are the same bytes, found out in a time that depends on nothing but their lengths.
#[must_use]
pub(crate) fn equal(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn a_secret_is_not_printed() {
        let secret = Secret::copy_of(b"correct horse");
        assert_eq!(format!("{secret:?}"), "Secret(13 bytes)");
    }

    #[test]
    fn secrets_are_equal_byte_for_byte() {
        let secret = Secret::copy_of(b"abc");
        assert_eq!(secret, Secret::copy_of(b"abc"));
        assert_ne!(secret, Secret::copy_of(b"abd"));
        assert_ne!(secret, Secret::copy_of(b"ab"));
    }
}
