//! A new refcount structure beside the old one, from counts that come from elsewhere.
//!
//! ```text
//!  counts ─► Plan: where each block goes, and the table ─► counts again ─► blocks, table, flush ─► (the caller) the header
//! ```
//!
//! Nothing that is in use is written to: a block goes into the first free cluster from the first one on that it counts, the table
//! into the first run of free clusters that is long enough, and what finds no place behind the end of the file. Until the header leads to
//! the new table, the image is what it was. Memory is that of the table.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ops::Range;

use instar_disk::{Action, Fault, File, FileKind, Io, Preallocate, Result, fault, from_usize};

use crate::header::TableRange;
use crate::layout::{Layout, TABLE_ENTRY_BITS};
use crate::num::{add, index, internal, shl, shr, shr_up, sub};
use crate::packed;
use crate::raw::limit;

/// Where the counts of a new structure come from.
pub(crate) trait Counts {
    /// The count of the first cluster of the range, and for how many clusters of the range it is the same; at least one. What is
    /// counted 0 times is free. Ranges are asked for from front to back, twice.
    ///
    /// # Errors
    /// The host's; what keeps the counts from being known.
    fn run(&mut self, clusters: &Range<u64>) -> Result<(u64, u64)>;
}

/// A structure to which nothing leads yet; it is on stable storage.
pub(crate) struct Built {
    pub(crate) table: TableRange,
    /// Clusters of the file now.
    pub(crate) clusters: u64,
}

/// Writes the counts of the file's `clusters` clusters, and those of the structure itself, in the width that `layout` says.
///
/// # Errors
/// A table that would be too large, before anything is written; those of `counts`; the host's. The file is as long as before then.
pub(crate) fn build(file: File<'_>, layout: Layout, clusters: u64, counts: &mut dyn Counts) -> Result<Built> {
    let mut plan = Plan::new(layout);
    plan.place_blocks(clusters, counts)
        .and_then(|()| plan.place_table())
        .map_err(|fault| fault.in_file(file.slot()))?;
    let written = plan.write(file, clusters, counts);
    if written.is_err() && file.kind() != FileKind::Block {
        // What was added is of no use to anybody. If it stays, it harms nothing.
        let _ = file.resize(file.size(), Preallocate::Off);
    }
    written?;
    Ok(Built {
        table: plan.table(),
        clusters: plan.end,
    })
}

/// Where everything goes.
struct Plan {
    layout: Layout,
    /// The cluster of each block; [`ABSENT`] where nothing is counted, [`WAITING`] for those without a place yet.
    blocks: Vec<u64>,
    waiting: VecDeque<u64>,
    fits: Fits,
    /// The first cluster of the table.
    table: u64,
    /// Clusters of the file, once all is written.
    end: u64,
}

impl Plan {
    fn new(layout: Layout) -> Self {
        Self {
            layout,
            blocks: Vec::new(),
            waiting: VecDeque::new(),
            fits: Fits {
                most: shr(limit::REFCOUNT_TABLE_BYTES, layout.cluster_bits()),
                ..Fits::default()
            },
            table: 0,
            end: 0,
        }
    }

    /// Gives each block that counts something a place.
    fn place_blocks(&mut self, clusters: u64, counts: &mut dyn Counts) -> Result<()> {
        let mut at = 0;
        while at < clusters {
            let block = self.block_of(at);
            let end = shl(add(block, 1)?, self.layout.block_bits())?.min(clusters);
            // Free clusters before the first that the block counts: the first of them is its place.
            let mut lead = at..at;
            while at < end {
                let (count, run) = count_of(counts, &(at..end))?;
                let next = add(at, run)?;
                if count == 0 {
                    let free = self.place_waiting(at..next)?;
                    if self.needs(block) {
                        self.fits.add(free);
                    } else if lead.is_empty() {
                        lead = free;
                    } else {
                        lead.end = free.end;
                    }
                } else if !self.needs(block) {
                    self.need(block)?;
                    let free = self.place_waiting(core::mem::replace(&mut lead, at..at))?;
                    self.fits.add(free);
                }
                at = next;
            }
            self.fits.add(lead);
        }
        self.end = clusters;
        self.place_behind()
    }

    /// Gives the table a place. Blocks for it may make it longer, hence the repetition.
    fn place_table(&mut self) -> Result<()> {
        for _ in 0..TABLE_STEPS {
            let clusters = self.table_clusters();
            self.table = self.fits.first(clusters, self.end);
            let stop = add(self.table, clusters)?;
            for block in self.block_of(self.table)..=self.block_of(stop.saturating_sub(1)) {
                if !self.needs(block) {
                    self.need(block)?;
                }
            }
            self.end = self.end.max(stop);
            self.place_behind()?;
            if self.table_clusters() == clusters {
                return Ok(());
            }
        }
        Err(internal(line!()))
    }

