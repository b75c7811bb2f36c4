//! Whether this program has rights that its caller does not have (set-user-ID, set-group-ID, file capabilities).

/// True where the environment is not to be believed: it is the caller's, and the rights are not.
#[must_use]
pub fn is_elevated() -> bool {
    use rustix::process::{getegid, geteuid, getgid, getuid};
    if getuid() != geteuid() || getgid() != getegid() {
        return true;
    }
    // What the kernel told the C library. Without /proc the numbers above have to do.
    std::fs::read("/proc/self/auxv").is_ok_and(|told| is_secure(&told))
}

/// Whether we are root, at least in our own user namespace.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether the kernel's auxiliary vector says `AT_SECURE`.
fn is_secure(vector: &[u8]) -> bool {
    let (words, _) = vector.as_chunks::<8>();
    let (pairs, _) = words.as_chunks::<2>();
    let mut pairs = pairs.iter().map(|pair| pair.map(u64::from_ne_bytes));
    pairs.any(|[kind, value]| kind == AT_SECURE && value != 0)
}

/// linux/auxvec.h.
const AT_SECURE: u64 = 23;

#[cfg(test)]
mod tests {
    use super::is_secure;

    #[test]
    fn the_kernels_word_on_elevated_rights_is_found_among_the_others() {
        let vector = |pairs: &[[u64; 2]]| {
            pairs
                .iter()
                .flatten()
                .flat_map(|word| word.to_ne_bytes())
                .collect::<Vec<_>>()
        };
        assert!(is_secure(&vector(&[[6, 4096], [23, 1], [0, 0]])));
        assert!(!is_secure(&vector(&[[6, 23], [23, 0], [0, 0]])));
        assert!(!is_secure(&[23, 0, 0]));
    }
}
