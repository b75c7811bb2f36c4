//! Finding zeros, at the speed of memory.

/// Whether all bytes are zero.
#[must_use]
pub fn is_zero(bytes: &[u8]) -> bool {
    // Wide blocks keep the loop in vector registers and still leave early, which on real data is almost always at once.
    let (blocks, rest) = bytes.as_chunks::<256>();
    blocks.iter().all(block_is_zero) && rest.iter().all(|byte| *byte == 0)
}

fn block_is_zero(block: &[u8; 256]) -> bool {
    block.iter().fold(0, |any, byte| any | byte) == 0
}

#[cfg(test)]
mod tests {
    use super::is_zero;

    #[test]
    fn a_single_bit_anywhere_is_not_zero() {
        let mut bytes = alloc::vec![0; 1031];
        assert!(is_zero(&bytes));
        assert!(is_zero(&[]));
        for at in 0..bytes.len() {
            bytes[at] = 0x80;
            assert!(!is_zero(&bytes), "{at}");
            bytes[at] = 0;
        }
    }
}
