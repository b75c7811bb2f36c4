//! What a hostile key slot may cost.

use instar_disk::fault::luks as faults;
use instar_disk::{Fault, Result};

/// What one run may spend on a key slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Iterations of PBKDF2 in one slot.
    pub iterations: u64,
    /// KiB of memory of Argon2.
    pub memory_kib: u64,
    /// KiB that Argon2 goes through in all its passes.
    pub passed_kib: u64,
}

impl Limits {
    /// Ours. Slots are made to take two seconds, which is four to eight million iterations where the processor has instructions for the
    /// hash; the limit is about half a minute of them. Argon2 is limited to the gigabyte that cryptsetup takes at most, and to
    /// sixty-four passes over it.
    pub const DEFAULT: Self = Self {
        iterations: 1 << 27,
        memory_kib: 1 << 20,
        passed_kib: 1 << 26,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The limits, and what asks now and then whether to go on.
pub struct Effort<'a> {
    limits: Limits,
    ask: &'a mut dyn FnMut() -> Result<()>,
}

impl core::fmt::Debug for Effort<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.limits.fmt(f)
    }
}

impl<'a> Effort<'a> {
    /// `ask` is called every few milliseconds; its fault ends the work.
    pub fn new(limits: Limits, ask: &'a mut dyn FnMut() -> Result<()>) -> Self {
        Self { limits, ask }
    }

    /// Between two pieces of work.
    ///
    /// # Errors
    /// The caller's reason to stop.
    pub fn go_on(&mut self) -> Result<()> {
        (self.ask)()
    }

    /// Whether so many iterations may be spent.
    pub(crate) fn allow_iterations(&self, iterations: u64) -> Result<()> {
        if iterations <= self.limits.iterations {
            return Ok(());
        }
        Err(Fault::new(faults::ITERATIONS_LIMIT).with([iterations, self.limits.iterations]))
    }

    /// Whether so much memory may be used, and gone through so often.
    pub(crate) fn allow_memory(&self, kib: u64, passes: u64) -> Result<()> {
        if kib > self.limits.memory_kib {
            return Err(Fault::new(faults::MEMORY_LIMIT).with([kib, self.limits.memory_kib]));
        }
        let passed = kib.saturating_mul(passes);
        if passed > self.limits.passed_kib {
            return Err(Fault::new(faults::PASSES_LIMIT).with([passed, self.limits.passed_kib]));
        }
        Ok(())
    }
}