    /// Gives blocks that wait the first of these free clusters; what is left of them.
    fn place_waiting(&mut self, mut free: Range<u64>) -> Result<Range<u64>> {
        while !free.is_empty()
            && let Some(block) = self.waiting.pop_front()
        {
            self.place(block, free.start)?;
            free.start = free.start.saturating_add(1);
        }
        Ok(free)
    }

    /// Gives blocks that wait places behind the end.
    fn place_behind(&mut self) -> Result<()> {
        while let Some(block) = self.waiting.pop_front() {
            let cluster = self.end;
            self.end = add(cluster, 1)?;
            self.place(block, cluster)?;
        }
        Ok(())
    }

    fn place(&mut self, block: u64, cluster: u64) -> Result<()> {
        if let Some(place) = self.blocks.get_mut(index(block)) {
            *place = cluster;
        }
        // It is counted itself.
        let its_own = self.block_of(cluster);
        if self.needs(its_own) {
            Ok(())
        } else {
            self.need(its_own)
        }
    }

    fn needs(&self, block: u64) -> bool {
        self.blocks
            .get(index(block))
            .is_some_and(|place| *place != ABSENT)
    }

    fn need(&mut self, block: u64) -> Result<()> {
        let most = shr(limit::REFCOUNT_TABLE_BYTES, TABLE_ENTRY_BITS);
        if block >= most {
            let bytes = shl(add(block, 1)?, TABLE_ENTRY_BITS)?;
            let clusters = shr_up(bytes, self.layout.cluster_bits());
            let numbers = [clusters, limit::REFCOUNT_TABLE_BYTES];
            return Err(Fault::new(fault::qcow2_write::REFCOUNT_TABLE).with(numbers));
        }
        let at = index(block);
        if self.blocks.len() <= at {
            self.blocks.resize(at.saturating_add(1), ABSENT);
        }
        if let Some(place) = self.blocks.get_mut(at) {
            *place = WAITING;
        }
        self.waiting.push_back(block);
        Ok(())
    }

    const fn block_of(&self, cluster: u64) -> u64 {
        shr(cluster, self.layout.block_bits())
    }

    fn table_clusters(&self) -> u64 {
        let entry_bits = self.layout.cluster_bits().saturating_sub(TABLE_ENTRY_BITS);
        shr_up(from_usize(self.blocks.len()), entry_bits)
    }

    fn table(&self) -> TableRange {
        let bits = self.layout.cluster_bits();
        TableRange {
            offset: self.table.wrapping_shl(bits),
            entries: self
                .table_clusters()
                .wrapping_shl(bits.saturating_sub(TABLE_ENTRY_BITS)),
        }
    }

    fn write(&self, file: File<'_>, clusters: u64, counts: &mut dyn Counts) -> Result<()> {
        let bits = self.layout.cluster_bits();
        let end = shl(self.end, bits)?;
        if self.end > clusters && file.kind() != FileKind::Block {
            file.resize(end, Preallocate::Off)?;
        }
        self.write_blocks(file, clusters, counts)?;
        self.write_table(file)?;
        file.flush()
    }

    fn write_blocks(&self, file: File<'_>, clusters: u64, counts: &mut dyn Counts) -> Result<()> {
        let bits = self.layout.cluster_bits();
        let bytes = index(self.layout.cluster());
        let together = index(shr(PIECE_BYTES, bits).max(1));
        let mut own: Vec<u64> = self
            .blocks
            .iter()
            .copied()
            .filter(|place| *place != ABSENT)
            .collect();
        own.extend(self.table..add(self.table, self.table_clusters())?);
        own.sort_unstable();
        let mut present = (0_u64..)
            .zip(self.blocks.iter().copied())
            .filter(|(_, place)| *place != ABSENT);
        let mut buffer = Vec::new();
        loop {
            let some: Vec<(u64, u64)> = present.by_ref().take(together).collect();
            if some.is_empty() {
                return Ok(());
            }
            buffer.clear();
            buffer.resize(bytes.saturating_mul(some.len()), 0);
            for ((block, _), into) in some.iter().zip(buffer.chunks_exact_mut(bytes)) {
                self.fill(*block, into, clusters, &own, counts)?;
            }
            let mut batch = Vec::with_capacity(some.len());
            for ((_, place), from) in some.iter().zip(buffer.chunks_exact(bytes)) {
                batch.push(Io::new(Action::Write {
                    slot: file.slot(),
                    offset: shl(*place, bits)?,
                    from,
                }));
            }
            file.host().all(&mut batch)?;
        }
    }

