//! A lock for lanes, and a counter that lets them pass in order.
//!
//! Waiting lanes spin for a moment, then sleep on the host: a lane that holds the lock may be in the middle of a read, and
//! burning a core meanwhile would slow down the very thread that serves it.

use spin::Mutex;

use crate::atomic::{AtomicU32, Ordering, SPINS, spin_loop};
use crate::host::Host;

const FREE: u32 = 0;
const HELD: u32 = 1;
const HELD_WITH_WAITERS: u32 = 2;

/// A mutual-exclusion lock whose waiters sleep on the host.
pub struct Turnstile<T> {
    gate: AtomicU32,
    value: Mutex<T>,
}

impl<T> Turnstile<T> {
    /// A free lock around `value`.
    pub fn new(value: T) -> Self {
        Self {
            gate: AtomicU32::new(FREE),
            value: Mutex::new(value),
        }
    }

    /// Runs `work` with the lock held.
    pub fn with<R>(&self, host: &dyn Host, work: impl FnOnce(&mut T) -> R) -> R {
        self.enter(host);
        // Uncontended by construction: only one lane passes the gate at a time.
        let result = work(&mut self.value.lock());
        if self.gate.swap(FREE, Ordering::Release) == HELD_WITH_WAITERS {
            host.wake(&self.gate);
        }
        result
    }

    /// The value, when no lane can reach it any more.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }

    fn enter(&self, host: &dyn Host) {
        for _ in 0..SPINS {
            if self
                .gate
                .compare_exchange_weak(FREE, HELD, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
            {
                return;
            }
            spin_loop();
        }
        while self.gate.swap(HELD_WITH_WAITERS, Ordering::Acquire) != FREE {
            host.wait(&self.gate, HELD_WITH_WAITERS);
        }
    }
}

/// Lets lanes through in the order of their tickets, so that output does not depend on their number.
///
/// Counts modulo 2^32; that many tickets are never out at once.
#[derive(Default)]
pub struct Turn {
    now: AtomicU32,
    /// Lanes that sleep or are about to. If there is none, no wake is needed, which saves a doorbell.
    sleepers: AtomicU32,
}

impl Turn {
    /// Ticket 0 goes first.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether it is `ticket`'s turn.
    pub fn is(&self, ticket: u32) -> bool {
        self.now.load(Ordering::Acquire) == ticket
    }

    /// Returns when it is `ticket`'s turn.
    pub fn wait_for(&self, host: &dyn Host, ticket: u32) {
        let mut spins = 0_u32;
        loop {
            let now = self.now.load(Ordering::Acquire);
            if now == ticket {
                return;
            }
            if spins < SPINS {
                spins = spins.saturating_add(1);
                spin_loop();
            } else {
                // A lane that passes either sees us here, or has passed before the host compares the number again.
                self.sleepers.fetch_add(1, Ordering::SeqCst);
                host.wait(&self.now, now);
                self.sleepers.fetch_sub(1, Ordering::SeqCst);
            }
        }
    }

    /// Ends the turn of the ticket that has it.
    pub fn pass(&self, host: &dyn Host) {
        self.now.fetch_add(1, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            host.wake(&self.now);
        }
    }
}
