//! The tables as they are written, and the end of the file, where everything new goes.

use alloc::collections::BTreeMap;

use instar_disk::{Fault, File, FileKind, Preallocate, Result, TableWriter, align_up, fault, limits};

use crate::geometry::{Entry, Geometry};
use crate::raw::{SECTOR, entry};

/// L1 and one L2 table, being written.
#[derive(Debug)]
pub(crate) struct Writer<'h> {
    file: File<'h>,
    geometry: Geometry,
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

impl<'h> Writer<'h> {
    /// Those of a new image, of which nothing but zeros is in `file`.
    pub(crate) fn new(file: File<'h>, geometry: Geometry, l1_offset: u64, l1_entries: u64) -> Result<Self> {
        // The reference tool writes it in whole sectors.
        let bytes = align_up(l1_entries.saturating_mul(entry::BYTES), SECTOR)?;
        let l1 = TableWriter::new(file, l1_offset, bytes, 0);
        Ok(Self::of(file, geometry, l1, l1_offset.saturating_add(bytes)))
    }

    /// Those of the image in `file`, whose tables are sound.
    pub(crate) fn existing(
        file: File<'h>,
        geometry: Geometry,
        l1_offset: u64,
        l1_entries: u64,
    ) -> Result<Self> {
        let l1 = TableWriter::existing(file, l1_offset, l1_entries.saturating_mul(entry::BYTES));
        let end = align_up(file.size(), SECTOR)?;
        Ok(Self::of(file, geometry, l1, end))
    }

    fn of(file: File<'h>, geometry: Geometry, l1: TableWriter<'h>, next: u64) -> Self {
        Self {
            file,
            geometry,
            l1,
            l2: None,
            new: BTreeMap::new(),
            next,
            linked: next,
            length: file.size(),
        }
    }

    /// What there is for `cluster`.
    pub(crate) fn get(&mut self, cluster: u64) -> Result<Entry> {
        let (number, within) = self.geometry.place_of(cluster);
        let value = match self.table(number)? {
            None => entry::NONE,
            Some(table) => u64::from_be_bytes(table.get(within.saturating_mul(entry::BYTES))?),
        };
        Ok(self.geometry.entry(value))
    }

    /// Gives `cluster` an entry, which leads to nothing behind `end`.
    pub(crate) fn set(&mut self, cluster: u64, value: u64, end: u64) -> Result<()> {
        let (number, within) = self.geometry.place_of(cluster);
        self.need_table(cluster)?;
        if let Some(table) = self.table(number)? {
            table.set(within.saturating_mul(entry::BYTES), value.to_be_bytes())?;
        }
        self.linked = self.linked.max(end);
        Ok(())
    }

    /// There is an L2 table with an entry for `cluster`.
    pub(crate) fn need_table(&mut self, cluster: u64) -> Result<()> {
        let (number, _) = self.geometry.place_of(cluster);
        if self.table(number)?.is_some() {
            return Ok(());
        }
        let bytes = self.geometry.table_bytes();
        let offset = self.reserve(bytes, self.geometry.cluster())?;
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
    pub(crate) fn reserve(&mut self, bytes: u64, align: u64) -> Result<u64> {
        let at = align_up(self.next, align)?;
        let end = at.saturating_add(bytes);
        if end >= limits::FILE_END {
            return Err(Fault::new(fault::core::OVERFLOW).with([end]));
        }
        self.next = end;
        Ok(at)
    }

    /// The file has everything that was reserved.
    pub(crate) fn lengthen(&mut self) -> Result<()> {
        if self.next > self.length && self.file.kind() != FileKind::Block {
            self.file.resize(self.next, Preallocate::Off)?;
            self.length = self.next;
        }
        Ok(())
    }

    /// Writes all tables: L2 first, and what L1 leads to is on stable storage before it does.
    pub(crate) fn put(&mut self) -> Result<()> {
        self.leave()?;
        self.lengthen()?;
        if !self.new.is_empty() {
            self.file.flush()?;
            for (number, offset) in core::mem::take(&mut self.new) {
                self.l1
                    .set(number.saturating_mul(entry::BYTES), offset.to_be_bytes())?;
            }
        }
        self.l1.finish()
    }

    /// What was reserved last, and nothing leads to, was for nothing.
    pub(crate) fn forget(&mut self) -> Result<()> {
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
            None => u64::from_be_bytes(self.l1.get(number.saturating_mul(entry::BYTES))?),
        };
        if offset == entry::NONE {
            return Ok(None);
        }
        if self.l2.as_ref().is_none_or(|(known, _)| *known != offset) {
            self.leave()?;
            let table = TableWriter::existing(self.file, offset, self.geometry.table_bytes());
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
