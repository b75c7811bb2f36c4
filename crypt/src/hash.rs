//! Hash functions by name.

use alloc::boxed::Box;
use alloc::vec::Vec;

use instar_disk::HashName;
use md5::Md5;
use ripemd::Ripemd160;
use sha1::Sha1;
use sha2::digest::Digest;
use sha2::{Sha224, Sha256, Sha384, Sha512};
use sm3::Sm3;

/// Calls a function that is generic over hash functions with the one of that name.
macro_rules! with_hash {
    ($name:expr, $function:ident($($argument:expr),*)) => {
        match $name {
            HashName::Md5 => $function::<Md5>($($argument),*),
            HashName::Sha1 => $function::<Sha1>($($argument),*),
            HashName::Sha224 => $function::<Sha224>($($argument),*),
            HashName::Sha256 => $function::<Sha256>($($argument),*),
            HashName::Sha384 => $function::<Sha384>($($argument),*),
            HashName::Sha512 => $function::<Sha512>($($argument),*),
            HashName::Ripemd160 => $function::<Ripemd160>($($argument),*),
            HashName::Sm3 => $function::<Sm3>($($argument),*),
        }
    };
}
pub(crate) use with_hash;

/// The digest of `parts`, one after the other.
#[must_use]
pub fn digest(hash: HashName, parts: &[&[u8]]) -> Vec<u8> {
    with_hash!(hash, digest_of(parts))
}

fn digest_of<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
    let mut hasher = D::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().to_vec()
}

/// A digest in the making, of bytes that do not come all at once.
pub struct Hasher(Box<dyn Running + Send>);

impl Hasher {
    /// Of nothing so far.
    #[must_use]
    pub fn new(hash: HashName) -> Self {
        Self(with_hash!(hash, running()))
    }

    /// Takes more.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all that it took.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.0.finish()
    }
}

/// A hash function at work, whichever it is.
trait Running {
    fn update(&mut self, bytes: &[u8]);
    fn finish(self: Box<Self>) -> Vec<u8>;
}

struct Of<D>(D);

impl<D: Digest> Running for Of<D> {
    fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(self: Box<Self>) -> Vec<u8> {
        self.0.finalize().to_vec()
    }
}

fn running<D: Digest + Send + 'static>() -> Box<dyn Running + Send> {
    Box::new(Of(D::new()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_does_not_depend_on_how_the_bytes_come() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
        for hash in HashName::ALL {
            let mut hasher = Hasher::new(*hash);
            for part in bytes.chunks(77) {
                hasher.update(part);
            }
            assert_eq!(hasher.finish(), digest(*hash, &[&bytes]), "{}", hash.name());
        }
    }
}
