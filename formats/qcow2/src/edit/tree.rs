//! All clusters that an L1 table leads to, many tables at a time.

use alloc::vec::Vec;
use core::ops::Range;

use instar_disk::errno::EINVAL;
use instar_disk::{Action, Extents, Fault, File, Io, Result, fault, from_usize, to_usize};
use zerocopy::IntoBytes;
use zerocopy::big_endian::U64;

use super::transaction::{Grow, Look, Release, clusters_of};
use crate::entry::compressed_range;
use crate::header::TableRange;
use crate::layout::Layout;
use crate::num::{add, shl, shr};
use crate::packed;
use crate::raw::entry;

/// The L2 tables of an L1 table.
#[derive(Clone, Copy)]
pub(super) struct Tree<'h> {
    pub(super) file: File<'h>,
    pub(super) layout: Layout,
    pub(super) l1: TableRange,
    /// Data is in another file, whose clusters are not counted.
    pub(super) apart: bool,
}

/// Told of entries of an L1 table, from the number given on.
pub(super) type OnPiece<'a, 'g> = dyn FnMut(&mut Grow<'g>, u64, &[U64]) -> Result<()> + 'a;

/// One of them.
pub(super) struct Table {
    /// Number of its L1 entry.
    pub(super) index: u64,
    /// File offset.
    pub(super) offset: u64,
    /// Its entries, 8 or 16 bytes each.
    pub(super) words: Vec<U64>,
}

impl<'h> Tree<'h> {
    /// The tree of `l1` in the image that `look` looks at.
    pub(super) const fn of(look: &Look<'h>, l1: TableRange) -> Self {
        Self {
            file: look.file,
            layout: look.layout,
            l1,
            apart: look.header.features.data_file(),
        }
    }

    /// Clusters of the L1 table itself.
    pub(super) fn roots(&self) -> Result<Range<u64>> {
        clusters_of(self.layout, self.l1.offset, shl(self.l1.entries, 3)?)
    }

    /// The entries from number `first` on, at most as many as fit a piece; none past the end.
    pub(super) fn l1_piece(&self, first: u64) -> Result<Vec<U64>> {
        self.l1_entries(first, PIECE_ENTRIES)
    }

    /// The entries from number `first` on, at most so many; none past the end.
    pub(super) fn l1_entries(&self, first: u64, most: u64) -> Result<Vec<U64>> {
        let entries = self.l1.entries.saturating_sub(first).min(most);
        let mut words = alloc::vec![U64::ZERO; to_usize(entries)?];
        let offset = add(self.l1.offset, shl(first, 3)?)?;
        self.file.read_padded(offset, words.as_mut_bytes())?;
        Ok(words)
    }

    /// Calls `visit` with each L2 table, from entry `first` of the L1 table on, in order.
    ///
    /// # Errors
    /// The visitor's; the host's; a table at an impossible place, or more of them than the file has room for.
    pub(super) fn each(&self, first: u64, visit: &mut dyn FnMut(Table) -> Result<()>) -> Result<()> {
        self.each_wanted(first, &mut |_| Ok(true), visit)
    }

    /// The same, of those whose offset is wanted.
    ///
    /// # Errors
    /// As [`Tree::each`].
    pub(super) fn each_wanted(
        &self,
        first: u64,
        wanted: &mut dyn FnMut(u64) -> Result<bool>,
        visit: &mut dyn FnMut(Table) -> Result<()>,
    ) -> Result<()> {
        let mut met = Met::none(self)?;
        let mut at = first;
        while at < self.l1.entries {
            let piece = self.l1_piece(at)?;
            self.each_of(at, &piece, &mut met, wanted, visit)?;
            at = add(at, from_usize(piece.len()))?;
        }
        Ok(())
    }

    /// Calls `visit` with those L2 tables whose offset is wanted of those that these entries of the L1 table lead to, the first of
    /// which is number `first`.
    ///
    /// # Errors
    /// As [`Tree::each`].
    pub(super) fn each_of(
        &self,
        first: u64,
        words: &[U64],
        met: &mut Met,
        wanted: &mut dyn FnMut(u64) -> Result<bool>,
        visit: &mut dyn FnMut(Table) -> Result<()>,
    ) -> Result<()> {
        let cluster = self.layout.cluster();
        let together = to_usize((BATCH_BYTES.checked_div(cluster).unwrap_or(1)).max(1))?;
        let mut places = Vec::new();
        for (number, word) in (first..).zip(words) {
            let offset = word.get() & entry::OFFSET;
            if offset == 0 {
                continue;
            }
            let inside = add(offset, cluster)? <= self.file.size();
            if offset != instar_disk::align_down(offset, cluster) || !inside || met.one_more(self)? {
                return Err(self.damaged(word.get(), add(self.l1.offset, shl(number, 3)?)?));
            }
            if wanted(offset)? {
                places.push((number, offset));
            }
        }
        for some in places.chunks(together) {
            for table in self.read(some)? {
                visit(table)?;
            }
        }
        Ok(())
    }

    /// Whether there is a table with this number or a higher one.
    pub(super) fn has_tables(&self, first: u64) -> Result<bool> {
        let mut at = first;
        while at < self.l1.entries {
            let piece = self.l1_piece(at)?;
            if piece.iter().any(|word| word.get() & entry::OFFSET != 0) {
                return Ok(true);
            }
            at = add(at, from_usize(piece.len()))?;
        }
        Ok(false)
    }

    /// The table with this number, if there is one.
    ///
    /// # Errors
    /// As [`Tree::each`].
    pub(super) fn table(&self, number: u64) -> Result<Option<Table>> {
        let mut found = None;
        let entry = self.l1_entries(number, 1)?;
        self.each_of(
            number,
            &entry,
            &mut Met::none(self)?,
            &mut |_| Ok(true),
            &mut |table| {
                found = Some(table);
                Ok(())
            },
        )?;
        Ok(found)
    }

    /// Reads the tables at these offsets, each with the number of its L1 entry.
    pub(super) fn read(&self, places: &[(u64, u64)]) -> Result<Vec<Table>> {
        let entries = to_usize(shr(self.layout.cluster(), 3))?;
        let mut tables: Vec<Table> = places
            .iter()
            .map(|(index, offset)| Table {
                index: *index,
                offset: *offset,
                words: alloc::vec![U64::ZERO; entries],
            })
            .collect();
        let slot = self.file.slot();
        let mut batch: Vec<Io<'_>> = tables
            .iter_mut()
            .map(|table| {
                Io::new(Action::Read {
                    slot,
                    offset: table.offset,
                    into: table.words.as_mut_bytes(),
                })
            })
            .collect();
        self.file.host().all(&mut batch)?;
        Ok(tables)
    }

    /// Calls `visit` with the clusters that each entry of a table refers to, those that follow one another as one range.
    ///
    /// # Errors
    /// The visitor's; an entry that leads to an impossible place.
    pub(super) fn runs(&self, table: &Table, visit: &mut dyn FnMut(Range<u64>) -> Result<()>) -> Result<()> {
        if self.apart {
            return Ok(());
        }
        let bits = self.layout.cluster_bits();
        let mut run = 0..0;
        for (at, word) in table.words.iter().step_by(self.step()).enumerate() {
            let word = word.get();
            if word & entry::COMPRESSED != 0 {
                let (start, end) = compressed_range(bits, word);
                visit(shr(start, bits)..add(shr(end.saturating_sub(1), bits), 1)?)?;
                continue;
            }
            let host = word & entry::OFFSET;
            if host == 0 {
                continue;
            }
            if host != instar_disk::align_down(host, self.layout.cluster()) {
                let place = shl(from_usize(at), self.layout.entry_bits())?;
                return Err(self.damaged(word, add(table.offset, place)?));
            }
            let cluster = shr(host, bits);
            if run.end != cluster || run.is_empty() {
                if !run.is_empty() {
                    visit(run)?;
                }
                run = cluster..cluster;
            }
            run.end = add(cluster, 1)?;
        }
        if run.is_empty() { Ok(()) } else { visit(run) }
    }

    /// Bytes of the data file, of which it has `size`, that a table refers to.
    pub(super) fn runs_apart(&self, table: &Table, size: u64) -> impl Iterator<Item = Range<u64>> + use<> {
        let cluster = self.layout.cluster();
        let mut runs: Vec<Range<u64>> = Vec::new();
        for word in table.words.iter().step_by(self.step()) {
            let word = word.get();
            let host = word & entry::OFFSET;
            // The first cluster of the data file is a place, too.
            let has_place = host != 0 || word & entry::COPIED != 0;
            if !has_place || word & entry::COMPRESSED != 0 || host >= size {
                continue;
            }
            let end = host.saturating_add(cluster).min(size);
            match runs.last_mut() {
                Some(last) if last.end == host => last.end = end,
                _ => runs.push(host..end),
            }
        }
        runs.into_iter()
    }

    /// Words in an L2 entry.
    pub(super) fn step(&self) -> usize {
        if self.layout.extended_l2() { 2 } else { 1 }
    }

    /// Whether everything that the tree refers to is counted, and could be counted once more if `more`. Says whether there is a COPIED
    /// flag in it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn judge(&self, look: &mut Look<'h>, more: bool) -> Result<bool> {
        let most = packed::limit(self.layout.refcount_order());
        let bits = self.layout.cluster_bits();
        let mut same = Same::default();
        let mut counted = |clusters: Range<u64>| -> Result<()> {
            let mut at = clusters.start;
            while at < clusters.end {
                let (count, run) = look.ledger.run(&(at..clusters.end))?;
                let further = same.met(at, run);
                if count == 0 {
                    return Err(look.ledger.wrong_count(at, count));
                }
                if more && most.saturating_sub(count) < further {
                    // What qemu-img says when a refcount has no room.
                    return Err(Fault::new(fault::core::IO)
                        .with([EINVAL])
                        .in_file(self.file.slot()));
                }
                at = add(at, run)?;
            }
            Ok(())
        };
        let mut flagged = self.has_flagged_roots()?;
        self.each(0, &mut |table| {
            let own = shr(table.offset, bits);
            counted(own..add(own, 1)?)?;
            let mut words = table.words.iter().step_by(self.step());
            flagged = flagged || words.any(|word| word.get() & entry::COPIED != 0);
            self.runs(&table, &mut counted)
        })?;
        Ok(flagged)
    }

    /// Whether there is a COPIED flag in the L1 table.
    fn has_flagged_roots(&self) -> Result<bool> {
        let mut at = 0;
        while at < self.l1.entries {
            let piece = self.l1_piece(at)?;
            if piece.iter().any(|word| word.get() & entry::COPIED != 0) {
                return Ok(true);
            }
            at = add(at, from_usize(piece.len()))?;
        }
        Ok(false)
    }

    /// Counts everything that the tree refers to once more, and takes the COPIED flags from its tables. Gives the L1 table
    /// without them, in pieces.
    pub(super) fn share<'g>(&self, grow: &mut Grow<'g>, piece: &mut OnPiece<'_, 'g>) -> Result<()> {
        let bits = self.layout.cluster_bits();
        let step = self.step();
        self.each(0, &mut |table| {
            let own = shr(table.offset, bits);
            grow.raise(own..add(own, 1)?)?;
            self.runs(&table, &mut |clusters| grow.raise(clusters))?;
            let mut words = table.words.clone();
            for word in words.iter_mut().step_by(step) {
                *word = U64::new(word.get() & !entry::COPIED);
            }
            grow.write_less_copied(table.offset, &table.words, &words)
        })?;
        let mut at = 0;
        while at < self.l1.entries {
            let old = self.l1_piece(at)?;
            let new: Vec<U64> = old
                .iter()
                .map(|word| U64::new(word.get() & !entry::COPIED))
                .collect();
            piece(grow, at, &new)?;
            grow.write_less_copied(add(self.l1.offset, shl(at, 3)?)?, &old, &new)?;
            at = add(at, from_usize(old.len()))?;
        }
        Ok(())
    }

    /// Counts everything that the tree refers to once less, its L1 table included.
    pub(super) fn give_up(&self, release: &mut Release<'h>) -> Result<()> {
        let bits = self.layout.cluster_bits();
        self.each(0, &mut |table| {
            self.runs(&table, &mut |clusters| release.lower(clusters))?;
            let own = shr(table.offset, bits);
            release.lower(own..add(own, 1)?)
        })?;
        release.lower(self.roots()?)
    }

    /// Makes the COPIED flags of the tree say what the counts say.
    pub(super) fn mark_copied(&self, release: &mut Release<'h>) -> Result<()> {
        let mut own_tables = Vec::new();
        let step = self.step();
        let bits = self.layout.cluster_bits();
        self.each(0, &mut |table| {
            let own = shr(table.offset, bits);
            if release.ledger().run(&(own..add(own, 1)?))?.0 == 1 {
                own_tables.push(table.index);
            }
            let mut known = Known::default();
            let mut words = table.words.clone();
            for word in words.iter_mut().step_by(step) {
                let old = word.get();
                let host = old & entry::OFFSET;
                if old & entry::COMPRESSED != 0 || host == 0 {
                    continue;
                }
                let single = known.count(release, shr(host, bits))? == 1;
                *word = U64::new(flagged(old, single));
            }
            release.write_table(table.offset, &table.words, &words)
        })?;
        let mut own_tables = own_tables.into_iter().peekable();
        let mut at = 0;
        while at < self.l1.entries {
            let old = self.l1_piece(at)?;
            let mut new = old.clone();
            for (number, word) in (at..).zip(&mut new) {
                let single = own_tables.next_if_eq(&number).is_some();
                *word = U64::new(flagged(word.get(), single));
            }
            release.write_table(add(self.l1.offset, shl(at, 3)?)?, &old, &new)?;
            at = add(at, from_usize(old.len()))?;
        }
        Ok(())
    }

    pub(super) fn damaged(&self, word: u64, offset: u64) -> Fault {
        Fault::new(fault::qcow2_write::TARGET_TABLE)
            .with([word, offset])
            .in_file(self.file.slot())
    }
}

