//! Internal snapshots: made, applied, deleted.
//!
//! ```text
//!           Grow                                                 switch                     Release
//!  create   counts of the active tree +1, COPIED off;            snapshot table             old snapshot table
//!           a copy of its L1 table; a longer snapshot table
//!  apply    counts of the snapshot's tree +1;                    active L1 table, size      the tree that was active
//!           a copy of its L1 table
//!  delete   a shorter snapshot table                             snapshot table             the snapshot's tree, old table;
//!                                                                                           COPIED as counted
//! ```
//!
//! Counts and flags disagree for a while in `create` before the switch, in `delete` after it: there, the image is marked dirty. What
//! marks or unmarks it at the switch is the same write.

use alloc::vec::Vec;

use instar_disk::errno::{EFBIG, EOPNOTSUPP};
use instar_disk::fault::qcow2_write as faults;
use instar_disk::job::NewSnapshot;
use instar_disk::{Fault, File, Result, align_up, fault, from_usize, to_usize};
use zerocopy::IntoBytes;
use zerocopy::big_endian::U64;

use super::transaction::{Flags, Grow, Look, Switch};
use super::tree::Tree;
use crate::header::{Header, L1_ENTRY, TableRange};
use crate::layout::Layout;
use crate::num::{add, internal, shl, shr_up};
use crate::raw::{RawSnapshot, RawSnapshotExtra, limit};
use crate::snapshot::{Entry, Walk};

/// Makes a snapshot of the active state.
///
/// # Errors
/// A data file of its own, too many snapshots, damaged tables or counts, counts without room: all before the first write. The host's.
pub(super) fn create(file: File<'_>, header: Header, new: &NewSnapshot) -> Result<()> {
    if header.features.data_file() {
        // Snapshots share clusters by their counts, and those of a data file are not counted.
        return Err(Fault::new(fault::core::IO)
            .with([EOPNOTSUPP])
            .in_file(file.slot()));
    }
    let mut look = Look::open(file, header)?;
    let stored = Stored::read(file, &look.header)?;
    let name = new.name.get(..NAME_KEPT).unwrap_or(&new.name);
    let id = stored.next_id();
    let tree = Tree::of(&look, look.header.l1);
    let place = stored.end(None)?;
    let bytes = add(align_up(place, 8)?, entry_bytes(&id, name))?;
    if look.header.snapshots.entries >= limit::SNAPSHOTS || bytes > limit::SNAPSHOT_TABLE_BYTES {
        return Err(Fault::new(fault::core::IO).with([EFBIG]).in_file(file.slot()));
    }
    let (old, size) = (look.header.snapshots, look.header.size);
    let flagged = tree.judge(&mut look, true)?;
    look.judge_counted_table(old.offset, place)?;

    let mut grow = look.grow(flagged)?;
    let l1 = copy_of(&tree, &mut grow, tree.l1.entries)?;
    let table = grow.take_bytes(bytes)?;
    stored.write(&mut grow, table, None)?;
    let entry = compose(new, &id, name, l1, size)?;
    grow.write(add(table, align_up(place, 8)?)?, &entry)?;
    let snapshots = TableRange {
        offset: table,
        entries: add(old.entries, 1)?,
    };
    let mut release = grow.switch(&Switch {
        snapshots: Some(snapshots),
        ..Switch::default()
    })?;
    release.lower_table(old.offset, place)?;
    release.finish()
}

/// Deletes the first snapshot of that name.
///
/// # Errors
/// `NO_SNAPSHOT`, damaged tables or counts: before the first write. The host's.
pub(super) fn delete(file: File<'_>, header: Header, name: &[u8]) -> Result<()> {
    let mut look = Look::open(file, header)?;
    let stored = Stored::read(file, &look.header)?;
    let found = stored.find(|entry| entry.name == name);
    let (number, victim) = found.ok_or_else(|| Fault::new(faults::DELETE_MISSING).in_file(file.slot()))?;
    let l1 = checked_l1(victim, look.layout).map_err(|fault| fault.in_file(file.slot()))?;
    let tree = Tree::of(&look, l1);
    let active = Tree::of(&look, look.header.l1);
    tree.judge(&mut look, false)?;
    active.judge(&mut look, false)?;
    let (old, old_bytes) = (look.header.snapshots, stored.end(None)?);
    look.judge_counted_table(old.offset, old_bytes)?;
    look.judge_counted(tree.roots()?)?;
    let bytes = stored.end(Some(number))?;

    let mut grow = look.grow(false)?;
    let entries = old.entries.saturating_sub(1);
    let mut snapshots = TableRange { offset: 0, entries };
    if entries > 0 {
        snapshots.offset = grow.take_bytes(bytes)?;
        stored.write(&mut grow, snapshots.offset, Some(number))?;
    }
    let mut release = grow.switch(&Switch {
        snapshots: Some(snapshots),
        flags: Flags::Follow,
        ..Switch::default()
    })?;
    release.lower_table(old.offset, old_bytes)?;
    tree.give_up(&mut release)?;
    active.mark_copied(&mut release)?;
    release.finish()
}

