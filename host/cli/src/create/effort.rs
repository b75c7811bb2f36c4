//! How many iterations of PBKDF2 take a time on this machine: what `iter-time` means is made of it in the sandbox.
//!
//! The host measures it, by the same code as the sandbox derives keys with, and in the time that this thread has worked: other programs
//! that keep the processor busy must not make keys weak.

use std::time::Duration;

use hmac::digest::{FixedOutput, KeyInit, Update};
use hmac::{EagerHash, Hmac};
use instar_abi::HashName;
use instar_abi::job::Speed;
use rustix::time::{ClockId, clock_gettime};

/// What is measured. Ours: long enough for the clock and for the processor to speed up.
const SAMPLE: Duration = Duration::from_millis(40);

/// Iterations between two looks at the clock.
const PIECE: u32 = 4096;

/// How fast keys are derived with a hash, for a time that the user gave.
pub(super) fn speed(hash: HashName, milliseconds: u64) -> Speed {
    Speed {
        iterations: rate(hash),
        milliseconds,
    }
}

/// The same for every hash.
pub(super) fn speeds(milliseconds: u64) -> Vec<(HashName, Speed)> {
    let all = HashName::ALL.iter();
    all.map(|hash| (*hash, speed(*hash, milliseconds))).collect()
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