/// Tables that were met so far.
pub(super) struct Met {
    tables: u64,
    /// As many as a sound image has at most.
    most: u64,
}

impl Met {
    pub(super) fn none(tree: &Tree<'_>) -> Result<Self> {
        Ok(Self {
            tables: 0,
            most: most_tables(tree.file, tree.layout, false)?,
        })
    }

    /// Takes note of one; says whether that is one too many.
    fn one_more(&mut self, tree: &Tree<'_>) -> Result<bool> {
        self.tables = self.tables.saturating_add(1);
        if self.tables > self.most {
            self.most = self.most.max(most_tables(tree.file, tree.layout, true)?);
        }
        Ok(self.tables > self.most)
    }
}

/// Tables of a kind that a sound image has at most: none is met twice, and few are holes. How much of the file is there is asked in the
/// quick way, or in the one that filesystems cannot mislead that store less than they hold.
pub(super) fn most_tables(file: File<'_>, layout: Layout, thorough: bool) -> Result<u64> {
    let slot = file.slot();
    let present = if thorough {
        Extents::new(file).present()?
    } else {
        file.host().one(Action::Allocated { slot })?
    };
    let bytes = present.saturating_mul(2).saturating_add(HOLES);
    Ok(shr(bytes.min(file.size()), layout.cluster_bits()))
}

