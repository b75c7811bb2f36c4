//! The tables as they are read: what stands in the file for a cluster of the disk.

use instar_disk::fault::qcow as faults;
use instar_disk::{Fault, FaultCode, File, Level, LevelsReader, Result, Work};

use crate::geometry::Entry;
use crate::header::Header;
use crate::raw::SECTOR;

/// The tables, being read.
#[derive(Debug)]
pub(crate) struct Tables<'h> {
    file: File<'h>,
    header: Header,
    levels: LevelsReader<'h>,
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
            levels: LevelsReader::new(file, header.geometry.levels(header.l1_offset, bytes)),
            header: header.clone(),
        })
    }

    pub(crate) const fn work(&self) -> Work {
        self.levels.work()
    }

    /// The run that begins with `cluster`, as far as one page of a table tells.
    ///
    /// # Errors
    /// `TABLE_OUTSIDE`; the host's.
    pub(crate) fn run(&mut self, cluster: u64) -> Result<Run> {
        let leaf = match self.levels.find(cluster)? {
            Level::Absent(clusters) => {
                return Ok(Run {
                    clusters,
                    entry: Entry::None,
                });
            }
            Level::Table(leaf) => leaf,
        };
        let bytes = self.header.geometry.table_bytes();
        if !self.header.can_be_beside(leaf.table, bytes) {
            return Err(outside(&self.file, leaf.table, bytes));
        }
        let header = &self.header;
        self.levels.follow(leaf, |entries| follow(entries, header))
    }
}

/// The run that `entries` begin with.
fn follow(entries: &mut dyn Iterator<Item = u64>, header: &Header) -> Run {
    let geometry = header.geometry;
    let first = entries.next().map_or(Entry::None, |value| geometry.entry(value));
    let (mut clusters, mut expected) = (1_u64, first);
    for value in entries {
        expected = match expected {
            Entry::None => Entry::None,
            Entry::At(at) => Entry::At(at.saturating_add(geometry.cluster())),
            Entry::Stream(..) => break,
        };
        if geometry.entry(value) != expected || judge(expected, header).is_some() {
            break;
        }
        clusters = clusters.saturating_add(1);
    }
    Run {
        clusters,
        entry: first,
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
