//! Space and refcounts of an existing image: what is in use stays, what is new goes behind the end, or, where an image is
//! changed in place, into clusters that were free before.

use alloc::vec::Vec;
use core::ops::Range;

use instar_disk::{Fault, File, FileKind, Result, align_up, fault, from_usize, to_usize};
use zerocopy::IntoBytes;
use zerocopy::big_endian::U64;

use super::pages::{Level, Pages};
use crate::header::{Header, TableRange};
use crate::layout::Layout;
use crate::num::{add, internal, shl, shr, shr_up, sub};
use crate::packed;
use crate::raw::{entry, limit};
use crate::space::Space;

/// Who uses which cluster, and the tables that say so.
pub(crate) struct Ledger<'h> {
    pub(crate) file: File<'h>,
    pub(crate) layout: Layout,
    pub(crate) pages: Pages<'h>,
    pub(crate) table: TableRange,
    space: Space,
    /// Clusters before this one may be in use; those after it were taken by us.
    first_new: u64,
    /// How an image is changed in place; none: new clusters go behind the end, and what is released is free at once.
    careful: Option<Careful>,
}

/// What an image that is changed in place needs besides.
#[derive(Default)]
struct Careful {
    /// The first cluster that may be free.
    next_free: u64,
    /// Clusters that are not handed out whatever their count: the header and the tables that it leads to.
    reserved: Vec<Range<u64>>,
    /// Clusters of an old refcount table, which the header still leads to.
    retired: Vec<Range<u64>>,
    /// While data is written: what happened since the tables that lead to it were written last.
    pending: Option<Pending>,
}

/// What is not final yet.
#[derive(Default)]
struct Pending {
    /// Clusters that were handed out.
    taken: Vec<Range<u64>>,
    /// Clusters that are to be counted once less, one each time.
    released: Vec<Range<u64>>,
}

impl<'h> Ledger<'h> {
    /// The ledger of the image in `file`.
    ///
    /// # Errors
    /// The host's; `TARGET_TABLE` for an impossible refcount table.
    pub(crate) fn open(file: File<'h>, header: &Header, layout: Layout) -> Result<Self> {
        let mut ledger = Self {
            file,
            layout,
            pages: Pages::new(file, layout.cluster_bits()),
            table: header.refcount_table,
            space: Space::new(layout.cluster_bits(), 0),
            first_new: 0,
            careful: None,
        };
        let mut end = ledger.counted_end()?;
        if file.kind() != FileKind::Block {
            // Not even bytes that nobody counts are overwritten.
            end = end.max(shr_up(file.size(), layout.cluster_bits()));
        }
        ledger.first_new = end;
        ledger.space = Space::new(layout.cluster_bits(), end);
        Ok(ledger)
    }

    /// The ledger of an image that is changed in place: counts reach the disk before links, free clusters are used again, and
    /// an old refcount table is left to [`Ledger::retired`].
    ///
    /// # Errors
    /// As [`Ledger::open`].
    pub(crate) fn open_careful(file: File<'h>, header: &Header, layout: Layout) -> Result<Self> {
        let mut ledger = Self::open(file, header, layout)?;
        ledger.pages.keep_order();
        let bits = layout.cluster_bits();
        let whole = |start: u64, bytes: u64| {
            let end = start.saturating_add(bytes);
            shr(start, bits)..shr_up(end, bits)
        };
        let table = |table: TableRange, entry: u64| whole(table.offset, table.entries.saturating_mul(entry));
        let (luks_offset, luks_bytes) = header.extensions.crypto_header.unwrap_or((0, 0));
        ledger.careful = Some(Careful {
            reserved: alloc::vec![
                0..1,
                table(header.l1, 8),
                table(header.refcount_table, 8),
                table(header.snapshots, limit::SNAPSHOT_LEAST),
                whole(luks_offset, luks_bytes),
            ],
            ..Careful::default()
        });
        Ok(ledger)
    }

    /// From now on what leads to data waits for [`Pages::write_links`], and what is released is counted until
    /// [`Ledger::lower_released`].
    pub(crate) fn wait_for_data(&mut self) {
        self.pages.hold_links();
        if let Some(careful) = &mut self.careful {
            careful.pending = Some(Pending::default());
        }
    }

    /// Whether so much waits that the tables should be written.
    pub(crate) fn is_full(&self) -> bool {
        let pending = self.careful.as_ref().and_then(|careful| careful.pending.as_ref());
        let ranges = pending.map_or(0, |pending| pending.released.len().max(pending.taken.len()));
        let most = self
            .layout
            .cluster()
            .saturating_mul(WAITING_LEAST)
            .max(WAITING_BYTES);
        self.pages.waiting() >= most || ranges >= PENDING_MOST
    }

