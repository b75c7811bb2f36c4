//! The first instructions of a lane, and where it goes from there.

use alloc::vec::Vec;
use core::arch::global_asm;
use core::sync::atomic::{AtomicU32, Ordering};

use instar_abi::fault::core as faults;
use instar_abi::layout::{BASE, BootInfo, CONTROL, JOB, SECRETS, SECRETS_BYTES};
use instar_abi::limits::{JOB_BYTES, LANES};
use instar_abi::report::{Failure, Stage};
use instar_abi::{Fault, Job, NamedSecret, Report, decode};
use instar_disk::Host as _;
use zeroize::Zeroize as _;

use super::client::Client;
use super::{crew, doorbell, heap};

// The backend enters with the lane's number in `edi`, every other register zero and `rsp` at the top of its stack.
global_asm!(
    ".section .text.start, \"ax\", @progbits",
    ".global _start",
    "_start:",
    "    xor ebp, ebp",
    "    and rsp, -16",
    "    call {lane}",
    "    ud2",
    lane = sym start,
);

/// Lanes of this run. Lane 0 writes it before it publishes any work.
static LANES_HERE: AtomicU32 = AtomicU32::new(1);

/// How many lanes there are.
pub(super) fn lanes() -> u32 {
    LANES_HERE.load(Ordering::Relaxed)
}

/// The host's parameters of this run.
pub(super) fn boot_info() -> BootInfo {
    let place = core::ptr::with_exposed_provenance::<BootInfo>(CONTROL as usize);
    // SAFETY: the host maps this page readable and has filled it before any lane starts.
    unsafe { place.read_volatile() }
}

extern "C" fn start(lane: u32) -> ! {
    if lane == 0 {
        first();
    } else {
        crew::serve(lane);
    }
    Client.exit()
}

/// Lane 0: the job from beginning to end.
fn first() {
    let info = boot_info();
    let lanes = info.lanes.clamp(1, LANES as u32);
    LANES_HERE.store(lanes, Ordering::Relaxed);
    heap::open(BASE.saturating_add(info.memory_bytes));
    doorbell::check(&info);
    let bytes = usize::try_from(info.job_bytes)
        .unwrap_or(usize::MAX)
        .min(JOB_BYTES);
    let place = core::ptr::with_exposed_provenance::<u8>(JOB as usize);
    // SAFETY: the job area is mapped, `bytes` stays inside of it, and nothing writes to it while lanes run.
    let bytes = unsafe { core::slice::from_raw_parts(place, bytes) };
    match (decode::<Job>(bytes), secrets(info.secret_bytes)) {
        (Ok(job), Some(secrets)) => instar_ops::run(&Client, &job, secrets),
        _ => Client.report(&Report::Failed(Failure {
            stage: Stage::Other,
            fault: Fault::new(faults::INTERNAL).with([u64::from(line!())]),
        })),
    }
}

/// Takes the secrets of this run, and wipes the place where they stood.
fn secrets(bytes: u64) -> Option<Vec<NamedSecret>> {
    if bytes == 0 {
        return Some(Vec::new());
    }
    let bytes = usize::try_from(bytes.min(SECRETS_BYTES)).ok()?;
    let place = core::ptr::with_exposed_provenance_mut::<u8>(SECRETS as usize);
    // SAFETY: the place is mapped writable and `bytes` stays inside of it; nobody else has a reference to it, and this one is gone when
    // this function ends.
    let place = unsafe { core::slice::from_raw_parts_mut(place, bytes) };
    let secrets = decode(place).ok();
    place.zeroize();
    secrets
}
