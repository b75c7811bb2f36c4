//! The abilities of this machine, for `instar sandbox`.

use std::io;

use instar_abi::layout::{BASE, MIN_BYTES};
use rustix::process::{PidfdFlags, getpid, pidfd_open};

use crate::kvm;
use crate::process::SYSTEM_CALLS;
use crate::tiny::one_segment;
use crate::{Choice, Guest, Mode, Next, Outcome, Sandbox};

/// The abilities of this machine.
#[derive(Debug)]
pub struct Probe {
    /// Whether guests can run in a virtual machine, or why not.
    pub kvm: Result<(), String>,
    /// Whether guests can run in a confined process, or why not.
    pub process: Result<(), String>,
    /// The processor level of the embedded guest that would run.
    pub level: &'static str,
    /// Features of the kernel and of KVM that matter, and whether they are there.
    pub features: Vec<(&'static str, bool)>,
    /// The system calls that remain to a guest in a confined process.
    pub system_calls: &'static [&'static str],
}

impl Probe {
    /// The backend that [`crate::Choice::Auto`] would take, if there is one.
    #[must_use]
    pub const fn automatic(&self) -> Option<Mode> {
        match (&self.kvm, &self.process) {
            (Ok(()), _) => Some(Mode::Kvm),
            (Err(_), Ok(())) => Some(Mode::Process),
            (Err(_), Err(_)) => None,
        }
    }
}

/// Looks without starting anything.
#[must_use]
pub fn probe() -> Probe {
    let mut features = Vec::with_capacity(16);
    let kvm = probe_kvm(&mut features);
    let process = probe_process(&mut features);
    Probe {
        kvm,
        process,
        level: Guest::embedded().level(),
        features,
        system_calls: &SYSTEM_CALLS,
    }
}

/// Whether a guest can read the processor's clock: tried by one that does nothing else.
///
/// # Errors
/// Errors of the system, if this sandbox does not work here.
pub fn has_clock(choice: Choice) -> io::Result<bool> {
    // rdtsc; ud2
    const CODE: [u8; 4] = [0x0f, 0x31, 0x0f, 0x0b];
    const RDTSC: u64 = BASE;
    let elf = one_segment(&CODE);
    let sandbox = Sandbox::prepare_guest(choice, 1, MIN_BYTES, Guest::from_elf(&elf))?;
    match sandbox.run(&|_| Next::Exit, &|| Ok(())) {
        Outcome::Fault(fault) => Ok(fault.instruction != Some(RDTSC)),
        other => Err(io::Error::other(format!("{other:?}"))),
    }
}

fn probe_kvm(features: &mut Vec<(&'static str, bool)>) -> Result<(), String> {
    let kvm = kvm::open().map_err(|error| error.to_string())?;
    let mut missing = None;
    for (capability, name) in kvm::CAPABILITIES {
        let there = kvm.check_extension(capability);
        features.push((name, there));
        if !there {
            missing = Some(format!("KVM lacks {name}"));
        }
    }
    missing.map_or(Ok(()), Err)
}

fn probe_process(features: &mut Vec<(&'static str, bool)>) -> Result<(), String> {
    let seccomp = instar_jail::seccomp_knows_action(libc::SECCOMP_RET_KILL_PROCESS);
    let close_range = has_close_range();
    let pidfd = pidfd_open(getpid(), PidfdFlags::empty()).is_ok();
    const SECCOMP: &str = "seccomp with kill-process";
    // Without the last two there is another way.
    features.extend([(SECCOMP, seccomp), ("close_range", close_range), ("pidfd", pidfd)]);
    if seccomp {
        Ok(())
    } else {
        Err(format!("the kernel lacks {SECCOMP}"))
    }
}

/// Whether descriptors can be closed all at once: since Linux 5.9, but not under filters that do not know the call.
pub(crate) fn has_close_range() -> bool {
    // SAFETY: closes descriptors from the largest number on, of which there are none.
    unsafe { libc::syscall(libc::SYS_close_range, u32::MAX, u32::MAX, 0) == 0 }
}
