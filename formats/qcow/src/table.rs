//! The tables as they are read: what stands in the file for a cluster of the disk.

use instar_disk::fault::qcow as faults;
use instar_disk::{Fault, FaultCode, File, Result, TableReader, Walked, Work, fault, from_usize};

use crate::geometry::Entry;
use crate::header::Header;
use crate::raw::{SECTOR, entry};

/// L1 and one L2 table, being read.
#[derive(Debug)]
pub(crate) struct Tables<'h> {
    file: File<'h>,
    header: Header,
    l1: TableReader,
    /// The L2 table that was read last, and where it starts.
    l2: Option<(u64, TableReader)>,
    walked: Walked,
}

/// Clusters that follow one another, on the disk and in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Clusters, at least 1.
    pub(crate) clusters: u64,
    pub(crate) entry: Entry,
}

impl<'h> Tables<'h> {
    /// The tables of the image in `file`.
    ///
    /// # Errors
    /// `TABLE_OUTSIDE` for an L1 table that is not in the file.
    pub(crate) fn new(file: File<'h>, header: &Header) -> Result<Self> {
        let bytes = header.l1_bytes();
        if !header.can_be(header.l1_offset, bytes) {
            return Err(outside(&file, header.l1_offset, bytes));
        }
        Ok(Self {
            file,
            l1: TableReader::new(header.l1_offset, bytes),
            header: header.clone(),
            l2: None,
            walked: Walked::new(),
        })
    }

    pub(crate) const fn work(&self) -> Work {
        self.walked.work()
    }

    /// The run that begins with `cluster`, as far as one page of a table tells.
    ///
    /// # Errors
    /// `TABLE_OUTSIDE`; the host's.
    pub(crate) fn run(&mut self, cluster: u64) -> Result<Run> {
        let geometry = self.header.geometry;
        let (number, within) = geometry.place_of(cluster);
        let file = self.file;
        let read_before = self.l1.bytes_read();
        let page = self.l1.from(number.saturating_mul(entry::BYTES), |at, into| {
            file.read_exact(at, into)
        })?;
        let page = page.as_chunks::<8>().0;
        let offset = page
            .first()
            .map_or(entry::NONE, |entry| u64::from_be_bytes(*entry));
        let absent = page.iter().take_while(|entry| **entry == [0; 8]).count();
        let grown = self.l1.bytes_read().saturating_sub(read_before);
        if grown > 0 {
            self.walked.read_alone(grown);
        }
        if offset == entry::NONE {
            let tables = from_usize(absent).max(1);
            let clusters = tables.saturating_mul(geometry.entries()).saturating_sub(within);
            return Ok(Run {
                clusters,
                entry: Entry::None,
            });
        }
        self.look(number, within, offset)
    }

    /// The same, from entry `within` on of the L2 table at `table`, which is number `number`.
    fn look(&mut self, number: u64, within: u64, table: u64) -> Result<Run> {
        let (file, geometry) = (self.file, self.header.geometry);
        if self.l2.as_ref().is_none_or(|(known, _)| *known != table) {
            let bytes = geometry.table_bytes();
            if !self.header.can_be_beside(table, bytes) {
                return Err(outside(&file, table, bytes));
            }
            self.l2 = Some((table, TableReader::new(table, bytes)));
            self.walked.enter(number, table, bytes);
        }
        let Some((_, reader)) = &mut self.l2 else {
            return Err(Fault::new(fault::core::INTERNAL).with([line!().into()]));
        };
        let read_before = reader.bytes_read();
        let page = reader.from(within.saturating_mul(entry::BYTES), |at, into| {
            file.read_exact(at, into)
        })?;
        let mut entries = page
            .as_chunks::<8>()
            .0
            .iter()
            .map(|entry| u64::from_be_bytes(*entry));
        let first = geometry.entry(entries.next().unwrap_or(entry::NONE));
        let mut clusters = 1_u64;
        let mut expected = first;
        for value in entries {
            expected = match expected {
                Entry::None => Entry::None,
                Entry::At(at) => Entry::At(at.saturating_add(geometry.cluster())),
                Entry::Stream(..) => break,
            };
            if geometry.entry(value) != expected || judge(expected, &self.header).is_some() {
                break;
            }
            clusters = clusters.saturating_add(1);
        }
        let grown = reader.bytes_read().saturating_sub(read_before);
        if grown > 0 {
            self.walked.read_alone(grown);
        }
        Ok(Run {
            clusters,
            entry: first,
        })
    }
}

/// What is wrong with the entry of a cluster, if something is.
pub(crate) fn judge(entry: Entry, header: &Header) -> Option<FaultCode> {
    let (offset, bytes) = match entry {
        Entry::None => return None,
        Entry::At(offset) if !offset.is_multiple_of(SECTOR) => return Some(faults::ENTRY),
        Entry::At(offset) => (offset, header.geometry.cluster()),
        Entry::Stream(_, 0) => return Some(faults::ENTRY),
        Entry::Stream(offset, bytes) => (offset, bytes),
    };
    (!header.can_be_beside(offset, bytes)).then_some(faults::CLUSTER_OUTSIDE)
}

/// A table that is not in the file as a whole.
pub(crate) fn outside(file: &File<'_>, offset: u64, bytes: u64) -> Fault {
    Fault::new(faults::TABLE_OUTSIDE)
        .with([offset, bytes, file.size()])
        .in_file(file.slot())
}
