//! Guests that have been taken over, for `instar selftest`: each does one forbidden thing on the user's own machine.
//!
//! ```text
//!  Attempt ─► a few bytes of machine code, and behind them a division by zero ─► Sandbox ─► Outcome ─► Held
//!  Ringer ──► rings once for whatever the host wrote into its mailbox ─────────► the engine, which judges it
//! ```
//!
//! Nothing forbidden ends in a division by zero: a guest that comes so far has done what it tried, and the wall has a hole. The first
//! attempt is one that is allowed and has to come so far, or the others would prove nothing.
//!
//! The machine code is made here, in memory, from these tables. There is no second guest in this program, and no way to give it one.

use std::io;
use std::time::Duration;

use instar_abi::layout::{
    BACKEND, BASE, CONTROL, DOORBELL_PORT, HEAP, JOB, MAILBOXES, MIN_BYTES, STACK_STRIDE, STACKS,
};
use instar_abi::mailbox::{DOORBELL_HOST, MailboxHeader, REQUESTS_AT, RESULTS_AT, RawRequest, RawResult};
use zerocopy::IntoBytes;

use crate::tiny::one_segment;
use crate::{Cause, Choice, Guest, Mode, Next, Outcome, Sandbox, Violation};

/// One thing that a guest may not do.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// What programs call it.
    pub name: &'static str,
    /// What it is, for people.
    pub words: &'static str,
    act: Act,
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// The guest was ended for it: how.
    Ended(String),
    /// The guest was told no, and went on: how.
    Refused(String),
    /// It was done.
    Done,
    /// The run ended in a way that shows neither: how.
    Unclear(String),
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Store(u64),
    Fetch(u64),
    Jump(u64),
    Code(&'static [u8]),
    /// A system call by number with small arguments.
    Call(u32, [u32; 4]),
}

/// Every attempt. The first is the one that is allowed.
pub const ATTEMPTS: &[Attempt] = &[
    attempt(
        "allowed",
        "write to its own memory, which is allowed",
        Act::Store(HEAP),
    ),
    attempt("write-code", "write to its code", Act::Store(BASE)),
    attempt(
        "write-boot-record",
        "write to its boot record",
        Act::Store(CONTROL),
    ),
    attempt("write-job", "write to its job", Act::Store(JOB)),
    attempt(
        "write-backend",
        "write to the pages of the sandbox",
        Act::Store(BACKEND),
    ),
    attempt("run-heap", "run its heap", Act::Jump(HEAP)),
    attempt("run-stack", "run its stack", Act::Jump(STACKS + STACK_STRIDE / 2)),
    attempt("run-mailbox", "run its mailbox", Act::Jump(MAILBOXES)),
    attempt("read-null", "read at address 0", Act::Fetch(0)),
    attempt("read-below", "read below its memory", Act::Fetch(BASE - 4096)),
    attempt(
        "read-above",
        "read above its memory",
        Act::Fetch(BASE + MIN_BYTES),
    ),
    attempt("read-guard", "read below its stack", Act::Fetch(STACKS)),
    attempt("write-tables", "write to page tables", Act::Store(PAGE_TABLES)),
    attempt(
        "read-host",
        "read where programs have their stacks",
        Act::Fetch(0x7fff_0000_0000),
    ),
    attempt(
        "read-kernel",
        "read the memory of the kernel",
        Act::Fetch(0xffff_ffff_8000_0000),
    ),
    // push rax; jmp -3
    attempt(
        "endless-stack",
        "use up its stack",
        Act::Code(&[0x50, 0xeb, 0xfd]),
    ),
    // jmp -2
    attempt("endless-loop", "run for ever", Act::Code(&[0xeb, 0xfe])),
    attempt("halt", "stop the processor", Act::Code(&[0xf4])),
    attempt("interrupts", "turn interrupts off", Act::Code(&[0xfa])),
    // mov cr3, rax; mov rax, cr0
    attempt(
        "page-tables",
        "choose page tables",
        Act::Code(&[0x0f, 0x22, 0xd8]),
    ),
    attempt(
        "control-register",
        "read a control register",
        Act::Code(&[0x0f, 0x20, 0xc0]),
    ),
    attempt(
        "write-msr",
        "write a model-specific register",
        Act::Code(&[0x0f, 0x30]),
    ),
    attempt(
        "read-msr",
        "read a model-specific register",
        Act::Code(&[0x0f, 0x32]),
    ),
    // lgdt [rsp - 16]
    attempt(
        "segments",
        "choose segments",
        Act::Code(&[0x0f, 0x01, 0x54, 0x24, 0xf0]),
    ),
    // in al, 0x60; out 0x80, al
    attempt("read-port", "read from a device", Act::Code(&[0xe4, 0x60])),
    attempt("write-port", "write to a device", Act::Code(&[0xe6, 0x80])),
    attempt(CLOCK, "read the clock of the processor", Act::Code(&[0x0f, 0x31])),
    // xor ecx, ecx; rdpmc
    attempt(
        "counters",
        "read performance counters",
        Act::Code(&[0x31, 0xc9, 0x0f, 0x33]),
    ),
    // mov eax, 20; int 0x80
    attempt(
        "call-32-bit",
        "make a system call of 32 bits",
        Act::Code(&[0xb8, 20, 0, 0, 0, 0xcd, 0x80]),
    ),
    attempt("call-open", "open a file", Act::Call(2, [CODE, 0, 0, 0])),
    attempt(
        "call-write",
        "write to the terminal",
        Act::Call(1, [1, CODE, 1, 0]),
    ),
    attempt("call-socket", "open a socket", Act::Call(41, [2, 1, 0, 0])),
    attempt("call-fork", "start a process", Act::Call(57, [0; 4])),
    attempt(
        "call-execve",
        "run another program",
        Act::Call(59, [CODE, 0, 0, 0]),
    ),
    attempt(
        "call-kill",
        "send a signal to all processes",
        Act::Call(62, [u32::MAX, 0, 0, 0]),
    ),
    attempt("call-ptrace", "look into another process", Act::Call(101, [0; 4])),
    attempt(
        "call-mmap",
        "map memory that can be run",
        Act::Call(9, [0, 4096, 7, 0x22]),
    ),
    attempt(
        "call-mprotect",
        "make its memory one that can be run",
        Act::Call(10, [HEAP_32, 4096, 7, 0]),
    ),
    attempt("call-prctl", "change its limits", Act::Call(157, [38, 0, 0, 0])),
    attempt(
        "call-io-uring",
        "make calls through a ring",
        Act::Call(425, [1, HEAP_32, 0, 0]),
    ),
    attempt("call-getpid", "ask for its process", Act::Call(39, [0; 4])),
];

