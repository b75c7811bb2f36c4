//! The snapshot table.

use alloc::vec::Vec;
use core::ops::Range;

use instar_disk::fault::qcow2 as faults;
use instar_disk::job::SnapshotName;
use instar_disk::report::Snapshot;
use instar_disk::{Fault, File, ImageText, Result, align_up, fault, from_usize};

use crate::header::{Header, TableRange};
use crate::pieces::Pieces;
use crate::raw::{RawSnapshot, RawSnapshotExtra, limit};

/// All snapshots, as `info` shows them.
pub(crate) fn list(file: File<'_>, header: &Header) -> Result<Vec<Snapshot>> {
    let mut all = Vec::new();
    let mut listed = 0_usize;
    let mut walk = Walk::new(file, header);
    while let Some(entry) = walk.next()? {
        let id = shown(&entry.id, ID_SHOWN);
        let name = shown(&entry.name, NAME_SHOWN);
        let bytes = id.len().saturating_add(name.len());
        listed = listed.saturating_add(bytes).saturating_add(size_of::<Snapshot>());
        if listed > LISTED {
            let numbers = [header.snapshots.entries, from_usize(all.len())];
            let fault = Fault::new(fault::core::TABLE_LIMIT).with(numbers);
            return Err(fault.in_file(file.slot()));
        }
        all.push(Snapshot {
            id: ImageText::new(id),
            name: ImageText::new(name),
            vm_state_size: entry.vm_state_size,
            date_sec: entry.raw.date_sec.get(),
            date_nsec: entry.raw.date_nsec.get(),
            vm_clock_nsec: entry.raw.vm_clock_nsec.get(),
            icount: entry.icount,
            disk_size: entry.disk_size,
        });
    }
    Ok(all)
}

/// The L1 table, not yet checked, of the snapshot called `name`.
pub(crate) fn find(file: File<'_>, header: &Header, name: &SnapshotName) -> Result<TableRange> {
    let mut by_name = None;
    let mut walk = Walk::new(file, header);
    while let Some(entry) = walk.next()? {
        let matches = match name {
            SnapshotName::Either(word) => {
                // Any snapshot of that ID goes before all of that name.
                if by_name.is_none() && entry.name == *word {
                    by_name = Some(entry.l1());
                }
                entry.id == *word
            }
            SnapshotName::Exact { id: None, name: None } => false,
            SnapshotName::Exact { id, name } => {
                id.as_ref().is_none_or(|id| *id == entry.id)
                    && name.as_ref().is_none_or(|name| *name == entry.name)
            }
        };
        if matches {
            return Ok(entry.l1());
        }
    }
    by_name.ok_or_else(|| Fault::new(fault::core::NO_SNAPSHOT).in_file(file.slot()))
}

pub(crate) struct Entry {
    pub(crate) raw: RawSnapshot,
    /// Where it stands in the file, without the padding behind it.
    pub(crate) place: Range<u64>,
    pub(crate) id: Vec<u8>,
    pub(crate) name: Vec<u8>,
    pub(crate) vm_state_size: u64,
    pub(crate) disk_size: Option<u64>,
    icount: Option<u64>,
}

impl Entry {
    pub(crate) fn l1(&self) -> TableRange {
        TableRange {
            offset: self.raw.l1_table_offset.get(),
            entries: u64::from(self.raw.l1_size.get()),
        }
    }
}

/// The rest of the table: at most 65536 entries in 64 MiB, all of them in the file.
pub(crate) struct Walk<'h> {
    pieces: Pieces<'h>,
    table: TableRange,
    number: u64,
    offset: u64,
}

impl<'h> Walk<'h> {
    pub(crate) const fn new(file: File<'h>, header: &Header) -> Self {
        Self {
            pieces: Pieces::new(file),
            table: header.snapshots,
            number: 0,
            offset: header.snapshots.offset,
        }
    }

    pub(crate) fn next(&mut self) -> Result<Option<Entry>> {
        if self.number >= self.table.entries {
            return Ok(None);
        }
        let entry = self.read();
        let slot = self.pieces.file().slot();
        entry.map(Some).map_err(|fault| fault.in_file(slot))
    }

    fn read(&mut self) -> Result<Entry> {
        let start = align_up(self.offset, 8)?;
        let size = self.pieces.file().size();
        if start >= size {
            return Err(Fault::new(faults::SNAPSHOT_TABLE_CUT).with([self.number, size]));
        }
        let raw: RawSnapshot = self.pieces.value(start)?;
        let extra_size = raw.extra_data_size.get();
        if extra_size > limit::SNAPSHOT_EXTRA_BYTES {
            return Err(Fault::new(faults::SNAPSHOT_EXTRA).with([self.number]));
        }
        let extra_at = start.saturating_add(from_usize(size_of::<RawSnapshot>()));
        let extra: RawSnapshotExtra = self.pieces.value(extra_at)?;
        let id_at = extra_at.saturating_add(u64::from(extra_size));
        let id_size = u64::from(raw.id_str_size.get());
        let name_at = id_at.saturating_add(id_size);
        let name_size = u64::from(raw.name_size.get());
        self.offset = name_at.saturating_add(name_size);
        let bytes = self.offset.saturating_sub(self.table.offset);
        if bytes > limit::SNAPSHOT_TABLE_BYTES {
            let numbers = [bytes, limit::SNAPSHOT_TABLE_BYTES];
            return Err(Fault::new(faults::SNAPSHOT_TABLE).with(numbers));
        }
        self.number = self.number.saturating_add(1);
        let has = |end: u32| extra_size >= end;
        Ok(Entry {
            place: start..self.offset,
            id: self.pieces.string(id_at, id_size)?,
            name: self.pieces.string(name_at, name_size)?,
            vm_state_size: if has(8) {
                extra.vm_state_size_large.get()
            } else {
                u64::from(raw.vm_state_size.get())
            },
            disk_size: has(16).then(|| extra.disk_size.get()),
            // All ones: not recorded.
            icount: has(24)
                .then(|| extra.icount.get())
                .filter(|count| *count != u64::MAX),
            raw,
        })
    }
}

fn shown(text: &[u8], most: usize) -> &[u8] {
    text.get(..most).unwrap_or(text)
}

/// Bytes of an ID that are shown: qemu-img's.
const ID_SHOWN: usize = 127;

/// Bytes of a name that are shown: qemu-img's.
const NAME_SHOWN: usize = 255;

/// Bytes of snapshots that are listed. Ours: what one report holds, with room for the rest of it.
const LISTED: usize = instar_disk::limits::REPORT_BYTES / 4 * 3;
