//! What stands where in an image: every table, and which clusters hold compressed data. What is none of these is plain data.
//!
//! Tables are written to where data is moved. Hence no cluster may be a table and anything else, whatever its count says.

use alloc::vec::Vec;
use core::ops::Range;

use instar_disk::fault::compact as faults;
use instar_disk::{Budget, Fault, File, Result, from_usize, to_usize};
use zerocopy::IntoBytes;
use zerocopy::big_endian::U64;

use super::bits::Bits;
use super::moves::Moves;
use crate::bitmaps::directory;
use crate::edit::bitmaps::LISTED;
use crate::edit::ledger::each_block;
use crate::edit::snapshots::checked_l1;
use crate::edit::transaction::{Look, clusters_of};
use crate::edit::tree::{Table, Tree};
use crate::entry::compressed_range;
use crate::header::TableRange;
use crate::layout::Layout;
use crate::num::{add, shl, shr};
use crate::raw::entry;
use crate::snapshot::Walk;

/// Everything that refers to clusters.
pub(super) struct Survey<'h> {
    pub(super) file: File<'h>,
    pub(super) layout: Layout,
    /// L1 tables, that of the active state first, each with the place of the entry that leads to it.
    pub(super) roots: Vec<Root>,
    /// The table of the snapshots.
    pub(super) snapshots: Range<u64>,
    /// Tables of bitmaps, likewise.
    pub(super) bitmaps: Vec<Root>,
    /// The directory of bitmaps.
    pub(super) directory: Range<u64>,
    /// Clusters of L2 tables, in order.
    pub(super) tables: Vec<u64>,
    /// Clusters with the bits of bitmaps, in order.
    bits: Vec<u64>,
    /// Clusters of all else that is no data, in order.
    fixed: Vec<Range<u64>>,
    /// Clusters with compressed data.
    pub(super) streams: Bits,
}

/// A table, and the eight bytes that lead to it.
#[derive(Clone, Copy)]
pub(super) struct Root {
    pub(super) table: TableRange,
    /// None: the header does.
    pub(super) entry: Option<u64>,
}

/// What a cluster holds, if it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The header, or a table that is no L2 table.
    Fixed,
    /// An L2 table.
    Table,
    /// Bits of a bitmap.
    Bits,
    /// Compressed data, perhaps of several clusters of the disk, or a part of it.
    Streams,
    /// A cluster of the disk.
    Data,
}

impl<'h> Survey<'h> {
    /// Looks at all tables.
    ///
    /// # Errors
    /// `OVERLAP`; tables that are too many; what is wrong with them; the host's.
    pub(super) fn of(look: &Look<'h>) -> Result<Self> {
        let mut survey = Self {
            file: look.file,
            layout: look.layout,
            roots: alloc::vec![Root {
                table: look.header.l1,
                entry: None,
            }],
            snapshots: 0..0,
            bitmaps: Vec::new(),
            directory: 0..0,
            tables: Vec::new(),
            bits: Vec::new(),
            fixed: alloc::vec![0..1],
            streams: Bits::default(),
        };
        let faulty = |fault: Fault| fault.in_file(look.file.slot());
        survey.list_fixed(look).map_err(faulty)?;
        let mut budget = Budget::new(look.file);
        survey.list_tables(look, &mut budget)?;
        survey.list_bits(&mut budget)?;
        survey.judge_tables().map_err(faulty)?;
        survey.judge_data(look, &mut budget)?;
        Ok(survey)
    }

