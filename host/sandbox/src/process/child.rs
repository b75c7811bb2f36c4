//! The child between the fork and the stub: raw system calls only.
//!
//! Its memory is a copy of the parent's, which may have had any number of threads in the middle of anything: no lock,
//! no allocation, no library call that could need one. A step that fails ends the child; the parent sees the status.

use std::arch::asm;

use instar_abi::layout::BASE;

use super::stub::{self, STATUS_SET_UP};

/// Everything the child needs, computed by the parent before the fork.
pub(super) struct Plan<'a> {
    /// Guest memory as the parent has it mapped.
    pub(super) from: u64,
    /// Its address in the child.
    pub(super) to: u64,
    pub(super) length: u64,
    /// Address and length of code and constants in this program's own pages that belongs to the start of guest memory.
    pub(super) resident: Option<(u64, u64)>,
    /// Start, length and PROT_ bits, for all of guest memory.
    pub(super) protections: &'a [(u64, u64, u64)],
    /// Address of the fault handler.
    pub(super) handler: u64,
    /// The highest descriptor that may be open, where they cannot be closed all at once.
    pub(super) highest: Option<u64>,
}

/// The part of the set-up that a step belongs to; a failed step tells the parent its index.
pub(super) const STEPS: [&str; 8] = [
    "the final steps",
    "closing descriptors",
    "setting limits",
    "giving up privileges",
    "moving the guest's memory",
    "protecting the guest's memory",
    "installing fault handlers",
    "making system calls",
];
const CLOSE: u32 = 1;
const LIMIT: u32 = 2;
const PRIVILEGES: u32 = 3;
const MOVE: u32 = 4;
const PROTECT: u32 = 5;
const HANDLERS: u32 = 6;
/// Not a part: the set-up goes on without the step.
const MAY_FAIL: u32 = u32::MAX;

/// Signals that the processor raises; every other one is blocked.
pub(super) const FAULTS: [libc::c_int; 5] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGTRAP,
];

/// Resources of which a lane needs none.
const NONE_OF: [u32; 3] = [libc::RLIMIT_CORE, libc::RLIMIT_NOFILE, libc::RLIMIT_FSIZE];

/// Becomes the confined process.
///
/// # Safety
/// 1. Only in a freshly forked child.
/// 2. All signals are blocked.
/// 3. The stub is installed in guest memory.
pub(super) unsafe fn become_guest(plan: &Plan<'_>) -> ! {
    // Where the parent reads what went wrong: guest memory, wherever it lies at the moment.
    let failed = Failed(plan.from + (stub::FAILED - BASE));
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    let (header, no_capability) = (CapabilityHeader::OWN, [0_u32; 6]);
    let limit = (&raw const none).expose_provenance() as u64;
    let header = (&raw const header).expose_provenance() as u64;
    let sets = (&raw const no_capability).expose_provenance() as u64;
    let (all_at_once, one_by_one) = match plan.highest {
        None => (Some(u64::from(u32::MAX)), 0..0),
        Some(highest) => (None, 0..highest.saturating_add(1)),
    };
    let closing = all_at_once.map(|last| step(CLOSE, libc::SYS_close_range, [0, last, 0, 0, 0]));
    // It is not an error if one is not open.
    let closing = closing
        .into_iter()
        .chain(one_by_one.map(|descriptor| step(MAY_FAIL, libc::SYS_close, [descriptor, 0, 0, 0, 0])));
    let limits = NONE_OF.map(|resource| step(LIMIT, libc::SYS_prlimit64, [0, resource.into(), limit, 0, 0]));
    let property = |part, option: i32, value| {
        step(
            part,
            libc::SYS_prctl,
            [option.unsigned_abs().into(), value, 0, 0, 0],
        )
    };
    let privileges = [
        property(PRIVILEGES, libc::PR_SET_DUMPABLE, 0),
        property(PRIVILEGES, libc::PR_SET_NO_NEW_PRIVS, 1),
        // Any process may give up capabilities.
        step(PRIVILEGES, libc::SYS_capset, [header, sets, 0, 0, 0]),
        // A kernel that cannot take the clock away leaves it.
        property(MAY_FAIL, libc::PR_SET_TSC, libc::PR_TSC_SIGSEGV as u64),
    ];
    let how = (libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED) as u64;
    let move_to = |from, length| step(MOVE, libc::SYS_mremap, [from, length, length, how, plan.to]);
    let moving = [move_to(plan.from, plan.length)];
    // SAFETY: 1. this is a freshly forked child; 2. the structures outlive the calls; 3. what is moved is guest memory, which no Rust object
    // lies in, to a place where this program maps nothing.
    unsafe { failed.take(closing.chain(limits).chain(privileges).chain(moving)) };
    let failed = Failed(stub::FAILED);
    let resident = plan.resident.map(|(from, length)| move_to(from, length));
    let protections = plan.protections.iter().map(|(start, length, protection)| {
        step(PROTECT, libc::SYS_mprotect, [*start, *length, *protection, 0, 0])
    });
    let action = Action {
        handler: plan.handler,
        flags: (libc::SA_SIGINFO | libc::SA_ONSTACK) as u64 | SA_RESTORER,
        // Never reached: the handler does not return.
        restorer: plan.handler,
        mask: 0,
    };
    let action = (&raw const action).expose_provenance() as u64;
    let handlers = FAULTS.map(|signal| {
        let signal = signal.unsigned_abs().into();
        step(HANDLERS, libc::SYS_rt_sigaction, [signal, action, 0, 8, 0])
    });
    // SAFETY: 1. as above; 2. the structure outlives the calls; 3. pages of the guest's code and constants are moved, which the child does
    // not need, and pages of guest memory are protected. The handler lies in the stub, which is executable by then.
    unsafe { failed.take(resident.into_iter().chain(protections).chain(handlers)) };
    // SAFETY: 1. as above; 2. guest memory has been moved, and the stub is in it.
    unsafe { stub::enter() }
}

