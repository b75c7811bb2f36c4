//! Logical partitions: a chain of tables inside an extended partition, each with a partition and a link to the next.
//!
//! ```text
//!  extended: first ┬───────────────┬───────────────┐
//!                  │ table  data   │ table  data   │
//!                  │  └──► link ───┼──►            │   data counts from its table, links count from `first`
//! ```

use alloc::vec::Vec;

use instar_disk::fault::partitions as found;
use instar_disk::partitions::Partition;
use instar_disk::{Fault, Result};

use crate::Disk;
use crate::mbr::{self, BYTES};
use crate::raw::{RawMbr, RawSlot};

/// Links that are followed. Ours: Linux shows 256 partitions of a disk.
const MOST_LINKS: usize = 256;
/// Slots whose partition is believed wherever it is; those behind them are remains in some tables, as Linux has it.
const PLAIN_SLOTS: usize = 2;

/// What was found so far.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) partitions: Vec<Partition>,
    pub(crate) findings: Vec<Fault>,
    /// Sectors of the tables.
    visited: Vec<u64>,
    sector_size: u32,
}

impl Chain {
    pub(crate) const fn new(sector_size: u32) -> Self {
        Self {
            partitions: Vec::new(),
            findings: Vec::new(),
            visited: Vec::new(),
            sector_size,
        }
    }

    /// Adds the partitions inside `extended`; the first of all has the number `first_number`.
    pub(crate) fn follow(
        &mut self,
        disk: &mut dyn Disk,
        extended: &RawSlot,
        first_number: u32,
    ) -> Result<()> {
        let first = u64::from(extended.start.get());
        let end = first.saturating_add(extended.sectors.get().into());
        let (mut at, mut sectors) = (first, u64::from(extended.sectors.get()));
        loop {
            if let Some(stop) = self.stop(at) {
                self.findings.push(stop);
                return Ok(());
            }
            self.visited.push(at);
            let Some(table) = self.table(disk, at)? else {
                self.findings.push(Fault::new(found::EBR_MISSING).with([at]));
                return Ok(());
            };
            for (index, slot) in table.slots.iter().enumerate() {
                let from = at.saturating_add(slot.start.get().into());
                let to = from.saturating_add(slot.sectors.get().into());
                let inside = from >= first && to <= end && to.saturating_sub(at) <= sectors;
                if mbr::is_used(slot) && !mbr::is_extended(slot) && (index < PLAIN_SLOTS || inside) {
                    let count = u32::try_from(self.partitions.len()).unwrap_or(u32::MAX);
                    let number = first_number.saturating_add(count);
                    self.partitions
                        .push(mbr::partition(number, slot, at, self.sector_size, disk.size()));
                }
            }
            let link = |slot: &&RawSlot| mbr::is_used(slot) && mbr::is_extended(slot);
            let Some(next) = table.slots.iter().find(link) else {
                return Ok(());
            };
            at = first.saturating_add(next.start.get().into());
            sectors = next.sectors.get().into();
            if at >= end {
                self.findings
                    .push(Fault::new(found::EBR_OUTSIDE).with([at, first, end]));
                return Ok(());
            }
        }
    }

    /// Why the chain ends before the table in sector `at`.
    fn stop(&self, at: u64) -> Option<Fault> {
        if self.visited.contains(&at) {
            let count = u64::try_from(self.partitions.len()).unwrap_or(u64::MAX);
            return Some(Fault::new(found::EBR_LOOP).with([count, at]));
        }
        let limit = u64::try_from(MOST_LINKS).unwrap_or(u64::MAX);
        (self.visited.len() >= MOST_LINKS).then(|| Fault::new(found::EBR_LENGTH).with([limit]))
    }

    fn table(&self, disk: &mut dyn Disk, at: u64) -> Result<Option<RawMbr>> {
        let offset = at.saturating_mul(self.sector_size.into());
        if offset.saturating_add(BYTES) > disk.size() {
            return Ok(None);
        }
        let mut bytes = [0; 512];
        disk.read(offset, &mut bytes)?;
        Ok(mbr::table(&bytes))
    }
}
