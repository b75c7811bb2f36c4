//! The snapshot table, as `check` looks at it: what other verbs refuse is a finding here.

use alloc::vec::Vec;

use instar_disk::{Fault, Findings, Result, align_up, fault, from_usize, to_usize};
use zerocopy::IntoBytes;

use super::frame::{Frame, errno, failed};
use crate::header::{L1_ENTRY, TableRange};
use crate::num::internal;
use crate::pieces::Pieces;
use crate::raw::{RawSnapshot, RawSnapshotExtra, limit};

/// The snapshots of an image.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    /// Their L1 tables, not judged.
    pub(super) all: Vec<Snapshot>,
    /// Bytes of the table.
    pub(super) bytes: u64,
    /// Entries that lack what version 3 demands.
    pub(super) incomplete: u64,
    /// Entries with more extra data than is kept.
    pub(super) shortened: u64,
    /// Snapshots behind the last that is kept.
    pub(super) discarded: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Snapshot {
    /// Where its entry stands.
    place: u64,
    /// Its L1 table.
    pub(super) l1: TableRange,
}

impl Snapshots {
    /// Reads the table and says what is wrong with it. Where everything is repaired, what is too much is left out.
    ///
    /// # Errors
    /// What makes the table unreadable, after it was said.
    pub(super) fn read(frame: &Frame<'_>, findings: &mut Findings<'_>) -> Result<Self> {
        let mut table = frame.header.snapshots;
        let mut found = Self::default();
        if table.entries > limit::SNAPSHOTS {
            let more = table.entries.saturating_sub(limit::SNAPSHOTS);
            if !frame.repairs_all {
                findings.say(Fault::new(fault::check::SNAPSHOTS_MANY).with([more]));
                return Err(failed(errno::TOO_LARGE));
            }
            findings.say(Fault::new(fault::check::DISCARDING_SNAPSHOTS).with([more]));
            found.discarded = more;
            table.entries = limit::SNAPSHOTS;
        }
        let bytes = table.entries.saturating_mul(from_usize(size_of::<RawSnapshot>()));
        let end = table.offset.saturating_add(bytes);
        if frame.within(table.offset) != 0 || end >= limit::FILE_END {
            findings.say(Fault::new(fault::check::SNAPSHOTS_OFFSET).with([table.offset]));
            return Err(failed(errno::INVALID));
        }
        found.read_entries(frame, table, findings)?;
        Ok(found)
    }

    fn read_entries(
        &mut self,
        frame: &Frame<'_>,
        table: TableRange,
        findings: &mut Findings<'_>,
    ) -> Result<()> {
        let mut pieces = Pieces::new(frame.file);
        let mut incomplete = Vec::new();
        let mut offset = table.offset;
        // Of the table as it would be written.
        let mut length = 0;
        for number in 0..table.entries {
            let place = align_up(offset, 8)?;
            if place.saturating_add(from_usize(size_of::<RawSnapshot>())) > READABLE {
                findings.say(Fault::new(fault::check::SNAPSHOTS_UNREADABLE));
                return Err(failed(errno::IO));
            }
            let raw: RawSnapshot = pieces.value(place)?;
            let extra = raw.extra_data_size.get();
            if extra > limit::SNAPSHOT_EXTRA_BYTES {
                if !frame.repairs_all {
                    findings.say(Fault::new(fault::check::SNAPSHOT_EXTRA).with([number]));
                    return Err(failed(errno::TOO_LARGE));
                }
                let numbers = [number, u64::from(extra)];
                findings.say(Fault::new(fault::check::DISCARDING_SNAPSHOT_EXTRA).with(numbers));
                self.shortened = self.shortened.saturating_add(1);
            }
            offset = strings(place, &raw).saturating_add(names(&raw));
            length = align_up(length, 8)?
                .saturating_add(kept(&raw))
                .saturating_add(names(&raw));
            let long = offset.saturating_sub(table.offset) > TABLE_READ;
            if long || length > limit::SNAPSHOT_TABLE_BYTES {
                let more = table.entries.saturating_sub(number);
                if !frame.repairs_all {
                    findings.say(Fault::new(fault::check::SNAPSHOT_TABLE_BIG).with([more]));
                    return Err(failed(errno::TOO_LARGE));
                }
                findings.say(Fault::new(fault::check::DISCARDING_SNAPSHOTS_BIG).with([more]));
                self.discarded = self.discarded.saturating_add(more);
                break;
            }
            self.bytes = offset.saturating_sub(table.offset);
            if frame.header.version >= 3 && extra < EXTRA_V3 {
                incomplete.push(number);
            }
            self.all.push(Snapshot {
                place,
                l1: TableRange {
                    offset: raw.l1_table_offset.get(),
                    entries: u64::from(raw.l1_size.get()),
                },
            });
        }
        self.incomplete = from_usize(incomplete.len());
        let code = if frame.repairs_all {
            fault::check::REPAIRING_SNAPSHOT_INCOMPLETE
        } else {
            fault::check::SNAPSHOT_INCOMPLETE
        };
        for number in incomplete {
            findings.say(Fault::new(code).with([number]));
        }
        Ok(())
    }

