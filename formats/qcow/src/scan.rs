//! A walk through all tables before anything is written: what is written to must belong to one place of the disk.

use alloc::vec::Vec;

use instar_disk::fault::qcow as faults;
use instar_disk::{Budget, Fault, File, Places, Result, to_usize};

use crate::geometry::Entry;
use crate::header::Header;
use crate::raw::{SECTOR, entry};
use crate::table::{judge, outside};

/// What a walk counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Clusters that are not compressed, and tables, that share bytes with something else.
    pub(crate) shared: u64,
    /// Clusters that are.
    pub(crate) streams: u64,
}

/// Walks through the tables of the image in `file`.
///
/// # Errors
/// Entries that lead nowhere; tables that are larger than they can be; the host's.
pub(crate) fn scan(file: File<'_>, header: &Header) -> Result<Tally> {
    let sectors = file.size().div_ceil(SECTOR);
    let mut scan = Scan {
        file,
        header,
        whole: Places::new(sectors)?,
        parts: Places::new(sectors)?,
        tally: Tally::default(),
        budget: Budget::new(file),
    };
    scan.tables()?;
    Ok(scan.tally)
}

struct Scan<'a, 'h> {
    file: File<'h>,
    header: &'a Header,
    /// Sectors of clusters and tables.
    whole: Places,
    /// Sectors with bytes of streams, of which several can be in one.
    parts: Places,
    tally: Tally,
    budget: Budget<'h>,
}

impl Scan<'_, '_> {
    /// Marks the sectors of a cluster or a table; true if nothing else is there.
    fn take(&mut self, offset: u64, bytes: u64) -> bool {
        let mut alone = true;
        for sector in sectors(offset, bytes) {
            alone &= !self.whole.take(sector) && !self.parts.has(sector);
        }
        self.count(alone)
    }

    fn take_stream(&mut self, offset: u64, bytes: u64) {
        self.tally.streams = self.tally.streams.saturating_add(1);
        let mut alone = true;
        for sector in sectors(offset, bytes) {
            self.parts.take(sector);
            alone &= !self.whole.has(sector);
        }
        self.count(alone);
    }

    const fn count(&mut self, alone: bool) -> bool {
        if !alone {
            self.tally.shared = self.tally.shared.saturating_add(1);
        }
        alone
    }

    fn tables(&mut self) -> Result<()> {
        let (header, bytes) = (self.header, self.header.geometry.table_bytes());
        let mut piece = Vec::new();
        let mut at = 0;
        while at < header.l1_bytes() {
            let start = header.l1_offset.saturating_add(at);
            self.read(start, header.l1_bytes().saturating_sub(at), &mut piece)?;
            for entry in piece.as_chunks::<8>().0 {
                let table = u64::from_be_bytes(*entry);
                if table == entry::NONE {
                    continue;
                }
                if !header.can_be_beside(table, bytes) {
                    return Err(outside(&self.file, table, bytes));
                }
                if self.take(table, bytes) {
                    self.table(table)?;
                }
            }
            at = at.saturating_add(PIECE);
        }
        Ok(())
    }

    /// The L2 table at `table`.
    fn table(&mut self, table: u64) -> Result<()> {
        let geometry = self.header.geometry;
        let mut piece = Vec::new();
        // At most 64 KiB.
        self.read(table, geometry.table_bytes(), &mut piece)?;
        for (number, value) in (0_u64..).zip(piece.as_chunks::<8>().0) {
            let found = geometry.entry(u64::from_be_bytes(*value));
            if let Some(code) = judge(found, self.header) {
                let numbers = [number, u64::from_be_bytes(*value), self.file.size()];
                let code = if code == faults::ENTRY {
                    faults::ENTRY_SAID
                } else {
                    code
                };
                return Err(Fault::new(code).with(numbers).in_file(self.file.slot()));
            }
            match found {
                Entry::None => {}
                Entry::At(place) => {
                    self.take(place, geometry.cluster());
                }
                Entry::Stream(place, bytes) => self.take_stream(place, bytes),
            }
        }
        Ok(())
    }

    fn read(&mut self, start: u64, left: u64, piece: &mut Vec<u8>) -> Result<()> {
        let length = left.min(PIECE);
        self.budget.spend(length)?;
        piece.resize(to_usize(length)?, 0);
        self.file.read_exact(start, piece)
    }
}

/// The sectors that have bytes of a range.
const fn sectors(offset: u64, bytes: u64) -> core::ops::Range<u64> {
    let end = offset.saturating_add(bytes).div_ceil(SECTOR);
    offset.wrapping_div(SECTOR)..end
}

/// Bytes of a table that are read at once. Ours.
const PIECE: u64 = 1 << 20;
