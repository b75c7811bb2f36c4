//! The crew of this run: which lane asks, and where it sleeps.

use core::sync::atomic::AtomicU32;

use super::doorbell::{lane, wait, wake};
use super::entry::lanes;
use crate::crew::Crew;
use crate::host::Host;

static CREW: Crew = Crew::new();

/// Lanes sleep by the backend's own means.
struct Lanes;

impl Host for Lanes {
    fn wait(&self, word: &AtomicU32, expected: u32) {
        wait(word, expected);
    }

    fn wake(&self, word: &AtomicU32) {
        wake(word);
    }
}

/// Runs `work` on every lane and returns when all have returned.
///
/// Off lane 0, where it would wait for lanes that are busy with the very work it is part of, all parts run here, one
/// after the other.
pub(super) fn parallel(work: &(dyn Fn(usize) + Sync)) {
    let others = lanes().saturating_sub(1);
    if others == 0 || lane() != 0 || CREW.is_busy() {
        for part in 0..lanes() {
            work(part as usize);
        }
        return;
    }
    CREW.parallel(&Lanes, others, work);
}

/// The life of a lane other than 0.
pub(super) fn serve(lane: u32) {
    let mut done = 0;
    loop {
        done = CREW.serve(&Lanes, lane, done);
    }
}
