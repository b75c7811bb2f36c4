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
/// Only in a freshly forked child, with all signals blocked and the stub installed in guest memory.
pub(super) unsafe fn become_guest(plan: &Plan<'_>) -> ! {
    // Where the parent reads what went wrong: guest memory, wherever it lies at the moment.
    let mut failed = Failed(plan.from + (stub::FAILED - BASE));
    // SAFETY: this is a freshly forked child, as `give_up` requires.
    unsafe { give_up(plan.highest, &failed) };
    let how = (libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED) as u64;
    // SAFETY: moves guest memory, which no Rust object lies in, to a place where this program maps nothing.
    failed.must(MOVE, unsafe {
        call(
            libc::SYS_mremap,
            [plan.from, plan.length, plan.length, how, plan.to],
        )
    });
    failed = Failed(stub::FAILED);
    if let Some((from, length)) = plan.resident {
        // SAFETY: moves pages that hold the guest's code and constants and nothing that the child needs.
        failed.must(MOVE, unsafe {
            call(libc::SYS_mremap, [from, length, length, how, plan.to])
        });
    }
    for (start, length, protection) in plan.protections {
        // SAFETY: pages of guest memory only.
        failed.must(PROTECT, unsafe {
            call(libc::SYS_mprotect, [*start, *length, *protection, 0, 0])
        });
    }
    let action = Action {
        handler: plan.handler,
        flags: (libc::SA_SIGINFO | libc::SA_ONSTACK) as u64 | SA_RESTORER,
        // Never reached: the handler does not return.
        restorer: plan.handler,
        mask: 0,
    };
    for signal in FAULTS {
        let action = (&raw const action).expose_provenance() as u64;
        // SAFETY: the kernel's structure; the handler lies in the stub, which is executable by now.
        failed.must(HANDLERS, unsafe {
            call(
                libc::SYS_rt_sigaction,
                [signal.unsigned_abs().into(), action, 0, 8, 0],
            )
        });
    }
    // SAFETY: guest memory is in place and the stub is in it.
    unsafe { stub::enter() }
}

/// Gives up descriptors, resources, privileges and the clock.
///
/// # Safety
/// Only in a freshly forked child.
unsafe fn give_up(highest: Option<u64>, failed: &Failed) {
    match highest {
        None => {
            // SAFETY: descriptors of the child alone.
            failed.must(CLOSE, unsafe {
                call(libc::SYS_close_range, [0, u64::from(u32::MAX), 0, 0, 0])
            });
        }
        Some(highest) => {
            for descriptor in 0..=highest {
                // SAFETY: closes descriptors of the child only. It is not an error if one is not open.
                unsafe { call(libc::SYS_close, [descriptor, 0, 0, 0, 0]) };
            }
        }
    }
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    for resource in NONE_OF {
        let limit = (&raw const none).expose_provenance() as u64;
        // SAFETY: a valid structure for the child's own limits.
        failed.must(LIMIT, unsafe {
            call(libc::SYS_prlimit64, [0, u64::from(resource), limit, 0, 0])
        });
    }
    // SAFETY: changes a property of the child only.
    failed.must(PRIVILEGES, unsafe {
        call(libc::SYS_prctl, [libc::PR_SET_DUMPABLE as u64, 0, 0, 0, 0])
    });
    // SAFETY: changes a property of the child only.
    failed.must(PRIVILEGES, unsafe {
        call(libc::SYS_prctl, [libc::PR_SET_NO_NEW_PRIVS as u64, 1, 0, 0, 0])
    });
    let (header, none) = (CapabilityHeader::OWN, [0_u32; 6]);
    let header = (&raw const header).expose_provenance() as u64;
    let sets = (&raw const none).expose_provenance() as u64;
    // SAFETY: the kernel reads both structures. Any process may give up capabilities.
    failed.must(PRIVILEGES, unsafe {
        call(libc::SYS_capset, [header, sets, 0, 0, 0])
    });
    // SAFETY: changes a property of the child, and of threads that it makes. A kernel that cannot take the clock away leaves it.
    unsafe {
        call(
            libc::SYS_prctl,
            [libc::PR_SET_TSC as u64, libc::PR_TSC_SIGSEGV as u64, 0, 0, 0],
        )
    };
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
    fn must(&self, step: u32, result: i64) {
        if !(-4095..0).contains(&result) {
            return;
        }
        let words = std::ptr::with_exposed_provenance_mut::<[u32; 2]>(self.0 as usize);
        // SAFETY: aligned guest memory of the child, to which nothing else writes before the run begins.
        unsafe { words.write_volatile([step, result.unsigned_abs() as u32]) };
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
