//! One closure on all lanes: the protocol, whichever atomics and whichever sleep stand under it. `models` tries every interleaving of it.
//!
//! ```text
//!  lane 0   WORK = place of the closure; BUSY = others; ROUND += 1; wake ─► own part ─► waits until BUSY is 0
//!  lane n   waits until ROUND is another ─► reads WORK ─► its part ─► BUSY -= 1; the last one wakes lane 0
//! ```

use core::ptr;

use crate::atomic::{AtomicPtr, AtomicU32, Ordering};
use crate::host::Host;

type Work<'a> = &'a (dyn Fn(usize) + Sync);

/// What lanes have in common.
pub(crate) struct Crew {
    /// Counts the pieces of work published; lanes sleep on it.
    round: AtomicU32,
    /// Lanes other than 0 that have not finished the current piece.
    busy: AtomicU32,
    /// Where `parallel` keeps its reference to the current piece.
    work: AtomicPtr<Work<'static>>,
}

impl Crew {
    #[cfg(guest_bare)]
    pub(crate) const fn new() -> Self {
        Self {
            round: AtomicU32::new(0),
            busy: AtomicU32::new(0),
            work: AtomicPtr::new(ptr::null_mut()),
        }
    }

    #[cfg(not(guest_bare))]
    pub(crate) fn new() -> Self {
        Self {
            round: AtomicU32::new(0),
            busy: AtomicU32::new(0),
            work: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Whether lanes are at work.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire) != 0
    }

    /// Runs `work` on every lane and returns when all have returned. Called by lane 0, while no lane is at work.
    pub(crate) fn parallel(&self, host: &impl Host, others: u32, work: Work<'_>) {
        // Other lanes read the reference through this pointer, and only until BUSY is 0: before this function returns.
        let published = work;
        self.work
            .store((&raw const published).cast_mut().cast(), Ordering::Relaxed);
        self.busy.store(others, Ordering::Relaxed);
        self.round.fetch_add(1, Ordering::Release);
        host.wake(&self.round);
        work(0);
        loop {
            match self.busy.load(Ordering::Acquire) {
                0 => return,
                busy => host.wait(&self.busy, busy),
            }
        }
    }

    /// Waits for the piece of work behind round `done` and does this lane's part of it; gives its round.
    pub(crate) fn serve(&self, host: &impl Host, lane: u32, done: u32) -> u32 {
        let round = loop {
            match self.round.load(Ordering::Acquire) {
                round if round == done => host.wait(&self.round, round),
                round => break round,
            }
        };
        // SAFETY: `parallel` stored the pointer before it counted the round, and keeps the reference behind it, and the closure behind
        // that, until `busy` is 0, which this lane has yet to count down.
        let work = unsafe { *self.work.load(Ordering::Relaxed) };
        work(lane as usize);
        if self.busy.fetch_sub(1, Ordering::AcqRel) == 1 {
            host.wake(&self.busy);
        }
        round
    }
}
