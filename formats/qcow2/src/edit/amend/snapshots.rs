//! Snapshots of an image that becomes another version: what their table must say, and what it must not.

use alloc::vec::Vec;

use instar_disk::fault::amend as faults;
use instar_disk::{Fault, File, Result, align_up, from_usize, to_usize};
use zerocopy::IntoBytes;

use crate::edit::transaction::{Grow, Look};
use crate::header::{Header, L1_ENTRY, TableRange};
use crate::num::{add, internal, length, sub};
use crate::raw::{RawSnapshot, RawSnapshotExtra, limit};
use crate::snapshot::{Entry, Walk};

/// Every L1 table of the image, that of the active state first.
///
/// # Errors
/// What is wrong with the snapshot table; the host's.
pub(super) fn l1_tables(file: File<'_>, header: &Header) -> Result<Vec<TableRange>> {
    let mut all = alloc::vec![header.l1];
    let mut walk = Walk::new(file, header);
    while let Some(entry) = walk.next()? {
        let l1 = entry.l1();
        let checked = l1.check(
            header.cluster_bits,
            L1_ENTRY,
            limit::L1_BYTES,
            "Snapshot L1 table",
        );
        all.push(checked.map_err(|fault| fault.in_file(file.slot()))?);
    }
    Ok(all)
}

/// Whether version 2 can say of each snapshot what there is to say.
///
/// # Errors
/// `DOWN_SNAPSHOTS`; what is wrong with the snapshot table; the host's.
pub(super) fn judge_downgrade(file: File<'_>, header: &Header) -> Result<()> {
    let mut walk = Walk::new(file, header);
    while let Some(entry) = walk.next()? {
        let large = entry.vm_state_size > u64::from(u32::MAX);
        let other = entry.disk_size.is_some_and(|size| size != header.virtual_size());
        if large || other {
            return Err(Fault::new(faults::DOWN_SNAPSHOTS));
        }
    }
    Ok(())
}

/// A snapshot table for version 3, whose entries say how large the disk was.
pub(super) struct Upgrade<'h> {
    file: File<'h>,
    entries: Vec<Entry>,
    /// Of the disk, in bytes.
    size: u64,
    /// Bytes of the table that it replaces.
    pub(super) old_bytes: u64,
}

impl<'h> Upgrade<'h> {
    /// What the image needs to become `version`; none if its table will do.
    ///
    /// # Errors
    /// What is wrong with the snapshot table, or with the counts of its clusters; the host's.
    pub(super) fn of(look: &mut Look<'h>, version: u32) -> Result<Option<Self>> {
        if version <= look.header.version {
            return Ok(None);
        }
        let (file, offset) = (look.file, look.header.snapshots.offset);
        let mut entries = Vec::new();
        let mut walk = Walk::new(file, &look.header);
        while let Some(entry) = walk.next()? {
            entries.push(entry);
        }
        if !entries.iter().any(is_short) {
            return Ok(None);
        }
        let end = entries.last().map_or(offset, |last| last.place.end);
        let old_bytes = sub(end, offset)?;
        look.judge_counted_table(offset, old_bytes)?;
        Ok(Some(Self {
            file,
            entries,
            size: look.header.virtual_size(),
            old_bytes,
        }))
    }

    /// Writes it; gives where.
    pub(super) fn write(&self, grow: &mut Grow<'_>) -> Result<TableRange> {
        let mut bytes = 0;
        for entry in &self.entries {
            bytes = add(align_up(bytes, 8)?, self.bytes_of(entry)?)?;
        }
        let offset = grow.take_bytes(bytes)?;
        let (mut at, mut piece) = (offset, Vec::new());
        for entry in &self.entries {
            piece.resize(piece.len().next_multiple_of(8), 0);
            if piece.len() >= PIECE {
                grow.write(at, &piece)?;
                at = add(at, length(&piece))?;
                piece.clear();
            }
            self.push(entry, &mut piece)?;
        }
        grow.write(at, &piece)?;
        Ok(TableRange {
            offset,
            entries: from_usize(self.entries.len()),
        })
    }

    fn bytes_of(&self, entry: &Entry) -> Result<u64> {
        let old = sub(entry.place.end, entry.place.start)?;
        if !is_short(entry) {
            return Ok(old);
        }
        let extra = u64::from(entry.raw.extra_data_size.get());
        add(sub(old, extra)?, from_usize(size_of::<RawSnapshotExtra>()))
    }

    /// Adds an entry to `piece`, as it stands if that says enough.
    fn push(&self, entry: &Entry, piece: &mut Vec<u8>) -> Result<()> {
        let mut from = entry.place.start;
        if is_short(entry) {
            let extra = RawSnapshotExtra {
                vm_state_size_large: entry.vm_state_size.into(),
                disk_size: entry.disk_size.unwrap_or(self.size).into(),
                // Not recorded.
                icount: u64::MAX.into(),
            };
            let bytes = u32::try_from(size_of::<RawSnapshotExtra>()).map_err(|_| internal(line!()))?;
            let raw = RawSnapshot {
                extra_data_size: bytes.into(),
                ..entry.raw
            };
            piece.extend_from_slice(raw.as_bytes());
            piece.extend_from_slice(extra.as_bytes());
            let fixed = from_usize(size_of::<RawSnapshot>());
            from = add(add(from, fixed)?, u64::from(entry.raw.extra_data_size.get()))?;
        }
        let start = piece.len();
        let rest = to_usize(sub(entry.place.end, from)?)?;
        piece.resize(start.saturating_add(rest), 0);
        let into = piece.get_mut(start..).ok_or_else(|| internal(line!()))?;
        self.file.read_exact(from, into)
    }
}

/// Whether an entry does not say how large the disk was.
fn is_short(entry: &Entry) -> bool {
    entry.disk_size.is_none()
}

/// Bytes of a snapshot table that are written together. Ours.
const PIECE: usize = 1 << 20;
