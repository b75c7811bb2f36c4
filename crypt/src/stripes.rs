//! The anti-forensic splitter of LUKS: a key that is spread over so many stripes that losing any bit of them loses it.

use instar_disk::{HashName, Result, to_usize};

use crate::{Random, Secret, digest};

/// Stripes of a key, in every header.
pub const STRIPES: u32 = 4000;

/// The key behind `stripes`, which are as many pieces of `key_bytes`.
#[must_use]
pub fn merge(hash: HashName, key_bytes: usize, stripes: &[u8]) -> Secret {
    let mut key = Secret::zeros(key_bytes);
    let mut rest = stripes.chunks_exact(key_bytes.max(1)).peekable();
    while let Some(stripe) = rest.next() {
        blend(key.bytes_mut(), stripe);
        if rest.peek().is_some() {
            diffuse(hash, key.bytes_mut());
        }
    }
    key
}

/// `key` as stripes, of which all but the last are random.
///
/// # Errors
/// The stripes do not fit memory.
pub fn split(hash: HashName, key: &[u8], stripes: u32, random: &mut Random) -> Result<Secret> {
    let count = to_usize(stripes.into())?;
    let mut all = Secret::zeros(key.len().saturating_mul(count));
    let mut sum = Secret::zeros(key.len());
    let mut rest = all.bytes_mut().chunks_exact_mut(key.len().max(1)).peekable();
    while let Some(stripe) = rest.next() {
        if rest.peek().is_some() {
            random.fill(stripe)?;
            blend(sum.bytes_mut(), stripe);
            diffuse(hash, sum.bytes_mut());
        } else {
            stripe.copy_from_slice(key);
            blend(stripe, sum.bytes());
        }
    }
    Ok(all)
}

fn blend(to: &mut [u8], from: &[u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to ^= from;
    }
}

/// Hashes each piece that is as long as a digest, with its number before it.
fn diffuse(hash: HashName, block: &mut [u8]) {
    for (number, piece) in (0_u32..).zip(block.chunks_mut(hash.digest_bytes())) {
        let hashed = Secret::new(digest(hash, &[&number.to_be_bytes(), piece]));
        for (to, from) in piece.iter_mut().zip(hashed.bytes()) {
            *to = *from;
        }
    }
}
