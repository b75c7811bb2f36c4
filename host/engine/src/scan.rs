//! Finding zeros.

/// Whether every byte is zero. As fast as memory can be read: the loop below is one that the compiler turns into
/// vector code, once for any machine and once for AVX2.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    // Data rarely starts with a long run of zeros: most answers are given here.
    let (first, _) = bytes.split_at(bytes.len().min(STEP));
    if !first.iter().all(|byte| *byte == 0) {
        return false;
    }
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2, as just asked.
        return unsafe { is_zero_avx2(bytes) };
    }
    scan(bytes)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn is_zero_avx2(bytes: &[u8]) -> bool {
    scan(bytes)
}

#[inline(always)]
fn scan(bytes: &[u8]) -> bool {
    let (steps, rest) = bytes.as_chunks::<STEP>();
    steps.iter().all(|step| {
        let (words, _) = step.as_chunks::<8>();
        words.iter().fold(0, |sum, word| sum | u64::from_ne_bytes(*word)) == 0
    }) && rest.iter().all(|byte| *byte == 0)
}

/// Bytes between two tests: eight AVX2 registers, so that the tests cost nothing.
const STEP: usize = 256;

/// A run of granules that are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) length: usize,
    pub(crate) zero: bool,
}

/// The first run in `bytes`, which lie at `offset` of the target: pieces of `granule` bytes (a power of two), aligned
/// there, that are all zero, or all not. A piece cut off at either end counts as one. `bytes` is not empty.
pub(crate) fn first_run(bytes: &[u8], offset: u64, granule: usize) -> Run {
    let skew = crate::file::to_usize(offset) & (granule - 1);
    let mut end = (granule - skew).min(bytes.len());
    let zero = is_zero(bytes.get(..end).unwrap_or_default());
    while end < bytes.len() {
        let next = (end + granule).min(bytes.len());
        if is_zero(bytes.get(end..next).unwrap_or_default()) != zero {
            break;
        }
        end = next;
    }
    Run { length: end, zero }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_a_single_byte_wherever_it_stands() {
        for length in [0, 1, 7, 8, 255, 256, 257, 511, 512, 513, 4096, 5000] {
            let mut bytes = vec![0; length];
            assert!(is_zero(&bytes), "{length}");
            for at in 0..length {
                bytes[at] = 1 << (at % 8);
                assert!(!is_zero(&bytes), "{length} {at}");
                bytes[at] = 0;
            }
        }
    }

    /// Against the obvious definition, at every alignment of the target.
    #[test]
    fn runs_end_where_granules_change() {
        let mut bytes = vec![0; 4096];
        for at in [700, 1500, 1501, 3000, 4095] {
            bytes[at] = 1;
        }
        for granule in [512_usize, 1024, 4096, 1 << 20] {
            for offset in [0, 1, 511, 512, 513, 1000, 4095, 4096, 1 << 40] {
                let mut runs = Vec::new();
                let mut at = 0;
                while at < bytes.len() {
                    let run = first_run(&bytes[at..], offset + at as u64, granule);
                    runs.push(run);
                    at += run.length;
                }
                assert_eq!(runs, expected(&bytes, offset, granule), "{granule} {offset}");
            }
        }
    }

    fn expected(bytes: &[u8], offset: u64, granule: usize) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let skew = (crate::file::to_usize(offset) + at) % granule;
            let length = (granule - skew).min(bytes.len() - at);
            let zero = bytes[at..at + length].iter().all(|b| *b == 0);
            match runs.last_mut() {
                Some(last) if last.zero == zero => last.length += length,
                _ => runs.push(Run { length, zero }),
            }
            at += length;
        }
        runs
    }
}