/// Makes a snapshot the active state: the one of that ID, else the first one of that name.
///
/// # Errors
/// `NO_SNAPSHOT`, bitmaps, a size that the image cannot take, damaged tables or counts: before the first write. The host's.
pub(super) fn apply(file: File<'_>, header: Header, name: &[u8]) -> Result<()> {
    if header.extensions.bitmaps.is_some() {
        return Err(Fault::new(faults::APPLY_WITH_BITMAPS).in_file(file.slot()));
    }
    if header.features.data_file() {
        return Err(Fault::new(faults::APPLY_DATA_FILE).in_file(file.slot()));
    }
    let mut look = Look::open(file, header)?;
    let stored = Stored::read(file, &look.header)?;
    let found = stored
        .find(|entry| entry.id == name)
        .or_else(|| stored.find(|entry| entry.name == name));
    let (_, wanted) = found.ok_or_else(|| Fault::new(faults::APPLY_MISSING).in_file(file.slot()))?;
    let l1 = checked_l1(wanted, look.layout).map_err(|fault| fault.in_file(file.slot()))?;
    let size = wanted.disk_size.unwrap_or(look.header.size);
    let tree = Tree::of(&look, l1);
    let active = Tree::of(&look, look.header.l1);
    let flagged = tree.judge(&mut look, true)?;
    active.judge(&mut look, false)?;
    look.judge_counted(active.roots()?)?;
    // A table never gets shorter, as with qemu-img: room for the disk to grow again.
    let entries = active
        .l1
        .entries
        .max(l1.entries)
        .max(entries_for(look.layout, size)?);
    if shl(entries, 3)? > limit::L1_BYTES {
        return Err(Fault::new(fault::core::IO).with([EFBIG]).in_file(file.slot()));
    }

    let mut grow = look.grow(flagged)?;
    let l1 = copy_of(&tree, &mut grow, entries)?;
    let mut release = grow.switch(&Switch {
        l1: Some(l1),
        size: Some(size),
        ..Switch::default()
    })?;
    // The snapshot still has everything that the disk has now: no count comes down to one.
    active.give_up(&mut release)?;
    release.finish()
}

/// Puts other entries, `bytes` with the padding between them, in place of those of the snapshot table, which take `old`. Gives where the file
/// ends now.
///
/// # Errors
/// A table that is too large, before the first write; those of `next`; the host's.
pub(crate) fn replace(
    file: File<'_>,
    header: Header,
    old: u64,
    bytes: u64,
    next: &mut dyn FnMut() -> Result<Option<Vec<u8>>>,
) -> Result<u64> {
    if bytes > limit::SNAPSHOT_TABLE_BYTES {
        return Err(Fault::new(fault::core::IO).with([EFBIG]).in_file(file.slot()));
    }
    let table = header.snapshots;
    let mut look = Look::open(file, header)?;
    // A table that lies behind the end of the file is not counted: there is nothing to give up.
    let counted = look.judge_counted_table(table.offset, old).is_ok();
    let mut grow = look.grow(false)?;
    let offset = grow.take_bytes(bytes)?;
    let mut stream = Stream::new(offset);
    while let Some(entry) = next()? {
        stream.start(&mut grow)?.extend_from_slice(&entry);
    }
    stream.end(&mut grow)?;
    let snapshots = TableRange { offset, ..table };
    let mut release = grow.switch(&Switch {
        snapshots: Some(snapshots),
        ..Switch::default()
    })?;
    if counted {
        release.lower_table(table.offset, old)?;
    }
    let ledger = release.ledger();
    let end = if ledger.has_grown() {
        ledger.end()?
    } else {
        add(offset, bytes)?
    };
    release.finish()?;
    Ok(end)
}

/// A copy of the tree's L1 table with so many entries, which shares everything that the tree leads to.
fn copy_of(tree: &Tree<'_>, grow: &mut Grow<'_>, entries: u64) -> Result<TableRange> {
    let bytes = shl(entries, 3)?;
    let offset = if bytes == 0 { 0 } else { grow.take_bytes(bytes)? };
    tree.share(grow, &mut |grow, first, words| {
        grow.write(add(offset, shl(first, 3)?)?, words.as_bytes())
    })?;
    let mut at = tree.l1.entries;
    let zeros = [U64::ZERO; 512];
    while at < entries {
        let some = zeros
            .get(..to_usize(entries.saturating_sub(at))?)
            .unwrap_or(&zeros);
        grow.write(add(offset, shl(at, 3)?)?, some.as_bytes())?;
        at = add(at, from_usize(some.len()))?;
    }
    Ok(TableRange { offset, entries })
}

/// L1 entries that a disk of so many bytes needs.
fn entries_for(layout: Layout, size: u64) -> Result<u64> {
    if size > limit::FILE_END {
        return Err(Fault::new(fault::core::OVERFLOW).with([size]));
    }
    Ok(shr_up(size, layout.reach_bits()))
}

/// The L1 table of a snapshot, if it may be one.
pub(super) fn checked_l1(entry: &Entry, layout: Layout) -> Result<TableRange> {
    entry.l1().check(
        layout.cluster_bits(),
        L1_ENTRY,
        limit::L1_BYTES,
        "Snapshot L1 table",
    )
}

