//! Where the engine puts what the guest says.

use std::sync::{Arc, Mutex, PoisonError};

use instar_abi::Report;
use instar_engine::Sink;
use instar_memory::Violation;

use super::progress::Progress;

/// Reports in the order in which they came, and progress as it comes.
pub(super) struct Reports {
    kept: Arc<Mutex<Vec<Report>>>,
    progress: Arc<Progress>,
    listener: Option<Box<dyn Listener>>,
}

/// Who hears reports as they come, for output that cannot wait for the end.
pub(super) trait Listener: Send + Sync {
    /// Takes a report, or gives it back to be kept.
    ///
    /// # Errors
    /// What the guest must not say ends it.
    fn hear(&self, report: Report) -> Result<Option<Report>, Violation>;
}

impl Reports {
    /// None yet; the other half is read when the guest has ended.
    pub(super) fn new(
        progress: Arc<Progress>,
        listener: Option<Box<dyn Listener>>,
    ) -> (Self, Arc<Mutex<Vec<Report>>>) {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let sink = Self {
            kept: Arc::clone(&kept),
            progress,
            listener,
        };
        (sink, kept)
    }
}

impl Sink for Reports {
    fn report(&self, bytes: Vec<u8>) -> Result<(), Violation> {
        let report = instar_abi::decode(&bytes).map_err(|_| Violation::BadReport)?;
        let report = match &self.listener {
            Some(listener) => listener.hear(report)?,
            None => Some(report),
        };
        // A vector is whole at every moment, whoever panicked.
        self.kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(report);
        Ok(())
    }

    fn progress(&self, done: u64, total: u64) {
        self.progress.step(done, total);
    }
}
