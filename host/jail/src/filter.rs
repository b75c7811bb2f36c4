//! From the table to a program that the kernel runs before each system call.
//!
//! ```text
//!   architecture? ── other ──► trap
//!   number ─► binary search over the calls of the role ── not found ──► trap
//!                 └── found ─► conditions, alternative by alternative ── none holds ──► trap
//!                                                      └── all hold ──► allow
//! ```
//!
//! A search, not a chain: when a filter is put in force the kernel runs it once for every call there is, and with a chain
//! of comparisons that alone takes 0.3 ms a thread, a tenth of what a small verb may take in all. For the same reason the
//! program is short: one allowance and one trap, at its end.

use std::collections::BTreeMap;
use std::io;
use std::ptr;

use libc::sock_filter;

use crate::Role;
use crate::bpf::{ARCHITECTURE, Instruction, NUMBER, X86_64, argument};
use crate::rules::{Check, RULES, Rule};

/// The filter of a role, ready to be applied.
#[derive(Debug)]
pub struct Filter(Vec<sock_filter>);

/// A call and the rules that allow it.
type Call = (u32, Vec<&'static Rule>);

impl Filter {
    /// Compiles the filter of `role` for this process: its number is part of it.
    ///
    /// # Errors
    /// A table too large for the jumps of a filter; the tests compile every role.
    pub fn new(role: Role) -> io::Result<Self> {
        let mut calls: BTreeMap<u32, Vec<&Rule>> = BTreeMap::new();
        for rule in RULES
            .iter()
            .filter(|rule| role.is_any_of(rule.roles) && has_sense(rule))
        {
            let number = u32::try_from(rule.call).map_err(io::Error::other)?;
            calls.entry(number).or_default().push(rule);
        }
        let calls: Vec<Call> = calls.into_iter().collect();
        let mut steps = vec![
            Step::plain(Instruction::load(ARCHITECTURE)),
            Step::jump(Instruction::equals(X86_64), Go::Skip(0), Go::Trap),
            Step::plain(Instruction::load(NUMBER)),
        ];
        search(&calls, &mut steps)?;
        assemble(&steps).map(Self)
    }

    /// Puts it in force for the calling thread and those that it starts.
    pub fn apply(&self) -> io::Result<()> {
        let program = libc::sock_fprog {
            len: u16::try_from(self.0.len()).map_err(io::Error::other)?,
            filter: self.0.as_ptr().cast_mut(),
        };
        seccomp(&Operation::Filter(program))
    }

    /// Instructions of the program.
    #[must_use]
    pub fn length(&self) -> usize {
        self.0.len()
    }
}

/// Rules about a child need one.
fn has_sense(rule: &Rule) -> bool {
    let about_child = |check: &Check| matches!(check, Check::Child(_));
    crate::child().is_some() || !rule.when.iter().any(about_child)
}

/// Finds the number, which is loaded, among `calls`, which ascend.
fn search(calls: &[Call], steps: &mut Vec<Step>) -> io::Result<()> {
    let (lower, upper) = calls.split_at(calls.len() / 2);
    let Some(middle) = upper.first() else {
        return Ok(());
    };
    if lower.is_empty() {
        found(middle, steps);
        return Ok(());
    }
    let branch = steps.len();
    steps.push(Step::jump(Instruction::reaches(middle.0), Go::Trap, Go::Skip(0)));
    search(lower, steps)?;
    let skip = u8::try_from(steps.len() - branch - 1).map_err(io::Error::other)?;
    if let Some(step) = steps.get_mut(branch) {
        step.yes = Go::Skip(skip);
    }
    search(upper, steps)
}

/// Looks whether it is this call, and whether its arguments are as some rule says.
fn found((number, rules): &Call, steps: &mut Vec<Step>) {
    let unconditional = rules.iter().any(|rule| rule.when.is_empty());
    let yes = if unconditional { Go::Allow } else { Go::Skip(0) };
    steps.push(Step::jump(Instruction::equals(*number), yes, Go::Trap));
    if unconditional {
        return;
    }
    for (n, rule) in rules.iter().enumerate() {
        // If the last alternative fails, the rule fails.
        let other = if n + 1 == rules.len() {
            Go::Trap
        } else {
            Go::Skip(0)
        };
        conditions(rule, other, steps);
    }
}

/// Allows if all conditions hold; else goes to `other`, of which `Skip(0)` is what comes behind.
fn conditions(rule: &Rule, other: Go, steps: &mut Vec<Step>) {
    let mut left = rule.when.len();
    for check in rule.when {
        let (index, mask, value) = match *check {
            Check::Is(index, value) => (index, u32::MAX, value),
            Check::Bits {
                argument,
                mask,
                value,
            } => (argument, mask, value),
            Check::OwnProcess(index) => (index, u32::MAX, std::process::id()),
            Check::Child(index) => (index, u32::MAX, crate::child().unwrap_or_default()),
        };
        left -= 1;
        let yes = if left == 0 { Go::Allow } else { Go::Skip(0) };
        // Three steps for each check that follows.
        let behind = u8::try_from(left * 3).unwrap_or(u8::MAX);
        let no = if other == Go::Trap {
            Go::Trap
        } else {
            Go::Skip(behind)
        };
        steps.push(Step::plain(Instruction::load(argument(u32::from(index)))));
        steps.push(Step::plain(Instruction::and(mask)));
        steps.push(Step::jump(Instruction::equals(value), yes, no));
    }
}

/// Puts the two ends behind the steps and directs the jumps there.
fn assemble(steps: &[Step]) -> io::Result<Vec<sock_filter>> {
    let mut program = Vec::with_capacity(steps.len() + 2);
    for (at, step) in steps.iter().enumerate() {
        let to_allow = steps.len() - at - 1;
        let distance = |go| match go {
            Go::Skip(steps) => Ok(steps),
            Go::Allow => u8::try_from(to_allow),
            Go::Trap => u8::try_from(to_allow + 1),
        };
        let (yes, no) = (distance(step.yes), distance(step.no));
        let jumping = step
            .instruction
            .skipping(yes.map_err(io::Error::other)?, no.map_err(io::Error::other)?);
        program.push(jumping.raw());
    }
    for action in [libc::SECCOMP_RET_ALLOW, libc::SECCOMP_RET_TRAP] {
        program.push(Instruction::give(action).raw());
    }
    Ok(program)
}

/// An instruction whose jumps may go to the ends of the program.
#[derive(Clone, Copy, Debug)]
struct Step {
    instruction: Instruction,
    yes: Go,
    no: Go,
}

/// The target of a jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Go {
    /// Skips this many instructions.
    Skip(u8),
    Allow,
    Trap,
}