    /// Fills one block, which is all zero. `own` are the clusters of the structure, in order.
    fn fill(
        &self,
        block: u64,
        into: &mut [u8],
        clusters: u64,
        own: &[u64],
        counts: &mut dyn Counts,
    ) -> Result<()> {
        let order = self.layout.refcount_order();
        let most = packed::limit(order);
        let start = shl(block, self.layout.block_bits())?;
        let stop = shl(add(block, 1)?, self.layout.block_bits())?;
        let mut at = start;
        while at < stop.min(clusters) {
            let (count, run) = count_of(counts, &(at..stop.min(clusters)))?;
            let next = add(at, run)?;
            if count > 0 {
                packed::fill(into, order, sub(at, start)?, sub(next, start)?, count.min(most));
            }
            at = next;
        }
        let first = own.partition_point(|cluster| *cluster < start);
        let here = own.get(first..).unwrap_or_default();
        for cluster in here.iter().take_while(|cluster| **cluster < stop) {
            packed::set(into, order, sub(*cluster, start)?, 1);
        }
        Ok(())
    }

    fn write_table(&self, file: File<'_>) -> Result<()> {
        let table = self.table();
        let mut places = self.blocks.iter().copied();
        let (mut at, mut left) = (table.offset, shl(table.entries, TABLE_ENTRY_BITS)?);
        let mut buffer = Vec::new();
        while left > 0 {
            let bytes = left.min(PIECE_BYTES);
            buffer.clear();
            for _ in 0..shr(bytes, TABLE_ENTRY_BITS) {
                let place = places.next().unwrap_or(ABSENT);
                let offset = shl(place, self.layout.cluster_bits())?;
                buffer.extend_from_slice(&offset.to_be_bytes());
            }
            file.write(at, &buffer)?;
            at = add(at, bytes)?;
            left = left.saturating_sub(bytes);
        }
        Ok(())
    }
}

/// As `counts` says; the header is in use whatever it says.
fn count_of(counts: &mut dyn Counts, clusters: &Range<u64>) -> Result<(u64, u64)> {
    let (count, run) = counts.run(clusters)?;
    if clusters.start == 0 {
        return Ok((count.max(1), 1));
    }
    let left = clusters.end.saturating_sub(clusters.start);
    Ok((count, run.clamp(1, left.max(1))))
}

/// The first run of free clusters of each length.
#[derive(Default)]
struct Fits {
    /// The run met last.
    run: Range<u64>,
    /// Where the first run of at least so many clusters starts, from one on.
    firsts: Vec<u64>,
    /// Longer runs are not looked for.
    most: u64,
}

impl Fits {
    /// More free clusters, behind those before.
    fn add(&mut self, free: Range<u64>) {
        if free.is_empty() {
            return;
        }
        if self.run.is_empty() || self.run.end != free.start {
            self.run = free.start..free.start;
        }
        self.run.end = free.end;
        let length = self.run.end.saturating_sub(self.run.start).min(self.most);
        self.firsts
            .resize(self.firsts.len().max(index(length)), self.run.start);
    }

    /// The first place for so many clusters in a file of `end` clusters, or behind it.
    fn first(&self, clusters: u64, end: u64) -> u64 {
        let at = index(clusters.saturating_sub(1));
        match self.firsts.get(at) {
            Some(first) => *first,
            None if !self.run.is_empty() && self.run.end == end => self.run.start,
            None => end,
        }
    }
}

/// Of a block that counts nothing: no block stands in cluster 0.
const ABSENT: u64 = 0;
/// Of a block whose place is not known yet.
const WAITING: u64 = u64::MAX;
/// Times that a table is given a place. Ours: with each cluster it can lead to sixty-four blocks more, which count as many times that.
const TABLE_STEPS: usize = 16;
/// Bytes of one write. Ours: large enough that the request itself costs nothing.
const PIECE_BYTES: u64 = 1 << 20;

#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    reason = "small numbers; a failure is a test failure"
)]
mod tests {
    use instar_disk::job::Qcow2Create;
    use instar_testkit::Native;

    use super::*;

    /// Clusters of 512 bytes.
    const BITS: u32 = 9;

