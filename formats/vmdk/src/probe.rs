//! Is this a VMDK?

use crate::raw::{COWD_MAGIC, SPARSE_MAGIC};

/// Bytes that are looked at; qemu-img's number.
const HEAD: usize = 512;

/// Whether a file that starts with `head` is taken for a VMDK when nobody says what it is: by the magic of a sparse extent, or
/// by a descriptor that has nothing but comments and blank lines before its `version` line. The rule is qemu-img's to the
/// letter: a file must not be a VMDK to one of the two tools only.
#[must_use]
pub fn probe(head: &[u8]) -> bool {
    let head = head.get(..HEAD).unwrap_or(head);
    head.starts_with(&SPARSE_MAGIC) || head.starts_with(&COWD_MAGIC) || is_descriptor(head)
}

fn is_descriptor(head: &[u8]) -> bool {
    let mut rest = head;
    loop {
        match rest.first() {
            Some(b'#') => {
                let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
                    return false;
                };
                rest = rest.get(end.saturating_add(1)..).unwrap_or_default();
            }
            // A blank line counts as one only if it has a blank.
            Some(b' ') => {
                let blanks = rest.iter().take_while(|byte| **byte == b' ').count();
                let line = rest.get(blanks..).unwrap_or_default();
                let line = line.strip_prefix(b"\r").unwrap_or(line);
                let Some(next) = line.strip_prefix(b"\n") else {
                    return false;
                };
                rest = next;
            }
            _ => return is_version(rest),
        }
    }
}

fn is_version(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"version=") else {
        return false;
    };
    matches!(rest, [b'1'..=b'3', b'\n', ..] | [b'1'..=b'3', b'\r', b'\n', ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magics_and_descriptors_are_recognised() {
        for head in [
            &b"KDMV"[..],
            b"COWD\x01",
            b"# Disk DescriptorFile\nversion=1\n",
            b"# x\r\nversion=3\r\n",
            b"#\n  \n   \r\n#\nversion=2\n",
            b"version=1\nanything",
        ] {
            assert!(probe(head), "{head:?}");
        }
    }

    #[test]
    fn nothing_else_is() {
        for head in [
            &b""[..],
            b"KDM",
            b"VMDK",
            b"# Disk DescriptorFile\n",
            b"# Disk DescriptorFile",
            b"#\n\nversion=1\n",
            b"#\nversion=4\n",
            b"#\nversion=1",
            b"#\nVersion=1\n",
            b"#\nversion = 1\n",
            b"#\n x\nversion=1\n",
            b"#\n\tversion=1\n",
        ] {
            assert!(!probe(head), "{head:?}");
        }
        let late = [&[b'#'; 505][..], b"\nversion=1\n"].concat();
        assert!(!probe(&late), "the line must lie in the first 512 bytes");
    }
}
