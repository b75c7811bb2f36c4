//! The seccomp filter of a lane: three system calls, of which futex may only wait and wake.
//!
//! The numbers are those of x86-64. A call of another architecture, or in the x32 numbering, does not match and kills.

use instar_jail::bpf::{ARCHITECTURE, Instruction, NUMBER, X86_64, argument};

/// Instructions of the program.
pub(super) const LENGTH: usize = 15;

/// Assembles the BPF program.
pub(super) const fn program() -> [Instruction; LENGTH] {
    [
        Instruction::load(ARCHITECTURE),
        only_if(X86_64, 12),
        Instruction::load(NUMBER),
        // exit_group: the fault handler in the stub.
        skip_if(EXIT_GROUP, 9),
        // exit: harmless, and what a lane that must end could do.
        skip_if(EXIT, 8),
        // futex: a lane that rings, sleeps or wakes; and the stub, until the parent says go.
        only_if(FUTEX, 8),
        // Its operation is to wait (0) or to wake (1), private or not.
        Instruction::load(argument(1)),
        Instruction::and(!(FUTEX_PRIVATE | FUTEX_WAKE)),
        only_if(0, 5),
        // It has no time limit: both halves of the pointer are zero.
        Instruction::load(argument(3)),
        only_if(0, 3),
        Instruction::load(argument(3) + 4),
        only_if(0, 1),
        Instruction::give(ALLOW),
        Instruction::give(KILL),
    ]
}

/// Goes on if equal, else skips `otherwise` instructions.
const fn only_if(operand: u32, otherwise: u8) -> Instruction {
    Instruction::equals(operand).skipping(0, otherwise)
}

/// Skips `then` instructions if equal.
const fn skip_if(operand: u32, then: u8) -> Instruction {
    Instruction::equals(operand).skipping(then, 0)
}

const FUTEX: u32 = 202;
const EXIT: u32 = 60;
const EXIT_GROUP: u32 = 231;
const FUTEX_WAKE: u32 = 1;
const FUTEX_PRIVATE: u32 = 128;
const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;
const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

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
            let instruction = program[at].raw();
            let operand = instruction.k;
            at += 1;
            match instruction.code {
                0x20 => {
                    let from = operand as usize;
                    loaded = u32::from_le_bytes(data[from..from + 4].try_into().unwrap());
                }
                0x54 => loaded &= operand,
                0x15 if loaded == operand => at += usize::from(instruction.jt),
                0x15 => at += usize::from(instruction.jf),
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
