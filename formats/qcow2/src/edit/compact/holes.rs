//! Free clusters below the place where the file is to end.

use core::ops::Range;

use instar_disk::Result;

use crate::edit::ledger::Ledger;
use crate::num::{add, shl};

/// From front to back, each once.
pub(super) struct Holes {
    next: u64,
    /// None of them lies here or behind.
    end: u64,
}

impl Holes {
    pub(super) const fn below(end: u64) -> Self {
        Self { next: 1, end }
    }

    /// The next free clusters that follow one another, at most so many. Counting them takes no new refcount block.
    pub(super) fn some(&mut self, ledger: &mut Ledger<'_>, most: u64) -> Result<Option<Range<u64>>> {
        while self.next < self.end {
            let (block, _) = ledger.place(self.next);
            let counted = block < ledger.table.entries && ledger.block(block)?.is_some();
            if !counted {
                self.next = shl(add(block, 1)?, ledger.layout.block_bits())?;
                continue;
            }
            let (count, run) = ledger.run(&(self.next..self.end))?;
            let run = self.next..add(self.next, run.min(if count == 0 { most } else { run }))?;
            self.next = run.end;
            if count == 0 && !ledger.is_reserved(&run) {
                return Ok(Some(run));
            }
        }
        Ok(None)
    }
}
