//! The atomics under the lanes: the processor's, or in tests those that try every interleaving. `turnstile` is the file of `instar-disk`,
//! compiled once more.

#[cfg(guest_bare)]
pub(crate) use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
#[cfg(all(test, not(guest_bare)))]
pub(crate) use loom::{
    hint::spin_loop,
    sync::atomic::{AtomicPtr, AtomicU32, Ordering},
};

/// Turns of a spin loop before a lane sleeps: as many as make a difference.
#[cfg(all(test, not(guest_bare)))]
pub(crate) const SPINS: u32 = 1;
