//! Looking on while a run goes on.

use crate::Limit;

/// Who looks on. All methods may be called from threads that may make few system calls: nothing is opened there.
pub trait Observer: Send + Sync {
    /// So much of the work is done. The numbers are the guest's: any may come.
    fn progress(&self, done: u64, total: u64) {
        let _ = (done, total);
    }

    /// A signal asks how far the work is.
    fn asked(&self) {}

    /// The guest has ended, and so many of its warnings are not among its reports.
    fn warnings_left_out(&self, count: u64) {
        let _ = count;
    }

    /// The time is over, the work could not be stopped, and the process ends after this.
    fn timed_out(&self, limit: Limit) {
        let _ = limit;
    }
}

/// Nobody looks on.
impl Observer for () {}
