//! A bound on the work that tables can cause a check.

use instar_abi::Fault;
use instar_abi::fault::check as faults;

use crate::{Extents, File, Result};

/// Bytes that are read without asking what the file holds. Ours: a fraction of a second.
const FREE: u64 = 1 << 30;
/// How often each byte present may be read in one pass. Ours: a sound image has each table read once or twice.
const TIMES: u64 = 4;
/// What a small read costs as much as. Ours.
const READ_MIN: u64 = 4096;

/// Bytes of tables that may still be read.
#[derive(Debug)]
pub struct Budget<'h> {
    file: File<'h>,
    spent: u64,
    limit: u64,
    /// Bytes that the file really has, once somebody asked.
    present: Option<u64>,
    passes: u64,
}

impl<'h> Budget<'h> {
    /// Nothing spent yet on tables of `file`.
    #[must_use]
    pub const fn new(file: File<'h>) -> Self {
        Self {
            file,
            spent: 0,
            limit: FREE,
            present: None,
            passes: 1,
        }
    }

    /// One pass more over all tables is justified.
    pub fn one_pass_more(&mut self) {
        self.passes = self.passes.saturating_add(1);
        self.raise();
    }

    /// Takes note of a read.
    ///
    /// # Errors
    /// `WORK_LIMIT`; the host's, while it is asked what the file holds.
    pub fn spend(&mut self, bytes: u64) -> Result<()> {
        self.spent = self.spent.saturating_add(bytes.max(READ_MIN));
        if self.spent <= self.limit {
            return Ok(());
        }
        if self.present.is_none() {
            self.present = Some(Extents::new(self.file).present()?);
            self.raise();
        }
        if self.spent <= self.limit {
            return Ok(());
        }
        Err(Fault::new(faults::WORK_LIMIT).with([self.spent, self.limit]))
    }

    fn raise(&mut self) {
        let present = self.present.unwrap_or(0);
        self.limit = present
            .saturating_mul(TIMES)
            .saturating_mul(self.passes)
            .saturating_add(FREE);
    }
}