/// The snapshots of the image as they stand.
struct Stored<'h> {
    file: File<'h>,
    entries: Vec<Entry>,
}

impl<'h> Stored<'h> {
    fn read(file: File<'h>, header: &Header) -> Result<Self> {
        let mut entries = Vec::new();
        let mut walk = Walk::new(file, header);
        while let Some(entry) = walk.next()? {
            entries.push(entry);
        }
        Ok(Self { file, entries })
    }

    fn find(&self, is: impl Fn(&Entry) -> bool) -> Option<(usize, &Entry)> {
        self.entries.iter().enumerate().find(|(_, entry)| is(entry))
    }

    /// The number after the highest that an ID starts with, as text.
    fn next_id(&self) -> Vec<u8> {
        let highest = self.entries.iter().map(|entry| number_of(&entry.id)).max();
        let next = highest.unwrap_or(0).saturating_add(1);
        alloc::format!("{next}").into_bytes()
    }

    /// Bytes of the table, without the entry number `left_out`.
    fn end(&self, left_out: Option<usize>) -> Result<u64> {
        let mut end = 0_u64;
        for (_, entry) in self.kept(left_out) {
            end = add(align_up(end, 8)?, bytes_of(entry))?;
        }
        Ok(end)
    }

    /// Writes the entries, but for number `left_out`, as they stand, one after the other from `offset` on.
    fn write(&self, grow: &mut Grow<'_>, offset: u64, left_out: Option<usize>) -> Result<()> {
        let mut stream = Stream::new(offset);
        for (_, entry) in self.kept(left_out) {
            let piece = stream.start(grow)?;
            let from = piece.len();
            piece.resize(from.saturating_add(to_usize(bytes_of(entry))?), 0);
            let into = piece.get_mut(from..).ok_or_else(|| internal(line!()))?;
            self.file.read_exact(entry.place.start, into)?;
        }
        stream.end(grow)
    }

    fn kept(&self, left_out: Option<usize>) -> impl Iterator<Item = (usize, &Entry)> {
        let all = self.entries.iter().enumerate();
        all.filter(move |(number, _)| Some(*number) != left_out)
    }
}

/// Entries that are written one after the other, each at a multiple of 8.
struct Stream {
    start: u64,
    piece: Vec<u8>,
}

impl Stream {
    /// The first one goes to `start`.
    const fn new(start: u64) -> Self {
        Self {
            start,
            piece: Vec::new(),
        }
    }

    /// What the next entry is to be appended to.
    fn start(&mut self, grow: &mut Grow<'_>) -> Result<&mut Vec<u8>> {
        self.piece.resize(self.piece.len().next_multiple_of(8), 0);
        if self.piece.len() >= PIECE {
            grow.write(self.start, &self.piece)?;
            self.start = add(self.start, from_usize(self.piece.len()))?;
            self.piece.clear();
        }
        Ok(&mut self.piece)
    }

    /// Writes what is left.
    fn end(self, grow: &mut Grow<'_>) -> Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        grow.write(self.start, &self.piece)
    }
}

fn bytes_of(entry: &Entry) -> u64 {
    entry.place.end.saturating_sub(entry.place.start)
}

/// The decimal number that a text starts with; 0 if it starts with none.
fn number_of(text: &[u8]) -> u64 {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number: u64, byte| {
        let digit = u64::from(byte.saturating_sub(b'0'));
        number.saturating_mul(10).saturating_add(digit)
    })
}

fn entry_bytes(id: &[u8], name: &[u8]) -> u64 {
    let fixed = size_of::<RawSnapshot>().saturating_add(size_of::<RawSnapshotExtra>());
    from_usize(fixed.saturating_add(id.len()).saturating_add(name.len()))
}

/// The entry of a new snapshot of a disk of `size` bytes, without state of a machine.
fn compose(new: &NewSnapshot, id: &[u8], name: &[u8], l1: TableRange, size: u64) -> Result<Vec<u8>> {
    let narrow = |length: usize| u16::try_from(length).map_err(|_| internal(line!()));
    let extra = u32::try_from(size_of::<RawSnapshotExtra>()).map_err(|_| internal(line!()))?;
    let entries = u32::try_from(l1.entries).map_err(|_| internal(line!()))?;
    let raw = RawSnapshot {
        l1_table_offset: l1.offset.into(),
        l1_size: entries.into(),
        id_str_size: narrow(id.len())?.into(),
        name_size: narrow(name.len())?.into(),
        date_sec: new.seconds.into(),
        date_nsec: new.nanoseconds.into(),
        vm_clock_nsec: 0.into(),
        vm_state_size: 0.into(),
        extra_data_size: extra.into(),
    };
    let more = RawSnapshotExtra {
        disk_size: size.into(),
        ..RawSnapshotExtra::default()
    };
    Ok([raw.as_bytes(), more.as_bytes(), id, name].concat())
}

/// Bytes of a snapshot's name that are kept: qemu-img's.
const NAME_KEPT: usize = 255;
/// Bytes of a snapshot table that are written together. Ours.
const PIECE: usize = 1 << 20;
