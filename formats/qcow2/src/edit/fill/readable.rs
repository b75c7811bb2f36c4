//! An image that stays readable while it is written to.
//!
//! ```text
//!  data, counts ──► flush ──► L2 tables ──► flush ──► L1 table ──► flush ──► what was replaced is counted less, and dropped
//!   └ nothing leads to it yet     └ the first half of this may be there, or any part of it: each entry is right by itself
//! ```
//!
//! A stop leaves clusters that are counted and not used, nothing worse; hence no mark: the image can be used, and the work begun anew.
//! Tables wait in memory until so much is there that it is worth a round.

use alloc::vec::Vec;
use core::ops::Range;

use instar_disk::{Action, File, FileKind, Io, Preallocate, Result};

use super::{Existing, Upkeep};
use crate::edit::sector::Sector;
use crate::header::{Header, TableRange};
use crate::num::shl;

/// What such an image needs besides.
pub(super) struct Readable<'h> {
    sector: Sector<'h>,
    /// The refcount table that the header leads to.
    table: TableRange,
    begun: bool,
    /// Where the file ends, as far as we have seen to it.
    end: u64,
    /// Bytes that nobody will read any more, in the file that has the data.
    pub(super) idle: Vec<Range<u64>>,
}

impl<'h> Readable<'h> {
    pub(super) fn of(file: File<'h>, header: &Header) -> Result<Self> {
        Ok(Self {
            sector: Sector::read(file, header.version)?,
            table: header.refcount_table,
            begun: false,
            end: file.size(),
            idle: Vec::new(),
        })
    }

    /// Whether as much is remembered as shall be.
    pub(super) fn is_full(&self) -> bool {
        self.idle.len() >= IDLE_MOST
    }

    /// Before the first change.
    pub(super) fn begin(&mut self) -> Result<()> {
        if core::mem::replace(&mut self.begun, true) {
            return Ok(());
        }
        self.sector.forget_unknown()
    }
}

impl Existing<'_> {
    /// Ends a round: all data that was placed has been written.
    pub(super) fn write_tables(&mut self) -> Result<()> {
        // Before the data, the bits that say that it changes.
        self.keep_up()?;
        self.ledger.pages.write_counts()?;
        self.grow_file()?;
        self.lead_to_counts()?;
        if let Some(data) = self.data {
            data.flush()?;
        }
        self.file.flush()?;
        if self.ledger.pages.waiting() > 0 {
            self.ledger.pages.write_links()?;
            self.file.flush()?;
        }
        self.drop_released()
    }

    /// What was placed and is not led to is nobody's again, as far as that can be written.
    pub(super) fn take_back(&mut self) -> Result<()> {
        let Upkeep::Readable(_) = &self.upkeep else {
            return Ok(());
        };
        self.ledger.pages.forget_links();
        self.ledger.give_back()?;
        self.ledger.pages.write_counts()?;
        self.lead_to_counts()?;
        if self.file.kind() == FileKind::Block || !self.ledger.has_grown() {
            return self.file.flush();
        }
        self.file.flush()?;
        let end = shl(self.ledger.used_end()?, self.layout.cluster_bits())?;
        self.file.resize(end.max(self.file.size()), Preallocate::Off)
    }

    /// A refcount table that has moved counts from now on.
    fn lead_to_counts(&mut self) -> Result<()> {
        let table = self.ledger.table;
        let Upkeep::Readable(readable) = &mut self.upkeep else {
            return Ok(());
        };
        if readable.table == table {
            return Ok(());
        }
        self.file.flush()?;
        readable
            .sector
            .set_refcount_table(table, self.layout.cluster_bits())?;
        readable.sector.write()?;
        readable.table = table;
        for range in self.ledger.retired() {
            for cluster in range {
                self.ledger.release(cluster)?;
            }
        }
        Ok(())
    }

    /// Everything that tables will lead to is in the file.
    fn grow_file(&mut self) -> Result<()> {
        let end = self.ledger.end()?;
        let Upkeep::Readable(readable) = &mut self.upkeep else {
            return Ok(());
        };
        if self.file.kind() != FileKind::Block && end > readable.end {
            self.file.resize(end, Preallocate::Off)?;
            readable.end = end;
        }
        Ok(())
    }

    /// What was replaced is counted once less; what nothing uses any more is given back to the filesystem.
    fn drop_released(&mut self) -> Result<()> {
        let bits = self.layout.cluster_bits();
        let mut freed: Vec<Range<u64>> = Vec::new();
        self.ledger
            .lower_released(&mut |cluster| match freed.last_mut() {
                Some(last) if last.end == cluster => last.end = cluster.saturating_add(1),
                _ => freed.push(cluster..cluster.saturating_add(1)),
            })?;
        // Counts that are too high for a moment do no harm.
        self.ledger.pages.write_counts()?;
        let mut batch = Vec::new();
        let mut drop = |slot, range: Range<u64>| {
            batch.push(Io::new(Action::Discard {
                slot,
                offset: range.start,
                length: range.end.saturating_sub(range.start),
            }));
        };
        for range in freed {
            drop(self.file.slot(), shl(range.start, bits)?..shl(range.end, bits)?);
        }
        if let Upkeep::Readable(readable) = &mut self.upkeep {
            let slot = self.data.unwrap_or(self.file).slot();
            for range in core::mem::take(&mut readable.idle) {
                drop(slot, range);
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        // Space that is not given back is no fault of the work.
        self.file.host().submit(&mut batch);
        self.file.flush()
    }
}

/// Ranges that are remembered until they can be given back. Ours: half a megabyte.
const IDLE_MOST: usize = 1 << 15;
