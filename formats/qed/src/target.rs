//! Writing a new image.

use alloc::vec::Vec;

use instar_disk::{File, FileKind, LevelsWriter, Placement, Result, Slot, Target, ZeroHow};
use zerocopy::IntoBytes;

use crate::geometry::Geometry;
use crate::raw::{RawHeader, entry};

pub(crate) struct Qed<'h> {
    file: File<'h>,
    geometry: Geometry,
    raw: RawHeader,
    /// The name of the layer below, as it stands in the image.
    name: Vec<u8>,
    tables: LevelsWriter<'h>,
}

impl<'h> Qed<'h> {
    /// An image without data.
    pub(crate) fn new(file: File<'h>, geometry: Geometry, raw: RawHeader, name: Vec<u8>) -> Self {
        Self {
            tables: LevelsWriter::making(file, geometry.levels(raw.l1_table_offset.get())),
            file,
            geometry,
            raw,
            name,
        }
    }

    /// Gives places to the clusters from `cluster` on, which has none, until `clusters` have one, or a cluster has one already or is in
    /// another table. How many, and where the first is.
    fn give(&mut self, cluster: u64, clusters: u64) -> Result<(u64, u64)> {
        // In front of what it leads to.
        self.tables.need_table(cluster)?;
        let (number, _) = self.geometry.place_of(cluster);
        let mut first = None;
        let mut given = 0_u64;
        while given < clusters {
            let next = cluster.saturating_add(given);
            if given > 0 && (self.geometry.place_of(next).0 != number || self.tables.get(next)? > entry::ZERO)
            {
                break;
            }
            let size = self.geometry.cluster();
            let place = self.tables.reserve(size, size)?;
            self.tables.set(next, place, place.saturating_add(size))?;
            first = first.or(Some(place));
            given = given.saturating_add(1);
        }
        Ok((given, first.unwrap_or(0)))
    }

    fn placement(&self, offset: u64, length: u64) -> Placement {
        Placement {
            slot: self.file.slot(),
            offset,
            length,
            fresh: self.file.kind() == FileKind::Fresh,
        }
    }

    /// Where nothing is, something else shows.
    const fn is_over(&self) -> bool {
        !self.name.is_empty()
    }
}

impl Target for Qed<'_> {
    fn blocks(&self) -> Option<Slot> {
        Some(self.file.slot())
    }

    fn size(&self) -> u64 {
        self.raw.image_size.get()
    }

    /// Whole clusters, unless what is not written of one reads as zeros anyway.
    fn unit(&self) -> u64 {
        let cluster = self.geometry.cluster();
        match self.file.kind() {
            FileKind::Fresh if !self.is_over() => cluster.min(UNIT_MAX),
            _ => cluster,
        }
    }

    fn allocate(&mut self, offset: u64, length: u64) -> Result<Placement> {
        let cluster = self.geometry.cluster_of(offset);
        let within = offset.saturating_sub(self.geometry.start_of(offset));
        let known = self.tables.get(cluster)?;
        let (given, place) = match known {
            entry::NONE | entry::ZERO => {
                self.give(cluster, self.geometry.clusters(within.saturating_add(length)))?
            }
            place => (1, place),
        };
        let room = given
            .saturating_mul(self.geometry.cluster())
            .saturating_sub(within);
        Ok(self.placement(place.saturating_add(within), length.min(room)))
    }

    fn zero(&mut self, offset: u64, length: u64) -> Result<()> {
        let size = self.geometry.cluster();
        let (mut at, end) = (offset, offset.saturating_add(length));
        while at < end {
            let cluster = self.geometry.cluster_of(at);
            let within = at.saturating_sub(self.geometry.start_of(at));
            let step = end.saturating_sub(at).min(size.saturating_sub(within));
            match self.tables.get(cluster)? {
                entry::NONE if self.is_over() => self.tables.set(cluster, entry::ZERO, 0)?,
                entry::NONE | entry::ZERO => {}
                place => {
                    let start = place.saturating_add(within);
                    self.file.zero(start, step, ZeroHow::MayUnmap)?;
                }
            }
            at = at.saturating_add(step);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.tables.put()?;
        self.file.flush()?;
        let mut header = self.raw.as_bytes().to_vec();
        header.extend_from_slice(&self.name);
        self.file.write(0, &header)?;
        self.file.flush()
    }
}

/// Guest bytes that are placed together at most, where that need not be a cluster. Ours.
const UNIT_MAX: u64 = 1 << 20;
