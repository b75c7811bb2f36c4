//! A host that fails.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use instar_disk::{Action, IoError};

use crate::{Native, Watch, Watched};

/// No space left on device.
const ENOSPC: u32 = 28;

/// [`Native`], which carries out so many changes and then none.
pub type Failing = Watched<Allowance>;

/// Changes that are still allowed.
#[derive(Debug)]
pub struct Allowance(AtomicU64);

impl Failing {
    /// Carries out `changes`; reads always succeed.
    #[must_use]
    pub fn after(changes: u64) -> Self {
        crate::ledger::count("runs whose changes fail from one on", 1);
        Self {
            native: Native::new(1),
            watch: Allowance(AtomicU64::new(changes)),
        }
    }

    /// Changes that it would still carry out.
    pub fn left(&self) -> u64 {
        self.watch.0.load(SeqCst)
    }
}

impl Watch for Allowance {
    fn before(&self, action: &Action<'_>) -> Result<(), IoError> {
        if matches!(action, Action::Read { .. } | Action::Extents { .. }) {
            return Ok(());
        }
        let spent = self.0.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
        spent.map(|_| ()).map_err(|_| IoError(ENOSPC))
    }
}