const fn attempt(name: &'static str, words: &'static str, act: Act) -> Attempt {
    Attempt { name, words, act }
}

const CLOCK: &str = "clock";
/// Where the tables of a virtual machine are, in its physical memory.
const PAGE_TABLES: u64 = 0x7000_0000;
const CODE: u32 = BASE as u32;
const HEAP_32: u32 = HEAP as u32;
/// xor eax, eax; div eax
const END: [u8; 4] = [0x31, 0xc0, 0xf7, 0xf0];
const DIVISION: u8 = 0;
/// For a guest that would go on for ever.
const TIME: Duration = Duration::from_millis(100);

impl Attempt {
    /// Whether it is the one that is allowed, and has to be [`Held::Done`].
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self.act, Act::Store(HEAP))
    }

    /// Whether that sandbox cannot promise to refuse it: some hypervisors let every guest read the clock.
    #[must_use]
    pub fn may_be_done(&self, mode: Mode) -> bool {
        self.name == CLOCK && mode == Mode::Kvm
    }

    /// Lets a guest try it.
    ///
    /// # Errors
    /// The system's, when the sandbox cannot be used.
    pub fn tried(&self, choice: Choice) -> io::Result<Held> {
        let elf = one_segment(&self.code());
        let mut sandbox = Sandbox::prepare_guest(choice, 1, MIN_BYTES, Guest::from_elf(&elf))?;
        sandbox.set_timeout(TIME);
        let unasked = Violation::Other("a doorbell that nobody was to ring");
        judged(sandbox.run(&|_| Next::Kill(unasked), &|| Ok(())))
    }

    fn code(&self) -> Vec<u8> {
        let mut code = Vec::with_capacity(40);
        match self.act {
            // mov rax, address; mov [rax], eax
            Act::Store(address) => touch(&mut code, address, [0x89, 0x00]),
            // mov rax, address; mov eax, [rax]
            Act::Fetch(address) => touch(&mut code, address, [0x8b, 0x00]),
            // mov rax, address; jmp rax
            Act::Jump(address) => touch(&mut code, address, [0xff, 0xe0]),
            Act::Code(bytes) => code.extend_from_slice(bytes),
            Act::Call(number, arguments) => call(&mut code, number, arguments),
        }
        code.extend_from_slice(&END);
        code
    }
}

fn touch(code: &mut Vec<u8>, address: u64, instruction: [u8; 2]) {
    code.extend_from_slice(&[0x48, 0xb8]);
    code.extend_from_slice(&address.to_le_bytes());
    code.extend_from_slice(&instruction);
}

/// edi, esi, edx, r10d; eax; syscall
fn call(code: &mut Vec<u8>, number: u32, [edi, esi, edx, r10d]: [u32; 4]) {
    let loads: [(&[u8], u32); 5] = [
        (&[0xbf], edi),
        (&[0xbe], esi),
        (&[0xba], edx),
        (&[0x41, 0xba], r10d),
        (&[0xb8], number),
    ];
    for (opcode, value) in loads {
        code.extend_from_slice(opcode);
        code.extend_from_slice(&value.to_le_bytes());
    }
    code.extend_from_slice(&[0x0f, 0x05]);
}