    fn list_fixed(&mut self, look: &Look<'_>) -> Result<()> {
        let (file, header) = (look.file, &look.header);
        let mut walk = Walk::new(file, header);
        let start = header.snapshots.offset;
        while let Some(found) = walk.next()? {
            self.snapshots = start..found.place.end;
            self.roots.push(Root {
                table: checked_l1(&found, self.layout)?,
                entry: Some(found.place.start),
            });
        }
        if let Some(place) = header.extensions.bitmaps {
            self.directory = place.offset..add(place.offset, place.bytes)?;
            let all = directory::entries_within(file, header, LISTED)?;
            self.bitmaps.extend(all.iter().map(|found| Root {
                table: found.table,
                entry: Some(found.at),
            }));
        }
        let (luks, length) = header.extensions.crypto_header.unwrap_or((0, 0));
        let mut places = alloc::vec![
            self.snapshots.clone(),
            self.directory.clone(),
            luks..add(luks, length)?,
        ];
        let table = header.refcount_table;
        for root in self.roots.iter().chain(&self.bitmaps) {
            let bytes = shl(root.table.entries, 3)?;
            places.push(root.table.offset..add(root.table.offset, bytes)?);
        }
        places.push(table.offset..add(table.offset, shl(table.entries, 3)?)?);
        for place in places.iter().filter(|place| !place.is_empty()) {
            let clusters = clusters_of(self.layout, place.start, place.end.saturating_sub(place.start))?;
            self.fixed.push(clusters);
        }
        let bits = self.layout.cluster_bits();
        let fixed = &mut self.fixed;
        each_block(file, table, &mut |offset| {
            let cluster = shr(offset, bits);
            if fixed.len() >= TABLES_MOST {
                return Err(too_many(fixed.len()));
            }
            fixed.push(cluster..add(cluster, 1)?);
            Ok(())
        })?;
        fixed.sort_unstable_by_key(|range| range.start);
        Ok(())
    }

    /// Finds the L2 tables. Many L1 tables may lead to each.
    fn list_tables(&mut self, look: &Look<'h>, budget: &mut Budget<'_>) -> Result<()> {
        let bits = self.layout.cluster_bits();
        for root in &self.roots {
            let tree = Tree::of(look, root.table);
            let mut at = 0;
            while at < tree.l1.entries {
                let piece = tree.l1_piece(at)?;
                budget.spend(shl(from_usize(piece.len()), 3)?)?;
                at = add(at, from_usize(piece.len()))?;
                let offsets = piece.iter().map(|word| word.get() & entry::OFFSET);
                let some = offsets.filter(|offset| *offset != 0);
                self.tables.extend(some.map(|offset| shr(offset, bits)));
                bound(&mut self.tables, self.file)?;
            }
        }
        self.tables.sort_unstable();
        self.tables.dedup();
        Ok(())
    }

    /// Finds the bits of bitmaps.
    fn list_bits(&mut self, budget: &mut Budget<'_>) -> Result<()> {
        let bits = self.layout.cluster_bits();
        for root in &self.bitmaps {
            let mut at = 0;
            while at < root.table.entries {
                let words = words_of(self.file, root.table, at)?;
                budget.spend(shl(from_usize(words.len()), 3)?)?;
                at = add(at, from_usize(words.len()))?;
                let offsets = words.iter().map(|word| word.get() & entry::OFFSET);
                let some = offsets.filter(|offset| *offset != 0);
                self.bits.extend(some.map(|offset| shr(offset, bits)));
                bound(&mut self.bits, self.file)?;
            }
        }
        self.bits.sort_unstable();
        self.bits.dedup();
        Ok(())
    }

    /// Whether no two tables share a cluster.
    fn judge_tables(&self) -> Result<()> {
        let mut end = 0;
        for range in &self.fixed {
            if range.start < end {
                return Err(self.overlap(range.start));
            }
            end = range.end;
        }
        for cluster in self.tables.iter().chain(&self.bits) {
            if self.is_fixed(*cluster) {
                return Err(self.overlap(*cluster));
            }
        }
        let both = |cluster: &&u64| self.bits.binary_search(cluster).is_ok();
        match self.tables.iter().find(both) {
            Some(cluster) => Err(self.overlap(*cluster)),
            None => Ok(()),
        }
    }

