//! The virtual machine: two memory slots, one vCPU a lane, and nothing else.
//!
//! No interrupt controller, no timer, no device, no ioeventfd: the kernel emulates nothing for this guest but its own
//! processor. The only exit that goes on is the doorbell; every other one ends the run.

mod tables;
mod vcpu;

use std::ffi::CStr;
use std::io;
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use instar_abi::layout::{BASE, DOORBELL_PORT};
use instar_memory::{GuestMemory, Next};
use kvm_bindings::{KVM_MEM_READONLY, kvm_userspace_memory_region};
use kvm_ioctls::{Cap, Kvm, VcpuExit, VcpuFd, VmFd};

use self::tables::{FAULT_PORT, Frame, SYSTEM};
use crate::control::{Control, set_immediate_exit};
use crate::image::Image;
use crate::plan::Region;
use crate::sandbox::said;
use crate::{Cause, GuestFault, Outcome, Serve};

/// A virtual machine at the guest's entry.
#[derive(Debug)]
pub(crate) struct Machine {
    // Dropped in this order: nothing may run when memory goes.
    vcpus: Mutex<Vec<Option<VcpuFd>>>,
    _vm: VmFd,
    system: GuestMemory,
    _memory: Arc<GuestMemory>,
}

/// Opens KVM, if it is there and of the one version that exists.
pub(crate) fn open() -> io::Result<Kvm> {
    open_at(c"/dev/kvm")
}

fn open_at(place: &CStr) -> io::Result<Kvm> {
    let name = place.to_string_lossy();
    let kvm = Kvm::new_with_path(place).map_err(|error| {
        let error = io::Error::from(error);
        io::Error::new(error.kind(), format!("cannot open {name}: {}", said(&error)))
    })?;
    match kvm.get_api_version() {
        VERSION => Ok(kvm),
        // In containers something else may stand under the name.
        -1 => Err(io::Error::other(format!(
            "{name} is not the device of KVM, which is number 10:232"
        ))),
        other => Err(io::Error::other(format!(
            "KVM has version {other}, not {VERSION}"
        ))),
    }
}

/// The required capabilities of KVM, with their names in the kernel's documentation.
pub(crate) const CAPABILITIES: [(Cap, &str); 5] = [
    (Cap::UserMemory, "KVM_CAP_USER_MEMORY"),
    (Cap::ImmediateExit, "KVM_CAP_IMMEDIATE_EXIT"),
    (Cap::ExtCpuid, "KVM_CAP_EXT_CPUID"),
    (Cap::ReadonlyMem, "KVM_CAP_READONLY_MEM"),
    (Cap::Xcrs, "KVM_CAP_XCRS"),
];

/// The result of an entry into the guest.
enum Step {
    Again,
    /// The kernel would not enter now.
    Refused,
    End(Outcome),
}

/// How often the kernel may refuse to enter, one time after the other, and what is waited between two. Ours: half a second in all.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(5);
/// The same before the run begins, where a process will do instead.
const FIRST_TRIES: u32 = 5;

/// Enters the guest as far as a kick lets it: not at all, but through everything that the kernel may refuse. It does where a control
/// group leaves it no room for a thread of its own.
fn try_out(vcpu: &mut VcpuFd) -> io::Result<()> {
    for _ in 0..FIRST_TRIES {
        vcpu.set_kvm_immediate_exit(1);
        let errno = match vcpu.run() {
            Ok(_) => libc::EINTR,
            Err(error) => error.errno(),
        };
        vcpu.set_kvm_immediate_exit(0);
        match errno {
            libc::EINTR => return Ok(()),
            libc::EAGAIN => thread::sleep(PAUSE),
            other => return Err(io::Error::from_raw_os_error(other)),
        }
    }
    Err(refuses())
}

fn refuses() -> io::Error {
    io::Error::other(
        "the kernel does not enter the virtual machine: Resource temporarily unavailable (see the control group's pids.max)",
    )
}

/// The version of the KVM interface that has been in force since 2007.
const VERSION: i32 = 12;

