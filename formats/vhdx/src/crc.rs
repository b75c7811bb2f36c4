//! CRC-32C, by which headers, region tables and log entries are known to be whole.

use crc::{CRC_32_ISCSI, Crc, Digest, Table};

/// Castagnoli's polynomial: iSCSI uses the same sum.
static SUM: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// The CRC-32C of `bytes`.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    SUM.checksum(bytes)
}

/// A CRC-32C being computed, piece by piece.
pub(crate) fn pieces() -> Digest<'static, u32, Table<16>> {
    SUM.digest()
}

#[cfg(test)]
mod tests {
    use super::crc32c;

    #[test]
    fn known_answers_hold() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(b""), 0);
    }
}
