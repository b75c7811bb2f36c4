//! Clusters that hold nothing but zeros: their entries say so, and the clusters are free.
//!
//! ```text
//!  tables, as they are to be, where they stand    flush    counts of what they led to
//! ```
//!
//! The disk reads the same before and after, so that each entry may be the old one or the new one. Where snapshots share a table, it changes for
//! all of them. Data that two tables lead to stays: it is counted more often than one of them.

use ::core::ops::Range;
use alloc::vec::Vec;

use instar_disk::fault::core;
use instar_disk::{
    Action, Compacting, Distant, File, Io, Kind, Result, Sealing, Tweak, from_usize, is_zero, to_usize,
};
use zerocopy::big_endian::U64;

use super::Progress;
use super::survey::{Survey, stream_clusters};
use crate::edit::transaction::{Look, Release};
use crate::edit::tree::{Table, Tree};
use crate::header::Header;
use crate::layout::Layout;
use crate::num::{add, index, internal, shl, shr};
use crate::raw::{SUBCLUSTER_BITS, SUBCLUSTERS, entry, subcluster};
use crate::read::entries::Reading;

/// Gives up clusters of zeros; gives how many.
pub(super) fn trim(
    file: File<'_>,
    header: Header,
    sealing: Option<&Sealing>,
    how: &mut Compacting<'_>,
    progress: Progress,
) -> Result<u64> {
    if header.version < 3 && header.backing_name.is_some() {
        // Without an entry, the layer below would show.
        return Ok(0);
    }
    let reading = Reading::new(&header, file, file.slot());
    let flagged = header.version >= 3;
    let look = Look::open(file, header)?;
    let survey = Survey::of(&look)?;
    let layout = look.layout;
    let places = places(&look, &survey)?;
    let tree = Tree::of(&look, look.header.l1);
    let mut trim = Trim {
        file,
        layout,
        reading,
        sealing,
        how,
        flagged,
        release: look.grow(false)?.release()?,
        decodes: true,
        tables: Vec::new(),
        freed: Vec::new(),
        trimmed: 0,
    };
    let (mut done, all) = (0, from_usize(places.len()));
    for some in places.chunks(TOGETHER) {
        for table in tree.read(some)? {
            trim.table(&tree, table)?;
        }
        done = add(done, from_usize(some.len()))?;
        progress.say(file, done, all);
    }
    trim.write()?;
    trim.release.finish_in_order()?;
    Ok(trim.trimmed)
}

/// The L2 tables, each with the number of an L1 entry that leads to it.
fn places(look: &Look<'_>, survey: &Survey<'_>) -> Result<Vec<(u64, u64)>> {
    let bits = survey.layout.cluster_bits();
    let offsets = survey.tables.iter().map(|cluster| Ok((0, shl(*cluster, bits)?)));
    let mut places: Vec<(u64, u64)> = offsets.collect::<Result<_>>()?;
    for root in &survey.roots {
        let tree = Tree::of(look, root.table);
        let mut at = 0;
        while at < tree.l1.entries {
            let piece = tree.l1_piece(at)?;
            for (number, word) in (at..).zip(&piece) {
                let cluster = shr(word.get() & entry::OFFSET, bits);
                let found = survey.tables.binary_search(&cluster).ok();
                if let Some(place) = found.and_then(|found| places.get_mut(found)) {
                    place.0 = number;
                }
            }
            at = add(at, from_usize(piece.len()))?;
        }
    }
    Ok(places)
}

struct Trim<'h, 'a, 'f> {
    file: File<'h>,
    layout: Layout,
    reading: Reading,
    sealing: Option<&'a Sealing>,
    how: &'a mut Compacting<'f>,
    /// Entries can say that clusters are zero; else those that are not there are.
    flagged: bool,
    release: Release<'h>,
    /// Compressed data is looked at, too.
    decodes: bool,
    /// Tables that wait to be written: where, what they say, what they are to say.
    tables: Vec<(u64, Vec<U64>, Vec<U64>)>,
    /// Clusters that they lead to no more.
    freed: Vec<Given>,
    trimmed: u64,
}

