//! One closure on all lanes.

use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use super::doorbell::{lane, wait, wake};
use super::entry::lanes;

type Work<'a> = &'a (dyn Fn(usize) + Sync);

/// Counts the pieces of work published; lanes sleep on it.
static ROUND: AtomicU32 = AtomicU32::new(0);
/// Lanes other than 0 that have not finished the current piece.
static BUSY: AtomicU32 = AtomicU32::new(0);
/// Where `parallel` keeps its reference to the current piece.
static WORK: AtomicPtr<Work<'static>> = AtomicPtr::new(ptr::null_mut());

/// Runs `work` on every lane and returns when all have returned.
///
/// Off lane 0, where it would wait for lanes that are busy with the very work it is part of, all parts run here, one
/// after the other.
pub(super) fn parallel(work: Work<'_>) {
    let others = lanes().saturating_sub(1);
    if others == 0 || lane() != 0 || BUSY.load(Ordering::Acquire) != 0 {
        for part in 0..lanes() {
            work(part as usize);
        }
        return;
    }
    // Other lanes read the reference through this pointer, and only until BUSY is 0: before this function returns.
    let published = work;
    WORK.store((&raw const published).cast_mut().cast(), Ordering::Relaxed);
    BUSY.store(others, Ordering::Relaxed);
    ROUND.fetch_add(1, Ordering::Release);
    wake(&ROUND);
    work(0);
    loop {
        match BUSY.load(Ordering::Acquire) {
            0 => return,
            busy => wait(&BUSY, busy),
        }
    }
}

/// The life of a lane other than 0.
pub(super) fn serve(lane: u32) {
    let mut done = 0;
    loop {
        let round = ROUND.load(Ordering::Acquire);
        if round == done {
            wait(&ROUND, round);
            continue;
        }
        done = round;
        // SAFETY: `parallel` stored the pointer before it counted the round, and keeps the reference behind it, and the closure behind
        // that, until BUSY is 0, which this lane has yet to count down.
        let work = unsafe { *WORK.load(Ordering::Relaxed) };
        work(lane as usize);
        if BUSY.fetch_sub(1, Ordering::AcqRel) == 1 {
            wake(&BUSY);
        }
    }
}