/// A system call of the set-up, and the part of it that has failed if the call fails.
struct Step {
    part: u32,
    number: i64,
    arguments: [u64; 5],
}

const fn step(part: u32, number: i64, arguments: [u64; 5]) -> Step {
    Step {
        part,
        number,
        arguments,
    }
}

/// `struct kernel_sigaction`.
#[repr(C)]
struct Action {
    handler: u64,
    flags: u64,
    restorer: u64,
    mask: u64,
}

const SA_RESTORER: u64 = 0x0400_0000;

/// `struct __user_cap_header_struct`, for the caller itself.
#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}

impl CapabilityHeader {
    const OWN: Self = Self {
        version: 0x2008_0522,
        pid: 0,
    };
}

/// Where a step that fails says so: its number, then the error.
struct Failed(u64);

impl Failed {
    /// Takes steps, one after the other; the first that fails ends the child.
    ///
    /// # Safety
    /// 1. Only in a freshly forked child.
    /// 2. Structures that a step names by their addresses are there until it has been taken.
    /// 3. What a step moves or protects is no memory that the child still needs as it is.
    unsafe fn take(&self, steps: impl Iterator<Item = Step>) {
        for Step {
            part,
            number,
            arguments,
        } in steps
        {
            // SAFETY: the caller's promises are the demands of the calls.
            let result = unsafe { call(number, arguments) };
            if part != MAY_FAIL && (-4095..0).contains(&result) {
                self.end(part, result);
            }
        }
    }

    fn end(&self, part: u32, result: i64) {
        let words = std::ptr::with_exposed_provenance_mut::<[u32; 2]>(self.0 as usize);
        // SAFETY: aligned guest memory of the child, to which nothing else writes before the run begins.
        unsafe { words.write_volatile([part, result.unsigned_abs() as u32]) };
        // SAFETY: ends the child.
        unsafe { call(libc::SYS_exit_group, [STATUS_SET_UP as u64, 0, 0, 0, 0]) };
    }
}

/// A system call without the C library, whose errno is in memory of the parent.
///
/// # Safety
/// The arguments must meet the demands of the system call.
unsafe fn call(number: i64, arguments: [u64; 5]) -> i64 {
    let result;
    // SAFETY: the caller meets the demands of the call; the kernel keeps every other register.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") arguments[0], in("rsi") arguments[1], in("rdx") arguments[2],
            in("r10") arguments[3], in("r8") arguments[4],
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    result
}
