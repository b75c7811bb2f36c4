//! Findings about an image, on their way to the host.

use alloc::vec::Vec;

use instar_abi::limits::FINDINGS;
use instar_abi::{Fault, Report};

use crate::host::Host;

/// Findings in one report. Ours: a name from an image may go with each.
const BATCH: usize = 128;

/// Findings, said in order until there are too many of them, and counted.
pub struct Findings<'h> {
    host: &'h dyn Host,
    batch: Vec<Fault>,
    said: u64,
    left_out: u64,
    unheard: bool,
}

impl core::fmt::Debug for Findings<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Findings")
            .field("said", &self.said)
            .field("left_out", &self.left_out)
            .finish_non_exhaustive()
    }
}

impl<'h> Findings<'h> {
    /// A list without findings.
    #[must_use]
    pub const fn new(host: &'h dyn Host) -> Self {
        Self {
            host,
            batch: Vec::new(),
            said: 0,
            left_out: 0,
            unheard: false,
        }
    }

    /// A list that only counts its findings.
    #[must_use]
    pub const fn unheard(host: &'h dyn Host) -> Self {
        let mut none = Self::new(host);
        none.unheard = true;
        none
    }

    /// Reports one finding, or counts it once the limit is reached.
    pub fn say(&mut self, fault: Fault) {
        if self.is_full() {
            self.leave_out(1);
            return;
        }
        self.said = self.said.saturating_add(1);
        self.batch.push(fault);
        if self.batch.len() >= BATCH {
            self.flush();
        }
    }

    /// Counts findings that are not reported.
    pub const fn leave_out(&mut self, count: u64) {
        self.left_out = self.left_out.saturating_add(count);
    }

    /// Nothing more will be said.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.unheard || self.said >= FINDINGS
    }

    /// Findings so far, heard of or not.
    #[must_use]
    pub const fn counted(&self) -> u64 {
        self.said.saturating_add(self.left_out)
    }

    /// The number of findings that were not reported.
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Hands over those that wait, for whatever is reported next to stand behind them.
    pub fn flush(&mut self) {
        if !self.batch.is_empty() {
            self.host
                .report(&Report::Findings(core::mem::take(&mut self.batch)));
        }
    }
}
