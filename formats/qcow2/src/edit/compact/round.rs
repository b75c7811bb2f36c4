//! What stands high in the file moves into holes, round by round.
//!
//! ```text
//!  Grow      copies, the counts of their places, L2 tables that move                   flush
//!            entries of L2, L1 and bitmap tables lead to the copies, where they stand  flush
//!  Release   what was copied is free
//! ```
//!
//! Until the last step the old places and the new ones hold the same and are counted alike, so that each entry may be the old one or the
//! new one: a stop leaves clusters that are counted and not used. Where a cluster has many entries, each of them is changed. COPIED
//! flags stay what they are.

use alloc::vec::Vec;
use core::ops::Range;

use instar_disk::{Action, Budget, File, Io, Result, Sealing, from_usize};
use zerocopy::IntoBytes;
use zerocopy::big_endian::U64;

use super::copying::{Copying, Piece};
use super::holes::Holes;
use super::moves::{Moves, Shift};
use super::streams::{self, Packer};
use super::survey::{Kind, Survey, words_of};
use crate::edit::ledger::Ledger;
use crate::edit::transaction::{Grow, Look};
use crate::edit::tree::Table;
use crate::header::Header;
use crate::num::{add, shl, shr, sub};
use crate::packed;

/// One walk from the place where the file is to end to where it ends.
pub(super) struct Pass<'h, 's> {
    pub(super) file: File<'h>,
    pub(super) sealing: Option<&'s Sealing>,
    pub(super) survey: Survey<'h>,
    /// Clusters that may still have to move.
    pub(super) high: Range<u64>,
    pub(super) holes: Holes,
    /// Bytes that one round moves at least.
    pub(super) round: u64,
    /// Bytes that were moved.
    pub(super) moved: u64,
}

impl Pass<'_, '_> {
    /// Moves as much as one round takes; gives the header as it is now.
    pub(super) fn round(&mut self, header: Header) -> Result<Header> {
        let mut look = Look::open(self.file, header)?;
        let mut window = self.window(&mut look.ledger)?;
        let found = streams::of_window(&self.survey, &mut window)?;
        let mut moves = Moves {
            shifts: self.shifts(&mut look.ledger, &window)?,
            streams: Vec::new(),
        };
        moves.streams = Packer::new(&mut self.holes, &mut look.ledger).pack(found)?;
        self.high.start = window.end;
        if moves.is_empty() {
            return Ok(look.header.clone());
        }
        self.moved = add(self.moved, moves.bytes(self.survey.layout)?)?;
        let mut grow = look.grow(false)?;
        self.count(&mut grow, &moves)?;
        self.copy(&moves)?;
        self.move_tables(&moves)?;
        grow.settle()?;
        self.lead_to_copies(&mut grow, &moves)?;
        let bits = self.survey.layout.cluster_bits();
        let mut release = grow.release()?;
        for shift in &moves.shifts {
            release.give_up(shift.from..add(shift.from, shift.clusters)?)?;
        }
        for stream in &moves.streams {
            for _ in 0..stream.times {
                release.lower(stream.old_clusters(bits)?)?;
            }
        }
        self.survey.follow(&moves);
        release.finish_in_order()
    }

    /// What of the rest one round takes.
    fn window(&self, ledger: &mut Ledger<'_>) -> Result<Range<u64>> {
        let bits = self.survey.layout.cluster_bits();
        // Each round reads all tables once: where there are many, it moves more.
        let tables = shl(from_usize(self.survey.tables.len()), bits)?;
        let wanted = tables.saturating_mul(DATA_TO_TABLES);
        let most = self.round.saturating_mul(ROUND_GROWTH);
        let mut room = shr(self.round.max(wanted.min(most)), bits).max(1);
        let mut runs = 0;
        let mut at = self.high.start;
        while at < self.high.end && room > 0 && runs < RUNS {
            let (count, run) = ledger.run(&(at..self.high.end))?;
            let run = if count > 0 { run.min(room) } else { run };
            if count > 0 {
                room = sub(room, run)?;
                runs = add(runs, 1)?;
            }
            at = add(at, run)?;
        }
        Ok(self.high.start..at)
    }

