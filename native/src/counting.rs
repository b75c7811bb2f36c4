//! A host that counts what it is asked for.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use instar_disk::{Action, FileFacts, Host, Io, Result, Role, Slot};

use crate::{Native, Report};

/// [`Native`], with counters.
#[derive(Debug)]
pub struct Counting<'n> {
    native: &'n Native,
    requests: AtomicU64,
    bytes: AtomicU64,
    largest: AtomicU64,
}

/// What was asked for in a while.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Requests of any kind.
    pub requests: u64,
    /// Bytes that reads wanted.
    pub bytes: u64,
    /// Bytes that the largest read wanted.
    pub largest: u64,
}

impl<'n> Counting<'n> {
    /// Nothing was asked for yet.
    #[must_use]
    pub fn new(native: &'n Native) -> Self {
        Self {
            native,
            requests: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            largest: AtomicU64::new(0),
        }
    }

    /// What was asked for since the last time.
    pub fn take(&self) -> Asked {
        Asked {
            requests: self.requests.swap(0, Relaxed),
            bytes: self.bytes.swap(0, Relaxed),
            largest: self.largest.swap(0, Relaxed),
        }
    }
}

impl Host for Counting<'_> {
    fn submit(&self, batch: &mut [Io<'_>]) {
        self.requests.fetch_add(batch.len() as u64, Relaxed);
        for io in batch.iter() {
            if let Action::Read { into, .. } = &io.action {
                self.bytes.fetch_add(into.len() as u64, Relaxed);
                self.largest.fetch_max(into.len() as u64, Relaxed);
            }
        }
        self.native.submit(batch);
    }

    fn open(&self, namer: Slot, role: Role, name: &[u8]) -> Result<FileFacts> {
        self.native.open(namer, role, name)
    }

    fn lanes(&self) -> usize {
        self.native.lanes()
    }

    fn parallel(&self, work: &(dyn Fn(usize) + Sync)) {
        self.native.parallel(work);
    }

    fn wait(&self, word: &AtomicU32, expected: u32) {
        self.native.wait(word, expected);
    }

    fn wake(&self, word: &AtomicU32) {
        self.native.wake(word);
    }

    fn report(&self, report: &Report) {
        self.native.report(report);
    }

    fn progress(&self, done: u64, total: u64) {
        self.native.progress(done, total);
    }
}
