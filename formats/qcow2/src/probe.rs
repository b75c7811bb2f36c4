//! Detection.

use zerocopy::FromBytes;
use zerocopy::big_endian::U32;

use crate::raw::MAGIC;

/// Whether a file that begins with `head` is a qcow2 image: magic, and a version from 2 up. Version 1 is another format, and
/// versions from 4 up are found to be qcow2 and then refused by their number.
#[must_use]
pub fn probe(head: &[u8]) -> bool {
    let Ok(([magic, version], _)) = <[U32; 2]>::read_from_prefix(head) else {
        return false;
    };
    magic.get() == MAGIC && version.get() >= 2
}

#[cfg(test)]
mod tests {
    use super::probe;

    #[test]
    fn only_the_magic_with_a_version_from_two_up_is_qcow2() {
        assert!(probe(b"QFI\xfb\0\0\0\x02"));
        assert!(probe(b"QFI\xfb\0\0\0\x03 and more"));
        assert!(probe(b"QFI\xfb\0\0\0\x04"));
        assert!(!probe(b"QFI\xfb\0\0\0\x01"));
        assert!(!probe(b"QFI\xfb\0\0\0"));
        assert!(!probe(b"QFJ\xfb\0\0\0\x03"));
        assert!(!probe(b""));
    }
}
