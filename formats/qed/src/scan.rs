//! A walk through all tables: which clusters are in use, and which entries are wrong.

use alloc::vec::Vec;

use instar_disk::{Budget, File, Places, Result, to_usize};

use crate::header::Header;
use crate::raw::entry;

/// What a walk counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Entries that lead nowhere.
    pub(crate) invalid: u64,
    /// Of those, how many were removed.
    pub(crate) removed: u64,
    /// Clusters that are referred to once more.
    pub(crate) shared: u64,
    /// Entries of L2 tables that say a place.
    pub(crate) allocated: u64,
    /// Those that do not follow the one before in their table.
    pub(crate) fragmented: u64,
    /// Clusters behind the header that nothing refers to.
    pub(crate) leaked: u64,
}

/// Walks through the tables of the image in `file`. With `repairs`, an entry that leads nowhere is removed, which is on stable storage
/// when it is done: it was no part of the disk.
///
/// # Errors
/// Tables that are larger than they can be; the host's.
pub(crate) fn scan(file: File<'_>, header: &Header, repairs: bool) -> Result<Tally> {
    let clusters = header.geometry.cluster_of(header.file_end);
    let mut scan = Scan {
        file,
        header,
        repairs,
        used: Places::new(clusters)?,
        taken: 0,
        tally: Tally::default(),
        budget: Budget::new(file),
    };
    scan.take(header.l1_offset, header.geometry.table_clusters());
    scan.tables()?;
    let behind = clusters.saturating_sub(header.geometry.cluster_of(header.bytes));
    scan.tally.leaked = behind.saturating_sub(scan.taken);
    if scan.tally.removed > 0 {
        file.flush()?;
    }
    Ok(scan.tally)
}

struct Scan<'a, 'h> {
    file: File<'h>,
    header: &'a Header,
    repairs: bool,
    used: Places,
    /// Clusters in use.
    taken: u64,
    tally: Tally,
    budget: Budget<'h>,
}

impl Scan<'_, '_> {
    /// Marks clusters, which can be there; true if none was marked before.
    fn take(&mut self, offset: u64, clusters: u64) -> bool {
        let first = self.header.geometry.cluster_of(offset);
        let mut alone = true;
        for cluster in first..first.saturating_add(clusters) {
            if self.used.take(cluster) {
                self.tally.shared = self.tally.shared.saturating_add(1);
                alone = false;
            } else {
                self.taken = self.taken.saturating_add(1);
            }
        }
        alone
    }

    fn tables(&mut self) -> Result<()> {
        let bytes = self.header.geometry.table_bytes();
        let mut piece = Vec::new();
        let mut at = 0;
        while at < bytes {
            let start = self.header.l1_offset.saturating_add(at);
            self.read(start, bytes.saturating_sub(at), &mut piece)?;
            let mut changed = false;
            for entry in piece.as_chunks_mut::<8>().0 {
                let offset = u64::from_le_bytes(*entry);
                if offset == entry::NONE {
                    continue;
                }
                if !self.header.can_be_table(offset) {
                    changed |= self.refuse(entry);
                } else if self.take(offset, self.header.geometry.table_clusters()) {
                    self.table(offset)?;
                }
            }
            if changed {
                self.file.write(start, &piece)?;
            }
            at = at.saturating_add(PIECE);
        }
        Ok(())
    }

    /// The L2 table at `table`.
    fn table(&mut self, table: u64) -> Result<()> {
        let (bytes, cluster) = (self.header.geometry.table_bytes(), self.header.geometry.cluster());
        let mut piece = Vec::new();
        let mut last = None;
        let mut at = 0;
        while at < bytes {
            let start = table.saturating_add(at);
            self.read(start, bytes.saturating_sub(at), &mut piece)?;
            let mut changed = false;
            for entry in piece.as_chunks_mut::<8>().0 {
                let offset = u64::from_le_bytes(*entry);
                if matches!(offset, entry::NONE | entry::ZERO) {
                    continue;
                }
                self.tally.allocated = self.tally.allocated.saturating_add(1);
                if last.is_some_and(|last: u64| last.checked_add(cluster) != Some(offset)) {
                    self.tally.fragmented = self.tally.fragmented.saturating_add(1);
                }
                last = Some(offset);
                if self.header.can_be_cluster(offset) {
                    self.take(offset, 1);
                } else {
                    changed |= self.refuse(entry);
                }
            }
            if changed {
                self.file.write(start, &piece)?;
            }
            at = at.saturating_add(PIECE);
        }
        Ok(())
    }

    fn read(&mut self, start: u64, left: u64, piece: &mut Vec<u8>) -> Result<()> {
        let length = left.min(PIECE);
        self.budget.spend(length)?;
        piece.resize(to_usize(length)?, 0);
        self.file.read_sectors(start, piece)
    }

    /// Counts an entry that leads nowhere; true if it is removed.
    const fn refuse(&mut self, entry: &mut [u8; 8]) -> bool {
        self.tally.invalid = self.tally.invalid.saturating_add(1);
        if self.repairs {
            self.tally.removed = self.tally.removed.saturating_add(1);
            *entry = [0; 8];
        }
        self.repairs
    }
}

/// Bytes of a table that are read at once. Ours.
const PIECE: u64 = 1 << 20;
