//! XXH64 with seed 0, of which seekable zstd keeps half beside each frame.

/// Bytes that the four lanes take in a turn.
const STRIPE: usize = 32;
const PRIME: [u64; 5] = [
    0x9e37_79b1_85eb_ca87,
    0xc2b2_ae3d_27d4_eb4f,
    0x1656_67b1_9e37_79f9,
    0x85eb_ca77_c2b2_ae63,
    0x27d4_eb2f_1656_67c5,
];

/// The hash of `bytes`.
#[must_use]
pub(crate) fn xxh64(bytes: &[u8]) -> u64 {
    let (stripes, rest) = bytes.as_chunks::<STRIPE>();
    let mut hash = match stripes {
        [] => PRIME[4],
        _ => join(stripes),
    };
    hash = hash.wrapping_add(instar_disk::from_usize(bytes.len()));
    let (words, rest) = rest.as_chunks::<8>();
    for word in words {
        hash ^= round(0, u64::from_le_bytes(*word));
        hash = step(hash, 27, PRIME[0], PRIME[3]);
    }
    let (halves, rest) = rest.as_chunks::<4>();
    for half in halves {
        hash ^= u64::from(u32::from_le_bytes(*half)).wrapping_mul(PRIME[0]);
        hash = step(hash, 23, PRIME[1], PRIME[2]);
    }
    for byte in rest {
        hash ^= u64::from(*byte).wrapping_mul(PRIME[4]);
        hash = step(hash, 11, PRIME[0], 0);
    }
    hash = (hash ^ hash >> 33).wrapping_mul(PRIME[1]);
    hash = (hash ^ hash >> 29).wrapping_mul(PRIME[2]);
    hash ^ hash >> 32
}

/// What the lanes make of whole stripes.
fn join(stripes: &[[u8; STRIPE]]) -> u64 {
    let mut lanes = [
        PRIME[0].wrapping_add(PRIME[1]),
        PRIME[1],
        0,
        PRIME[0].wrapping_neg(),
    ];
    for stripe in stripes {
        for (lane, word) in lanes.iter_mut().zip(stripe.as_chunks::<8>().0) {
            *lane = round(*lane, u64::from_le_bytes(*word));
        }
    }
    let turned = lanes.iter().zip([1, 7, 12, 18]);
    let sum = turned.fold(0_u64, |sum, (lane, turn)| {
        sum.wrapping_add(lane.rotate_left(turn))
    });
    lanes.iter().fold(sum, |hash, lane| {
        (hash ^ round(0, *lane))
            .wrapping_mul(PRIME[0])
            .wrapping_add(PRIME[3])
    })
}

const fn round(lane: u64, word: u64) -> u64 {
    let sum = lane.wrapping_add(word.wrapping_mul(PRIME[1]));
    sum.rotate_left(31).wrapping_mul(PRIME[0])
}

const fn step(hash: u64, turn: u32, times: u64, plus: u64) -> u64 {
    hash.rotate_left(turn).wrapping_mul(times).wrapping_add(plus)
}

#[cfg(test)]
mod tests {
    use super::xxh64;

    /// Those of the sanity tables of xxHash, and of its documentation.
    #[test]
    fn gives_the_published_values() {
        assert_eq!(xxh64(b""), 0xef46_db37_51d8_e999);
        assert_eq!(xxh64(b"a"), 0xd24e_c4f1_a98c_6e5b);
        assert_eq!(xxh64(b"abc"), 0x44bc_2cf5_ad77_0999);
        assert_eq!(
            xxh64(b"Nobody inspects the spammish repetition"),
            0xfbce_a83c_8a37_8bf1
        );
    }

    /// Lengths around those of stripes and words; the last four bytes of a frame are half of its content's hash.
    #[test]
    fn gives_what_zstd_writes_behind_a_frame() {
        for length in (0..80).chain([1000, 4096, 100_003]) {
            let bytes = instar_testkit::pattern::pattern(7, length);
            let frame = instar_testkit::packed("zstd", &["-c", "--check"], &bytes);
            let half = u32::from_le_bytes(*frame.last_chunk().unwrap_or(&[0; 4]));
            assert_eq!(xxh64(&bytes) & 0xffff_ffff, u64::from(half), "{length} bytes");
        }
    }
}
