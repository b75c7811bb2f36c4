//! Reading.

use alloc::boxed::Box;
use alloc::vec::Vec;

use instar_disk::fault::qcow2 as faults;
use instar_disk::job::SnapshotName;
use instar_disk::report::{self, Backing};
use instar_disk::{
    Bitmaps, Extents, Fault, File, FileFacts, Image, ImageText, Key, Kind, Mapping, Opened, Result, Role,
    Slot, Status, Work,
};

use super::entries::Reading;
use super::info;
use super::preallocated;
use super::table::{Entries, Tables};
use crate::bitmaps::directory;
use crate::header::{Header, L1_ENTRY};
use crate::luks;
use crate::raw::{crypt, limit};
use crate::snapshot;

/// How an image is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// Only to be described: a data file that it names is not opened, an encrypted image is welcome, and nothing can be mapped
    /// that would need either.
    pub info_only: bool,
}

/// Opens a qcow2 image without a key. Its backing file is not opened, only named.
///
/// # Errors
/// What is wrong with the header; that it is encrypted; the gate's refusal of its data file; the host's error.
pub fn open<'h>(file: File<'h>, options: OpenOptions) -> Result<Opened<'h>> {
    open_with(file, options, None)
}

/// The same, with the key of an encrypted image; others need none.
///
/// # Errors
/// As [`open`].
pub fn open_with<'h>(file: File<'h>, options: OpenOptions, key: Option<Key>) -> Result<Opened<'h>> {
    let header = Header::parse(file)?;
    if header.encryption == crypt::LUKS {
        luks::header(file, &header)?;
    }
    let mut data = None;
    let mut refusal = None;
    let key = key.filter(|_| header.encryption != crypt::NONE);
    if header.encryption != crypt::NONE && key.is_none() {
        refusal = Some(Fault::new(faults::NO_KEY).in_file(file.slot()));
    } else if options.info_only && header.features.data_file() {
        refusal = Some(Fault::new(faults::DATA_FILE_MISSING).in_file(file.slot()));
    }
    if !options.info_only {
        if let Some(fault) = refusal {
            return Err(fault);
        }
        data = open_data_file(file, &header)?;
    }
    let slot = data.unwrap_or(file).slot();
    Ok(Box::new(Qcow2 {
        reading: Reading::new(&header, file, slot),
        tables: Tables::new(&header, file),
        size: header.virtual_size(),
        preallocated: None,
        bitmaps: Vec::new(),
        holes: Extents::new(data.unwrap_or(file)),
        file,
        data,
        key,
        header,
        refusal,
    }))
}

pub(crate) fn open_data_file<'h>(file: File<'h>, header: &Header) -> Result<Option<File<'h>>> {
    if !header.features.data_file() {
        if header.features.data_file_raw() {
            return Err(Fault::new(faults::DATA_FILE_RAW).in_file(file.slot()));
        }
        return Ok(None);
    }
    let Some(name) = &header.extensions.data_file else {
        return Err(Fault::new(faults::DATA_FILE_MISSING).in_file(file.slot()));
    };
    let facts = file.host().open(file.slot(), Role::DataFile, name.as_bytes())?;
    Ok(Some(File::new(file.host(), facts)))
}

struct Qcow2<'h> {
    file: File<'h>,
    data: Option<File<'h>>,
    key: Option<Key>,
    header: Header,
    reading: Reading,
    tables: Tables<'h>,
    size: u64,
    /// Whether the tables were preallocated, once that was asked, and the holes of the file that has the data.
    preallocated: Option<bool>,
    holes: Extents<'h>,
    /// The bitmaps, once they were listed.
    bitmaps: Vec<directory::Entry>,
    /// Why nothing can be mapped.
    refusal: Option<Fault>,
}

