//! From a time to iterations.

use instar_disk::job::Speed;
use instar_disk::{Fault, HashName, Result, fault, from_usize};

use super::Header;

/// The fewest iterations that a new header takes: the LUKS specification and the reference tool.
const LEAST: u32 = 1000;

/// Bytes of the digest of a key.
const DIGEST_BYTES: usize = 20;

/// The digest is tried for each key slot, and takes an eighth of the time: reference tool.
const DIGEST_SHARE: u64 = 8;

/// Iterations for the digest of a key.
pub(super) fn for_digest(speed: Speed, hash: HashName) -> Result<u32> {
    scaled(speed, hash, DIGEST_BYTES, DIGEST_SHARE)
}

/// Iterations for a key slot.
pub(super) fn for_slot(speed: Speed, hash: HashName, key_bytes: usize) -> Result<u32> {
    scaled(speed, hash, key_bytes, 1)
}

/// The same for a disk that exists, by the speed of its hash.
pub(super) fn for_slot_of(header: &Header, speeds: &[(HashName, Speed)]) -> Result<u32> {
    let known = speeds.iter().find(|(hash, _)| *hash == header.hash);
    let speed = known.map(|(_, speed)| *speed).unwrap_or_default();
    for_slot(speed, header.hash, header.key_bytes)
}

fn scaled(speed: Speed, hash: HashName, bytes: usize, share: u64) -> Result<u32> {
    // Each block of the key is derived by itself.
    let blocks = from_usize(bytes.div_ceil(hash.digest_bytes()));
    let rate = speed.iterations.checked_div(blocks).unwrap_or(0);
    let iterations = rate
        .checked_mul(speed.milliseconds)
        .ok_or_else(|| Fault::new(fault::luks::TIME_OVERFLOW).with([rate]))?;
    let iterations = iterations.checked_div(share.saturating_mul(1000)).unwrap_or(0);
    let limit = u64::from(u32::MAX);
    let iterations = u32::try_from(iterations)
        .map_err(|_| Fault::new(fault::luks::TIME_LIMIT).with([iterations, limit]))?;
    Ok(iterations.max(LEAST))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn speed(iterations: u64, milliseconds: u64) -> Speed {
        Speed {
            iterations,
            milliseconds,
        }
    }

    #[test]
    fn a_key_of_two_blocks_has_half_the_iterations() {
        assert_eq!(
            for_slot(speed(1_000_000, 2000), HashName::Sha256, 64),
            Ok(1_000_000)
        );
        assert_eq!(
            for_slot(speed(1_000_000, 2000), HashName::Sha256, 32),
            Ok(2_000_000)
        );
        assert_eq!(for_digest(speed(1_000_000, 2000), HashName::Sha256), Ok(250_000));
        assert_eq!(for_digest(speed(1_000_000, 2000), HashName::Md5), Ok(125_000));
        assert_eq!(for_digest(speed(1_000_000, 0), HashName::Md5), Ok(LEAST));
    }

    #[test]
    fn times_that_no_number_stands_for_are_refused() {
        let refused = |milliseconds| {
            let scaled = for_slot(speed(1_000_000, milliseconds), HashName::Sha256, 32);
            scaled.unwrap_err().code
        };
        assert_eq!(refused(u64::MAX), fault::luks::TIME_OVERFLOW);
        assert_eq!(refused(1 << 40), fault::luks::TIME_LIMIT);
    }
}