const fn flagged(word: u64, single: bool) -> u64 {
    if single {
        word | entry::COPIED
    } else {
        word & !entry::COPIED
    }
}

/// How often the same cluster has been met in a row: many compressed clusters share one.
#[derive(Default)]
struct Same {
    last: Option<u64>,
    times: u64,
}

impl Same {
    /// So many clusters from `first` on are met; gives how often the most frequent of them has been met in this row.
    fn met(&mut self, first: u64, clusters: u64) -> u64 {
        let again = self.last == Some(first);
        let times = if again { self.times.saturating_add(1) } else { 1 };
        self.last = Some(first.saturating_add(clusters).saturating_sub(1));
        self.times = if clusters == 1 { times } else { 1 };
        times
    }
}

/// A run of clusters that are counted alike: neighbours in a table are neighbours in the file.
#[derive(Default)]
struct Known {
    clusters: Range<u64>,
    count: u64,
}

impl Known {
    fn count(&mut self, release: &mut Release<'_>, cluster: u64) -> Result<u64> {
        if !self.clusters.contains(&cluster) {
            let (count, run) = release.ledger().run(&(cluster..add(cluster, KNOWN_MOST)?))?;
            self.clusters = cluster..add(cluster, run)?;
            self.count = count;
        }
        Ok(self.count)
    }
}

/// Entries of an L1 table that are looked at together. Ours: 32 KiB.
const PIECE_ENTRIES: u64 = 4096;
/// Bytes of L2 tables that are read together. Ours.
const BATCH_BYTES: u64 = 1 << 20;
/// Bytes of tables that a file may have as holes. Ours.
const HOLES: u64 = 64 << 20;
/// Clusters whose counts are asked for at once. Ours.
const KNOWN_MOST: u64 = 64;
