//! The tables as they are read: what stands in the file for a part of the disk.

use instar_disk::fault::qed as faults;
use instar_disk::{Fault, File, Result, TableReader, Walked, Work, from_usize};

use crate::header::Header;
use crate::raw::entry;

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

/// What an L2 table has for a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    None,
    Zero,
    /// Its bytes, from there on.
    At(u64),
}

impl<'h> Tables<'h> {
    pub(crate) fn new(file: File<'h>, header: &Header) -> Self {
        Self {
            file,
            l1: TableReader::new(header.l1_offset, header.geometry.table_bytes()),
            header: header.clone(),
            l2: None,
            walked: Walked::new(),
        }
    }

    pub(crate) const fn work(&self) -> Work {
        self.walked.work()
    }

    /// The run that begins with `cluster`, as far as one page of a table tells.
    ///
    /// # Errors
    /// `ENTRY` for a table or a cluster that cannot be where it is said to be; the host's.
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
            .map_or(entry::NONE, |entry| u64::from_le_bytes(*entry));
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
        if !self.header.can_be_table(offset) {
            return Err(self.damaged(number, offset));
        }
        self.look(cluster, number, within, offset)
    }

    /// The same, in the L2 table at `table`, which is number `number`.
    fn look(&mut self, cluster: u64, number: u64, within: u64, table: u64) -> Result<Run> {
        let file = self.file;
        let bytes = self.header.geometry.table_bytes();
        if self.l2.as_ref().is_none_or(|(known, _)| *known != table) {
            self.l2 = Some((table, TableReader::new(table, bytes)));
            self.walked.enter(number, table, bytes);
        }
        let Some((_, reader)) = &mut self.l2 else {
            return Err(Fault::new(instar_disk::fault::core::INTERNAL).with([line!().into()]));
        };
        let read_before = reader.bytes_read();
        let page = reader.from(within.saturating_mul(entry::BYTES), |at, into| {
            file.read_exact(at, into)
        })?;
        let entries = page
            .as_chunks::<8>()
            .0
            .iter()
            .map(|entry| u64::from_le_bytes(*entry));
        let run = follow(entries, &self.header);
        let grown = reader.bytes_read().saturating_sub(read_before);
        if grown > 0 {
            self.walked.read_alone(grown);
        }
        run.map_err(|offset| self.damaged(cluster, offset))
    }

    fn damaged(&self, number: u64, offset: u64) -> Fault {
        Fault::new(faults::ENTRY)
            .with([number, offset])
            .in_file(self.file.slot())
    }
}

/// The run that `entries` begin with, or the offset that none can have.
fn follow(mut entries: impl Iterator<Item = u64>, header: &Header) -> core::result::Result<Run, u64> {
    let first = entries.next().unwrap_or(entry::NONE);
    let step = match first {
        entry::NONE | entry::ZERO => 0,
        offset if header.can_be_cluster(offset) => header.geometry.cluster(),
        offset => return Err(offset),
    };
    let (mut clusters, mut expected) = (1_u64, first);
    for next in entries {
        expected = expected.saturating_add(step);
        if next != expected || step > 0 && !header.can_be_cluster(next) {
            break;
        }
        clusters = clusters.saturating_add(1);
    }
    let entry = match first {
        entry::NONE => Entry::None,
        entry::ZERO => Entry::Zero,
        offset => Entry::At(offset),
    };
    Ok(Run { clusters, entry })
}
