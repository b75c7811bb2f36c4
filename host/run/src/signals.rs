//! Signals that end a run whose target must not be left half done, and the one that asks how far it is.
//!
//! They are blocked, never handled: one thread waits for them and says so. To die by a signal afterwards it is enough to
//! let it through.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use instar_jail::{SignalSet, die_by, is_ignored};

use crate::aside::aside;

/// Signals blocked in this thread and in those that it starts.
#[derive(Debug)]
pub(crate) struct Signals {
    set: SignalSet,
    is_empty: bool,
}

/// A thread that waits for signals until the program ends.
#[derive(Debug)]
pub(crate) struct Watch(Arc<AtomicI32>);

/// SIGHUP, SIGINT and SIGTERM, as Linux numbers them.
const ENDING: [i32; 3] = [1, 2, 15];
/// SIGUSR1, which asks for a line of progress.
const SHOW: i32 = 10;
/// SIGXFSZ, at a write past the limit on the size of files.
const TOO_LARGE: i32 = 25;

/// Past a limit on the size of files, a write fails from now on, and does not kill us in the middle of a change.
pub(crate) fn survive_large_files() {
    SignalSet::of(&[TOO_LARGE]).block();
}

impl Signals {
    /// Blocks them from now on, except those that our caller wants ignored or has blocked: `nohup`, a shell's job in the
    /// background.
    pub(crate) fn block() -> Self {
        let ours = heeded(ENDING.into_iter().chain([SHOW]));
        let set = SignalSet::of(&ours);
        set.block();
        Self {
            set,
            is_empty: ours.is_empty(),
        }
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
        let set = self.set;
        if self.is_empty {
            return Watch(caught);
        }
        let wait = move || {
            while let Ok(signal) = set.wait() {
                if signal == SHOW {
                    show();
                } else {
                    note.store(signal, Ordering::SeqCst);
                    end();
                    // The thread that runs the lanes cleans up and dies, unless a lane does not come back in time.
                    std::thread::sleep(GRACE);
                    abandon();
                    die_by(signal);
                }
            }
        };
        // Without the thread signals stay blocked, and the run ends by itself or by SIGKILL.
        aside("signals", wait);
        Watch(caught)
    }
}

/// Those that our caller wants neither ignored nor blocked.
fn heeded(signals: impl IntoIterator<Item = i32>) -> Vec<i32> {
    let blocked = SignalSet::blocked();
    let heeded = |signal: &i32| !is_ignored(*signal) && !blocked.contains(*signal);
    signals.into_iter().filter(heeded).collect()
}

/// Calls `tidy` when a signal ends the program, and lets that happen. For work that is not a run of a guest: nothing is confined.
///
/// # Errors
/// If there can be no thread that waits.
pub fn tidied_on_signals(tidy: impl Fn() + Send + 'static) -> io::Result<()> {
    let set = SignalSet::of(&heeded(ENDING));
    let wait = move || {
        if let Ok(signal) = set.wait() {
            tidy();
            die_by(signal);
        }
    };
    set.block();
    std::thread::Builder::new().spawn(wait).map(drop)
}

impl Watch {
    /// The signal that ends us, if one came.
    pub(crate) fn caught(&self) -> Option<i32> {
        Some(self.0.load(Ordering::SeqCst)).filter(|signal| *signal != 0)
    }
}

/// What lanes have to come back, out of the 100 ms that a signal or the end of the time may take.
pub(crate) const GRACE: Duration = Duration::from_millis(60);