    struct List<'a>(&'a [u64]);

    impl Counts for List<'_> {
        fn run(&mut self, clusters: &Range<u64>) -> Result<(u64, u64)> {
            let all = &self.0[index(clusters.start)..index(clusters.end)];
            let alike = all.iter().take_while(|count| **count == all[0]).count();
            Ok((all[0], from_usize(alike)))
        }
    }

    /// Places as the reference tool chooses them: the first free cluster from the first one on that a block counts, the first
    /// free run for the table. Gives the blocks, the table's first cluster, and how many clusters the file has then.
    fn naive(counts: &[u64], each: usize) -> (Vec<u64>, usize, usize) {
        let mut used: Vec<bool> = counts.iter().map(|count| *count > 0).collect();
        let mut blocks: Vec<u64> = Vec::new();
        let mut free = 0;
        let mut cluster = 0;
        while cluster < used.len() {
            let block = cluster / each;
            if !used[cluster] || blocks.get(block).is_some_and(|place| *place > 0) {
                cluster += 1;
                continue;
            }
            free = free.max(block * each);
            while free < used.len() && used[free] {
                free += 1;
            }
            used.resize(used.len().max(free + 1), false);
            used[free] = true;
            blocks.resize(blocks.len().max(block + 1), 0);
            blocks[block] = from_usize(free);
            cluster += 1;
        }
        let needed = (blocks.len() * 8).div_ceil(512);
        let mut start = 0;
        while !(start..start + needed).all(|cluster| !used.get(cluster).copied().unwrap_or(false)) {
            start += 1;
        }
        let end = used.len().max(start + needed);
        (blocks, start, end)
    }

    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % limit
        }
    }

    /// Runs of counts: used a little, a lot or not at all.
    fn counts(random: &mut Random, most: u64) -> Vec<u64> {
        let mut all = alloc::vec![1];
        for _ in 0..random.below(12) {
            let length = random.below(400);
            let share = random.below(4);
            for _ in 0..length {
                let used = match share {
                    0 => false,
                    1 => random.below(10) == 0,
                    2 => random.below(10) > 0,
                    _ => true,
                };
                let count = 1 + random.below(most.min(5));
                all.push(if used { count.min(most) } else { 0 });
            }
        }
        all
    }

    #[test]
    fn every_cluster_is_counted_the_structure_included_and_places_are_the_reference_s() {
        let directory = instar_testkit::scratch();
        let path = directory.path().join("file");
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mut same = 0;
        for turn in 0..700_u32 {
            let order = turn % 7;
            let all = counts(&mut random, packed::limit(order));
            std::fs::write(&path, alloc::vec![0xee; all.len() << BITS]).unwrap();
            let native = Native::new(1);
            let file = File::new(&native, native.existing(&path));
            let options = Qcow2Create {
                cluster_bits: BITS,
                refcount_order: order,
                ..Qcow2Create::default()
            };
            let layout = Layout::new(&options, 0).unwrap();
            let built = build(file, layout, from_usize(all.len()), &mut List(&all)).unwrap();
            let bytes = std::fs::read(&path).unwrap();
            assert_eq!(from_usize(bytes.len()), built.clusters << BITS);
            let table: Vec<u64> = (0..built.table.entries)
                .map(|at| {
                    let at = index(built.table.offset + at * 8);
                    u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap())
                })
                .collect();
            let mut wanted = all.clone();
            wanted.resize(index(built.clusters), 0);
            let table_clusters = (built.table.entries * 8) >> BITS;
            let own = table
                .iter()
                .filter(|place| **place != 0)
                .map(|place| place >> BITS);
            let first = built.table.offset >> BITS;
            for cluster in own.chain(first..first + table_clusters) {
                assert_eq!(wanted[index(cluster)], 0, "{turn}: in use twice");
                wanted[index(cluster)] = 1;
                assert_eq!(
                    all.get(index(cluster)).copied().unwrap_or(0),
                    0,
                    "{turn}: not free"
                );
            }
            for (cluster, wanted) in (0_u64..).zip(&wanted) {
                let block = table
                    .get(index(cluster >> layout.block_bits()))
                    .copied()
                    .unwrap_or(0);
                let found = match block {
                    0 => 0,
                    place => packed::get(
                        &bytes[index(place)..index(place) + 512],
                        order,
                        cluster & ((1 << layout.block_bits()) - 1),
                    ),
                };
                assert_eq!(found, *wanted, "{turn}: cluster {cluster}");
            }
            let (blocks, start, end) = naive(&all, 1 << layout.block_bits());
            let places: Vec<u64> = table.iter().map(|place| place >> BITS).collect();
            same += u32::from(
                places[..blocks.len()] == blocks
                    && from_usize(start) == first
                    && from_usize(end) == built.clusters,
            );
        }
        // Where the table needs a block of its own, ours may lie elsewhere.
        assert!(same > 600, "{same} of 700");
    }
}
