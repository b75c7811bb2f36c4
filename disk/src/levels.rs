//! Tables of two levels: an L1 table leads to L2 tables, and their entries lead to clusters, or say something else of them.
//!
//! ```text
//!  L1  ├─┬─┬─┤  one entry a table: where it is, 0 for none
//!        └─► L2  ├─┬─┬─┬─┬─┤  one entry a cluster of the disk: what it says, the format knows
//! ```

use alloc::collections::BTreeMap;

use instar_abi::fault::core as faults;
use instar_abi::{Fault, FileKind, limits};

use crate::{File, Preallocate, Result, TableReader, TableWriter, Walked, Work, align_up, from_usize};

/// Bytes of an entry.
const ENTRY: u64 = 8;
/// An entry that leads nowhere.
const NONE: u64 = 0;

/// Where the tables are, and how they are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels {
    /// Where L1 starts.
    pub l1_offset: u64,
    /// Bytes of L1.
    pub l1_bytes: u64,
    /// Bytes of an L2 table.
    pub table_bytes: u64,
    /// New L2 tables start at a multiple of this.
    pub align: u64,
    /// Entries are big-endian, and not little-endian.
    pub big_endian: bool,
}

impl Levels {
    /// Entries of an L2 table.
    const fn entries(&self) -> u64 {
        self.table_bytes / ENTRY
    }

    /// The L2 table that has the entry of `cluster`, by number, and which entry that is.
    fn place_of(&self, cluster: u64) -> (u64, u64) {
        let number = cluster.checked_div(self.entries()).unwrap_or(0);
        let first = number.saturating_mul(self.entries());
        (number, cluster.saturating_sub(first))
    }

    const fn value(&self, bytes: [u8; 8]) -> u64 {
        match self.big_endian {
            true => u64::from_be_bytes(bytes),
            false => u64::from_le_bytes(bytes),
        }
    }

    const fn bytes(&self, value: u64) -> [u8; 8] {
        match self.big_endian {
            true => value.to_be_bytes(),
            false => value.to_le_bytes(),
        }
    }
}

/// What L1 says of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// So many clusters, at least 1, have no table.
    Absent(u64),
    /// Its entry is in a table.
    Table(Leaf),
}

/// An entry of an L2 table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The number of the table.
    pub number: u64,
    /// Where the table is said to be.
    pub table: u64,
    /// The number of the entry in it.
    pub within: u64,
}

/// L1 and one L2 table, being read.
#[derive(Debug)]
pub struct LevelsReader<'h> {
    file: File<'h>,
    levels: Levels,
    l1: TableReader,
    /// The L2 table that was read last, and where it starts.
    l2: Option<(u64, TableReader)>,
    walked: Walked,
}

impl<'h> LevelsReader<'h> {
    /// The tables of the image in `file`, of which L1 is in the file.
    #[must_use]
    pub fn new(file: File<'h>, levels: Levels) -> Self {
        Self {
            file,
            l1: TableReader::new(levels.l1_offset, levels.l1_bytes),
            levels,
            l2: None,
            walked: Walked::new(),
        }
    }

    /// What was read, and which tables were entered.
    #[must_use]
    pub const fn work(&self) -> Work {
        self.walked.work()
    }

    /// Where the entry of `cluster` is, as far as one page of L1 tells.
    ///
    /// # Errors
    /// The host's.
    pub fn find(&mut self, cluster: u64) -> Result<Level> {
        let (number, within) = self.levels.place_of(cluster);
        let file = self.file;
        let read_before = self.l1.bytes_read();
        let page = self.l1.from(number.saturating_mul(ENTRY), |at, into| {
            file.read_sectors(at, into)
        })?;
        let page = page.as_chunks::<8>().0;
        let table = page.first().map_or(NONE, |entry| self.levels.value(*entry));
        let absent = page.iter().take_while(|entry| **entry == [0; 8]).count();
        let grown = self.l1.bytes_read().saturating_sub(read_before);
        if grown > 0 {
            self.walked.read_alone(grown);
        }
        if table == NONE {
            let tables = from_usize(absent).max(1);
            let clusters = tables.saturating_mul(self.levels.entries());
            return Ok(Level::Absent(clusters.saturating_sub(within)));
        }
        Ok(Level::Table(Leaf {
            number,
            table,
            within,
        }))
    }

    /// Calls `follow` with the entries from `leaf` to the end of a page of its table, which the format has found to be in the file.
    ///
    /// # Errors
    /// The host's.
    pub fn follow<T>(
        &mut self,
        leaf: Leaf,
        follow: impl FnOnce(&mut dyn Iterator<Item = u64>) -> T,
    ) -> Result<T> {
        let (file, levels) = (self.file, self.levels);
        if self.l2.as_ref().is_none_or(|(known, _)| *known != leaf.table) {
            self.l2 = Some((leaf.table, TableReader::new(leaf.table, levels.table_bytes)));
            self.walked.enter(leaf.number, leaf.table, levels.table_bytes);
        }
        let Some((_, reader)) = &mut self.l2 else {
            return Err(Fault::new(faults::INTERNAL).with([line!().into()]));
        };
        let read_before = reader.bytes_read();
        let page = reader.from(leaf.within.saturating_mul(ENTRY), |at, into| {
            file.read_sectors(at, into)
        })?;
        let mut entries = page.as_chunks::<8>().0.iter().map(|entry| levels.value(*entry));
        let followed = follow(&mut entries);
        let grown = reader.bytes_read().saturating_sub(read_before);
        if grown > 0 {
            self.walked.read_alone(grown);
        }
        Ok(followed)
    }
}

