//! What a flush has left to do: nothing, if nothing was changed since the last one.
//!
//! ```text
//!  change begins … ends: counted      flush: all that was counted when it began is on stable storage when it ends
//! ```
//!
//! A flush orders what comes before it and what comes after it. Where nothing comes before it, it costs a turn of the disk
//! and orders nothing; so verbs flush wherever the order wants it, and need not know whether they wrote.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Changes of a file, and how many of them were flushed. What others changed before it was opened is theirs to flush.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// Changes that have ended, well or not.
    changes: AtomicU64,
    /// As many as there were when the last flush began that went well.
    flushed: Mutex<u64>,
}

/// A change that is under way. It is counted when it ends: a flush that another lane began meanwhile may have missed it.
#[derive(Debug)]
#[must_use = "the change is over when this is dropped"]
pub(crate) struct Change<'a>(&'a Pending);

impl Pending {
    pub(crate) const fn change(&self) -> Change<'_> {
        Change(self)
    }

    /// Flushes, if there is something to flush. A thread that comes while another flushes waits for that: what it wants to be
    /// there may be what is on its way.
    pub(crate) fn settle<E>(&self, flush: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let mut flushed = self.flushed.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = self.changes.load(Ordering::Acquire);
        if changes == *flushed {
            return Ok(());
        }
        flush()?;
        *flushed = changes;
        Ok(())
    }
}

impl Change<'_> {
    /// It is one that need not be flushed.
    pub(crate) const fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.0.changes.fetch_add(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether there was something to flush.
    fn settles(pending: &Pending) -> bool {
        let mut flushed = false;
        let settled: Result<(), ()> = pending.settle(|| {
            flushed = true;
            Ok(())
        });
        settled.unwrap();
        flushed
    }

    #[test]
    fn only_what_was_changed_is_flushed() {
        let pending = Pending::default();
        assert!(!settles(&pending));
        drop(pending.change());
        assert!(settles(&pending));
        assert!(!settles(&pending));
    }

    #[test]
    fn a_change_that_ends_after_a_flush_is_flushed_again() {
        let pending = Pending::default();
        drop(pending.change());
        let change = pending.change();
        assert!(settles(&pending));
        drop(change);
        assert!(settles(&pending));
        drop(pending.change());
        let during: Result<(), ()> = pending.settle(|| {
            drop(pending.change());
            Ok(())
        });
        during.unwrap();
        assert!(settles(&pending), "it came while the other one was flushed");
    }

    #[test]
    fn what_need_not_be_flushed_is_not() {
        let pending = Pending::default();
        pending.change().forget();
        assert!(!settles(&pending));
    }

    #[test]
    fn a_flush_that_fails_has_flushed_nothing() {
        let pending = Pending::default();
        drop(pending.change());
        assert_eq!(pending.settle(|| Err(5)), Err(5));
        assert!(settles(&pending));
    }

    #[test]
    fn who_comes_while_another_flushes_waits_for_it() {
        let pending = Pending::default();
        drop(pending.change());
        let (begun, done) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let settled: Result<(), ()> = pending.settle(|| {
                    begun.store(1, Ordering::SeqCst);
                    std::thread::sleep(std::time::Duration::from_millis(30));
                    done.store(1, Ordering::SeqCst);
                    Ok(())
                });
                settled.unwrap();
            });
            while begun.load(Ordering::SeqCst) == 0 {
                std::thread::yield_now();
            }
            assert!(!settles(&pending));
            assert_eq!(done.load(Ordering::SeqCst), 1);
        });
    }
}
