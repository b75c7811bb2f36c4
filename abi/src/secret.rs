//! Passphrases and keys on their way from the host to the guest.
//!
//! They are no part of the job, which is shown, copied and kept: they have a place of their own in the guest's memory, which the guest
//! wipes as soon as it has made keys of them.

use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::text::ImageText;

/// Bytes that are shown to nobody, and wiped when they are dropped.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Takes the bytes. They are not to grow any more: what a vector leaves behind when it moves is not wiped.
    #[must_use]
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A secret, and the name by which the job refers to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedSecret {
    /// The name that the user gave it.
    pub id: ImageText,
    /// What it holds.
    pub content: Secret,
}

impl NamedSecret {
    /// The name of what the user did not name: random bytes for new keys. A user's name begins with a letter.
    pub const RANDOM: &[u8] = b"";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let secret = NamedSecret {
            id: ImageText::new(b"one"),
            content: Secret::new(b"passphrase".to_vec()),
        };
        let shown = alloc::format!("{secret:?}");
        assert!(!shown.contains("112") && !shown.contains("pass"), "{shown}");
    }
}
