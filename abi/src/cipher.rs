//! How the sectors of a sealed disk are encrypted: names only, no cryptography.
//!
//! ```text
//!  qemu-img's options                                   a LUKS header
//!  cipher-alg=aes-256                                   cipher name  aes
//!  cipher-mode=cbc ivgen-alg=essiv ivgen-hash-alg=sha256  cipher mode  cbc-essiv:sha256
//!                                                       key bytes    32 (xts: twice the cipher's)
//! ```

use alloc::string::String;
use serde::{Deserialize, Serialize};

/// Declares an enum whose values have one name each, which options and headers share.
macro_rules! names {
    ($(#[$doc:meta])+ $name:ident { $($(#[$value_doc:meta])+ $value:ident = $text:literal,)+ }) => {
        $(#[$doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$value_doc])+ $value,)+
        }

        impl $name {
            /// All of them, in qemu-img's order.
            pub const ALL: &[Self] = &[$(Self::$value),+];

            /// Its name, in options and in headers.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$value => $text,)+
                }
            }

            /// The one of that name.
            #[must_use]
            pub fn named(name: &[u8]) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.name().as_bytes() == name)
            }
        }
    };
}

names! {
    /// A block cipher with the length of its key, by the name that qemu-img's options have for it.
    CipherAlgorithm {
        /// AES with a key of 16 bytes.
        Aes128 = "aes-128",
        /// AES with a key of 24 bytes.
        Aes192 = "aes-192",
        /// AES with a key of 32 bytes.
        Aes256 = "aes-256",
        /// CAST5 with a key of 16 bytes. Its blocks have 8 bytes.
        Cast5 = "cast5-128",
        /// Serpent with a key of 16 bytes.
        Serpent128 = "serpent-128",
        /// Serpent with a key of 24 bytes.
        Serpent192 = "serpent-192",
        /// Serpent with a key of 32 bytes.
        Serpent256 = "serpent-256",
        /// Twofish with a key of 16 bytes.
        Twofish128 = "twofish-128",
        /// Twofish with a key of 24 bytes.
        Twofish192 = "twofish-192",
        /// Twofish with a key of 32 bytes.
        Twofish256 = "twofish-256",
    }
}

impl CipherAlgorithm {
    /// Bytes of one key.
    #[must_use]
    pub const fn key_bytes(self) -> usize {
        match self {
            Self::Aes128 | Self::Cast5 | Self::Serpent128 | Self::Twofish128 => 16,
            Self::Aes192 | Self::Serpent192 | Self::Twofish192 => 24,
            Self::Aes256 | Self::Serpent256 | Self::Twofish256 => 32,
        }
    }

    /// Bytes of a block.
    #[must_use]
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::Cast5 => 8,
            _ => 16,
        }
    }

    /// The name in a LUKS header, which leaves the length of the key to another field.
    #[must_use]
    pub const fn luks_name(self) -> &'static str {
        match self {
            Self::Aes128 | Self::Aes192 | Self::Aes256 => "aes",
            Self::Cast5 => "cast5",
            Self::Serpent128 | Self::Serpent192 | Self::Serpent256 => "serpent",
            Self::Twofish128 | Self::Twofish192 | Self::Twofish256 => "twofish",
        }
    }

    /// The one that a LUKS header names so, with a key of so many bytes.
    #[must_use]
    pub fn from_luks(name: &[u8], key_bytes: usize) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|one| one.luks_name().as_bytes() == name && one.key_bytes() == key_bytes)
    }
}

names! {
    /// How the blocks of a sector depend on each other.
    CipherMode {
        /// Not at all.
        Ecb = "ecb",
        /// Each on the one before it.
        Cbc = "cbc",
        /// Each on its place in the sector, by a second key.
        Xts = "xts",
        /// Not at all: the cipher makes a stream of key bytes.
        Ctr = "ctr",
    }
}

names! {
    /// How the number of a sector becomes its initialisation vector.
    IvGenerator {
        /// Its lower 32 bits.
        Plain = "plain",
        /// The number.
        Plain64 = "plain64",
        /// The number, encrypted under a hash of the key.
        Essiv = "essiv",
    }
}

names! {
    /// A hash function.
    HashName {
        /// 16 bytes.
        Md5 = "md5",
        /// 20 bytes.
        Sha1 = "sha1",
        /// 28 bytes.
        Sha224 = "sha224",
        /// 32 bytes.
        Sha256 = "sha256",
        /// 48 bytes.
        Sha384 = "sha384",
        /// 64 bytes.
        Sha512 = "sha512",
        /// 20 bytes.
        Ripemd160 = "ripemd160",
        /// 32 bytes.
        Sm3 = "sm3",
    }
}

impl HashName {
    /// Bytes of a digest.
    #[must_use]
    pub const fn digest_bytes(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 | Self::Ripemd160 => 20,
            Self::Sha224 => 28,
            Self::Sha256 | Self::Sm3 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// How sectors are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CipherSpec {
    /// The cipher.
    pub algorithm: CipherAlgorithm,
    /// How the blocks of a sector depend on each other.
    pub mode: CipherMode,
    /// How the number of a sector becomes its initialisation vector.
    pub ivgen: IvGenerator,
    /// The hash of [`IvGenerator::Essiv`]. The other generators may have one, which does nothing but stand in the header.
    pub ivhash: Option<HashName>,
}

impl CipherSpec {
    /// Bytes of the key of a disk: XTS has two.
    #[must_use]
    pub const fn key_bytes(&self) -> usize {
        match self.mode {
            CipherMode::Xts => self.algorithm.key_bytes().saturating_mul(2),
            _ => self.algorithm.key_bytes(),
        }
    }

    /// The mode as a LUKS header has it: `xts-plain64`, `cbc-essiv:sha256`.
    #[must_use]
    pub fn luks_mode(&self) -> String {
        let (mode, ivgen) = (self.mode.name(), self.ivgen.name());
        match self.ivhash {
            Some(hash) => alloc::format!("{mode}-{ivgen}:{}", hash.name()),
            None => alloc::format!("{mode}-{ivgen}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cipher_has_its_names_in_headers_and_in_options() {
        let spec = CipherSpec {
            algorithm: CipherAlgorithm::Serpent192,
            mode: CipherMode::Cbc,
            ivgen: IvGenerator::Essiv,
            ivhash: Some(HashName::Sha256),
        };
        assert_eq!(spec.algorithm.name(), "serpent-192");
        assert_eq!(spec.algorithm.luks_name(), "serpent");
        assert_eq!(spec.luks_mode(), "cbc-essiv:sha256");
        assert_eq!(spec.key_bytes(), 24);
    }

    #[test]
    fn a_header_names_a_cipher_by_name_and_key() {
        for algorithm in CipherAlgorithm::ALL {
            let (name, bytes) = (algorithm.luks_name().as_bytes(), algorithm.key_bytes());
            assert_eq!(CipherAlgorithm::from_luks(name, bytes), Some(*algorithm));
            assert_eq!(
                CipherAlgorithm::named(algorithm.name().as_bytes()),
                Some(*algorithm)
            );
        }
        assert_eq!(CipherAlgorithm::from_luks(b"cast5", 32), None);
        assert_eq!(CipherAlgorithm::from_luks(b"aes-256", 32), None);
    }
}