    /// What was released is counted once less: nothing leads to it any more. What was handed out is in use. Tells `freed` which
    /// clusters are free now.
    pub(crate) fn lower_released(&mut self, freed: &mut dyn FnMut(u64)) -> Result<()> {
        let Some(pending) = self.careful.as_mut().and_then(|careful| careful.pending.as_mut()) else {
            return Ok(());
        };
        pending.taken.clear();
        for range in core::mem::take(&mut pending.released) {
            self.lower_any(range, freed)?;
        }
        Ok(())
    }

    /// What was handed out is free again: nothing led to it yet. What was released is not.
    pub(crate) fn give_back(&mut self) -> Result<()> {
        let Some(pending) = self.careful.as_mut().and_then(|careful| careful.pending.as_mut()) else {
            return Ok(());
        };
        pending.released.clear();
        for range in core::mem::take(&mut pending.taken) {
            self.lower_any(range, &mut |_| {})?;
        }
        Ok(())
    }

    /// Clusters of old refcount tables, once the header leads to the new one.
    pub(crate) fn retired(&mut self) -> Vec<Range<u64>> {
        let careful = self.careful.as_mut();
        careful.map_or_else(Vec::new, |careful| core::mem::take(&mut careful.retired))
    }

    /// Whether the header, or a table that it leads to, stands in one of these clusters.
    pub(crate) fn is_reserved(&self, clusters: &Range<u64>) -> bool {
        self.tables_in(clusters) > 0
    }

    /// How many of the tables that the header leads to have some of these clusters.
    pub(crate) fn tables_in(&self, clusters: &Range<u64>) -> usize {
        let reserved = self.careful.iter().flat_map(|careful| &careful.reserved);
        reserved
            .filter(|range| range.start < clusters.end && clusters.start < range.end)
            .count()
    }

    /// Whether anything was taken.
    pub(crate) fn has_grown(&self) -> bool {
        self.space.clusters() > self.first_new
    }

    /// From now on nothing that was free is used again: whether the counts are right was not looked at.
    pub(crate) const fn only_behind(&mut self) {
        if let Some(careful) = &mut self.careful {
            careful.next_free = self.first_new;
        }
    }

    /// Takes the last refcount blocks out of their table, as far as they count nothing but themselves; gives their offsets.
    pub(crate) fn unlink_empty_blocks(&mut self) -> Result<Vec<u64>> {
        let mut unlinked = Vec::new();
        for block in (0..self.table.entries).rev() {
            let Some(offset) = self.block(block)? else {
                continue;
            };
            let order = self.layout.refcount_order();
            let (of, at) = self.place(shr(offset, self.layout.cluster_bits()));
            let bytes = self.pages.get(offset)?;
            let empty = match packed::last(bytes, order) {
                None => true,
                Some(last) => {
                    of == block
                        && last == at
                        && (at == 0
                            || packed::get(bytes, order, 0) == 0 && packed::run(bytes, order, 0, at) == at)
                }
            };
            if !empty {
                break;
            }
            self.pages.forget(offset);
            self.pages
                .set_word(Level::CountTable, self.table.offset, block, 0)?;
            unlinked.push(offset);
        }
        Ok(unlinked)
    }

    /// Clusters of the file now.
    pub(crate) const fn clusters(&self) -> u64 {
        self.space.clusters()
    }

    /// The end of the last cluster.
    pub(crate) fn end(&self) -> Result<u64> {
        self.space.end()
    }

    /// Takes clusters that follow one another, each counted once; gives the byte offset of the first.
    pub(crate) fn take(&mut self, clusters: u64) -> Result<u64> {
        let found = self.free_run(clusters, clusters)?;
        self.take_found(found, clusters).map(|(offset, _)| offset)
    }

    /// Takes clusters that follow one another, as many as there are at the next free place, at most so many; gives the byte offset
    /// of the first and their number.
    pub(crate) fn take_some(&mut self, most: u64) -> Result<(u64, u64)> {
        let found = self.free_run(1, most)?;
        self.take_found(found, most)
    }

    /// Takes the cluster behind all others.
    pub(crate) fn take_last(&mut self) -> Result<u64> {
        self.take_found(None, 1).map(|(offset, _)| offset)
    }

