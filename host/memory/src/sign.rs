//! The one sign that a run is over.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Says that the run is over: a signal came, its time is up, a lane broke the contract, or the guest has exited.
///
/// The sandbox raises it, and every loop that serves a lane checks it between two pieces of work. Once raised, it stays raised.
/// Clones are the same sign.
#[derive(Clone, Debug, Default)]
pub struct StopSign(Arc<State>);

#[derive(Debug, Default)]
struct State {
    raised: AtomicBool,
    deadline: OnceLock<Instant>,
}

impl StopSign {
    /// Ends the run now.
    pub fn raise(&self) {
        self.0.raised.store(true, Ordering::SeqCst);
    }

    /// Ends the run at this moment. The first moment that is given counts.
    pub fn set_deadline(&self, moment: Instant) {
        let _ = self.0.deadline.set(moment);
    }

    /// Whether the run is over.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.0.raised.load(Ordering::SeqCst) || self.is_late()
    }

    /// Whether its time is up.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.0
            .deadline
            .get()
            .is_some_and(|deadline| Instant::now() >= *deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_sign_is_up_once_it_is_raised_or_late() {
        let sign = StopSign::default();
        assert!(!sign.is_up());
        let copy = sign.clone();
        copy.raise();
        assert!(sign.is_up() && !sign.is_late());
        let late = StopSign::default();
        late.set_deadline(Instant::now() + Duration::from_millis(20));
        late.set_deadline(Instant::now() + Duration::from_secs(3600));
        assert!(!late.is_up());
        std::thread::sleep(Duration::from_millis(25));
        assert!(late.is_up() && late.is_late());
    }
}