    /// Gives what moves as whole clusters new places, as long as there are holes.
    fn shifts(&mut self, ledger: &mut Ledger<'_>, window: &Range<u64>) -> Result<Vec<Shift>> {
        let mut shifts = Vec::new();
        let mut at = window.start;
        while at < window.end {
            let (count, run) = ledger.run(&(at..window.end))?;
            let end = add(at, run)?;
            if count == 0 {
                at = end;
                continue;
            }
            let (kind, end) = self.survey.stretch(&(at..end));
            if matches!(kind, Kind::Fixed | Kind::Streams) {
                at = end;
                continue;
            }
            while at < end {
                let Some(hole) = self.holes.some(ledger, sub(end, at)?)? else {
                    return Ok(shifts);
                };
                let clusters = sub(hole.end, hole.start)?;
                shifts.push(Shift {
                    from: at,
                    to: hole.start,
                    clusters,
                    count,
                    kind,
                });
                at = add(at, clusters)?;
            }
        }
        Ok(shifts)
    }

    /// Counts the new places.
    fn count(&self, grow: &mut Grow<'_>, moves: &Moves) -> Result<()> {
        let layout = self.survey.layout;
        let most = packed::limit(layout.refcount_order());
        for shift in &moves.shifts {
            let clusters = shift.to..add(shift.to, shift.clusters)?;
            grow.ledger().count_as(clusters, shift.count)?;
        }
        for stream in &moves.streams {
            for cluster in stream.clusters(layout.cluster_bits())? {
                let count = add(grow.ledger().count(cluster)?, stream.times)?;
                if count > most {
                    return Err(grow.ledger().wrong_count(cluster, count));
                }
                grow.ledger().count_as(cluster..add(cluster, 1)?, count)?;
            }
        }
        Ok(())
    }

    /// Copies all but L2 tables.
    fn copy(&self, moves: &Moves) -> Result<()> {
        let bits = self.survey.layout.cluster_bits();
        let mut copying = Copying::new(self.file, self.sealing);
        for shift in moves.shifts.iter().filter(|shift| shift.kind != Kind::Table) {
            copying.add(Piece {
                from: shl(shift.from, bits)?,
                to: shl(shift.to, bits)?,
                length: shl(shift.clusters, bits)?,
                sealed: shift.kind == Kind::Data,
            })?;
        }
        streams::copy(&moves.streams, &mut copying)?;
        copying.finish()
    }

    /// Writes L2 tables that move, as they are to be, to their new places.
    fn move_tables(&self, moves: &Moves) -> Result<()> {
        if !moves.shifts.iter().any(|shift| shift.kind == Kind::Table) {
            return Ok(());
        }
        let bits = self.survey.layout.cluster_bits();
        self.rewrite(moves, &mut |table, new| {
            let cluster = moves.cluster(shr(table.offset, bits));
            let to = cluster.map(|cluster| shl(cluster, bits)).transpose()?;
            Ok(to.map(|to| (to, new)))
        })
    }

    /// Has everything lead to the new places.
    fn lead_to_copies(&self, grow: &mut Grow<'_>, moves: &Moves) -> Result<()> {
        let layout = self.survey.layout;
        self.rewrite(moves, &mut |table, new| {
            let stays = moves.cluster(shr(table.offset, layout.cluster_bits())).is_none();
            Ok((stays && new != table.words).then_some((table.offset, new)))
        })?;
        for root in self.survey.roots.iter().chain(&self.survey.bitmaps) {
            let mut at = 0;
            while at < root.table.entries {
                let old = words_of(self.file, root.table, at)?;
                let new = moves.roots(layout, &old)?;
                grow.write_alike(add(root.table.offset, shl(at, 3)?)?, &old, &new)?;
                at = add(at, from_usize(old.len()))?;
            }
        }
        Ok(())
    }

    /// Writes the new entries of L2 tables to the places that `place` gives.
    fn rewrite(&self, moves: &Moves, place: &mut Place<'_>) -> Result<()> {
        let layout = self.survey.layout;
        let slot = self.file.slot();
        self.survey
            .each_batch(&mut Budget::new(self.file), &mut |tables| {
                let mut written = Vec::new();
                for table in tables {
                    let new = moves.leaves(layout, &table.words)?;
                    written.extend(place(table, new)?);
                }
                let mut batch: Vec<Io<'_>> = written
                    .iter()
                    .map(|(offset, words)| {
                        Io::new(Action::Write {
                            slot,
                            offset: *offset,
                            from: words.as_bytes(),
                        })
                    })
                    .collect();
                self.file.host().all(&mut batch)
            })
    }
}

/// Where the new entries of a table go, if anywhere.
type Place<'a> = dyn FnMut(&Table, Vec<U64>) -> Result<Option<(u64, Vec<U64>)>> + 'a;

/// How much more data than tables a round moves. Ours.
const DATA_TO_TABLES: u64 = 16;
/// How much more than the least a round moves at most. Ours: 64 GiB.
const ROUND_GROWTH: u64 = 256;
/// Runs of clusters that one round takes. Ours: bounds memory.
const RUNS: u64 = 1 << 16;
