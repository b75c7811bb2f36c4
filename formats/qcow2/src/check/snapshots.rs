//! The snapshot table, as `check` looks at it: what other verbs refuse is a finding here.

use alloc::vec::Vec;

use instar_disk::{Fault, Findings, Result, align_up, fault, from_usize};

use super::frame::{Frame, errno, failed};
use crate::header::{L1_ENTRY, TableRange};
use crate::pieces::Pieces;
use crate::raw::{RawSnapshot, limit};

/// The snapshots of an image.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    /// Their L1 tables, not judged.
    pub(super) all: Vec<Snapshot>,
    /// Bytes of the table.
    pub(super) bytes: u64,
    /// Entries that lack what version 3 demands.
    pub(super) incomplete: u64,
}

/// One snapshot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Snapshot {
    /// Where its entry stands.
    place: u64,
    /// Its L1 table.
    pub(super) l1: TableRange,
}

impl Snapshots {
    /// Reads the table and says what is wrong with it.
    ///
    /// # Errors
    /// What makes the table unreadable, after it was said.
    pub(super) fn read(frame: &Frame<'_>, findings: &mut Findings<'_>) -> Result<Self> {
        let table = frame.header.snapshots;
        let mut found = Self::default();
        if table.entries > limit::SNAPSHOTS {
            let more = table.entries.saturating_sub(limit::SNAPSHOTS);
            findings.say(Fault::new(fault::check::SNAPSHOTS_MANY).with([more]));
            return Err(failed(errno::TOO_LARGE));
        }
        let bytes = table.entries.saturating_mul(from_usize(size_of::<RawSnapshot>()));
        let end = table.offset.saturating_add(bytes);
        if frame.within(table.offset) != 0 || end >= limit::FILE_END {
            findings.say(Fault::new(fault::check::SNAPSHOTS_OFFSET).with([table.offset]));
            return Err(failed(errno::INVALID));
        }
        let mut pieces = Pieces::new(frame.file);
        let mut incomplete = Vec::new();
        let mut offset = table.offset;
        for number in 0..table.entries {
            let place = align_up(offset, 8)?;
            if place.saturating_add(from_usize(size_of::<RawSnapshot>())) > READABLE {
                findings.say(Fault::new(fault::check::SNAPSHOTS_UNREADABLE));
                return Err(failed(errno::IO));
            }
            let raw: RawSnapshot = pieces.value(place)?;
            let extra = raw.extra_data_size.get();
            if extra > limit::SNAPSHOT_EXTRA_BYTES {
                findings.say(Fault::new(fault::check::SNAPSHOT_EXTRA).with([number]));
                return Err(failed(errno::TOO_LARGE));
            }
            offset = [raw.id_str_size.get(), raw.name_size.get()]
                .into_iter()
                .fold(strings(place, &raw), |sum, size| {
                    sum.saturating_add(u64::from(size))
                });
            found.bytes = offset.saturating_sub(table.offset);
            if found.bytes > limit::SNAPSHOT_TABLE_BYTES {
                let more = table.entries.saturating_sub(number);
                findings.say(Fault::new(fault::check::SNAPSHOT_TABLE_BIG).with([more]));
                return Err(failed(errno::TOO_LARGE));
            }
            if frame.header.version >= 3 && extra < EXTRA_V3 {
                incomplete.push(number);
            }
            found.all.push(Snapshot {
                place,
                l1: TableRange {
                    offset: raw.l1_table_offset.get(),
                    entries: u64::from(raw.l1_size.get()),
                },
            });
        }
        found.incomplete = from_usize(incomplete.len());
        for number in incomplete {
            findings.say(Fault::new(fault::check::SNAPSHOT_INCOMPLETE).with([number]));
        }
        Ok(found)
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

    /// Its ID and name, as findings show them.
    ///
    /// # Errors
    /// The host's.
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

/// Where the strings of the entry at `place` start.
fn strings(place: u64, raw: &RawSnapshot) -> u64 {
    place
        .saturating_add(from_usize(size_of::<RawSnapshot>()))
        .saturating_add(u64::from(raw.extra_data_size.get()))
}

/// Bytes of extra data that a version 3 image has with each snapshot: specification.
const EXTRA_V3: u32 = 16;
/// Bytes of an ID or name that a finding shows. Ours.
const SHOWN: u64 = 1023;
/// Where qemu-img's files end: the largest offset, rounded down to a gigabyte.
const READABLE: u64 = limit::FILE_END - (1 << 30);
