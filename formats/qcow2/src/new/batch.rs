//! L2 tables of a new image: filled in ascending order, written once, many at a time.
//!
//! Complete tables wait in a bounded buffer. When it is full they go to the file in one piece, so that data stays contiguous
//! in between: 1 MiB of tables maps 8 GiB of 64 KiB clusters.

use alloc::vec::Vec;

use instar_disk::{Action, File, Io, Result};

use crate::layout::Layout;
use crate::num::{add, index, internal, length, shl, shr, shr_up, sub};
use crate::raw::entry;
use crate::space::Space;

/// The L2 tables that are not written yet.
pub(crate) struct Batch {
    layout: Layout,
    /// Where the L1 table is.
    l1_offset: u64,
    /// Preallocation: where all tables are and what their entries are.
    fixed: Option<Fixed>,
    /// Batch held, by their number in the L1 table; the last is being filled.
    held: Vec<u64>,
    /// The tables held, one cluster each; the last only as far as it is filled.
    bytes: Vec<u8>,
    /// Batch below this number were started.
    next: u64,
    /// What is not written reads as zero: the rest of a table need not be written.
    trim: bool,
    /// What stands in an entry of a table of `fixed` beside the place of its cluster.
    mark: u64,
}

/// A layout in which everything has its place from the start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fixed {
    /// The first L2 table; the others follow.
    pub(crate) tables: u64,
    /// Where guest byte 0 is; the others follow.
    pub(crate) data: u64,
}

/// What becomes of a run of guest clusters.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fill {
    /// They are at this host offset and those that follow.
    Data(u64),
    /// They read as zero.
    Zero,
}

impl Batch {
    pub(crate) const fn new(layout: Layout, l1_offset: u64, fixed: Option<Fixed>, trim: bool) -> Self {
        Self {
            layout,
            l1_offset,
            fixed,
            held: Vec::new(),
            bytes: Vec::new(),
            next: 0,
            trim,
            mark: entry::COPIED,
        }
    }

    /// The same where clusters that have their place from the start read as zero until they are filled: what is in them does not.
    pub(crate) fn zeroed(mut self) -> Self {
        self.mark = entry::COPIED | entry::ZERO;
        self
    }

    /// Makes the table number `table` the one being filled. Writes out what is complete when there is no room, but not if
    /// `keep`: then it does nothing and gives false.
    pub(crate) fn open(
        &mut self,
        table: u64,
        keep: bool,
        file: &File<'_>,
        space: &mut Space,
    ) -> Result<bool> {
        while self.held.last() != Some(&table) {
            if table < self.next {
                return Err(internal(line!()));
            }
            if self.held.len() >= self.capacity() {
                if keep {
                    return Ok(false);
                }
                self.flush(file, space)?;
            }
            // No table of a preallocated image is left out.
            self.start(if self.fixed.is_some() { self.next } else { table })?;
        }
        Ok(true)
    }

    /// Opens and writes all tables that a preallocated image still lacks, then what is held.
    pub(crate) fn finish(&mut self, file: &File<'_>, space: &mut Space) -> Result<()> {
        while self.fixed.is_some() && self.next < self.layout.l1_entries() {
            self.open(self.next, false, file, space)?;
        }
        self.flush(file, space)
    }

    /// The host offset of the cluster with this entry of the table being filled, if it has one.
    pub(crate) fn host(&self, at: u64) -> Option<u64> {
        let (word, _) = self.entry(at);
        let plain = word & entry::COMPRESSED == 0;
        Some(word & entry::OFFSET).filter(|offset| plain && *offset != 0)
    }

    /// Sets one entry of the table being filled.
    pub(crate) fn set(&mut self, at: u64, word: u64, bitmap: u64) -> Result<()> {
        let start = self.place(at)?;
        let width = self.width();
        let end = start.saturating_add(width);
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        let (first, second) = self
            .bytes
            .get_mut(start..end)
            .and_then(|bytes| bytes.split_first_chunk_mut::<8>())
            .ok_or_else(|| internal(line!()))?;
        *first = word.to_be_bytes();
        if let Some(second) = second.first_chunk_mut::<8>() {
            *second = bitmap.to_be_bytes();
        }
        Ok(())
    }

