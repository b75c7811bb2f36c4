//! Clusters that are zero by a flag, for version 2, which does not have it.
//!
//! ```text
//!                              nothing below the image        something below it
//!  without a place             no entry: reads as zero        a place, zeros in it
//!  with a place of its own     the place, zeros in it         likewise
//!  with a place that others    no entry                       another place, zeros in it
//!  have data in
//! ```
//!
//! What the entry says reads the same before and after, so that it is changed where it stands: each table is written once its new
//! places are counted and zero on stable storage. An L2 table that several L1 tables lead to is changed for all of them: what it refers to
//! is counted as often as it is itself.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::ops::Range;

use instar_disk::fault::amend as faults;
use instar_disk::job::Compression;
use instar_disk::{Budget, Fault, Result, Sealing, align_down, from_usize};
use zerocopy::big_endian::U64;

use super::snapshots::l1_tables;
use crate::edit::ledger::Ledger;
use crate::edit::transaction::{Grow, Look};
use crate::edit::tree::{Table, Tree};
use crate::header::TableRange;
use crate::num::{add, shl, shr};
use crate::raw::entry;

/// Flags of clusters in an image that shall become version 2.
pub(super) struct Survey {
    trees: Vec<TableRange>,
    cluster_bits: u32,
    /// Something lies below the image.
    covered: bool,
    /// Clusters that are taken at most.
    clusters: u64,
    /// Places are given up that others have data in.
    shared: bool,
    tables: u64,
}

impl Survey {
    /// Looks at all tables; none if no cluster has the flag.
    ///
    /// # Errors
    /// `DOWN_ZSTD`; damaged tables or counts; the host's.
    pub(super) fn of(look: &mut Look<'_>) -> Result<Option<Self>> {
        let mut survey = Self {
            trees: l1_tables(look.file, &look.header)?,
            cluster_bits: look.layout.cluster_bits(),
            covered: look.header.backing_name.is_some(),
            clusters: 0,
            shared: false,
            tables: 0,
        };
        let zstd = look.header.compression == Compression::Zstd;
        let mut found = false;
        let (covered, slot) = (survey.covered, look.file.slot());
        let (trees, mut seen) = (survey.trees.clone(), Seen::new(look));
        for l1 in trees {
            let tree = Tree::of(look, l1);
            seen.each(&tree, &mut |table| {
                survey.tables = survey.tables.saturating_add(1);
                let times = Times::of(&mut look.ledger, &table)?;
                for (word, at) in table.words.iter().zip(0_u64..) {
                    let word = word.get();
                    if word & entry::COMPRESSED != 0 {
                        if zstd {
                            return Err(Fault::new(faults::DOWN_ZSTD).in_file(slot));
                        }
                        continue;
                    }
                    if word & entry::ZERO == 0 {
                        continue;
                    }
                    found = true;
                    let place = times.place(&mut look.ledger, &tree, &table, at, word)?;
                    survey.shared |= place == Place::Shared;
                    if covered && place != Place::Own {
                        survey.clusters = add(survey.clusters, 1)?;
                    }
                }
                Ok(())
            })?;
        }
        Ok(found.then_some(survey))
    }

    /// Bytes that the file may grow by.
    pub(super) const fn room(&self) -> u64 {
        self.clusters
            .saturating_mul(1_u64.wrapping_shl(self.cluster_bits))
    }

    /// Does without the flag: the disk and every snapshot stay what they are, and so does the version. Gives the length of the file
    /// then, in bytes, at most.
    pub(super) fn expand(self, look: Look<'_>, sealing: Option<&Sealing>) -> Result<u64> {
        let (file, layout, active) = (look.file, look.layout, look.header.l1);
        let mut seen = Seen::new(&look);
        // Where places are given up, others may be the only ones there for a while, and not say so.
        let mut grow = if self.shared {
            look.grow(true)?
        } else {
            look.grow_unmarked()
        };
        let mut batch = Batch {
            covered: self.covered,
            sealing,
            ..Batch::default()
        };
        let mut done = 0;
        let mut outcome = Ok(());
        for l1 in &self.trees {
            let tree = Tree {
                file,
                layout,
                l1: *l1,
                // An image with a data file is not downgraded.
                apart: false,
            };
            outcome = seen.each(&tree, &mut |table| {
                done = add(done, 1)?;
                file.host().progress(done, self.tables);
                batch.add(&mut grow, &tree, table)
            });
            if outcome.is_err() {
                break;
            }
        }
        if let Err(fault) = outcome.and_then(|()| batch.write(&mut grow)) {
            // Places that something leads to by now are not among those that are given up.
            if !batch.lowered {
                grow.abandon();
            }
            return Err(fault);
        }
        let mut release = grow.release()?;
        if batch.lowered {
            let tree = Tree {
                file,
                layout,
                l1: active,
                apart: false,
            };
            tree.mark_copied(&mut release)?;
        }
        let end = release.ledger().end()?;
        release.finish()?;
        Ok(end)
    }
}

