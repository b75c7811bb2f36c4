//! The sign that a run is over: looked at between the pieces of long work.
//!
//! A call into the kernel cannot be told to stop, so none is asked for more than it does in a moment: long ranges go in steps,
//! which grow while they are quick and shrink when they are not.

use std::time::{Duration, Instant};

use instar_memory::StopSign;
use rustix::io::Errno;

use crate::file::{Failure, Outcome};

/// The run's stop sign, as work on files asks for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(pub(crate) StopSign);

impl Stop {
    pub(crate) fn set(&self) {
        self.0.raise();
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.is_up()
    }

    /// Goes on, or fails with ECANCELED.
    pub(crate) fn check(&self) -> Outcome<()> {
        if self.is_set() {
            return Err(Errno::CANCELED.into());
        }
        Ok(())
    }

    /// Makes a call that may be interrupted, again and again until it is not, or the run is over. (The signal that says that
    /// time is up comes until it is heard: a call that starts from the front each time would never end.)
    pub(crate) fn persist<T>(&self, mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Interrupted> {
        loop {
            match call() {
                Err(Errno::INTR) => {
                    if self.is_set() {
                        return Err(Interrupted::Over);
                    }
                }
                other => return other.map_err(Interrupted::Errno),
            }
        }
    }

    /// Does `length` bytes of work in steps. `work` is told where each starts, counted from the front, and how long it is.
    pub(crate) fn in_steps(
        &self,
        length: u64,
        mut work: impl FnMut(u64, u64) -> Result<(), Interrupted>,
    ) -> Result<(), Stopped> {
        let (mut done, mut step) = (0, FIRST);
        let most = most(length);
        while done < length {
            let stopped = |why| Stopped { done, why };
            if self.is_set() {
                return Err(stopped(Interrupted::Over));
            }
            let now = step.min(length - done);
            let start = Instant::now();
            work(done, now).map_err(stopped)?;
            done += now;
            step = next_step(step, start.elapsed(), most);
        }
        Ok(())
    }
}

/// Why a call has not been made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interrupted {
    /// The run is over.
    Over,
    /// The kernel says no.
    Errno(Errno),
}

impl From<Interrupted> for Failure {
    fn from(why: Interrupted) -> Self {
        match why {
            Interrupted::Over => Errno::CANCELED.into(),
            Interrupted::Errno(errno) => errno.into(),
        }
    }
}

/// How far work in steps has come, and why it went no further.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopped {
    pub(crate) done: u64,
    pub(crate) why: Interrupted,
}

impl Stopped {
    /// The kernel's refusal, if that is what it is.
    pub(crate) const fn errno(&self) -> Option<Errno> {
        match self.why {
            Interrupted::Errno(errno) => Some(errno),
            Interrupted::Over => None,
        }
    }
}

impl From<Stopped> for Failure {
    fn from(stopped: Stopped) -> Self {
        stopped.why.into()
    }
}

/// Bytes of the longest step. A file of exabytes, which some filesystems have, is nearly all hole: it is not walked through in steps
/// for which there would be no time.
fn most(length: u64) -> u64 {
    MOST.max(length / STEPS)
}

/// The step behind one that took so long.
fn next_step(step: u64, took: Duration, most: u64) -> u64 {
    if took < QUICK {
        step.saturating_mul(4).min(most)
    } else if took > SLOW {
        (step / 4).max(LEAST)
    } else {
        step
    }
}

/// Bytes of the first step. Ours: a tmpfs, which clears every page, takes some 50 ms for them; a filesystem that writes down
/// the range, microseconds.
const FIRST: u64 = 64 << 20;
/// Ours: what the slowest filesystem does in a moment, and what the quickest should not be asked for at once.
const LEAST: u64 = 4 << 20;
const MOST: u64 = 16 << 30;
/// Steps of a length that has more of them than this at [`MOST`]: half a second of calls that find nothing to do. Ours.
const STEPS: u64 = 1 << 14;
/// A step that takes less than this may be longer, and one that takes more should be shorter. Ours.
const QUICK: Duration = Duration::from_millis(10);
const SLOW: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_cover_the_range_without_a_gap() {
        let stop = Stop::default();
        let (mut at, length) = (0, (3 << 40) + 7);
        let whole = stop.in_steps(length, |from, step| {
            assert_eq!(from, at);
            assert!((1..=MOST).contains(&step));
            at += step;
            Ok(())
        });
        assert!(whole.is_ok());
        assert_eq!(at, length);
    }

    #[test]
    fn exabytes_of_nothing_take_few_steps() {
        let (mut steps, mut at) = (0, 0);
        let whole = Stop::default().in_steps(7 << 60, |_, step| {
            steps += 1;
            at += step;
            Ok(())
        });
        assert!(whole.is_ok());
        assert_eq!(at, 7 << 60);
        assert!(steps < 2 * STEPS, "{steps}");
    }

    #[test]
    fn a_sign_that_is_raised_ends_steps_and_interrupted_calls() {
        let stop = Stop::default();
        let mut steps = 0;
        let ended = stop.in_steps(u64::MAX, |_, _| {
            steps += 1;
            stop.set();
            Ok(())
        });
        assert_eq!(steps, 1);
        assert_eq!(ended.unwrap_err().done, FIRST);
        let call: Result<(), _> = stop.persist(|| Err(Errno::INTR));
        assert_eq!(call, Err(Interrupted::Over));
    }

    #[test]
    fn steps_grow_while_they_are_quick_and_shrink_when_they_are_not() {
        assert_eq!(next_step(FIRST, Duration::ZERO, MOST), 4 * FIRST);
        assert_eq!(next_step(MOST, Duration::ZERO, MOST), MOST);
        assert_eq!(next_step(FIRST, Duration::from_millis(50), MOST), FIRST);
        assert_eq!(next_step(FIRST, Duration::from_secs(1), MOST), FIRST / 4);
        assert_eq!(next_step(LEAST, Duration::from_secs(1), MOST), LEAST);
    }
}