    /// Enters the guest range from `start` to `end`, which lies in the reach of the table being filled, on units.
    pub(crate) fn fill(&mut self, start: u64, end: u64, fill: Fill) -> Result<()> {
        let bits = self.layout.cluster_bits();
        let mask = self.layout.cluster().saturating_sub(1);
        let mut at = start;
        let mut host = match fill {
            Fill::Data(offset) => offset,
            Fill::Zero => 0,
        };
        while at < end {
            let base = instar_disk::align_down(at, self.layout.cluster());
            let next = add(base, self.layout.cluster())?.min(end);
            let entry_at = shr(base, bits) & self.entry_mask();
            let units = self.units(at & mask, sub(next, base)?);
            let (word, bitmap) = self.entry(entry_at);
            let (word, bitmap) = match fill {
                Fill::Data(_) => data_entry(host & !mask, bitmap, units),
                Fill::Zero if self.layout.extended_l2() => zero_subclusters(word, bitmap, units),
                Fill::Zero => (entry::ZERO | word, 0),
            };
            self.set(entry_at, word, bitmap)?;
            host = add(host, sub(next, at)?)?;
            at = next;
        }
        Ok(())
    }

    /// The subclusters that the bytes from `from` up to `to` of a cluster touch, one bit each; none without subclusters.
    fn units(&self, from: u64, to: u64) -> u64 {
        if !self.layout.extended_l2() {
            return 0;
        }
        let bits = self.layout.unit_bits();
        let up_to = |subclusters: u64| below(u32::try_from(subclusters).unwrap_or(u32::MAX));
        up_to(shr_up(to, bits)) & !up_to(shr(from, bits))
    }

    /// The entry of the table being filled, 0 if nothing was entered.
    fn entry(&self, at: u64) -> (u64, u64) {
        let Ok(start) = self.place(at) else {
            return (0, 0);
        };
        let word = |from: usize| {
            let bytes = self.bytes.get(from..).and_then(<[u8]>::first_chunk::<8>);
            bytes.map_or(0, |bytes| u64::from_be_bytes(*bytes))
        };
        if self.layout.extended_l2() {
            (word(start), word(start.saturating_add(8)))
        } else {
            (word(start), 0)
        }
    }

    /// Where entry `at` of the table being filled is in the buffer.
    fn place(&self, at: u64) -> Result<usize> {
        let complete = self.held.len().checked_sub(1).ok_or_else(|| internal(line!()))?;
        let before = shl(instar_disk::from_usize(complete), self.layout.cluster_bits())?;
        Ok(index(add(before, shl(at, self.layout.entry_bits())?)?))
    }

    fn width(&self) -> usize {
        index(1_u64.wrapping_shl(self.layout.entry_bits()))
    }

    fn entry_mask(&self) -> u64 {
        below(self.layout.table_bits())
    }

    /// Batch that may wait.
    fn capacity(&self) -> usize {
        index(shr(HELD_BYTES, self.layout.cluster_bits()).max(1))
    }

    /// Starts a table behind those held.
    fn start(&mut self, table: u64) -> Result<()> {
        self.pad()?;
        self.held.push(table);
        self.next = add(table, 1)?;
        let Some(fixed) = self.fixed else {
            return Ok(());
        };
        let first = shl(table, self.layout.table_bits())?;
        let entries = self
            .layout
            .clusters()
            .saturating_sub(first)
            .min(shl(1, self.layout.table_bits())?);
        let mut host = add(fixed.data, shl(first, self.layout.cluster_bits())?)?;
        let end = self
            .bytes
            .len()
            .saturating_add(index(shl(entries, self.layout.entry_bits())?));
        let start = self.bytes.len();
        self.bytes.resize(end, 0);
        let width = self.width();
        for bytes in self
            .bytes
            .get_mut(start..)
            .unwrap_or(&mut [])
            .chunks_exact_mut(width)
        {
            if let Some(word) = bytes.first_chunk_mut::<8>() {
                *word = (host | self.mark).to_be_bytes();
            }
            host = add(host, self.layout.cluster())?;
        }
        Ok(())
    }

