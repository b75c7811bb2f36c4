//! The sign that a run is over: looked at between the pieces of long work.

use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;

use crate::file::Outcome;

/// Set once, by whoever ends the run.
#[derive(Debug, Default)]
pub(crate) struct Stop(AtomicBool);

impl Stop {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Goes on, or fails with ECANCELED.
    pub(crate) fn check(&self) -> Outcome<()> {
        if self.is_set() {
            return Err(Errno::CANCELED.into());
        }
        Ok(())
    }
}