/// Tables with new entries that wait for their places to be on stable storage.
#[derive(Default)]
struct Batch<'s> {
    covered: bool,
    /// How data is encrypted, if it is.
    sealing: Option<&'s Sealing>,
    tables: Vec<(u64, Vec<U64>, Vec<U64>)>,
    /// Places to be given up, and how many entries did so.
    given_up: Vec<(u64, u64)>,
    lowered: bool,
}

impl Batch<'_> {
    /// Gives the entries of a table what they need instead of the flag.
    fn add(&mut self, grow: &mut Grow<'_>, tree: &Tree<'_>, table: Table) -> Result<()> {
        let bits = tree.layout.cluster_bits();
        let times = Times::of(grow.ledger(), &table)?;
        let mut words = table.words.clone();
        // Entries that need a new place, which follow one another.
        let mut run: Range<usize> = 0..0;
        // Where the table begins on the disk.
        let disk = shl(table.index, tree.layout.reach_bits())?;
        let zeros = Zeros {
            sealing: self.sealing,
            disk,
            bits,
        };
        for (at, word) in table.words.iter().enumerate() {
            let old = word.get();
            if old & entry::COMPRESSED != 0 || old & entry::ZERO == 0 {
                continue;
            }
            let place = times.place(grow.ledger(), tree, &table, from_usize(at), old)?;
            let host = old & entry::OFFSET;
            if place == Place::Own {
                zeros.write(grow, at, host, 1)?;
                set(&mut words, at, times.entry(host));
                continue;
            }
            if place == Place::Shared {
                self.given_up.push((shr(host, bits), times.0));
            }
            set(&mut words, at, 0);
            if self.covered {
                if run.end != at {
                    times.take(grow, &mut words, &run, &zeros)?;
                    run = at..at;
                }
                run.end = at.saturating_add(1);
            }
        }
        times.take(grow, &mut words, &run, &zeros)?;
        if words != table.words {
            self.tables.push((table.offset, table.words, words));
        }
        let held = self
            .tables
            .len()
            .saturating_mul(size_of::<U64>())
            .saturating_mul(2);
        let held = held.saturating_mul(self.tables.first().map_or(0, |(_, words, _)| words.len()));
        if held >= HELD_BYTES || self.given_up.len() >= GIVEN_UP_MOST {
            self.write(grow)?;
        }
        Ok(())
    }

    /// Writes the tables, then lowers the counts of places that they gave up.
    fn write(&mut self, grow: &mut Grow<'_>) -> Result<()> {
        if self.tables.is_empty() {
            return Ok(());
        }
        grow.settle()?;
        // From here on something may lead to what was taken.
        grow.keep();
        for (offset, old, new) in self.tables.drain(..) {
            grow.write_alike(offset, &old, &new)?;
        }
        if self.given_up.is_empty() {
            return Ok(());
        }
        grow.settle()?;
        self.lowered = true;
        for (cluster, times) in self.given_up.drain(..) {
            let range = cluster..add(cluster, 1)?;
            let count = grow.ledger().count(cluster)?.saturating_sub(times);
            grow.ledger().count_as(range, count)?;
        }
        Ok(())
    }
}

/// What an entry with the flag has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    None,
    /// Nothing but this table leads there.
    Own,
    /// Others lead there, and have data in it.
    Shared,
}

/// How often a table is counted, and hence each place that it leads to.
#[derive(Clone, Copy)]
struct Times(u64);

