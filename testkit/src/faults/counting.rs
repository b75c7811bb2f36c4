//! A host that counts what it is asked for.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use instar_disk::{Action, Io};

use crate::{Native, Watch, Watched};

/// [`Native`], with counters.
pub type Counting<'n> = Watched<Counters, &'n Native>;

/// The requests so far.
#[derive(Debug, Default)]
pub struct Counters {
    requests: AtomicU64,
    bytes: AtomicU64,
    largest: AtomicU64,
}

/// The requests of a period.
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
            watch: Counters::default(),
        }
    }

    /// The requests since the last call.
    pub fn take(&self) -> Asked {
        Asked {
            requests: self.watch.requests.swap(0, Relaxed),
            bytes: self.watch.bytes.swap(0, Relaxed),
            largest: self.watch.largest.swap(0, Relaxed),
        }
    }
}

impl Watch for Counters {
    fn wanted(&self, batch: &[Io<'_>]) {
        self.requests.fetch_add(batch.len() as u64, Relaxed);
        for io in batch {
            if let Action::Read { into, .. } = &io.action {
                self.bytes.fetch_add(into.len() as u64, Relaxed);
                self.largest.fetch_max(into.len() as u64, Relaxed);
            }
        }
    }
}
