//! The atomics under locks and turns. The tests of the guest compile [`crate::Turnstile`] and [`crate::Turn`] a second time, with a module
//! of this name whose atomics try every interleaving.

pub(crate) use core::hint::spin_loop;
pub(crate) use core::sync::atomic::{AtomicU32, Ordering};

/// Turns of the spin loop before a lane sleeps: a few microseconds.
pub(crate) const SPINS: u32 = 2000;
