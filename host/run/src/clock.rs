//! The time limit of a command, and the end of a command that exceeds it.
//!
//! The sandbox stops the guest, and the engine stops every piece of work for it. Two kinds of work cannot be stopped: a write to a
//! pipe that nobody reads, and the flush of a slow disk. For those a thread waits a moment longer, removes new files and ends the
//! program.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use instar_abi::FileFacts;

use crate::Policy;
use crate::aside::aside;
use crate::signals::GRACE;

/// How long a run may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    time: Duration,
    /// The user said so.
    asked: bool,
}

/// Time for work on an image that is not trusted, whatever its size. Ours.
const UNTRUSTED: Duration = Duration::from_secs(600);
/// And for each so many bytes of it, a second: slower than any disk worth the name. Ours.
const BYTES_A_SECOND: u64 = 4 << 20;

impl Limit {
    /// As the policy says, for these files; `rate` bytes a second are written at most, if it is not 0.
    pub(crate) fn new(policy: &Policy, files: &[FileFacts], rate: u64) -> Option<Self> {
        if let Some(time) = policy.timeout {
            return Some(Self { time, asked: true });
        }
        if !policy.untrusted {
            return None;
        }
        let bytes = files
            .iter()
            .fold(0_u64, |sum, file| sum.saturating_add(file.size));
        let slowest = match rate {
            0 => BYTES_A_SECOND,
            rate => rate.min(BYTES_A_SECOND),
        };
        let time = UNTRUSTED.saturating_add(Duration::from_secs(bytes / slowest));
        Some(Self { time, asked: false })
    }

    /// When it is over.
    pub(crate) fn deadline(self) -> Option<Instant> {
        started().checked_add(self.time)
    }

    /// The time from the start of the process's work to the end.
    #[must_use]
    pub const fn time(self) -> Duration {
        self.time
    }

    /// Whether the policy says so; else it is what an image of this size gets that is not trusted.
    #[must_use]
    pub const fn is_asked(self) -> bool {
        self.asked
    }
}

/// When this process began its work, at the latest now: one limit holds for all that it does.
pub fn started() -> Instant {
    static STARTED: OnceLock<Instant> = OnceLock::new();
    *STARTED.get_or_init(Instant::now)
}

/// What is left of the time that the user gave: at least a moment.
#[must_use]
pub fn left(policy: &Policy) -> Option<Duration> {
    let left = policy.timeout?.saturating_sub(started().elapsed());
    Some(left.max(Duration::from_millis(1)))
}

/// The limit, if the time that the user gave is over.
#[must_use]
pub fn over(policy: &Policy) -> Option<Limit> {
    let time = policy.timeout.filter(|time| started().elapsed() >= *time)?;
    Some(Limit { time, asked: true })
}

/// Ends the program if the work is not over in time. Dropping it says that it is.
#[derive(Debug)]
pub(crate) struct Clock(Arc<AtomicBool>);

impl Clock {
    /// Starts to wait. `abandon` takes new files away, `say` says why the process ends.
    pub(crate) fn start(
        limit: Limit,
        abandon: impl Fn() + Send + 'static,
        say: impl Fn() + Send + 'static,
    ) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&over);
        let wait = move || {
            let Some(end) = limit.deadline().and_then(|end| end.checked_add(GRACE)) else {
                return;
            };
            while let Some(left) = end
                .checked_duration_since(Instant::now())
                .filter(|left| !left.is_zero())
            {
                std::thread::sleep(left);
            }
            if !seen.swap(true, Ordering::SeqCst) {
                abandon();
                say();
                std::process::exit(1);
            }
        };
        // Without the thread the sandbox and the engine keep to the time as far as they can.
        aside("clock", wait);
        Self(over)
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use instar_abi::{FileKind, Slot};

    #[test]
    fn only_untrusted_images_have_a_default_time_limit() {
        let file = |size| FileFacts {
            slot: Slot(0),
            size,
            kind: FileKind::Regular,
            writable: false,
            busy: false,
            called_dmg: false,
        };
        let mut policy = Policy::default();
        assert_eq!(Limit::new(&policy, &[file(1 << 40)], 0), None);
        policy.untrusted = true;
        let limit = |size, rate| Limit::new(&policy, &[file(size)], rate).unwrap().time;
        assert_eq!(limit(0, 0), UNTRUSTED);
        assert_eq!(limit(40 << 30, 0), UNTRUSTED + Duration::from_secs(10_240));
        assert_eq!(limit(40 << 30, u64::MAX), limit(40 << 30, 0));
        assert!(limit(40 << 30, 1 << 20) > limit(40 << 30, 0));
        assert!(limit(u64::MAX, 1) > UNTRUSTED);
        policy.timeout = Some(Duration::from_secs(3));
        let asked = Limit::new(&policy, &[file(u64::MAX)], 0).unwrap();
        assert_eq!((asked.time(), asked.is_asked()), (Duration::from_secs(3), true));
    }
}
