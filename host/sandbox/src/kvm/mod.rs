//! The virtual machine: two memory slots, one vCPU a lane, and nothing else.
//!
//! No interrupt controller, no timer, no device, no ioeventfd: the kernel emulates nothing for this guest but its own
//! processor. The only exit that goes on is the doorbell; every other one ends the run.

mod tables;
mod vcpu;

use std::io;
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};

use instar_abi::layout::{BASE, DOORBELL_PORT};
use instar_memory::{GuestMemory, Next};
use kvm_bindings::{KVM_MEM_READONLY, kvm_userspace_memory_region};
use kvm_ioctls::{Cap, Kvm, VcpuExit, VcpuFd, VmFd};

use self::tables::{FAULT_PORT, Frame, SYSTEM};
use crate::control::{Control, set_immediate_exit};
use crate::image::Image;
use crate::plan::Region;
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
    let kvm = Kvm::new()?;
    match kvm.get_api_version() {
        VERSION => Ok(kvm),
        other => Err(io::Error::other(format!(
            "KVM has version {other}, not {VERSION}"
        ))),
    }
}

/// What the kernel must be able to do, with the names that the kernel's documentation has for them.
pub(crate) const CAPABILITIES: [(Cap, &str); 5] = [
    (Cap::UserMemory, "KVM_CAP_USER_MEMORY"),
    (Cap::ImmediateExit, "KVM_CAP_IMMEDIATE_EXIT"),
    (Cap::ExtCpuid, "KVM_CAP_EXT_CPUID"),
    (Cap::ReadonlyMem, "KVM_CAP_READONLY_MEM"),
    (Cap::Xcrs, "KVM_CAP_XCRS"),
];

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
        // SAFETY: the page belongs to `vcpu`, which outlives the second call below.
        unsafe { set_immediate_exit(immediate_exit) };
        while !control.is_over() {
            if let Some(outcome) = self.step(&mut vcpu, lane, serve) {
                control.end(outcome);
            }
            if lane == 0 {
                control.check_deadline();
            }
        }
        // SAFETY: null ends it.
        unsafe { set_immediate_exit(ptr::null_mut()) };
    }

    fn take(&self, lane: u32) -> Option<VcpuFd> {
        let mut vcpus = self.vcpus.lock().unwrap_or_else(PoisonError::into_inner);
        vcpus.get_mut(usize::try_from(lane).ok()?)?.take()
    }

    /// One entry into the guest, and what it came out for. An outcome ends the run.
    fn step(&self, vcpu: &mut VcpuFd, lane: u32, serve: &Serve<'_>) -> Option<Outcome> {
        let reason = match vcpu.run() {
            Ok(VcpuExit::IoOut(DOORBELL_PORT, [_, _, _, _])) => {
                return match serve(lane) {
                    Next::Continue => None,
                    Next::Exit => Some(Outcome::Exited),
                    Next::Kill(violation) => Some(Outcome::Violation(violation)),
                };
            }
            Ok(VcpuExit::IoOut(port, _)) if port == u16::from(FAULT_PORT) => {
                return Some(self.fault(lane));
            }
            Ok(VcpuExit::IoOut(..) | VcpuExit::IoIn(..)) => "access to a port that is not the doorbell",
            Ok(VcpuExit::MmioRead(..) | VcpuExit::MmioWrite(..)) => "access to memory that does not exist",
            Ok(VcpuExit::Hlt) => "halt",
            Ok(VcpuExit::Shutdown) => "triple fault",
            Ok(VcpuExit::InternalError) => "an instruction that KVM cannot emulate",
            Ok(VcpuExit::FailEntry(..)) => "a processor state that KVM refuses",
            Ok(VcpuExit::Intr) => return None,
            Ok(_) => "an exit of an unknown kind",
            Err(error) if [libc::EINTR, libc::EAGAIN].contains(&error.errno()) => {
                // The kick has done its work; the loop looks why it came.
                vcpu.set_kvm_immediate_exit(0);
                return None;
            }
            Err(error) => return Some(Outcome::Failed(error.into())),
        };
        Some(Outcome::Fault(GuestFault::bare(Cause::Exit(reason))))
    }

    /// What the exception stub left behind.
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
