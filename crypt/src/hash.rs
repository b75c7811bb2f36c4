//! Hash functions by name.

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