    /// Entries that are to be written anew.
    pub(super) const fn unfinished(&self) -> u64 {
        self.incomplete.saturating_add(self.shortened)
    }
}

impl Snapshot {
    /// What is wrong with its L1 table, apart from what stands in it.
    pub(super) fn broken(&self, frame: &Frame<'_>) -> Option<Fault> {
        if frame.within(self.l1.offset) != 0 {
            let fault = Fault::new(fault::check::SNAPSHOT_L1_UNALIGNED);
            return Some(fault.with([self.l1.offset]));
        }
        if self.l1.entries > limit::L1_BYTES / L1_ENTRY {
            return Some(Fault::new(fault::check::SNAPSHOT_L1_LARGE).with([self.l1.entries]));
        }
        None
    }

    /// Bytes of its entry when it is written anew.
    pub(super) fn whole_bytes(&self, pieces: &mut Pieces<'_>) -> Result<u64> {
        let raw: RawSnapshot = pieces.value(self.place)?;
        let least = from_usize(size_of::<RawSnapshot>().saturating_add(size_of::<RawSnapshotExtra>()));
        Ok(kept(&raw).max(least).saturating_add(names(&raw)))
    }

    /// Its entry with all that version 3 demands, and no more extra data than is kept. `size` is that of the disk.
    pub(super) fn whole(&self, pieces: &mut Pieces<'_>, size: u64) -> Result<Vec<u8>> {
        let mut raw: RawSnapshot = pieces.value(self.place)?;
        let extra_at = self.place.saturating_add(from_usize(size_of::<RawSnapshot>()));
        let stored = raw.extra_data_size.get().min(limit::SNAPSHOT_EXTRA_BYTES);
        let mut extra = RawSnapshotExtra {
            vm_state_size_large: u64::from(raw.vm_state_size.get()).into(),
            disk_size: size.into(),
            icount: u64::MAX.into(),
        };
        let known = extra.as_mut_bytes();
        // A field that is there by half is not there.
        let there = to_usize(u64::from(stored))?.min(known.len());
        let whole = there.saturating_sub(there % FIELD);
        if let Some(known) = known.get_mut(..whole) {
            pieces.read(extra_at, known)?;
        }
        let known = from_usize(size_of::<RawSnapshotExtra>());
        let unknown = u64::from(stored).saturating_sub(known);
        let mut rest = alloc::vec![0; to_usize(unknown)?];
        pieces.read(extra_at.saturating_add(known), &mut rest)?;
        let mut id = alloc::vec![0; usize::from(raw.id_str_size.get())];
        let mut name = alloc::vec![0; usize::from(raw.name_size.get())];
        let id_at = strings(self.place, &raw);
        pieces.read(id_at, &mut id)?;
        pieces.read(id_at.saturating_add(from_usize(id.len())), &mut name)?;
        let bytes = u32::try_from(known.saturating_add(unknown)).map_err(|_| internal(line!()))?;
        raw.extra_data_size.set(bytes);
        Ok([raw.as_bytes(), extra.as_bytes(), &rest, &id, &name].concat())
    }

    /// Its ID and name, as findings show them.
    pub(super) fn title(&self, pieces: &mut Pieces<'_>) -> Result<Vec<u8>> {
        let raw: RawSnapshot = pieces.value(self.place)?;
        let id_at = strings(self.place, &raw);
        let id_size = u64::from(raw.id_str_size.get());
        let mut title = pieces.string(id_at, id_size.min(SHOWN))?;
        let name_size = u64::from(raw.name_size.get());
        let name = pieces.string(id_at.saturating_add(id_size), name_size.min(SHOWN))?;
        title.extend_from_slice(b" (");
        title.extend_from_slice(&name);
        title.push(b')');
        Ok(title)
    }
}

/// Bytes of an entry's ID and name.
fn names(raw: &RawSnapshot) -> u64 {
    u64::from(raw.id_str_size.get()).saturating_add(u64::from(raw.name_size.get()))
}

/// Bytes of an entry without its names, and without extra data that is too much.
fn kept(raw: &RawSnapshot) -> u64 {
    let extra = raw.extra_data_size.get().min(limit::SNAPSHOT_EXTRA_BYTES);
    from_usize(size_of::<RawSnapshot>()).saturating_add(u64::from(extra))
}

/// Where the strings of the entry at `place` start.
fn strings(place: u64, raw: &RawSnapshot) -> u64 {
    place
        .saturating_add(from_usize(size_of::<RawSnapshot>()))
        .saturating_add(u64::from(raw.extra_data_size.get()))
}

/// Bytes of extra data that a version 3 image has with each snapshot: specification.
const EXTRA_V3: u32 = 16;
/// Bytes of a field of it: specification.
const FIELD: usize = 8;
/// Bytes of a table that are read: qemu's.
const TABLE_READ: u64 = 0x7fff_ffff;
/// Bytes of an ID or name that a finding shows. Ours.
const SHOWN: u64 = 1023;
/// Where qemu-img's files end: the largest offset, rounded down to a gigabyte.
const READABLE: u64 = limit::FILE_END - (1 << 30);
