//! Numbers that look random, the same for the same seed.

use crate::disk::mix;

/// A generator of them.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// One of many.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = mix(self.0);
        self.0 % end
    }

    /// One of `choices`.
    ///
    /// # Panics
    ///
    /// If there are none.
    #[allow(clippy::cast_possible_truncation, reason = "a number below a length")]
    pub fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}