impl Times {
    fn of(ledger: &mut Ledger<'_>, table: &Table) -> Result<Self> {
        let own = shr(table.offset, ledger.layout.cluster_bits());
        match ledger.count(own)? {
            0 => Err(ledger.wrong_count(own, 0)),
            count => Ok(Self(count)),
        }
    }

    /// What the entry number `at` has.
    fn place(
        self,
        ledger: &mut Ledger<'_>,
        tree: &Tree<'_>,
        table: &Table,
        at: u64,
        word: u64,
    ) -> Result<Place> {
        let host = word & entry::OFFSET;
        if host == 0 {
            return Ok(Place::None);
        }
        if host != align_down(host, tree.layout.cluster()) {
            return Err(tree.damaged(word, add(table.offset, shl(at, 3)?)?));
        }
        let cluster = shr(host, tree.layout.cluster_bits());
        let count = ledger.count(cluster)?;
        if count < self.0 {
            return Err(ledger.wrong_count(cluster, count));
        }
        Ok(if count == self.0 {
            Place::Own
        } else {
            Place::Shared
        })
    }

    /// The entry of data at that place.
    const fn entry(self, host: u64) -> u64 {
        if self.0 == 1 { host | entry::COPIED } else { host }
    }

    /// Takes places for a run of entries, zeros in them.
    fn take(
        self,
        grow: &mut Grow<'_>,
        words: &mut [U64],
        run: &Range<usize>,
        zeros: &Zeros<'_>,
    ) -> Result<()> {
        let bits = zeros.bits;
        let clusters = from_usize(run.len());
        if clusters == 0 {
            return Ok(());
        }
        let mut host = grow.take(clusters)?;
        if self.0 > 1 {
            let first = shr(host, bits);
            grow.ledger().count_as(first..add(first, clusters)?, self.0)?;
        }
        zeros.write(grow, run.start, host, clusters)?;
        for at in run.clone() {
            set(words, at, self.entry(host));
            host = add(host, shl(1, bits)?)?;
        }
        Ok(())
    }
}

/// Zeros of the disk where a table leads.
struct Zeros<'s> {
    /// How data is encrypted, if it is.
    sealing: Option<&'s Sealing>,
    /// Where the table begins on the disk.
    disk: u64,
    bits: u32,
}

impl Zeros<'_> {
    /// Has clusters at `host` hold zeros: those of entry number `at` and what follows it.
    fn write(&self, grow: &mut Grow<'_>, at: usize, host: u64, clusters: u64) -> Result<()> {
        let bytes = shl(clusters, self.bits)?;
        let Some(sealing) = self.sealing else {
            return grow.zero(host..add(host, bytes)?);
        };
        let file = grow.ledger().file;
        sealing.write_zeros(
            &file,
            add(self.disk, shl(from_usize(at), self.bits)?)?,
            host,
            bytes,
        )
    }
}

fn set(words: &mut [U64], at: usize, word: u64) {
    if let Some(into) = words.get_mut(at) {
        *into = U64::new(word);
    }
}

/// L2 tables that were looked at: many L1 tables may lead to each.
struct Seen<'h> {
    offsets: BTreeSet<u64>,
    budget: Budget<'h>,
}

impl<'h> Seen<'h> {
    fn new(look: &Look<'h>) -> Self {
        Self {
            offsets: BTreeSet::new(),
            budget: Budget::new(look.file),
        }
    }

    /// Calls `visit` with each table of the tree that was not looked at before.
    fn each(&mut self, tree: &Tree<'_>, visit: &mut dyn FnMut(Table) -> Result<()>) -> Result<()> {
        let Self { offsets, budget } = self;
        budget.spend(shl(tree.l1.entries, 3)?)?;
        let cluster = tree.layout.cluster();
        tree.each_wanted(
            0,
            &mut |offset| {
                let new = offsets.insert(offset);
                if new {
                    budget.spend(cluster)?;
                }
                Ok(new)
            },
            visit,
        )
    }
}

/// Bytes of tables that wait. Ours.
const HELD_BYTES: usize = 8 << 20;
/// Places that wait to be given up. Ours: 1 MiB.
const GIVEN_UP_MOST: usize = 64 << 10;
