//! Guest address space: the same addresses in the virtual machine and in the confined process.
//!
//! ```text
//!  BASE    0x1000_0000 ┌──────────────────────────────┐
//!                      │ image: text, rodata, data    │  at most 4 MiB, W^X by page
//!  STACKS  + 4 MiB     ├──────────────────────────────┤
//!                      │ lane 0: guard page, stack    │  256 KiB each, guard page lowest
//!                      │ lane 1 …                     │
//!  CONTROL + 8 MiB     ├──────────────────────────────┤
//!                      │ BootInfo page                │
//!                      │ mailbox of lane 0, 1, …      │  32 KiB each
//!                      │ last words                   │  what a panicking guest says
//!                      │ the backend's own            │  unmapped in a virtual machine
//!                      │ job area                     │  960 KiB
//!                      │ secrets                      │  64 KiB, wiped by the guest
//!  HEAP    + 10 MiB    ├──────────────────────────────┤
//!                      │ heap                         │  to the end, huge pages where they help
//!                      └──────────────────────────────┘
//! ```
//!
//! The base lies below 2 GiB because the guest is linked with the small code model, and above
//! everything that a position-independent host process maps low.

use serde::{Deserialize, Serialize};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::limits::LANES;

/// First address of guest memory.
pub const BASE: u64 = 0x1000_0000;
/// Room for the ELF image.
pub const IMAGE_BYTES: u64 = 4 << 20;
/// First address of the stacks.
pub const STACKS: u64 = BASE + IMAGE_BYTES;
/// One lane's stack, guard page included.
pub const STACK_STRIDE: u64 = 256 << 10;
/// The unmapped page below each stack.
pub const GUARD_BYTES: u64 = 4096;
/// First address of the control area: one [`BootInfo`] page.
pub const CONTROL: u64 = BASE + (8 << 20);
/// First mailbox.
pub const MAILBOXES: u64 = CONTROL + 4096;
/// One lane's mailbox.
pub const MAILBOX_STRIDE: u64 = 32 << 10;
/// What a panicking guest says before it faults on purpose: a 32-bit length, then that many bytes.
pub const LAST_WORDS: u64 = CONTROL + (576 << 10);
/// Room for the last words, the length included.
pub const LAST_WORDS_BYTES: u64 = 4096;
/// The process backend's own code and signal stacks, up to [`JOB`]. The guest has no business there.
pub const BACKEND: u64 = CONTROL + (640 << 10);
/// First byte of the serialised [`crate::Job`].
pub const JOB: u64 = CONTROL + (1 << 20);
/// What the job's secrets hold, serialised: the guest takes it, and wipes the place before it reads an image.
pub const SECRETS: u64 = HEAP - SECRETS_BYTES;
/// Room for secrets. Ours: a passphrase has a few bytes, a key file some kilobytes.
pub const SECRETS_BYTES: u64 = 64 << 10;
/// The same as a length.
pub const SECRETS_LENGTH: usize = 64 << 10;
/// First byte of the heap.
pub const HEAP: u64 = BASE + (10 << 20);
/// Guest memory when nobody asks for another size. Fits a 256 MiB address space beside the host's own.
pub const DEFAULT_BYTES: u64 = 128 << 20;
/// Smallest guest memory.
pub const MIN_BYTES: u64 = 32 << 20;
/// Largest guest memory: the gigabyte that a key slot of LUKS2 may ask for, and what a run needs besides. The end stays below 2 GiB.
pub const MAX_BYTES: u64 = 1280 << 20;
/// Host page, guest page.
pub const PAGE: u64 = 4096;

/// The I/O port of the doorbell under KVM (4-byte `out`, the value is the lane number).
pub const DOORBELL_PORT: u16 = 0x510;

/// The guest reads this once, at the start of lane 0; other lanes trust lane 0's reading.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Serialize, Deserialize)]
#[repr(C)]
pub struct BootInfo {
    /// [`BootInfo::MAGIC`].
    pub magic: u64,
    /// Bytes of guest memory, from [`BASE`].
    pub memory_bytes: u64,
    /// Bytes of the job at [`JOB`].
    pub job_bytes: u64,
    /// Lanes that the host will start, at least 1.
    pub lanes: u32,
    /// 0 for a port write (KVM), 1 for a futex (process).
    pub doorbell: u32,
    /// Bytes of the secrets at [`SECRETS`].
    pub secret_bytes: u64,
}

impl BootInfo {
    /// "instar" and the layout's number: 2 since secrets have a place.
    pub const MAGIC: u64 = 0x0002_7261_7473_6e69;
    /// `doorbell`: the guest rings with `out`.
    pub const DOORBELL_PORT: u32 = 0;
    /// `doorbell`: the guest rings with a futex on the mailbox's first word.
    pub const DOORBELL_FUTEX: u32 = 1;
}

#[expect(clippy::as_conversions, reason = "widening, in a constant")]
const _: () = {
    assert!(size_of::<BootInfo>() == 40);
    assert!(STACK_STRIDE * (LANES as u64) <= CONTROL - STACKS);
    assert!(MAILBOXES + MAILBOX_STRIDE * (LANES as u64) <= LAST_WORDS);
    assert!(LAST_WORDS + LAST_WORDS_BYTES <= BACKEND && BACKEND < JOB);
    assert!(JOB + (crate::limits::JOB_BYTES as u64) <= SECRETS && SECRETS.is_multiple_of(PAGE));
    assert!(crate::mailbox::MAILBOX_BYTES as u64 <= MAILBOX_STRIDE);
    assert!(SECRETS_LENGTH as u64 == SECRETS_BYTES);
    assert!(BASE + MAX_BYTES < (1 << 31));
};

/// The last address of a lane's stack, exclusive: where its stack pointer starts.
///
/// `lane` is below [`LANES`].
#[must_use]
#[expect(clippy::as_conversions, reason = "widening, in a constant function")]
pub const fn stack_top(lane: u32) -> u64 {
    STACKS.saturating_add(STACK_STRIDE.saturating_mul(lane.saturating_add(1) as u64))
}

/// The first address of a lane's mailbox.
#[must_use]
#[expect(clippy::as_conversions, reason = "widening, in a constant function")]
pub const fn mailbox(lane: u32) -> u64 {
    MAILBOXES.saturating_add(MAILBOX_STRIDE.saturating_mul(lane as u64))
}
