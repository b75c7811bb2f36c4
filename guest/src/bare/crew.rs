//! One closure on all lanes.

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use super::doorbell::{lane, wait, wake};
use super::entry::lanes;

type Work<'a> = &'a (dyn Fn(usize) + Sync);

/// Counts the pieces of work published; lanes sleep on it.
static ROUND: AtomicU32 = AtomicU32::new(0);
/// Lanes other than 0 that have not finished the current piece.
static BUSY: AtomicU32 = AtomicU32::new(0);
/// The current piece: a fat reference, as two words.
static WORK: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];

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
    // SAFETY: a fat reference is two words; they are put together again in `serve`.
    let [data, table] = unsafe { core::mem::transmute::<Work<'_>, [usize; 2]>(work) };
    WORK[0].store(data, Ordering::Relaxed);
    WORK[1].store(table, Ordering::Relaxed);
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
        let words = [WORK[0].load(Ordering::Relaxed), WORK[1].load(Ordering::Relaxed)];
        // SAFETY: written by `parallel` before the round was counted; its caller's closure lives until BUSY is 0.
        let work = unsafe { core::mem::transmute::<[usize; 2], Work<'_>>(words) };
        work(lane as usize);
        if BUSY.fetch_sub(1, Ordering::AcqRel) == 1 {
            wake(&BUSY);
        }
    }
}