/// L1 and one L2 table, being written, and the end of the file, where everything new goes.
#[derive(Debug)]
pub struct LevelsWriter<'h> {
    file: File<'h>,
    levels: Levels,
    l1: TableWriter<'h>,
    /// The L2 table that was written last, and where it starts.
    l2: Option<(u64, TableWriter<'h>)>,
    /// New L2 tables by their number, which L1 does not lead to yet: they must be in the file first.
    new: BTreeMap<u64, u64>,
    /// Where the file's part that is in use ends.
    next: u64,
    /// What entries lead to ends here at the latest.
    linked: u64,
    /// Bytes of the file.
    length: u64,
}

impl<'h> LevelsWriter<'h> {
    /// Those of a new image, of which nothing but zeros is in `file`.
    #[must_use]
    pub fn making(file: File<'h>, levels: Levels) -> Self {
        let l1 = TableWriter::new(file, levels.l1_offset, levels.l1_bytes, 0);
        let end = levels.l1_offset.saturating_add(levels.l1_bytes);
        Self::of(file, levels, l1, end)
    }

    /// Those of the image in `file`, whose tables are sound. What is new goes behind `end`.
    #[must_use]
    pub fn existing(file: File<'h>, levels: Levels, end: u64) -> Self {
        let l1 = TableWriter::existing(file, levels.l1_offset, levels.l1_bytes);
        Self::of(file, levels, l1, end)
    }

    const fn of(file: File<'h>, levels: Levels, l1: TableWriter<'h>, next: u64) -> Self {
        Self {
            file,
            levels,
            l1,
            l2: None,
            new: BTreeMap::new(),
            next,
            linked: next,
            length: file.size(),
        }
    }

    /// The entry of `cluster`; 0 where it has no table.
    ///
    /// # Errors
    /// The host's.
    pub fn get(&mut self, cluster: u64) -> Result<u64> {
        let (levels, (number, within)) = (self.levels, self.levels.place_of(cluster));
        match self.table(number)? {
            None => Ok(NONE),
            Some(table) => table
                .get(within.saturating_mul(ENTRY))
                .map(|entry| levels.value(entry)),
        }
    }

    /// Gives `cluster` an entry, which leads to nothing behind `end`.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve), for a new table; the host's.
    pub fn set(&mut self, cluster: u64, value: u64, end: u64) -> Result<()> {
        let (levels, (number, within)) = (self.levels, self.levels.place_of(cluster));
        self.need_table(cluster)?;
        if let Some(table) = self.table(number)? {
            table.set(within.saturating_mul(ENTRY), levels.bytes(value))?;
        }
        self.linked = self.linked.max(end);
        Ok(())
    }

    /// There is an L2 table with an entry for `cluster`.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn need_table(&mut self, cluster: u64) -> Result<()> {
        let (number, _) = self.levels.place_of(cluster);
        if self.table(number)?.is_some() {
            return Ok(());
        }
        let bytes = self.levels.table_bytes;
        let offset = self.reserve(bytes, self.levels.align)?;
        self.linked = self.linked.max(offset.saturating_add(bytes));
        self.leave()?;
        // Behind the end of a file everything reads as zero.
        let table = TableWriter::new(self.file.emptied(), offset, bytes, 0);
        self.l2 = Some((offset, table));
        self.new.insert(number, offset);
        Ok(())
    }

    /// So many bytes at the end of the file, from a multiple of `align` on.
    ///
    /// # Errors
    /// `OVERFLOW`: no file is that long.
    pub fn reserve(&mut self, bytes: u64, align: u64) -> Result<u64> {
        let at = align_up(self.next, align)?;
        let end = at.saturating_add(bytes);
        if end >= limits::FILE_END {
            return Err(Fault::new(faults::OVERFLOW).with([end]));
        }
        self.next = end;
        Ok(at)
    }

    /// The file has everything that was reserved.
    ///
    /// # Errors
    /// The host's.
    pub fn lengthen(&mut self) -> Result<()> {
        if self.next > self.length && self.file.kind() != FileKind::Block {
            self.file.resize(self.next, Preallocate::Off)?;
            self.length = self.next;
        }
        Ok(())
    }

    /// Writes all tables: L2 first, and what L1 leads to is on stable storage before it does.
    ///
    /// # Errors
    /// The host's.
    pub fn put(&mut self) -> Result<()> {
        self.leave()?;
        self.lengthen()?;
        if !self.new.is_empty() {
            self.file.flush()?;
            for (number, offset) in core::mem::take(&mut self.new) {
                self.l1
                    .set(number.saturating_mul(ENTRY), self.levels.bytes(offset))?;
            }
        }
        self.l1.finish()
    }

    /// What was reserved last, and nothing leads to, was for nothing.
    ///
    /// # Errors
    /// The host's.
    pub fn forget(&mut self) -> Result<()> {
        if self.linked < self.next {
            self.file.resize(self.linked, Preallocate::Off)?;
            self.next = self.linked;
            self.length = self.linked;
        }
        Ok(())
    }

    /// L2 table `number`, if there is one.
    fn table(&mut self, number: u64) -> Result<Option<&mut TableWriter<'h>>> {
        let offset = match self.new.get(&number) {
            Some(offset) => *offset,
            None => self.levels.value(self.l1.get(number.saturating_mul(ENTRY))?),
        };
        if offset == NONE {
            return Ok(None);
        }
        if self.l2.as_ref().is_none_or(|(known, _)| *known != offset) {
            self.leave()?;
            let table = TableWriter::existing(self.file, offset, self.levels.table_bytes);
            self.l2 = Some((offset, table));
        }
        Ok(self.l2.as_mut().map(|(_, table)| table))
    }

    /// Writes the L2 table at hand.
    fn leave(&mut self) -> Result<()> {
        match self.l2.take() {
            None => Ok(()),
            Some((_, mut table)) => table.finish(),
        }
    }
}