/// What is given up.
enum Given {
    /// Clusters that had one entry.
    Data(Range<u64>),
    /// Those that a compressed one had a part of, and how often it was counted.
    Compressed(Range<u64>, u64),
}

/// Entries that follow one another, as do their clusters.
struct Run {
    /// Number of the first.
    at: u64,
    /// Where its cluster is.
    host: u64,
    clusters: u64,
}

impl Trim<'_, '_, '_> {
    /// Looks at what a table leads to.
    fn table(&mut self, tree: &Tree<'_>, table: Table) -> Result<()> {
        let bits = self.layout.cluster_bits();
        // What it leads to is counted as often as it is itself, or more often if others lead there, too.
        let times = self.release.ledger().count(shr(table.offset, bits))?;
        let by_disk = self.sealing.is_some_and(|sealing| sealing.tweak == Tweak::Disk);
        if times > 1 && by_disk {
            // It may stand for several places of the disk, which are encrypted differently.
            return Ok(());
        }
        let step = tree.step();
        let mut words = table.words.clone();
        let mut runs: Vec<Run> = Vec::new();
        for (at, pair) in (0_u64..).zip(table.words.chunks_exact(step)) {
            let word = pair.first().map_or(0, |word| word.get());
            if word & entry::COMPRESSED != 0 {
                if self.decodes_to_zeros(pair)? {
                    self.freed
                        .push(Given::Compressed(stream_clusters(bits, word)?, times));
                    self.set_zero(&mut words, at, None);
                }
                continue;
            }
            let host = word & entry::OFFSET;
            if host == 0 || self.release.ledger().count(shr(host, bits))? != times {
                continue;
            }
            if self.shows_none(pair) {
                self.give_up(&mut words, at, pair, host)?;
                continue;
            }
            match runs.last_mut() {
                Some(run)
                    if add(run.at, run.clusters)? == at
                        && add(run.host, shl(run.clusters, bits)?)? == host =>
                {
                    run.clusters = add(run.clusters, 1)?;
                }
                _ => runs.push(Run {
                    at,
                    host,
                    clusters: 1,
                }),
            }
        }
        let disk = shl(table.index, self.layout.reach_bits())?;
        for run in &runs {
            self.look_at(disk, run, &table, &mut words)?;
        }
        if words != table.words {
            self.tables.push((table.offset, table.words, words));
        }
        let held = shl(from_usize(self.tables.len()), bits.saturating_add(1))?;
        if held >= HELD_BYTES || self.freed.len() >= FREED_MOST {
            self.write()?;
        }
        Ok(())
    }

    /// Whether the cluster of an entry shows nothing of itself: all of it is zero by the entry, or not there.
    fn shows_none(&self, pair: &[U64]) -> bool {
        match pair {
            [word] => word.get() & entry::ZERO != 0,
            [_, shown] => shown.get() & subcluster::ALLOCATED == 0,
            _ => false,
        }
    }

    /// Reads clusters, some at a time, and gives up those of zeros.
    fn look_at(&mut self, disk: u64, run: &Run, table: &Table, words: &mut [U64]) -> Result<()> {
        let bits = self.layout.cluster_bits();
        let step = if self.layout.extended_l2() { 2 } else { 1 };
        let cluster = to_usize(self.layout.cluster())?;
        let most = shr(READ_BYTES, bits).max(1);
        let mut done = 0;
        while done < run.clusters {
            let some = run.clusters.saturating_sub(done).min(most);
            let host = add(run.host, shl(done, bits)?)?;
            let at = add(run.at, done)?;
            let mut buffer = alloc::vec![0; to_usize(shl(some, bits)?)?];
            self.read(host, add(disk, shl(at, bits)?)?, &mut buffer)?;
            let numbers = (at..).zip(buffer.chunks_exact(cluster));
            for ((number, data), host) in numbers.zip((host..).step_by(cluster)) {
                let from = index(number).saturating_mul(step);
                let pair = table.words.get(from..from.saturating_add(step));
                let pair = pair.ok_or_else(|| internal(line!()))?;
                if shows_zeros(pair, data) {
                    self.give_up(words, number, pair, host)?;
                }
            }
            done = add(done, some)?;
        }
        Ok(())
    }

    /// Reads data of the disk, which begins at `disk` there and at `host` in the file.
    fn read(&self, host: u64, disk: u64, into: &mut [u8]) -> Result<()> {
        let slot = self.file.slot();
        let mut batch = [Io::new(Action::Read {
            slot,
            offset: host,
            into: &mut *into,
        })];
        self.file.host().all(&mut batch)?;
        match self.sealing {
            Some(sealing) => sealing.key.decrypt(sealing.position(disk, host), into),
            None => Ok(()),
        }
    }

    fn decodes_to_zeros(&mut self, pair: &[U64]) -> Result<bool> {
        let Kind::Encoded(encoded) = self.reading.run(pair, 0)?.kind else {
            return Err(internal(line!()));
        };
        if !self.decodes {
            return Ok(false);
        }
        let mut data = alloc::vec![0; to_usize(self.layout.cluster())?];
        match (self.how.fetch)(Distant::Encoded(encoded), &mut data) {
            Ok(()) => Ok(is_zero(&data)),
            Err(fault) if fault.code == core::BAD_COMPRESSED_DATA => Ok(false),
            Err(fault) if matches!(fault.code, core::STREAM_LIMIT | core::WORK_LIMIT) => {
                // Many entries lead to the same data, as where snapshots do: what there is of it stays as it is.
                self.decodes = false;
                Ok(false)
            }
            Err(fault) => Err(fault),
        }
    }

    /// Has entry number `at` lead nowhere, and the cluster be free.
    fn give_up(&mut self, words: &mut [U64], at: u64, pair: &[U64], host: u64) -> Result<()> {
        let cluster = shr(host, self.layout.cluster_bits());
        let behind = add(cluster, 1)?;
        match self.freed.last_mut() {
            Some(Given::Data(last)) if last.end == cluster => last.end = behind,
            _ => self.freed.push(Given::Data(cluster..behind)),
        }
        self.set_zero(words, at, pair.get(1).map(|shown| shown.get()));
        Ok(())
    }

    /// Has entry number `at` say that what it showed is zero; `shown` are its subclusters, of which those that showed nothing stay so. Without
    /// it, all are.
    fn set_zero(&mut self, words: &mut [U64], at: u64, shown: Option<u64>) {
        self.trimmed = self.trimmed.saturating_add(1);
        let extended = self.layout.extended_l2();
        let step = if extended { 2 } else { 1 };
        let from = index(at).saturating_mul(step);
        let zero = if self.flagged && !extended { entry::ZERO } else { 0 };
        let zeros = shown.map_or(subcluster::ZERO, |shown| {
            shown & subcluster::ZERO | (shown & subcluster::ALLOCATED).wrapping_shl(SUBCLUSTERS)
        });
        for (word, value) in words.iter_mut().skip(from).take(step).zip([zero, zeros]) {
            *word = U64::new(value);
        }
    }

    /// Writes the tables, then frees what they led to.
    fn write(&mut self) -> Result<()> {
        for (offset, old, new) in self.tables.drain(..) {
            self.release.write_table(offset, &old, &new)?;
        }
        self.release.settle()?;
        for given in self.freed.drain(..) {
            match given {
                Given::Data(clusters) => self.release.give_up(clusters)?,
                Given::Compressed(clusters, times) => {
                    for _ in 0..times {
                        self.release.lower(clusters.clone())?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Whether all that the entry shows of its cluster is zero.
fn shows_zeros(pair: &[U64], data: &[u8]) -> bool {
    let [_, shown] = pair else {
        return is_zero(data);
    };
    let parts = data.chunks_exact(data.len().wrapping_shr(SUBCLUSTER_BITS));
    let mut parts = (0_u32..).zip(parts);
    parts.all(|(number, part)| shown.get() & 1_u64.wrapping_shl(number) == 0 || is_zero(part))
}

/// L2 tables that are read together. Ours.
const TOGETHER: usize = 16;
/// Bytes of data that are read together. Ours.
const READ_BYTES: u64 = 2 << 20;
/// Bytes of tables that wait. Ours.
const HELD_BYTES: u64 = 8 << 20;
/// Runs of clusters that wait to be freed. Ours: 2 MiB.
const FREED_MOST: usize = 64 << 10;