impl Image for Qcow2<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn map(&mut self, offset: u64) -> Result<Mapping> {
        if let Some(fault) = &self.refusal {
            return Err(fault.clone());
        }
        let bits = self.header.cluster_bits;
        let left = self.size.saturating_sub(offset);
        let mut mapping = match self.tables.look(offset >> bits)? {
            Entries::Present(entries) => self.reading.run(entries, offset)?,
            Entries::Absent(clusters) => Mapping {
                length: clusters
                    .saturating_mul(1 << bits)
                    .saturating_sub(offset & (1_u64 << bits).saturating_sub(1)),
                kind: Kind::Unallocated,
            },
        };
        mapping.length = mapping.length.max(1).min(left);
        Ok(mapping)
    }

    /// Space for subclusters that say nothing has a place, and data in tables that were made in advance is looked for in the
    /// file below.
    fn status(&mut self, offset: u64) -> Result<Status> {
        let mapping = self.map(offset)?;
        let mut status = Status::of(mapping);
        match mapping.kind {
            Kind::Data { .. } if self.is_preallocated()? => {
                let size = self.data.unwrap_or(self.file).size();
                status.look_below(&mut self.holes, size)
            }
            Kind::Unallocated if self.header.features.extended_l2() => {
                if let Entries::Present(entries) = self.tables.look(offset >> self.header.cluster_bits)?
                    && let Some((place, rest)) = self.reading.reserved(entries, offset)
                {
                    status.place = place;
                    status.length = status.length.min(rest);
                }
                Ok(status)
            }
            _ => Ok(status),
        }
    }

    /// The reference tool looks at one table, or at a piece of a large one, at a time.
    fn status_unit(&self, _: u64) -> u64 {
        let entries = self
            .header
            .cluster_size()
            .checked_div(self.header.l2_entry_size())
            .unwrap_or(1);
        entries << self.header.cluster_bits
    }

    fn cluster_size(&self) -> Option<u64> {
        Some(self.header.cluster_size())
    }

    fn work(&self) -> Work {
        self.tables.work()
    }

    fn declared_tables(&self) -> Vec<(u64, u64)> {
        let tables = [(self.header.l1, L1_ENTRY), (self.header.refcount_table, 8)];
        let ranges = tables.iter().map(|(table, entry)| {
            let bytes = table.entries.saturating_mul(*entry);
            (table.offset, bytes)
        });
        // Of snapshots only their number is declared; each has a fixed part of 40 bytes.
        let snapshots = self.header.snapshots;
        let least = snapshots.entries.saturating_mul(SNAPSHOT_LEAST);
        ranges.chain([(snapshots.offset, least)]).collect()
    }

    fn others(&self) -> Vec<(Slot, ImageText)> {
        let name = self.header.extensions.data_file.clone();
        let data = self.data.zip(name).map(|(data, name)| (data.slot(), name));
        data.into_iter().collect()
    }

    fn files(&self) -> Vec<FileFacts> {
        let data = self.data.filter(|data| data.slot() != self.file.slot());
        [Some(self.file), data]
            .into_iter()
            .flatten()
            .map(|file| file.facts())
            .collect()
    }

    fn backing(&self) -> Option<Backing> {
        self.header.backing()
    }

    fn describe(&mut self) -> Result<report::Info> {
        let mut info = info::describe(self.file, &self.header)?;
        info.backing = self.backing();
        Ok(info)
    }

    fn key(&self) -> Option<(Slot, Key)> {
        Some((self.data.unwrap_or(self.file).slot(), self.key.clone()?))
    }

    fn bitmaps(&mut self) -> Option<&mut dyn Bitmaps> {
        (self.header.version >= 3).then_some(self)
    }

    fn snapshots(&mut self) -> Result<Vec<report::Snapshot>> {
        snapshot::list(self.file, &self.header)
    }

    /// The size stays that of the active state, as in qemu-img: what the snapshot does not reach is unallocated.
    fn select_snapshot(&mut self, name: &SnapshotName) -> Result<()> {
        let found = snapshot::find(self.file, &self.header, name)?;
        let l1 = found
            .check(
                self.header.cluster_bits,
                L1_ENTRY,
                limit::L1_BYTES,
                "Snapshot L1 table",
            )
            .map_err(|fault| fault.in_file(self.file.slot()))?;
        self.tables.switch(l1);
        Ok(())
    }
}

/// Bytes that a snapshot has at least in its table.
const SNAPSHOT_LEAST: u64 = 40;

impl Bitmaps for Qcow2<'_> {
    fn list(&mut self) -> Result<Vec<report::Bitmap>> {
        let entries = directory::entries(self.file, &self.header)?;
        self.bitmaps = entries;
        Ok(self.bitmaps.iter().map(|entry| entry.shown.clone()).collect())
    }

    fn read(&mut self, index: usize, offset: u64, into: &mut [u8]) -> Result<()> {
        let entry = self
            .bitmaps
            .get(index)
            .ok_or_else(|| crate::num::internal(line!()))?;
        entry.bits(self.file, &self.header, offset, into)
    }
}

impl Qcow2<'_> {
    fn is_preallocated(&mut self) -> Result<bool> {
        if let Some(known) = self.preallocated {
            return Ok(known);
        }
        let found = preallocated::detect(self.file, &self.header)?;
        self.preallocated = Some(found);
        Ok(found)
    }
}
