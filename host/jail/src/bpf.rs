//! Classic BPF, as far as filters of system calls need it: the words of the kernel's `struct sock_filter`, and where things stand in
//! the `struct seccomp_data` that such a filter looks at.
//!
//! The numbers are those of x86-64. Arguments are compared by halves, as 32 bits each; the machine is little-endian.

use libc::sock_filter;

/// One instruction.
#[derive(Clone, Copy, Debug)]
pub struct Instruction(sock_filter);

impl Instruction {
    /// Loads 32 bits of the call's data.
    #[must_use]
    pub const fn load(offset: u32) -> Self {
        Self::plain(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset)
    }

    /// Keeps these bits of what is loaded.
    #[must_use]
    pub const fn and(mask: u32) -> Self {
        Self::plain(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, mask)
    }

    /// Ends the program with this action.
    #[must_use]
    pub const fn give(action: u32) -> Self {
        Self::plain(libc::BPF_RET | libc::BPF_K, action)
    }

    /// Compares what is loaded with `operand`: equal?
    #[must_use]
    pub const fn equals(operand: u32) -> Self {
        Self::plain(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, operand)
    }

    /// Compares what is loaded with `operand`: at least as large?
    #[must_use]
    pub const fn reaches(operand: u32) -> Self {
        Self::plain(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, operand)
    }

    /// A comparison that skips so many instructions if it holds, and so many if it does not.
    #[must_use]
    pub const fn skipping(self, if_true: u8, if_false: u8) -> Self {
        let mut raw = self.0;
        raw.jt = if_true;
        raw.jf = if_false;
        Self(raw)
    }

    /// As the kernel's headers declare it.
    #[must_use]
    pub const fn raw(self) -> sock_filter {
        self.0
    }

    /// As the kernel reads it.
    #[must_use]
    pub const fn bytes(self) -> [u8; 8] {
        let sock_filter { code, jt, jf, k } = self.0;
        let [a, b] = code.to_le_bytes();
        let [e, f, g, h] = k.to_le_bytes();
        [a, b, jt, jf, e, f, g, h]
    }

    #[expect(clippy::cast_possible_truncation, reason = "all codes are below 256")]
    const fn plain(code: u32, k: u32) -> Self {
        Self(sock_filter {
            code: code as u16,
            jt: 0,
            jf: 0,
            k,
        })
    }
}

/// Where the number of the call stands.
pub const NUMBER: u32 = 0;
/// Where the architecture stands in whose numbering it is.
pub const ARCHITECTURE: u32 = 4;
/// EM_X86_64 | __AUDIT_ARCH_64BIT | __AUDIT_ARCH_LE
pub const X86_64: u32 = 0xC000_003E;

/// Where the low half of an argument stands; the high half follows.
#[must_use]
pub const fn argument(index: u32) -> u32 {
    16 + 8 * index
}