    /// Whether no data stands in a table, and none of it in the midst of compressed data, whose places are learned here.
    fn judge_data(&mut self, look: &Look<'h>, budget: &mut Budget<'_>) -> Result<()> {
        let mut streams = Bits::default();
        self.each(budget, &mut |table| {
            self.clusters(look, table, &mut |clusters, compressed| {
                if compressed && streams.is_empty() {
                    streams.make_room(room_for_streams(look)?);
                }
                if compressed {
                    streams.add(clusters.clone());
                }
                self.judge_free_of_tables(clusters)
            })
        })?;
        self.streams = streams;
        if self.streams.is_empty() {
            return Ok(());
        }
        budget.one_pass_more();
        self.each(budget, &mut |table| {
            self.clusters(look, table, &mut |mut clusters, compressed| match clusters
                .find(|cluster| !compressed && self.streams.has(*cluster))
            {
                Some(cluster) => Err(self.overlap(cluster).in_file(self.file.slot())),
                None => Ok(()),
            })
        })
    }

    /// Calls `visit` with the clusters of a table's entries, and whether they hold compressed data.
    fn clusters(
        &self,
        look: &Look<'_>,
        table: &Table,
        visit: &mut dyn FnMut(Range<u64>, bool) -> Result<()>,
    ) -> Result<()> {
        let tree = Tree::of(look, look.header.l1);
        let bits = self.layout.cluster_bits();
        for word in table.words.iter().step_by(tree.step()) {
            let word = word.get();
            if word & entry::COMPRESSED != 0 {
                visit(stream_clusters(bits, word)?, true)?;
            } else if word & entry::OFFSET != 0 {
                let cluster = shr(word & entry::OFFSET, bits);
                visit(cluster..add(cluster, 1)?, false)?;
            }
        }
        Ok(())
    }

    fn judge_free_of_tables(&self, clusters: Range<u64>) -> Result<()> {
        for cluster in clusters {
            if !matches!(self.kind(cluster), Kind::Data) {
                return Err(self.overlap(cluster).in_file(self.file.slot()));
            }
        }
        Ok(())
    }

    /// Calls `visit` with each L2 table, in the order of the file.
    pub(super) fn each(
        &self,
        budget: &mut Budget<'_>,
        visit: &mut dyn FnMut(&Table) -> Result<()>,
    ) -> Result<()> {
        self.each_batch(budget, &mut |tables| tables.iter().try_for_each(&mut *visit))
    }

    /// The same, some of them at a time.
    pub(super) fn each_batch(
        &self,
        budget: &mut Budget<'_>,
        visit: &mut dyn FnMut(&[Table]) -> Result<()>,
    ) -> Result<()> {
        let bits = self.layout.cluster_bits();
        let together = to_usize(shr(BATCH_BYTES, bits).max(1))?;
        let tree = Tree {
            file: self.file,
            layout: self.layout,
            l1: TableRange {
                offset: 0,
                entries: 0,
            },
            apart: false,
        };
        for some in self.tables.chunks(together) {
            budget.spend(shl(from_usize(some.len()), bits)?)?;
            let places: Result<Vec<_>> = some.iter().map(|cluster| Ok((0, shl(*cluster, bits)?))).collect();
            visit(&tree.read(&places?)?)?;
        }
        Ok(())
    }

    /// L2 tables stand elsewhere now. All else that a round moves, later rounds do not ask for.
    pub(super) fn follow(&mut self, moves: &Moves) {
        for table in &mut self.tables {
            *table = moves.cluster(*table).unwrap_or(*table);
        }
        self.tables.sort_unstable();
    }

    /// What a cluster that is counted holds.
    pub(super) fn kind(&self, cluster: u64) -> Kind {
        if self.is_fixed(cluster) {
            Kind::Fixed
        } else if self.tables.binary_search(&cluster).is_ok() {
            Kind::Table
        } else if self.bits.binary_search(&cluster).is_ok() {
            Kind::Bits
        } else if self.streams.has(cluster) {
            Kind::Streams
        } else {
            Kind::Data
        }
    }

