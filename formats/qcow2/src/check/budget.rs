//! A bound on the work that tables can cause.

use instar_disk::{Extents, Fault, File, Result, fault};

/// Bytes that are read without asking what the file holds. Ours: a fraction of a second.
const FREE: u64 = 1 << 30;
/// How often each byte present may be read in one pass. Ours: a sound image has each table read once or twice.
const TIMES: u64 = 4;
/// Extents that are added up. Ours.
const EXTENTS: u32 = 1 << 20;
/// What a small read costs as much as. Ours.
const READ_MIN: u64 = 4096;

/// Bytes of tables that may still be read.
#[derive(Debug)]
pub(super) struct Budget<'h> {
    file: File<'h>,
    spent: u64,
    limit: u64,
    /// Bytes that the file really has, once somebody asked.
    present: Option<u64>,
    passes: u64,
}

impl<'h> Budget<'h> {
    pub(super) const fn new(file: File<'h>) -> Self {
        Self {
            file,
            spent: 0,
            limit: FREE,
            present: None,
            passes: 1,
        }
    }

    /// One pass more over all tables is justified.
    pub(super) fn one_pass_more(&mut self) {
        self.passes = self.passes.saturating_add(1);
        self.raise();
    }

    /// Takes note of a read.
    ///
    /// # Errors
    /// `WORK_LIMIT`; the host's, while it is asked what the file holds.
    pub(super) fn spend(&mut self, bytes: u64) -> Result<()> {
        self.spent = self.spent.saturating_add(bytes.max(READ_MIN));
        if self.spent <= self.limit {
            return Ok(());
        }
        if self.present.is_none() {
            self.present = Some(present(self.file)?);
            self.raise();
        }
        if self.spent <= self.limit {
            return Ok(());
        }
        Err(Fault::new(fault::check::WORK_LIMIT).with([self.spent, self.limit]))
    }

    fn raise(&mut self) {
        let present = self.present.unwrap_or(0);
        self.limit = present
            .saturating_mul(TIMES)
            .saturating_mul(self.passes)
            .saturating_add(FREE);
    }
}

/// Bytes of `file` that are no holes.
fn present(file: File<'_>) -> Result<u64> {
    let mut extents = Extents::new(file);
    let (mut at, mut sum) = (0_u64, 0_u64);
    for _ in 0..EXTENTS {
        if at >= file.size() {
            break;
        }
        let extent = extents.at(at)?;
        let length = extent.length.min(file.size().saturating_sub(at)).max(1);
        if extent.data {
            sum = sum.saturating_add(length);
        }
        at = at.saturating_add(length);
    }
    Ok(sum)
}