    fn take_found(&mut self, found: Option<Range<u64>>, clusters: u64) -> Result<(u64, u64)> {
        let bits = self.layout.cluster_bits();
        let (offset, clusters) = match found {
            Some(run) => (shl(run.start, bits)?, sub(run.end, run.start)?),
            None => (self.space.take(clusters)?, clusters),
        };
        let first = shr(offset, bits);
        self.count_once(first, clusters)?;
        if let Some(pending) = self.careful.as_mut().and_then(|careful| careful.pending.as_mut()) {
            join(&mut pending.taken, first..add(first, clusters)?);
        }
        Ok((offset, clusters))
    }

    /// Whether the cluster at `offset` stands where the file ended, or behind: it reads as zeros until it is written to.
    pub(crate) const fn is_new(&self, offset: u64) -> bool {
        shr(offset, self.layout.cluster_bits()) >= self.first_new
    }

    /// Sets clusters behind the end of the file apart, which follow one another and are to be counted; gives the byte offset of
    /// the first.
    pub(crate) fn set_apart(&mut self, clusters: u64) -> Result<u64> {
        self.space.take(clusters)
    }

    /// How often `cluster` is counted.
    pub(crate) fn count(&mut self, cluster: u64) -> Result<u64> {
        let (block, at) = self.place(cluster);
        if block >= self.table.entries {
            return Ok(0);
        }
        match self.block(block)? {
            Some(offset) => Ok(packed::get(
                self.pages.get(offset)?,
                self.layout.refcount_order(),
                at,
            )),
            None => Ok(0),
        }
    }

    /// Counts `cluster` once more.
    pub(crate) fn add(&mut self, cluster: u64) -> Result<()> {
        let count = self.count(cluster)?;
        self.set(cluster, add(count, 1)?)
    }

    /// Counts `cluster` once less.
    ///
    /// # Errors
    /// `TARGET_REFCOUNT` when it is not counted.
    pub(crate) fn release(&mut self, cluster: u64) -> Result<()> {
        let count = self.count(cluster)?;
        let less = count
            .checked_sub(1)
            .ok_or_else(|| self.wrong_count(cluster, count))?;
        if let Some(pending) = self.careful.as_mut().and_then(|careful| careful.pending.as_mut()) {
            join(&mut pending.released, cluster..add(cluster, 1)?);
            return Ok(());
        }
        self.set(cluster, less)
    }

    /// Whether the cluster at `host` is ours alone: it may be overwritten.
    pub(crate) fn is_exclusive(&mut self, host: u64, copied: bool) -> Result<bool> {
        if !copied || host >= self.end()? {
            return Ok(false);
        }
        Ok(self.count(shr(host, self.layout.cluster_bits()))? == 1)
    }

    /// The first of so many free clusters, which are not taken.
    pub(crate) fn first_free(&mut self, clusters: u64) -> Result<Option<u64>> {
        let kept = self.careful.as_ref().map_or(0, |careful| careful.next_free);
        let found = self.free_run(clusters, clusters);
        if let Some(careful) = &mut self.careful {
            careful.next_free = kept;
        }
        Ok(found?.map(|run| run.start))
    }

    /// The first free clusters that follow one another in the reach of one refcount block, at least `wanted` and at most `most`.
    fn free_run(&mut self, wanted: u64, most: u64) -> Result<Option<Range<u64>>> {
        let Some(careful) = &self.careful else {
            return Ok(None);
        };
        let (reserved, order) = (careful.reserved.clone(), self.layout.refcount_order());
        let mut at = careful.next_free;
        let mut passed = None;
        while at < self.first_new {
            let (block, within) = self.place(at);
            let next = shl(add(block, 1)?, self.layout.block_bits())?.min(self.first_new);
            let offset = if block < self.table.entries {
                self.block(block)?
            } else {
                None
            };
            // Where there is no block, to count would need a new one.
            let Some(offset) = offset else {
                at = next;
                continue;
            };
            let to = add(within, sub(next, at)?)?;
            let bytes = self.pages.get(offset)?;
            if packed::get(bytes, order, within) != 0 {
                at = add(at, packed::run(bytes, order, within, to))?;
                continue;
            }
            let run = packed::run(bytes, order, within, to.min(within.saturating_add(most)));
            let end = add(at, run)?;
            if let Some(range) = reserved.iter().find(|range| range.start < end && at < range.end) {
                // Free by its count, and in use: an image that `check` finds fault with.
                let run = range.start.saturating_sub(at);
                if run >= wanted {
                    return self.found(at, run.min(most), passed);
                }
                at = range.end.max(add(at, 1)?);
                continue;
            }
            if run >= wanted {
                return self.found(at, run.min(most), passed);
            }
            passed.get_or_insert(at);
            at = end;
        }
        if let (Some(careful), None) = (&mut self.careful, passed) {
            careful.next_free = at;
        }
        Ok(None)
    }