    /// Fills the last table held up to a whole cluster.
    fn pad(&mut self) -> Result<()> {
        let tables = instar_disk::from_usize(self.held.len());
        let bytes = index(shl(tables, self.layout.cluster_bits())?);
        self.bytes.resize(bytes, 0);
        Ok(())
    }

    /// Writes what is held, and where it went into the L1 table.
    fn flush(&mut self, file: &File<'_>, space: &mut Space) -> Result<()> {
        let Some(first) = self.held.first() else {
            return Ok(());
        };
        let tables = instar_disk::from_usize(self.held.len());
        let offset = match self.fixed {
            Some(fixed) => add(fixed.tables, shl(*first, self.layout.cluster_bits())?)?,
            None => space.take(tables)?,
        };
        if !self.trim {
            self.pad()?;
        }
        let mut pieces = self.l1_pieces(offset)?;
        pieces.push((offset, core::mem::take(&mut self.bytes)));
        let slot = file.slot();
        let mut batch: Vec<Io<'_>> = pieces
            .iter()
            .map(|(offset, from)| {
                Io::new(Action::Write {
                    slot,
                    offset: *offset,
                    from,
                })
            })
            .collect();
        file.host().all(&mut batch)?;
        // The next tables go into the same memory.
        self.bytes = pieces.pop().map(|(_, bytes)| bytes).unwrap_or_default();
        self.bytes.clear();
        self.held.clear();
        Ok(())
    }

    /// L1 entries for the tables held, of which the first goes to `offset`: one piece for each run without a long gap.
    fn l1_pieces(&self, offset: u64) -> Result<Vec<(u64, Vec<u8>)>> {
        let mut pieces: Vec<(u64, Vec<u8>)> = Vec::new();
        let mut host = offset;
        for table in &self.held {
            let at = add(self.l1_offset, shl(*table, 3)?)?;
            let word = (host | entry::COPIED).to_be_bytes();
            host = add(host, self.layout.cluster())?;
            if let Some((start, bytes)) = pieces.last_mut() {
                let gap = sub(at, add(*start, length(bytes))?)?;
                if gap <= L1_GAP {
                    bytes.resize(bytes.len().saturating_add(index(gap)), 0);
                    bytes.extend_from_slice(&word);
                    continue;
                }
            }
            pieces.push((at, word.to_vec()));
        }
        Ok(pieces)
    }
}

/// The entry of a cluster at `host`, of which the subclusters `units` are written now.
pub(crate) const fn data_entry(host: u64, bitmap: u64, units: u64) -> (u64, u64) {
    let zero = units.wrapping_shl(32);
    (host | entry::COPIED, (bitmap | units) & !zero)
}

/// The entry after the subclusters `units` became zero.
pub(crate) const fn zero_subclusters(word: u64, bitmap: u64, units: u64) -> (u64, u64) {
    let zero = units.wrapping_shl(32);
    (word, (bitmap & !units) | zero)
}

/// The `bits` lowest bits; all of them from 64 on.
fn below(bits: u32) -> u64 {
    1_u64
        .checked_shl(bits)
        .map_or(u64::MAX, |bit| bit.wrapping_sub(1))
}

/// Bytes of tables that may wait. Ours: data stays contiguous over 8 GiB of 64 KiB clusters, 64 MiB of 512-byte ones.
const HELD_BYTES: u64 = 1 << 20;
/// Bytes of zeros that are written into the L1 table rather than start another write. Ours.
const L1_GAP: u64 = 4096;
