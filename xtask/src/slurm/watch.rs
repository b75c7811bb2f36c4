//! Waiting for what has to come, as long as it may take, and saying what came.

use std::time::{Duration, Instant};

use crate::Outcome;

/// What all of it may take; on two busy processors it took a minute.
const MOST: Duration = Duration::from_secs(150);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(300);

/// Something that has to be so.
pub(super) fn expect(holds: bool, otherwise: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// What is looked for, if it is there.
pub(super) fn found<T>(there: bool, what: T, instead: impl FnOnce() -> String) -> Result<T, String> {
    if there { Ok(what) } else { Err(instead()) }
}

/// A clock for all that happens.
#[derive(Debug)]
pub(super) struct Watch(Instant);

impl Watch {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    /// Says what was seen, and when.
    pub(super) fn fact(&self, what: &str) {
        println!("   {:5.1} s  {what}", self.0.elapsed().as_secs_f64());
    }

    /// Looks again and again until `look` finds what it looks for, for so many seconds and not after the end of all.
    pub(super) fn within<T>(
        &self,
        seconds: u64,
        what: &str,
        mut look: impl FnMut() -> Result<T, String>,
    ) -> Result<T, String> {
        let began = Instant::now();
        let patience = Duration::from_secs(seconds).min(MOST.saturating_sub(self.0.elapsed()));
        loop {
            match look() {
                Ok(found) => return Ok(found),
                Err(seen) if began.elapsed() > patience => {
                    let waited = patience.as_secs();
                    return Err(format!(
                        "waited {waited} s until {what}; the last look showed: {seen}"
                    ));
                }
                Err(_) => std::thread::sleep(PAUSE),
            }
        }
    }
}