    /// Free clusters from `first` on are handed out; smaller free runs from `passed` on stay.
    fn found(&mut self, first: u64, clusters: u64, passed: Option<u64>) -> Result<Option<Range<u64>>> {
        let next = add(first, clusters)?;
        if let Some(careful) = &mut self.careful {
            careful.next_free = passed.unwrap_or(next);
        }
        Ok(Some(first..next))
    }

    fn set(&mut self, cluster: u64, count: u64) -> Result<()> {
        let (block, at) = self.place(cluster);
        let offset = self.block_to_edit(block)?;
        packed::set(self.pages.edit(offset)?, self.layout.refcount_order(), at, count);
        Ok(())
    }

    /// Counts clusters that were free.
    pub(crate) fn count_once(&mut self, first: u64, clusters: u64) -> Result<()> {
        let end = add(first, clusters)?;
        let mut at = first;
        while at < end {
            let (block, within) = self.place(at);
            let next = shl(add(block, 1)?, self.layout.block_bits())?.min(end);
            let offset = self.block_to_edit(block)?;
            let to = add(within, sub(next, at)?)?;
            packed::fill_ones(self.pages.edit(offset)?, self.layout.refcount_order(), within, to);
            at = next;
        }
        Ok(())
    }

    /// The number of the block that counts `cluster`, and the place in it.
    pub(crate) fn place(&self, cluster: u64) -> (u64, u64) {
        let bits = self.layout.block_bits();
        let block = shr(cluster, bits);
        (block, cluster & 1_u64.wrapping_shl(bits).wrapping_sub(1))
    }

    /// Where a block is, if it exists.
    pub(crate) fn block(&mut self, block: u64) -> Result<Option<u64>> {
        let word = self.pages.word(self.table.offset, block)?;
        let offset = word & entry::REFCOUNT_BLOCK;
        if offset & self.layout.cluster().wrapping_sub(1) != 0 {
            return Err(self.damaged(word, add(self.table.offset, shl(block, 3)?)?));
        }
        Ok((offset != 0).then_some(offset))
    }

    /// Where a block is; it is made if it does not exist.
    pub(crate) fn block_to_edit(&mut self, block: u64) -> Result<u64> {
        if block >= self.table.entries {
            self.grow_table(block)?;
        }
        if let Some(offset) = self.block(block)? {
            return Ok(offset);
        }
        let offset = self.space.take(1)?;
        // Its own count may need a larger table. The old one, which counts until the header leads to the new one, must not lead to a
        // block that it does not count.
        let (own, _) = self.place(shr(offset, self.layout.cluster_bits()));
        if own >= self.table.entries {
            self.grow_table(own)?;
            if let Some(made) = self.block(block)? {
                // To count that table it was made already. The cluster that was taken stays free.
                return Ok(made);
            }
        }
        self.pages.create(offset, Level::Counts)?;
        self.pages
            .set_word(Level::CountTable, self.table.offset, block, offset)?;
        // Its own count may stand in itself, or in one more block: the last of these holds its own.
        self.count_once(shr(offset, self.layout.cluster_bits()), 1)?;
        Ok(offset)
    }

    /// Moves the refcount table to where it can have an entry for `block`, with room for half as many again.
    fn grow_table(&mut self, block: u64) -> Result<()> {
        let bits = self.layout.cluster_bits();
        let wanted = add(block, 1)?.max(self.table.entries);
        let roomy = add(wanted, shr(wanted, 1))?;
        let most = limit::REFCOUNT_TABLE_BYTES;
        let bytes = align_up(shl(roomy, 3)?, self.layout.cluster())?.min(most);
        if shl(wanted, 3)? > bytes {
            return Err(Fault::new(fault::qcow2_write::REFCOUNT_TABLE)
                .with([shr_up(shl(wanted, 3)?, bits), most])
                .in_file(self.file.slot()));
        }
        let old = self.table;
        let clusters = shr(bytes, bits);
        let offset = self.space.take(clusters)?;
        let old_clusters = shr_up(shl(old.entries, 3)?, bits);
        for number in 0..clusters {
            let from = add(old.offset, shl(number, bits)?)?;
            let to = add(offset, shl(number, bits)?)?;
            let content = if number < old_clusters {
                self.pages.get(from)?.to_vec()
            } else {
                alloc::vec::Vec::new()
            };
            let page = self.pages.create(to, Level::CountTable)?;
            if let Some(page) = page.get_mut(..content.len()) {
                page.copy_from_slice(&content);
            }
        }
        self.table = TableRange {
            offset,
            entries: shr(bytes, 3),
        };
        self.count_once(shr(offset, bits), clusters)?;
        let first = shr(old.offset, bits);
        let range = first..add(first, old_clusters)?;
        if let Some(careful) = &mut self.careful {
            careful.retired.push(range);
            return Ok(());
        }
        for cluster in range {
            self.release(cluster)?;
        }
        Ok(())
    }

