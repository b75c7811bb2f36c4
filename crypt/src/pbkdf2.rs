//! PBKDF2 (RFC 8018) with HMAC, in pieces that can be stopped.

use hmac::digest::{FixedOutput, KeyInit, Update};
use hmac::{EagerHash, Hmac};
use instar_disk::fault::luks as faults;
use instar_disk::{Fault, HashName, Result};
use zeroize::Zeroize;

use crate::Effort;
use crate::hash::with_hash;
use md5::Md5;
use ripemd::Ripemd160;
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};
use sm3::Sm3;

/// Iterations between two questions whether to go on: a few milliseconds.
const PIECE: u32 = 1 << 13;

/// Fills `into` with the key that a passphrase gives.
///
/// # Errors
/// More iterations than allowed, none at all, or the caller's reason to stop.
pub fn pbkdf2(
    hash: HashName,
    passphrase: &[u8],
    salt: &[u8],
    iterations: u32,
    into: &mut [u8],
    effort: &mut Effort<'_>,
) -> Result<()> {
    if iterations == 0 {
        return Err(Fault::new(faults::DERIVATION).named(b"iteration count"));
    }
    effort.allow_iterations(iterations.into())?;
    with_hash!(hash, derive(passphrase, salt, iterations, into, effort))
}

fn derive<D: EagerHash>(
    passphrase: &[u8],
    salt: &[u8],
    iterations: u32,
    into: &mut [u8],
    effort: &mut Effort<'_>,
) -> Result<()>
where
    Hmac<D>: Clone + KeyInit + Update + FixedOutput,
{
    let keyed = <Hmac<D> as KeyInit>::new_from_slice(passphrase)
        .map_err(|_| Fault::new(faults::DERIVATION).named(b"passphrase"))?;
    let length = keyed.clone().finalize_fixed().len();
    for (number, block) in (1_u32..).zip(into.chunks_mut(length)) {
        let mut first = keyed.clone();
        first.update(salt);
        first.update(&number.to_be_bytes());
        let mut link = first.finalize_fixed();
        let mut sum = link.clone();
        let mut left = iterations.saturating_sub(1);
        while left > 0 {
            effort.go_on()?;
            let piece = left.min(PIECE);
            for _ in 0..piece {
                let mut next = keyed.clone();
                next.update(&link);
                next.finalize_into(&mut link);
                for (to, from) in sum.iter_mut().zip(&link) {
                    *to ^= from;
                }
            }
            left = left.saturating_sub(piece);
        }
        block.iter_mut().zip(&sum).for_each(|(to, from)| *to = *from);
        link.zeroize();
        sum.zeroize();
    }
    Ok(())
}
