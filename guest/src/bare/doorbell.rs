//! How a lane reaches the host, sleeps and wakes others: the one difference between the two backends.

use core::arch::asm;
use core::hint::spin_loop;
use core::sync::atomic::{AtomicU32, Ordering};

use instar_abi::layout::{BootInfo, DOORBELL_PORT, STACK_STRIDE, STACKS, mailbox};
use instar_abi::mailbox::{MailboxHeader, REQUESTS_AT, RESULTS_AT};
use instar_abi::request::Op;
use instar_abi::{RawRequest, RawResult};

use super::entry::boot_info;
use crate::bell;
use crate::host::Host;

/// Turns of a loop before a waiting lane sleeps under KVM: less than the exit that sleeping costs.
const SPINS_PORT: u32 = 4000;
/// The same in a process, where sleeping is a system call.
const SPINS_FUTEX: u32 = 200;

/// This lane's number, by its stack.
pub(super) fn lane() -> u32 {
    let stack: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, rsp", out(reg) stack, options(nomem, nostack, preserves_flags)) };
    (stack.saturating_sub(STACKS) / STACK_STRIDE) as u32
}

/// Faults if the host and this binary are not of one build; nothing sensible could follow.
pub(super) fn check(info: &BootInfo) {
    assert!(
        info.magic == BootInfo::MAGIC,
        "the host's boot record is of another build"
    );
}

/// A lane's mailbox. Only the lane it belongs to makes one, and none while another is alive on that lane.
pub(super) struct Mailbox {
    start: *mut u8,
    lane: u32,
}

impl Mailbox {
    /// The mailbox of the lane that asks.
    pub(super) fn mine() -> Self {
        let lane = lane();
        Self {
            start: core::ptr::with_exposed_provenance_mut(mailbox(lane) as usize),
            lane,
        }
    }

    /// Puts a request at `index`, which is below [`instar_abi::limits::BATCH`].
    pub(super) fn put(&mut self, index: usize, request: RawRequest) {
        let place = self.start.wrapping_add(REQUESTS_AT).cast::<RawRequest>();
        // SAFETY: the mailbox is mapped and aligned, and has room for BATCH requests.
        unsafe { place.wrapping_add(index).write_volatile(request) };
    }

    /// The result at `index`, which is below [`instar_abi::limits::BATCH`].
    pub(super) fn result(&self, index: usize) -> RawResult {
        let place = self.start.wrapping_add(RESULTS_AT).cast::<RawResult>();
        // SAFETY: the mailbox is mapped and aligned, and has room for BATCH results.
        unsafe { place.wrapping_add(index).read_volatile() }
    }

    /// Hands `count` requests to the host and returns when their results stand there.
    pub(super) fn ring(&mut self, count: usize) {
        let header = self.start.cast::<MailboxHeader>();
        // SAFETY: the mailbox is mapped and aligned.
        let place = unsafe { &raw mut (*header).count };
        // SAFETY: the same.
        unsafe { place.write_volatile(count as u32) };
        if boot_info().doorbell == BootInfo::DOORBELL_PORT {
            // SAFETY: the port is this lane's to write; the host reads and writes the mailbox meanwhile, so no
            // `nomem` here.
            unsafe { asm!("out dx, eax", in("dx") DOORBELL_PORT, in("eax") self.lane, options(nostack)) };
        } else {
            self.ring_futex();
        }
    }

    fn ring_futex(&mut self) {
        // SAFETY: the first word of the mailbox, mapped and aligned; the host uses it as an atomic too.
        let word = unsafe { AtomicU32::from_ptr(self.start.cast()) };
        bell::ring(&Shared, word);
    }
}

/// Words that lie in memory of the host's, too: one of its threads waits for each.
struct Shared;

impl Host for Shared {
    fn wait(&self, word: &AtomicU32, expected: u32) {
        futex(word, FUTEX_WAIT, expected);
    }

    fn wake(&self, word: &AtomicU32) {
        futex(word, FUTEX_WAKE, 1);
    }
}

/// Sleeps while `word` is `expected`; may return early.
pub(super) fn wait(word: &AtomicU32, expected: u32) {
    let futexes = boot_info().doorbell == BootInfo::DOORBELL_FUTEX;
    let spins = if futexes { SPINS_FUTEX } else { SPINS_PORT };
    for _ in 0..spins {
        if word.load(Ordering::Acquire) != expected {
            return;
        }
        spin_loop();
    }
    if futexes {
        futex(word, FUTEX_WAIT | FUTEX_PRIVATE, expected);
    } else {
        ask(Op::WAIT, word, u64::from(expected));
    }
}

/// Wakes all that wait for `word`.
pub(super) fn wake(word: &AtomicU32) {
    if boot_info().doorbell == BootInfo::DOORBELL_FUTEX {
        futex(word, FUTEX_WAKE | FUTEX_PRIVATE, i32::MAX.cast_unsigned());
    } else {
        ask(Op::WAKE, word, 0);
    }
}

fn ask(operation: Op, word: &AtomicU32, extra: u64) {
    let mut mailbox = Mailbox::mine();
    mailbox.put(
        0,
        RawRequest {
            op: operation.0,
            address: word.as_ptr().expose_provenance() as u64,
            extra,
            ..RawRequest::default()
        },
    );
    mailbox.ring(1);
}

/// The one system call that the process backend lets a lane make.
fn futex(word: &AtomicU32, operation: u32, value: u32) {
    // SAFETY: the word outlives the call; the kernel reads it and writes nothing. There is no time limit.
    unsafe {
        asm!(
            "syscall",
            inout("rax") SYS_FUTEX => _,
            in("rdi") word.as_ptr(), in("rsi") u64::from(operation), in("rdx") u64::from(value), in("r10") 0,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
}

const SYS_FUTEX: u64 = 202;
const FUTEX_WAIT: u32 = 0;
const FUTEX_WAKE: u32 = 1;
const FUTEX_PRIVATE: u32 = 128;
