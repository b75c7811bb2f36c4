//! The seccomp filter of a lane: three system calls, of which futex may only wait and wake.
//!
//! The numbers are those of x86-64. A call of another architecture, or in the x32 numbering, does not match and kills.

/// One instruction of classic BPF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instruction {
    code: u16,
    when_true: u8,
    when_false: u8,
    operand: u32,
}

impl Instruction {
    const fn load(offset: u32) -> Self {
        Self {
            code: 0x20,
            when_true: 0,
            when_false: 0,
            operand: offset,
        }
    }

    /// Goes on if equal, else skips `otherwise` instructions.
    const fn only_if(operand: u32, otherwise: u8) -> Self {
        Self {
            code: 0x15,
            when_true: 0,
            when_false: otherwise,
            operand,
        }
    }

    /// Skips `then` instructions if equal.
    const fn skip_if(operand: u32, then: u8) -> Self {
        Self {
            code: 0x15,
            when_true: then,
            when_false: 0,
            operand,
        }
    }

    const fn and(mask: u32) -> Self {
        Self {
            code: 0x54,
            when_true: 0,
            when_false: 0,
            operand: mask,
        }
    }

    const fn give(action: u32) -> Self {
        Self {
            code: 0x06,
            when_true: 0,
            when_false: 0,
            operand: action,
        }
    }

    /// As the kernel reads it: `struct sock_filter`.
    pub(super) fn bytes(self) -> [u8; 8] {
        let [a, b] = self.code.to_le_bytes();
        let [e, f, g, h] = self.operand.to_le_bytes();
        [a, b, self.when_true, self.when_false, e, f, g, h]
    }
}

/// Instructions of the program.
pub(super) const LENGTH: usize = 15;

/// Assembles the BPF program.
pub(super) const fn program() -> [Instruction; LENGTH] {
    [
        Instruction::load(ARCHITECTURE),
        Instruction::only_if(X86_64, 12),
        Instruction::load(NUMBER),
        // exit_group: the fault handler in the stub.
        Instruction::skip_if(EXIT_GROUP, 9),
        // exit: harmless, and what a lane that must end could do.
        Instruction::skip_if(EXIT, 8),
        // futex: a lane that rings, sleeps or wakes; and the stub, until the parent says go.
        Instruction::only_if(FUTEX, 8),
        // Its operation is to wait (0) or to wake (1), private or not.
        Instruction::load(argument(1)),
        Instruction::and(!(FUTEX_PRIVATE | FUTEX_WAKE)),
        Instruction::only_if(0, 5),
        // It has no time limit: both halves of the pointer are zero.
        Instruction::load(argument(3)),
        Instruction::only_if(0, 3),
        Instruction::load(argument(3) + 4),
        Instruction::only_if(0, 1),
        Instruction::give(ALLOW),
        Instruction::give(KILL),
    ]
}

const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const X86_64: u32 = 0xc000_003e;
const FUTEX: u32 = 202;
const EXIT: u32 = 60;
const EXIT_GROUP: u32 = 231;
const FUTEX_WAKE: u32 = 1;
const FUTEX_PRIVATE: u32 = 128;
const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;
const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

/// Offset of the low half of an argument in `struct seccomp_data`.
const fn argument(index: u32) -> u32 {
    16 + 8 * index
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the program over a call as the kernel would.
    fn judge(architecture: u32, number: u32, arguments: [u64; 6]) -> u32 {
        let mut data = Vec::new();
        data.extend(number.to_le_bytes());
        data.extend(architecture.to_le_bytes());
        data.extend(0_u64.to_le_bytes());
        data.extend(arguments.iter().flat_map(|argument| argument.to_le_bytes()));
        let program = program();
        let mut loaded = 0;
        let mut at = 0;
        loop {
            let instruction = program[at];
            let operand = instruction.operand;
            at += 1;
            match instruction.code {
                0x20 => {
                    let from = operand as usize;
                    loaded = u32::from_le_bytes(data[from..from + 4].try_into().unwrap());
                }
                0x54 => loaded &= operand,
                0x15 if loaded == operand => at += usize::from(instruction.when_true),
                0x15 => at += usize::from(instruction.when_false),
                0x06 => return operand,
                other => panic!("{other:x}"),
            }
        }
    }

    #[test]
    fn three_calls_of_one_architecture_are_allowed_and_no_other() {
        for number in (0..1024).chain([1 << 30 | FUTEX, u32::MAX]) {
            let allowed = [FUTEX, EXIT, EXIT_GROUP].contains(&number);
            let action = if allowed { ALLOW } else { KILL };
            assert_eq!(judge(X86_64, number, [0; 6]), action, "{number}");
            assert_eq!(judge(0x4000_0003, number, [0; 6]), KILL);
        }
    }

    #[test]
    fn futex_may_wait_and_wake_without_limit_and_nothing_else() {
        for operation in 0..512_u64 {
            let allowed = [0, 1, 128, 129].contains(&operation);
            let action = if allowed { ALLOW } else { KILL };
            assert_eq!(
                judge(X86_64, FUTEX, [1, operation, 2, 0, 3, 4]),
                action,
                "{operation}"
            );
        }
        for timeout in [1, 1 << 31, 1 << 32, u64::MAX, 0xffff_ffff, 0xffff_ffff_0000_0000] {
            assert_eq!(judge(X86_64, FUTEX, [1, 0, 2, timeout, 3, 4]), KILL);
        }
    }
}
