//! How a run ended.

use std::fmt;
use std::io;

use instar_memory::Violation;

/// How a run ended. Whatever the guest did, there is one.
#[derive(Debug)]
pub enum Outcome {
    /// The guest asked for Exit; its last report says how the work went.
    Exited,
    /// The guest did what the sandbox does not allow, or could not go on.
    Fault(GuestFault),
    /// The guest panicked. Its words are claims of the guest's, to be printed escaped, if at all.
    Panicked(Vec<u8>),
    /// The guest broke the contract of the mailbox.
    Violation(Violation),
    /// The time set by [`crate::Sandbox::set_timeout`] is over.
    TimedOut,
    /// [`crate::Canceller::cancel`] was called.
    Cancelled,
    /// The host could not run the guest.
    Failed(io::Error),
}

/// Where and why a guest stopped. Address and instruction are as the guest's registers had them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestFault {
    /// Why the guest stopped.
    pub cause: Cause,
    /// Address of the instruction, if it is known.
    pub instruction: Option<u64>,
    /// Address that was touched, where the cause has one.
    pub address: Option<u64>,
}

/// Why a guest stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A processor exception, by vector (KVM).
    Exception(u8),
    /// A signal, by number (process).
    Signal(i32),
    /// The virtual machine left for a reason that no sound guest gives it (KVM).
    Exit(&'static str),
    /// The process ended by itself (process).
    Ended(i32),
}

impl GuestFault {
    pub(crate) fn bare(cause: Cause) -> Self {
        Self {
            cause,
            instruction: None,
            address: None,
        }
    }
}

impl fmt::Display for GuestFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause {
            Cause::Exception(vector) => write!(f, "{} (exception {vector})", exception(vector))?,
            Cause::Signal(number) => write!(f, "{} (signal {number})", signal(number))?,
            Cause::Exit(reason) => write!(f, "{reason}")?,
            Cause::Ended(status) => write!(f, "the process ended with status {status}")?,
        }
        if let Some(instruction) = self.instruction {
            write!(f, " at instruction {instruction:#x}")?;
        }
        if let Some(address) = self.address {
            write!(f, ", address {address:#x}")?;
        }
        Ok(())
    }
}

fn exception(vector: u8) -> &'static str {
    match vector {
        0 => "division by zero",
        1 | 3 => "debug trap",
        6 => "illegal instruction",
        8 => "double fault",
        12 => "stack fault",
        13 => "forbidden instruction or address",
        14 => "forbidden memory access",
        16 | 19 => "floating point error",
        17 => "unaligned access",
        _ => "processor fault",
    }
}

fn signal(number: i32) -> &'static str {
    match number {
        libc::SIGSYS => "forbidden system call",
        libc::SIGSEGV | libc::SIGBUS => "forbidden memory access",
        libc::SIGILL => "illegal instruction",
        libc::SIGFPE => "arithmetic error",
        libc::SIGTRAP => "debug trap",
        libc::SIGKILL => "killed from outside",
        _ => "ended by a signal",
    }
}