impl Step {
    const fn plain(instruction: Instruction) -> Self {
        Self::jump(instruction, Go::Skip(0), Go::Skip(0))
    }

    const fn jump(instruction: Instruction, yes: Go, no: Go) -> Self {
        Self { instruction, yes, no }
    }
}

/// Whether the kernel has seccomp filters of the kind used here.
#[must_use]
pub fn supported() -> bool {
    knows_action(libc::SECCOMP_RET_TRAP)
}

/// Whether the kernel's seccomp filters can end a call in this way.
#[must_use]
pub fn knows_action(action: u32) -> bool {
    seccomp(&Operation::Ask(action)).is_ok()
}

/// What is asked of seccomp.
enum Operation {
    /// Whether it has an action.
    Ask(u32),
    /// A filter, whose instructions outlive the call.
    Filter(libc::sock_fprog),
}

fn seccomp(operation: &Operation) -> io::Result<()> {
    let (number, argument): (_, *const libc::c_void) = match operation {
        Operation::Ask(action) => (libc::SECCOMP_GET_ACTION_AVAIL, ptr::from_ref(action).cast()),
        Operation::Filter(program) => (libc::SECCOMP_SET_MODE_FILTER, ptr::from_ref(program).cast()),
    };
    // SAFETY: the kernel reads what belongs to the operation, a number or a program, and keeps none of it.
    match unsafe { libc::syscall(libc::SYS_seccomp, number, 0, argument) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
