//! Signals that end a run whose target must not be left half done, and the one that asks how far it is.
//!
//! They are blocked, never handled: one thread waits for them and says so. To die by a signal afterwards it is enough to
//! let it through.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal, raise};

use super::aside::aside;

/// Signals blocked in this thread and in those that it starts.
#[derive(Debug)]
pub(crate) struct Signals(SigSet);

/// A thread that waits for signals until the program ends.
#[derive(Debug)]
pub(crate) struct Watch(Arc<AtomicI32>);

const ENDING: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

impl Signals {
    /// Blocks them from now on, except those that our caller wants ignored or has blocked: `nohup`, a shell's job in the
    /// background.
    pub(crate) fn block() -> Self {
        let blocked = SigSet::thread_get_mask().unwrap_or_else(|_| SigSet::empty());
        let set: SigSet = ENDING
            .into_iter()
            .chain([Signal::SIGUSR1])
            .filter(|signal| !instar_jail::is_ignored(*signal as i32) && !blocked.contains(*signal))
            .collect();
        // It fails for no set that could be passed here.
        let _ = set.thread_block();
        // Past a limit on the size of files, a write must fail and not kill us.
        let _ = SigSet::from(Signal::SIGXFSZ).thread_block();
        Self(set)
    }

    /// Waits for them on a thread of its own: calls `end` to end the run, `abandon` if it has not ended in time and the
    /// program dies without it, and `show` to show progress.
    pub(crate) fn watch(
        &self,
        end: impl Fn() + Send + 'static,
        abandon: impl Fn() + Send + 'static,
        show: impl Fn() + Send + 'static,
    ) -> Watch {
        let caught = Arc::new(AtomicI32::new(0));
        let note = Arc::clone(&caught);
        let set = self.0;
        if set.iter().next().is_none() {
            return Watch(caught);
        }
        let wait = move || {
            while let Ok(signal) = set.wait() {
                if signal == Signal::SIGUSR1 {
                    show();
                } else {
                    note.store(signal as i32, Ordering::SeqCst);
                    end();
                    // The thread that runs the lanes cleans up and dies, unless a lane does not come back in time.
                    std::thread::sleep(GRACE);
                    abandon();
                    die_by(signal as i32);
                }
            }
        };
        // Without the thread signals stay blocked, and the run ends by itself or by SIGKILL.
        aside("signals", wait);
        Watch(caught)
    }
}

impl Watch {
    /// The signal that ends us, if one came.
    pub(crate) fn caught(&self) -> Option<i32> {
        Some(self.0.load(Ordering::SeqCst)).filter(|signal| *signal != 0)
    }
}

/// Lets the signal through, so that our parent sees which signal ended us. Returns only if it is ignored.
pub(crate) fn die_by(number: i32) {
    if let Ok(signal) = Signal::try_from(number) {
        let _ = SigSet::from(signal).thread_unblock();
        let _ = raise(signal);
    }
}

/// What lanes have to come back, out of the 100 ms that a signal or the end of the time may take.
pub(crate) const GRACE: Duration = Duration::from_millis(60);
