//! The tables as they are read: what stands in the file for a part of the disk.

use instar_disk::fault::qed as faults;
use instar_disk::{Fault, File, Level, LevelsReader, Result, Work};

use crate::header::Header;
use crate::raw::entry;

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
            levels: LevelsReader::new(file, header.geometry.levels(header.l1_offset)),
            header: header.clone(),
        }
    }

    pub(crate) const fn work(&self) -> Work {
        self.levels.work()
    }

    /// The run that begins with `cluster`, as far as one page of a table tells.
    ///
    /// # Errors
    /// `ENTRY` for a table or a cluster that cannot be where it is said to be; the host's.
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
        if !self.header.can_be_table(leaf.table) {
            return Err(self.damaged(leaf.number, leaf.table));
        }
        let header = &self.header;
        let run = self.levels.follow(leaf, |entries| follow(entries, header))?;
        run.map_err(|offset| self.damaged(cluster, offset))
    }

    fn damaged(&self, number: u64, offset: u64) -> Fault {
        Fault::new(faults::ENTRY)
            .with([number, offset])
            .in_file(self.file.slot())
    }
}

/// The run that `entries` begin with, or the offset that none can have.
fn follow(entries: &mut dyn Iterator<Item = u64>, header: &Header) -> core::result::Result<Run, u64> {
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
