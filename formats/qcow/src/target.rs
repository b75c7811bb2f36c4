//! Writing a new image.

use alloc::vec::Vec;

use instar_disk::{
    Codec, Encoding, Fault, File, FileKind, Key, LevelsWriter, Placement, Result, Sealing, Target, Tweak,
    ZeroHow, align_up, fault,
};
use zerocopy::IntoBytes;

use crate::geometry::{Entry, Geometry};
use crate::raw::{RawHeader, SECTOR, entry};

pub(crate) struct Qcow<'h> {
    file: File<'h>,
    geometry: Geometry,
    raw: RawHeader,
    /// The name of the layer below, as it stands in the image.
    name: Vec<u8>,
    compress: bool,
    /// How data is encrypted, if it is.
    sealing: Option<Sealing>,
    tables: LevelsWriter<'h>,
}

impl<'h> Qcow<'h> {
    /// An image without data.
    pub(crate) fn new(
        file: File<'h>,
        raw: RawHeader,
        name: Vec<u8>,
        key: Option<Key>,
        compress: bool,
    ) -> Result<Self> {
        let geometry = Geometry::new(raw.cluster_bits, raw.l2_bits);
        let entries = geometry.l1_entries(raw.size.get());
        // The reference tool writes it in whole sectors.
        let bytes = align_up(entries.saturating_mul(entry::BYTES), SECTOR)?;
        Ok(Self {
            tables: LevelsWriter::making(file, geometry.levels(raw.l1_table_offset.get(), bytes)),
            file,
            geometry,
            raw,
            name,
            compress,
            sealing: key.map(|key| Sealing {
                key,
                tweak: Tweak::Disk,
            }),
        })
    }

    /// Gives places to the clusters from `cluster` on, which has none, until `clusters` have one, or a cluster has one already or is in
    /// another table. How many, and where the first is.
    fn give(&mut self, cluster: u64, clusters: u64) -> Result<(u64, u64)> {
        let size = self.geometry.cluster();
        // In front of what it leads to.
        self.tables.need_table(cluster)?;
        let (number, _) = self.geometry.place_of(cluster);
        let mut first = None;
        let mut given = 0_u64;
        while given < clusters {
            let next = cluster.saturating_add(given);
            let is_other = self.geometry.place_of(next).0 != number;
            if given > 0 && (is_other || self.tables.get(next)? != entry::NONE) {
                break;
            }
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
            fresh: self.file.kind() == FileKind::Fresh && self.sealing.is_none(),
        }
    }
}

impl Target for Qcow<'_> {
    fn size(&self) -> u64 {
        self.raw.size.get()
    }

    fn unit(&self) -> u64 {
        self.geometry.cluster()
    }

    fn allocate(&mut self, offset: u64, length: u64) -> Result<Placement> {
        let size = self.geometry.cluster();
        let cluster = self.geometry.cluster_of(offset);
        let within = offset.saturating_sub(self.geometry.start_of(offset));
        let (given, place) = match self.geometry.entry(self.tables.get(cluster)?) {
            Entry::At(place) => (1, place),
            Entry::None | Entry::Stream(..) => {
                self.give(cluster, within.saturating_add(length).div_ceil(size))?
            }
        };
        let room = given.saturating_mul(size).saturating_sub(within);
        Ok(self.placement(place.saturating_add(within), length.min(room)))
    }

    /// The format has no zeros but those that are written.
    fn zero(&mut self, offset: u64, length: u64) -> Result<()> {
        let size = self.geometry.cluster();
        let (mut at, end) = (offset, offset.saturating_add(length));
        while at < end {
            let cluster = self.geometry.cluster_of(at);
            let within = at.saturating_sub(self.geometry.start_of(at));
            let step = end.saturating_sub(at).min(size.saturating_sub(within));
            let place = match self.geometry.entry(self.tables.get(cluster)?) {
                Entry::At(place) => Some(place),
                Entry::None if self.name.is_empty() => None,
                Entry::None | Entry::Stream(..) => Some(self.give(cluster, 1)?.1),
            };
            if let Some(place) = place {
                let start = place.saturating_add(within);
                match &self.sealing {
                    Some(sealing) => sealing.write_zeros(&self.file, at, start, step)?,
                    None => self.file.zero(start, step, ZeroHow::MayUnmap)?,
                }
            }
            at = at.saturating_add(step);
        }
        Ok(())
    }

    fn sealing(&self) -> Option<Sealing> {
        self.sealing.clone()
    }

    fn encoding(&self) -> Option<Encoding> {
        self.compress.then_some(Encoding {
            codec: Codec::Deflate,
            unit: self.geometry.cluster(),
            plain_if_larger: true,
            window_bits: WINDOW_BITS,
            prefix: 0,
            align: 1,
        })
    }

    fn allocate_encoded(&mut self, offset: u64, stored: u64) -> Result<Placement> {
        let cluster = self.geometry.cluster_of(offset);
        self.tables.need_table(cluster)?;
        let place = self.tables.reserve(stored, 1)?;
        let value = self.geometry.stream(place, stored);
        let value = value.ok_or(Fault::new(fault::core::OVERFLOW).with([place]))?;
        self.tables.set(cluster, value, place.saturating_add(stored))?;
        Ok(self.placement(place, stored))
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

/// log2 of the window in which qemu-img looks for what a stream repeats.
const WINDOW_BITS: u8 = 12;