    /// What the first cluster of a range holds, and up to where those after it hold the same.
    pub(super) fn stretch(&self, clusters: &Range<u64>) -> (Kind, u64) {
        let kind = self.kind(clusters.start);
        if !matches!(kind, Kind::Data) {
            return (kind, clusters.start.saturating_add(1));
        }
        let next = |list: &[u64]| {
            let at = list.partition_point(|cluster| *cluster < clusters.start);
            list.get(at).copied().unwrap_or(u64::MAX)
        };
        let at = self.fixed.partition_point(|range| range.start < clusters.start);
        let fixed = self.fixed.get(at).map_or(u64::MAX, |range| range.start);
        let most = clusters
            .end
            .min(next(&self.tables))
            .min(next(&self.bits))
            .min(fixed);
        let mut end = clusters.start.saturating_add(1);
        while end < most && !self.streams.has(end) {
            end = end.saturating_add(1);
        }
        (kind, end)
    }

    fn is_fixed(&self, cluster: u64) -> bool {
        let behind = self.fixed.partition_point(|range| range.start <= cluster);
        let range = behind.checked_sub(1).and_then(|at| self.fixed.get(at));
        range.is_some_and(|range| range.contains(&cluster))
    }

    fn overlap(&self, cluster: u64) -> Fault {
        let offset = cluster.saturating_mul(self.layout.cluster());
        Fault::new(faults::OVERLAP).with([offset])
    }
}

/// Entries of a table from number `first` on, as many as are looked at together.
pub(super) fn words_of(file: File<'_>, table: TableRange, first: u64) -> Result<Vec<U64>> {
    let entries = table.entries.saturating_sub(first).min(PIECE_ENTRIES);
    let mut words = alloc::vec![U64::ZERO; to_usize(entries)?];
    file.read_padded(add(table.offset, shl(first, 3)?)?, words.as_mut_bytes())?;
    Ok(words)
}

/// The clusters that a compressed one has some of.
pub(super) fn stream_clusters(bits: u32, word: u64) -> Result<Range<u64>> {
    let (start, end) = compressed_range(bits, word);
    Ok(shr(start, bits)..add(shr(end.saturating_sub(1), bits), 1)?)
}

/// Clusters among which those with compressed data are remembered.
fn room_for_streams(look: &Look<'_>) -> Result<u64> {
    let clusters = look.ledger.clusters();
    if clusters > STREAM_CLUSTERS {
        let fault = Fault::new(faults::CLUSTERS).with([clusters, STREAM_CLUSTERS]);
        return Err(fault.in_file(look.file.slot()));
    }
    // A stream may reach into the cluster behind the last one.
    add(clusters, 2)
}

/// Keeps a list of clusters, in which some may stand more than once, within bounds.
fn bound(list: &mut Vec<u64>, file: File<'_>) -> Result<()> {
    if list.len() < TABLES_MOST {
        return Ok(());
    }
    list.sort_unstable();
    list.dedup();
    if list.len() >= TABLES_MOST / 2 {
        return Err(too_many(list.len()).in_file(file.slot()));
    }
    Ok(())
}

fn too_many(found: usize) -> Fault {
    Fault::new(faults::TABLES).with([from_usize(found), from_usize(TABLES_MOST / 2)])
}

/// Entries of L1 and bitmap tables that are looked at together. Ours: 32 KiB.
const PIECE_ENTRIES: u64 = 4096;
/// Bytes of L2 tables that are read together. Ours.
const BATCH_BYTES: u64 = 1 << 20;
/// Places of tables that are held. Ours: 16 MiB.
const TABLES_MOST: usize = 2 << 20;
/// Clusters of a file with compressed data. Ours: 16 MiB.
const STREAM_CLUSTERS: u64 = 1 << 27;
