//! Loads the guest and runs its lanes, under KVM or in a confined process.
//!
//! ```text
//!                     ┌─ Sandbox ──────────────────────────────────────────┐
//!  prepare ──────────►│ guest memory │ image │ plan: what each page is for │
//!  set_job ──────────►│ ┌─ kvm ───────────────┐ ┌─ process ──────────────┐ │
//!  run(serve, jail) ─►│ │ page tables, vCPUs  │ │ fork, unmap, seccomp   │ │──► Outcome
//!                     │ │ doorbell: port exit │ │ doorbell: futex        │ │
//!                     │ └─────────────────────┘ └────────────────────────┘ │
//!                     └────────────────────────────────────────────────────┘
//! ```
//!
//! Principles:
//!
//! 1. One guest binary and one plan of its memory; a backend carries the plan out. Nothing is writable and executable.
//! 2. The guest is hostile. Whatever it does, [`Sandbox::run`] returns with an [`Outcome`], within 100 ms of a timeout or a
//!    cancellation.
//! 3. What can be done before the guest's first instruction is done then: afterwards a thread that serves a lane needs
//!    few system calls (below), and none that opens or maps anything.
//!
//! # System calls of a thread that serves a lane
//!
//! From `thread_start` until the end of the lane, beside what `serve` itself needs:
//!
//! | call | caller | backend |
//! |---|---|---|
//! | `ioctl(KVM_RUN)` | every entry into the guest | KVM |
//! | `futex` | doorbell; the gate at the start | both |
//! | `waitid(P_PID)`, `clock_nanosleep` | looking after the child | process |
//! | `pidfd_send_signal(SIGKILL)`, else `kill(SIGKILL)` | ending the child | process |
//! | `tgkill`, `getpid`, `rt_sigreturn` | ending the other lanes | both |
//! | `clock_gettime` | where the vdso cannot tell the time | both |
//! | `exit`, `madvise`, `munmap`, `sigaltstack`, `rt_sigprocmask`, `rseq`, `set_robust_list` | the end of a thread | both |
//!
//! The calling thread afterwards: `timer_delete` if there was a timeout, `futex` to join the others; dropping the sandbox
//! takes `munmap`, `close`, and for a process what ends and waits for the child.

#![allow(
    clippy::cast_possible_truncation,
    reason = "lib.rs refuses to build where usize has not 64 bits, and what is cast to it are guest addresses"
)]

mod control;
mod evil;
mod image;
mod kvm;
mod outcome;
mod plan;
mod probe;
mod process;
mod sandbox;
mod timer;
mod tiny;

pub use control::Canceller;
pub use evil::{ATTEMPTS, Attempt, Held, Ringer};
pub use image::Guest;
pub use instar_memory::{Next, StopSign, Violation};
pub use outcome::{Cause, GuestFault, Outcome};
pub use probe::{Probe, has_clock, probe};
pub use sandbox::Sandbox;

const _: () = assert!(
    usize::BITS == 64,
    "guest addresses and registers are those of x86-64"
);

/// The server of a lane that has rung.
pub type Serve<'a> = dyn Fn(u32) -> Next + Sync + 'a;

/// The backend to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// KVM if it can be had, else a process.
    #[default]
    Auto,
    /// KVM or an error.
    Kvm,
    /// A confined process.
    Process,
}

/// The backend in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A virtual machine.
    Kvm,
    /// A confined process.
    Process,
}
