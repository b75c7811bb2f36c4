//! The BAT as it is read: where a cluster is.

use instar_disk::fault::parallels as faults;
use instar_disk::{Fault, File, Result, TableReader, Work};

use crate::header::Header;
use crate::raw::{HEADER_BYTES, entry};

/// A BAT being read.
#[derive(Debug)]
pub(crate) struct Bat<'h> {
    file: File<'h>,
    header: Header,
    table: TableReader,
}

/// Clusters that follow one another, on the disk and in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Clusters, at least 1.
    pub(crate) clusters: u64,
    /// Where the first is, if it is somewhere: all are or none is.
    pub(crate) place: Option<u64>,
}

impl<'h> Bat<'h> {
    pub(crate) fn new(file: File<'h>, header: &Header) -> Self {
        Self {
            file,
            table: TableReader::new(HEADER_BYTES, header.bat_bytes()),
            header: header.clone(),
        }
    }

    /// What the BAT has taken so far.
    pub(crate) const fn work(&self) -> Work {
        Work {
            read: self.table.bytes_read(),
            shared: 0,
        }
    }

    /// The run that starts with `cluster`, as far as one page of the BAT tells.
    ///
    /// # Errors
    /// `OUTSIDE` for a cluster that begins behind the end of the file, or in the BAT; the host's.
    pub(crate) fn run(&mut self, cluster: u64) -> Result<Run> {
        let (file, header) = (self.file, &self.header);
        if cluster >= header.entries {
            // The reference tool reads zeros where the BAT has no entry.
            return Ok(Run {
                clusters: u64::MAX,
                place: None,
            });
        }
        let page = self
            .table
            .from(cluster.saturating_mul(entry::BYTES), |at, into| {
                file.read_exact(at, into)
            })?;
        let mut places = page
            .as_chunks::<4>()
            .0
            .iter()
            .map(|entry| header.place(u32::from_le_bytes(*entry)));
        let first = places.next().flatten();
        if let Some(place) = first.filter(|place| !can_be(header, *place)) {
            return Err(Fault::new(faults::OUTSIDE)
                .with([cluster, place, header.file_size])
                .in_file(file.slot()));
        }
        let (mut clusters, mut expected) = (1_u64, first);
        for next in places {
            expected = expected.map(|place| place.saturating_add(header.cluster));
            if next != expected || next.is_some_and(|place| !can_be(header, place)) {
                break;
            }
            clusters = clusters.saturating_add(1);
        }
        Ok(Run {
            clusters,
            place: first,
        })
    }
}

/// Whether a cluster can begin at byte `place`: in the file, and behind the BAT.
pub(crate) const fn can_be(header: &Header, place: u64) -> bool {
    place >= header.bat_end() && place < header.file_size
}
