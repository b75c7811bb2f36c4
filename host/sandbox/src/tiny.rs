//! The smallest guest: machine code that is written down in this crate, and nothing else.

use instar_abi::layout::BASE;

/// A static ELF of one page of code, at the start of guest memory.
pub(crate) fn one_segment(code: &[u8]) -> Vec<u8> {
    const CODE_AT: u64 = 4096;
    let length = u64::try_from(code.len()).unwrap_or_default();
    let mut elf = Vec::new();
    // Identification, then: static, for x86-64, version 1.
    elf.extend_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    elf.extend_from_slice(&[2, 0, 62, 0, 1, 0, 0, 0]);
    // Entry, program headers, section headers; flags; sizes and numbers.
    for word in [BASE, 64, 0] {
        elf.extend_from_slice(&u64::to_le_bytes(word));
    }
    elf.extend_from_slice(&[0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    // Loaded, read and execute.
    elf.extend_from_slice(&[1, 0, 0, 0, 5, 0, 0, 0]);
    for word in [CODE_AT, BASE, BASE, length, length, CODE_AT] {
        elf.extend_from_slice(&u64::to_le_bytes(word));
    }
    elf.resize(usize::try_from(CODE_AT).unwrap_or_default(), 0);
    elf.extend_from_slice(code);
    elf
}