fn judged(outcome: Outcome) -> io::Result<Held> {
    Ok(match outcome {
        Outcome::Failed(error) => return Err(error),
        Outcome::Fault(fault) => match fault.cause {
            Cause::Exception(DIVISION) | Cause::Signal(libc::SIGFPE) => Held::Done,
            _ => Held::Ended(fault.to_string()),
        },
        Outcome::TimedOut => Held::Ended("the time was over".to_owned()),
        other => Held::Unclear(format!("{other:?}")),
    })
}

/// A guest that rings once, for the batch that the host has written into its mailbox, and does nothing more.
#[derive(Debug)]
pub struct Ringer(Sandbox);

impl Ringer {
    /// Prepares it.
    ///
    /// # Errors
    /// The system's, when the sandbox cannot be used.
    pub fn prepare(choice: Choice) -> io::Result<Self> {
        let elf = one_segment(&ringing(choice));
        let mut sandbox = Sandbox::prepare_guest(choice, 1, MIN_BYTES, Guest::from_elf(&elf))?;
        sandbox.set_timeout(Duration::from_secs(2));
        Ok(Self(sandbox))
    }

    /// The sandbox that it is in.
    #[must_use]
    pub const fn sandbox(&self) -> &Sandbox {
        &self.0
    }

    /// Has it ask, with a batch that claims to have `count` requests; gives the first answer, or how the guest was ended.
    ///
    /// # Errors
    /// Ours, if the requests do not fit.
    pub fn ask(
        &self,
        count: u32,
        requests: &[RawRequest],
        serve: &(dyn Fn(u32) -> Next + Sync),
    ) -> io::Result<Result<RawResult, Outcome>> {
        let memory = self.0.memory();
        let mailbox = MAILBOXES - BASE;
        let header = MailboxHeader {
            count,
            ..MailboxHeader::default()
        };
        memory.write(mailbox, header.as_bytes())?;
        memory.write(mailbox + REQUESTS_AT as u64, requests.as_bytes())?;
        let once = |lane| match serve(lane) {
            Next::Continue => Next::Exit,
            other => other,
        };
        let outcome = self.0.run(&once, &|| Ok(()));
        if !matches!(outcome, Outcome::Exited) {
            return Ok(Err(outcome));
        }
        let mut answer = RawResult::default();
        memory.read(mailbox + RESULTS_AT as u64, answer.as_mut_bytes())?;
        Ok(Ok(answer))
    }
}

/// Rings by the doorbell of that sandbox, and waits for ever.
fn ringing(choice: Choice) -> Vec<u8> {
    let mut code = Vec::with_capacity(48);
    let mut add = |opcode: &[u8], value: u32| {
        code.extend_from_slice(opcode);
        code.extend_from_slice(&value.to_le_bytes());
    };
    if choice == Choice::Kvm {
        // mov edx, port; mov eax, 0; out dx, eax
        add(&[0xba], DOORBELL_PORT.into());
        add(&[0xb8], 0);
        code.push(0xef);
    } else {
        // mov [mailbox], host; edi, esi, edx, r10d; eax; syscall: wakes one waiter of the first word
        let mailbox = MAILBOXES as u32;
        add(&[0xc7, 0x04, 0x25], mailbox);
        code.extend_from_slice(&DOORBELL_HOST.to_le_bytes());
        call(&mut code, 202, [mailbox, 1, 1, 0]);
    }
    code.extend_from_slice(&[0xeb, 0xfe]);
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choices() -> Vec<Choice> {
        let kvm = crate::probe().kvm.is_ok();
        [Choice::Process, Choice::Kvm]
            .into_iter()
            .filter(|choice| *choice == Choice::Process || kvm)
            .collect()
    }

    #[test]
    fn every_attempt_is_ended_but_for_the_one_that_is_allowed() {
        for choice in choices() {
            for attempt in ATTEMPTS {
                let held = attempt.tried(choice).unwrap();
                let expected = match held {
                    Held::Ended(_) => !attempt.is_allowed(),
                    Held::Done => {
                        attempt.is_allowed() || attempt.may_be_done(Mode::Kvm) && choice == Choice::Kvm
                    }
                    _ => false,
                };
                assert!(expected, "{choice:?} {}: {held:?}", attempt.name);
            }
        }
    }

    #[test]
    fn a_ringer_rings_once_with_what_the_host_wrote() {
        for choice in choices() {
            let ringer = Ringer::prepare(choice).unwrap();
            let request = RawRequest {
                op: 77,
                ..RawRequest::default()
            };
            let memory = std::sync::Arc::clone(ringer.sandbox().memory());
            let seen = std::sync::Mutex::new(Vec::new());
            let serve = |_| {
                let mut raw = RawRequest::default();
                let at = MAILBOXES - BASE + REQUESTS_AT as u64;
                memory.read(at, raw.as_mut_bytes()).unwrap();
                seen.lock().unwrap().push(raw);
                Next::Kill(Violation::BatchCount(9))
            };
            let outcome = ringer.ask(9, &[request], &serve).unwrap().unwrap_err();
            assert!(
                matches!(outcome, Outcome::Violation(Violation::BatchCount(9))),
                "{outcome:?}"
            );
            assert_eq!(*seen.lock().unwrap(), [request]);
        }
    }
}
