//! From the table to a program that the kernel runs before each system call.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

use crate::Role;
use crate::rules::{Check, RULES, Rule};

/// The filter of a role, ready to be applied.
#[derive(Debug)]
pub struct Filter(BpfProgram);

impl Filter {
    /// Compiles the filter of `role` for this process: its number is part of it.
    ///
    /// # Errors
    /// A rule that cannot be compiled; the tests compile all.
    pub fn new(role: Role) -> io::Result<Self> {
        let mut rules: BTreeMap<libc::c_long, Vec<SeccompRule>> = BTreeMap::new();
        for rule in RULES.iter().filter(|rule| role.is_any_of(rule.roles)) {
            let alternatives = rules.entry(rule.call).or_default();
            if !rule.when.is_empty() {
                alternatives.push(compile(rule)?);
            }
        }
        let filter = SeccompFilter::new(
            rules,
            SeccompAction::Trap,
            SeccompAction::Allow,
            TargetArch::x86_64,
        );
        let program = filter.and_then(BpfProgram::try_from).map_err(io::Error::other)?;
        Ok(Self(program))
    }

    /// Puts it in force for the calling thread and those that it starts.
    ///
    /// # Errors
    /// The system's.
    pub fn apply(&self) -> io::Result<()> {
        seccompiler::apply_filter(&self.0).map_err(|error| match error {
            seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error) => error,
            other => io::Error::other(other),
        })
    }

    /// Instructions of the program.
    #[must_use]
    pub fn length(&self) -> usize {
        self.0.len()
    }
}

fn compile(rule: &Rule) -> io::Result<SeccompRule> {
    let conditions = rule
        .when
        .iter()
        .map(|check| {
            let (argument, operation, value) = match *check {
                Check::Is(argument, value) => (argument, SeccompCmpOp::Eq, value),
                Check::Bits {
                    argument,
                    mask,
                    value,
                } => (argument, SeccompCmpOp::MaskedEq(mask.into()), value),
                Check::OwnProcess(argument) => (argument, SeccompCmpOp::Eq, std::process::id()),
            };
            SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operation, value.into())
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(io::Error::other)?;
    SeccompRule::new(conditions).map_err(io::Error::other)
}

/// Whether the kernel has seccomp filters of the kind used here.
#[must_use]
pub fn supported() -> bool {
    let action: u32 = libc::SECCOMP_RET_TRAP;
    // SAFETY: asks whether an action is known; reads one u32 that outlives the call.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_GET_ACTION_AVAIL,
            0,
            &raw const action,
        )
    };
    answer == 0
}
