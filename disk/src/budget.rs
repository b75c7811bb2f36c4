//! A bound on the work that tables can cause a check.

use alloc::vec::Vec;

use instar_abi::Fault;
use instar_abi::fault::check as faults;

use crate::{Extents, File, Result};

/// Bytes that are read without asking what the files hold. Ours: a fraction of a second.
const FREE: u64 = 1 << 30;
/// How often each byte present may be read in one pass. Ours: a sound image has each table read once or twice.
const TIMES: u64 = 4;
/// What a small read costs as much as. Ours.
const READ_MIN: u64 = 4096;

/// Bytes of tables that may still be read.
#[derive(Debug)]
pub struct Budget<'h> {
    files: Vec<File<'h>>,
    spent: u64,
    limit: u64,
    /// Bytes that the files really have, once somebody asked.
    present: Option<u64>,
    passes: u64,
}

impl<'h> Budget<'h> {
    /// Nothing spent yet on tables of `file`.
    #[must_use]
    pub fn new(file: File<'h>) -> Self {
        Self::of(alloc::vec![file])
    }

    /// Nothing spent yet on tables of an image that lies in `files`, each named once.
    #[must_use]
    pub const fn of(files: Vec<File<'h>>) -> Self {
        Self {
            files,
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
    /// `WORK_LIMIT`; the host's, while it is asked what the files hold.
    pub fn spend(&mut self, bytes: u64) -> Result<()> {
        self.spent = self.spent.saturating_add(bytes.max(READ_MIN));
        if self.spent <= self.limit {
            return Ok(());
        }
        if self.present.is_none() {
            let mut present = 0_u64;
            for file in &self.files {
                present = present.saturating_add(Extents::new(*file).present()?);
            }
            self.present = Some(present);
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

#[cfg(test)]
mod tests {
    use alloc::vec;
    use core::sync::atomic::AtomicU32;

    use instar_abi::{FileFacts, FileKind, Report, Role, Slot};

    use super::Budget;
    use crate::{File, Host, Io, Result};

    /// Never asked: a device is data throughout.
    struct Silent;

    impl Host for Silent {
        fn submit(&self, _: &mut [Io<'_>]) {}
        fn open(&self, namer: Slot, _: Role, _: &[u8]) -> Result<FileFacts> {
            Ok(device(namer.0, 0))
        }
        fn lanes(&self) -> usize {
            1
        }
        fn parallel(&self, work: &(dyn Fn(usize) + Sync)) {
            work(0);
        }
        fn wait(&self, _: &AtomicU32, _: u32) {}
        fn wake(&self, _: &AtomicU32) {}
        fn report(&self, _: &Report) {}
        fn progress(&self, _: u64, _: u64) {}
    }

    const fn device(slot: u32, size: u64) -> FileFacts {
        FileFacts {
            slot: Slot(slot),
            size,
            kind: FileKind::Block,
            writable: false,
            busy: false,
            called_dmg: false,
        }
    }

    #[test]
    fn what_all_files_hold_together_may_be_read_four_times_and_no_more() {
        let file = |slot, size| File::new(&Silent, device(slot, size));
        let mut budget = Budget::of(vec![file(0, 4096), file(1, 1 << 30), file(2, 3 << 30)]);
        let together = 4096 + (4_u64 << 30);
        budget.spend((1 << 30) + 4 * together).unwrap();
        assert!(budget.spend(1).is_err());
        let mut endless = Budget::of(vec![file(0, u64::MAX), file(1, u64::MAX)]);
        endless.spend(u64::MAX).unwrap();
    }
}
