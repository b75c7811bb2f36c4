//! Entries that lead to a place at which no cluster can be, and read as zero all the same: they are made to lead nowhere.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use instar_disk::{Result, to_usize};
use zerocopy::IntoBytes;
use zerocopy::big_endian::U64;

use super::cells::Cells;
use super::entry::is_misplaced_zero;
use super::frame::Frame;
use crate::raw::{entry, subcluster};

/// L2 tables with such entries.
#[derive(Clone, Debug, Default)]
pub(super) struct Zeroed {
    /// By offset: how many L1 entries lead to the table.
    tables: BTreeMap<u64, u64>,
    /// Entries in them.
    pub(super) entries: u64,
    /// A table stands where something else stands, or there are more than are remembered: none is to be written to.
    barred: bool,
}

impl Zeroed {
    /// An entry of the table at `table`, which so many L1 entries lead to.
    pub(super) fn add(&mut self, table: u64, pointers: u32) {
        self.entries = self.entries.saturating_add(1);
        if self.tables.len() >= TABLES && !self.tables.contains_key(&table) {
            self.barred = true;
            return;
        }
        self.tables.insert(table, u64::from(pointers));
    }

    /// Takes over what was found while the references to a window of the file were counted, and looks whether anything but L1
    /// entries refers to the tables in it.
    pub(super) fn meet(&mut self, found: &Self, cells: &Cells, frame: &Frame<'_>) {
        for (table, pointers) in &found.tables {
            let cluster = frame.cluster(*table);
            let shared = cells.holds(cluster) && cells.get(cluster).count > *pointers;
            let outside = frame.clusters_of(*table, frame.cluster_size()).is_none();
            self.barred |= shared || outside || frame.within(*table) != 0;
        }
        self.barred |= found.barred;
        self.entries = found.entries;
        self.tables.clone_from(&found.tables);
    }

    /// Whether all of them can be put right.
    pub(super) const fn can_be_written(&self) -> bool {
        !self.barred
    }

    /// Writes the entries. None of them changes what the disk holds.
    pub(super) fn write(&self, frame: &Frame<'_>) -> Result<()> {
        if self.tables.is_empty() {
            return Ok(());
        }
        let extended = frame.header.features.extended_l2();
        let mut words: Vec<U64> = Vec::new();
        words.resize(to_usize(frame.cluster_size() / 8)?, U64::ZERO);
        for table in self.tables.keys() {
            frame.file.read_padded(*table, words.as_mut_bytes())?;
            for entry in words.chunks_exact_mut(if extended { 2 } else { 1 }) {
                match entry {
                    [value, bits] if is_misplaced_zero(frame, value.get(), bits.get()) => {
                        value.set(0);
                        bits.set(bits.get() & subcluster::ZERO);
                    }
                    [value] if is_misplaced_zero(frame, value.get(), 0) => value.set(entry::ZERO),
                    _ => {}
                }
            }
            frame.file.write(*table, words.as_bytes())?;
        }
        frame.file.flush()
    }
}

/// Tables that are remembered. Ours: a megabyte or two; writers make no such entry.
const TABLES: usize = 32 << 10;
