//! XXH64 with seed 0, of which seekable zstd keeps half beside each frame.

use twox_hash::XxHash64;

/// The hash of `bytes`.
#[must_use]
pub(crate) fn xxh64(bytes: &[u8]) -> u64 {
    XxHash64::oneshot(0, bytes)
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
