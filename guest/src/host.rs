//! Sleeping and waking, as the lanes' protocols see them.

use crate::atomic::AtomicU32;

/// Where lanes sleep.
pub(crate) trait Host {
    /// Sleeps while `word` is `expected`; may return early.
    fn wait(&self, word: &AtomicU32, expected: u32);

    /// Wakes those that wait for `word`.
    fn wake(&self, word: &AtomicU32);
}