impl Machine {
    pub(crate) fn new(
        kvm: &Kvm,
        memory: Arc<GuestMemory>,
        regions: &[Region],
        lanes: u32,
        image: &Image<'_>,
    ) -> io::Result<Self> {
        if let Some((_, name)) = CAPABILITIES.iter().find(|(cap, _)| !kvm.check_extension(*cap)) {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("KVM lacks {name}"),
            ));
        }
        let system = GuestMemory::private(tables::bytes(lanes))?;
        system.write(0, &tables::build(regions, lanes))?;
        let vm = kvm.create_vm()?;
        let resident = image.resident.map_or(0, |resident| resident.length);
        add_slot(
            &vm,
            0,
            BASE + resident,
            host_address(&memory) + resident,
            memory.len() - resident,
        )?;
        add_slot(&vm, 1, SYSTEM, host_address(&system), system.len())?;
        if let Some(resident) = image.resident {
            add_slot(&vm, 2 | READ_ONLY, BASE, resident.place, resident.length)?;
        }
        let cpuid = vcpu::cpuid().ok_or(io::ErrorKind::OutOfMemory)?;
        let mut vcpus = Vec::with_capacity(16);
        for lane in 0..lanes {
            let vcpu = vm.create_vcpu(u64::from(lane))?;
            vcpu::set_up(&vcpu, lane, image.entry, &cpuid)?;
            vcpus.push(Some(vcpu));
        }
        if let Some(Some(first)) = vcpus.first_mut() {
            try_out(first)?;
        }
        Ok(Self {
            vcpus: Mutex::new(vcpus),
            _vm: vm,
            system,
            _memory: memory,
        })
    }

    /// Runs a lane until the run is over.
    pub(crate) fn run(&self, lane: u32, control: &Control, serve: &Serve<'_>) {
        let Some(mut vcpu) = self.take(lane) else {
            return;
        };
        let immediate_exit = &raw mut vcpu.get_kvm_run().immediate_exit;
        // SAFETY: 1. the byte lies in a page that is mapped for `vcpu`; 2. `vcpu` outlives the second call below.
        unsafe { set_immediate_exit(immediate_exit) };
        let mut refused = 0;
        while !control.is_over() {
            match self.step(&mut vcpu, lane, serve) {
                Step::Again => refused = 0,
                Step::End(outcome) => control.end(outcome),
                Step::Refused if refused < TRIES => {
                    refused += 1;
                    thread::sleep(PAUSE);
                }
                Step::Refused => control.end(Outcome::Failed(refuses())),
            }
        }
        // The first lane to notice that time is up tells the others.
        control.check_deadline();
        // SAFETY: 1. null; 2. there is nothing to stay.
        unsafe { set_immediate_exit(ptr::null_mut()) };
    }

    fn take(&self, lane: u32) -> Option<VcpuFd> {
        let mut vcpus = self.vcpus.lock().unwrap_or_else(PoisonError::into_inner);
        vcpus.get_mut(usize::try_from(lane).ok()?)?.take()
    }

    /// One entry into the guest, and what it came out for. An outcome ends the run.
    fn step(&self, vcpu: &mut VcpuFd, lane: u32, serve: &Serve<'_>) -> Step {
        let reason = match vcpu.run() {
            Ok(VcpuExit::IoOut(DOORBELL_PORT, [_, _, _, _])) => {
                return match serve(lane) {
                    Next::Continue => Step::Again,
                    Next::Exit => Step::End(Outcome::Exited),
                    Next::Kill(violation) => Step::End(Outcome::Violation(violation)),
                };
            }
            Ok(VcpuExit::IoOut(port, _)) if port == u16::from(FAULT_PORT) => {
                return Step::End(self.fault(lane));
            }
            Ok(VcpuExit::IoOut(..) | VcpuExit::IoIn(..)) => "access to a port that is not the doorbell",
            Ok(VcpuExit::MmioRead(..) | VcpuExit::MmioWrite(..)) => "access to memory that does not exist",
            Ok(VcpuExit::Hlt) => "halt",
            Ok(VcpuExit::Shutdown) => "triple fault",
            Ok(VcpuExit::InternalError) => "an instruction that KVM cannot emulate",
            Ok(VcpuExit::FailEntry(..)) => "a processor state that KVM refuses",
            Ok(VcpuExit::Intr) => return Step::Again,
            Ok(_) => "an exit of an unknown kind",
            Err(error) if error.errno() == libc::EINTR => {
                // The kick has done its work; the loop looks why it came.
                vcpu.set_kvm_immediate_exit(0);
                return Step::Again;
            }
            Err(error) if error.errno() == libc::EAGAIN => return Step::Refused,
            Err(error) => return Step::End(Outcome::Failed(error.into())),
        };
        Step::End(Outcome::Fault(GuestFault::bare(Cause::Exit(reason))))
    }

    /// The record of the exception stub.
    fn fault(&self, lane: u32) -> Outcome {
        let mut bytes = [0; tables::FRAME_BYTES as usize];
        if let Err(error) = self.system.read(Frame::offset(lane), &mut bytes) {
            return Outcome::Failed(error.into());
        }
        let frame = Frame::parse(bytes);
        let vector = u8::try_from(frame.vector).unwrap_or(u8::MAX);
        Outcome::Fault(GuestFault {
            cause: Cause::Exception(vector),
            instruction: Some(frame.instruction),
            address: (vector == PAGE_FAULT).then_some(frame.address),
        })
    }
}

const PAGE_FAULT: u8 = 14;

/// With a slot's number: the guest may not write there, whatever its page tables say.
const READ_ONLY: u32 = 1 << 16;

fn host_address(memory: &GuestMemory) -> u64 {
    memory.as_ptr().expose_provenance() as u64
}

/// Backs guest memory from `physical` on with memory of ours: the guest's own, the tables, or code of this program that
/// never goes away.
fn add_slot(vm: &VmFd, slot: u32, physical: u64, host: u64, length: u64) -> io::Result<()> {
    let region = kvm_userspace_memory_region {
        slot: slot & !READ_ONLY,
        flags: if slot & READ_ONLY == 0 {
            0
        } else {
            KVM_MEM_READONLY
        },
        guest_phys_addr: physical,
        memory_size: length,
        userspace_addr: host,
    };
    // SAFETY: what can be written is memory of a `GuestMemory`, in which no Rust object lies and which `Machine` keeps
    // until the machine is gone; the rest is read only.
    unsafe { vm.set_user_memory_region(region) }?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::open_at;

    #[test]
    fn what_is_not_kvm_is_called_that() {
        let why = |place| open_at(place).unwrap_err().to_string();
        assert_eq!(
            why(c"/dev/null"),
            "/dev/null is not the device of KVM, which is number 10:232"
        );
        assert_eq!(
            why(c"/nowhere/kvm"),
            "cannot open /nowhere/kvm: No such file or directory"
        );
    }
}
