//! How many iterations of PBKDF2 take a time on this machine: what `iter-time` means.
//!
//! The host measures it, by the same code as the sandbox derives keys with, and in the time that this thread has worked: other programs
//! that keep the processor busy must not make keys weak.

use std::time::Duration;

use hmac::digest::{FixedOutput, KeyInit, Update};
use hmac::{EagerHash, Hmac};
use instar_abi::HashName;
use instar_abi::job::LuksCreate;
use rustix::time::{ClockId, clock_gettime};

/// What is measured. Ours: long enough for the clock and for the processor to speed up.
const SAMPLE: Duration = Duration::from_millis(40);

/// Iterations between two looks at the clock.
const PIECE: u32 = 4096;

/// Bytes of the digest of a key.
const DIGEST_BYTES: usize = 20;

/// The digest is tried for each key slot, and takes an eighth of the time: reference tool.
const DIGEST_SHARE: u64 = 8;

/// Iterations for a key slot of `key_bytes`, and for the digest of the key.
///
/// # Errors
/// The message: there are no such numbers.
pub(super) fn iterations(hash: HashName, key_bytes: usize, milliseconds: u64) -> Result<[u32; 2], Vec<u8>> {
    let rate = rate(hash);
    // Each block of the key is derived by itself.
    let each = |bytes: usize| rate / bytes.div_ceil(hash.digest_bytes()) as u64;
    let digest = scaled(each(DIGEST_BYTES), milliseconds, DIGEST_SHARE)?;
    Ok([scaled(each(key_bytes), milliseconds, 1)?, digest])
}

fn scaled(rate: u64, milliseconds: u64, share: u64) -> Result<u32, Vec<u8>> {
    let iterations = rate.checked_mul(milliseconds).ok_or_else(|| {
        format!("PBKDF iterations {rate} too large to scale: Numerical result out of range").into_bytes()
    })?;
    let iterations = iterations / 1000 / share;
    let iterations = u32::try_from(iterations).map_err(|_| {
        let largest = u32::MAX;
        format!("PBKDF iterations {iterations} larger than {largest}").into_bytes()
    })?;
    Ok(iterations.max(LuksCreate::LEAST_ITERATIONS))
}

/// Iterations a second for one block.
fn rate(hash: HashName) -> u64 {
    match hash {
        HashName::Md5 => measured::<md5::Md5>(),
        HashName::Sha1 => measured::<sha1::Sha1>(),
        HashName::Sha224 => measured::<sha2::Sha224>(),
        HashName::Sha256 => measured::<sha2::Sha256>(),
        HashName::Sha384 => measured::<sha2::Sha384>(),
        HashName::Sha512 => measured::<sha2::Sha512>(),
        HashName::Ripemd160 => measured::<ripemd::Ripemd160>(),
        HashName::Sm3 => measured::<sm3::Sm3>(),
    }
}

fn measured<D: EagerHash>() -> u64
where
    Hmac<D>: Clone + KeyInit + Update + FixedOutput,
{
    let Ok(keyed) = <Hmac<D> as KeyInit>::new_from_slice(b"passphrase") else {
        return 0;
    };
    let mut link = keyed.clone().finalize_fixed();
    let mut done = 0_u64;
    let start = worked();
    loop {
        for _ in 0..PIECE {
            let mut next = keyed.clone();
            next.update(&link);
            next.finalize_into(&mut link);
        }
        done += u64::from(PIECE);
        let took = worked().saturating_sub(start);
        if took >= SAMPLE {
            std::hint::black_box(&link);
            let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(1);
            return done.saturating_mul(1_000_000_000) / nanoseconds;
        }
    }
}

/// How long this thread has worked.
fn worked() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::{iterations, scaled};
    use instar_abi::HashName;

    #[test]
    fn a_key_of_two_blocks_has_half_the_iterations() {
        let [slot, digest] = iterations(HashName::Sha256, 64, 1000).unwrap();
        let ratio = f64::from(digest) * 8.0 / f64::from(slot);
        assert!((1.9..2.1).contains(&ratio), "{slot} {digest}");
    }

    #[test]
    fn times_that_no_number_stands_for_are_refused() {
        assert_eq!(scaled(1_000_000, 0, 8), Ok(1000));
        assert_eq!(scaled(1_000_000, 1000, 8), Ok(125_000));
        let words = |outcome: Result<u32, Vec<u8>>| String::from_utf8(outcome.unwrap_err()).unwrap();
        assert!(
            words(scaled(1_000_000, u64::MAX, 1))
                .ends_with("too large to scale: Numerical result out of range")
        );
        assert!(words(scaled(1_000_000, 1 << 40, 1)).ends_with("larger than 4294967295"));
    }
}
