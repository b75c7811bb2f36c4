//! A host that fails.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

use instar_disk::{Action, FileFacts, Host, Io, IoError, Result, Role, Slot};

use crate::{Native, Report};

/// No space left on device.
const ENOSPC: u32 = 28;

/// [`Native`], which carries out so many changes and then none.
#[derive(Debug)]
pub struct Failing {
    /// What carries them out.
    pub native: Native,
    left: AtomicU64,
}

impl Failing {
    /// Carries out `changes`; reads always succeed.
    #[must_use]
    pub fn after(changes: u64) -> Self {
        Self {
            native: Native::new(1),
            left: AtomicU64::new(changes),
        }
    }

    /// Changes that it would still carry out.
    pub fn left(&self) -> u64 {
        self.left.load(SeqCst)
    }
}

impl Host for Failing {
    fn submit(&self, batch: &mut [Io<'_>]) {
        for io in batch {
            let changes = !matches!(io.action, Action::Read { .. } | Action::Extents { .. });
            let spent = || self.left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
            if changes && spent().is_err() {
                io.outcome = Err(IoError(ENOSPC));
                return;
            }
            self.native.submit(core::slice::from_mut(io));
            if io.outcome.is_err() {
                return;
            }
        }
    }

    fn open(&self, namer: Slot, role: Role, name: &[u8]) -> Result<FileFacts> {
        self.native.open(namer, role, name)
    }

    fn lanes(&self) -> usize {
        1
    }

    fn parallel(&self, work: &(dyn Fn(usize) + Sync)) {
        work(0);
    }

    fn wait(&self, _: &AtomicU32, _: u32) {}

    fn wake(&self, _: &AtomicU32) {}

    fn report(&self, _: &Report) {}

    fn progress(&self, _: u64, _: u64) {}
}