    /// One more than the last cluster that is counted.
    pub(crate) fn counted_end(&mut self) -> Result<u64> {
        let present = sub(self.file.size().max(self.table.offset), self.table.offset)?;
        // An entry past the file's end reads as zero.
        let entries = self.table.entries.min(shr_up(present, 3));
        let mut empty_blocks = 0;
        for block in (0..entries).rev() {
            let Some(offset) = self.block(block)? else {
                continue;
            };
            let bytes = self.pages.get(offset)?;
            if let Some(last) = packed::last(bytes, self.layout.refcount_order()) {
                return add(shl(block, self.layout.block_bits())?, add(last, 1)?);
            }
            empty_blocks = add(empty_blocks, 1)?;
            // More blocks than the file has clusters: they are named again and again.
            if empty_blocks > shr_up(self.file.size(), self.layout.cluster_bits()) {
                return Err(self.damaged(offset, add(self.table.offset, shl(block, 3)?)?));
            }
        }
        Ok(0)
    }

    /// One more than the last cluster that is counted, or that the header leads to as a part of the counts.
    pub(crate) fn used_end(&mut self) -> Result<u64> {
        let bits = self.layout.cluster_bits();
        let bytes = shl(self.table.entries, 3)?;
        let mut end = self
            .counted_end()?
            .max(shr_up(add(self.table.offset, bytes)?, bits));
        for block in 0..self.table.entries {
            if let Some(offset) = self.block(block)? {
                end = end.max(add(shr(offset, bits), 1)?);
            }
        }
        Ok(end)
    }

    /// A cluster that is counted as no sound image counts it.
    pub(crate) fn wrong_count(&self, cluster: u64, count: u64) -> Fault {
        Fault::new(fault::qcow2_write::TARGET_REFCOUNT)
            .with([cluster, count])
            .in_file(self.file.slot())
    }

    /// A table entry that no image has.
    pub(crate) fn damaged(&self, word: u64, offset: u64) -> Fault {
        Fault::new(fault::qcow2_write::TARGET_TABLE)
            .with([word, offset])
            .in_file(self.file.slot())
    }
}

/// Adds a range; one that goes on where the last one ends makes it longer.
fn join(ranges: &mut Vec<Range<u64>>, range: Range<u64>) {
    match ranges.last_mut() {
        Some(last) if last.end == range.start => last.end = range.end,
        _ => ranges.push(range),
    }
}

/// Bytes of tables that wait for data before they are written, and clusters at least. Ours.
const WAITING_BYTES: u64 = 4 << 20;
const WAITING_LEAST: u64 = 4;
/// Ranges of clusters that are remembered meanwhile. Ours: a megabyte.
const PENDING_MOST: usize = 1 << 16;

/// Calls `visit` with the offset of each block that a refcount table leads to.
///
/// # Errors
/// The visitor's; the host's.
pub(crate) fn each_block(
    file: File<'_>,
    table: TableRange,
    visit: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<()> {
    let mut words = alloc::vec![U64::ZERO; TABLE_PIECE];
    let mut at = 0;
    while at < table.entries {
        let some = to_usize(table.entries.saturating_sub(at))?.min(TABLE_PIECE);
        let words = words.get_mut(..some).ok_or_else(|| internal(line!()))?;
        file.read_padded(add(table.offset, shl(at, 3)?)?, words.as_mut_bytes())?;
        for word in words.iter() {
            match word.get() & entry::REFCOUNT_BLOCK {
                0 => {}
                offset => visit(offset)?,
            }
        }
        at = add(at, from_usize(some))?;
    }
    Ok(())
}

/// Entries of a refcount table that are looked at together. Ours: 64 KiB.
const TABLE_PIECE: usize = 8192;
