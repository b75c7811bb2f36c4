//! The copied flags of the active state, one by one: set where a refcount is 1, and nowhere else.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use instar_disk::{Budget, Fault, Findings, Result, fault, to_usize};
use zerocopy::IntoBytes;
use zerocopy::big_endian::U64;

use super::blocks::Blocks;
use super::entry::{Place, place};
use super::frame::Frame;
use super::ordered::L2;
use super::overflows::Overflows;
use super::snapshots::Snapshots;
use super::walk;
use crate::header::L1_ENTRY;
use crate::raw::entry as bit;

/// Flags that are wrong.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wrong {
    /// And stay so.
    pub(super) left: u64,
    /// And were put right.
    pub(super) fixed: u64,
}

/// The flags of an image, beside refcounts that no longer change.
pub(super) struct Flags<'a, 'h, 'f> {
    pub(super) frame: &'a Frame<'h>,
    pub(super) snapshots: &'a Snapshots,
    pub(super) blocks: &'a mut Blocks,
    pub(super) budget: &'a mut Budget<'h>,
    pub(super) findings: &'a mut Findings<'f>,
    /// They are put right.
    pub(super) repair: bool,
    pub(super) overflows: &'a Overflows,
}

/// Says which flags are wrong.
pub(super) fn check(flags: Flags<'_, '_, '_>) -> Result<Wrong> {
    let mut pass = Pass {
        flags,
        known: BTreeMap::new(),
        table: L2::default(),
        tables: Vec::new(),
        wrong: Wrong::default(),
    };
    pass.run()?;
    Ok(pass.wrong)
}

struct Pass<'a, 'h, 'f> {
    flags: Flags<'a, 'h, 'f>,
    /// Wrong flags of tables that need not be looked at again.
    known: BTreeMap<u64, u64>,
    table: L2,
    /// Tables that several things refer to, by offset, and how many L1 entries do.
    tables: Vec<(u64, u64)>,
    wrong: Wrong,
}

impl Pass<'_, '_, '_> {
    fn run(&mut self) -> Result<()> {
        let frame = self.flags.frame;
        let l1 = frame.header.l1;
        // What lies past the end reads as zero.
        let present = frame.length.saturating_sub(l1.offset) / L1_ENTRY;
        let entries = l1.entries.min(present);
        let mut words: Vec<U64> = Vec::new();
        let mut number = 0;
        while number < entries {
            let now = entries.saturating_sub(number).min(PIECE);
            words.resize(to_usize(now)?, U64::ZERO);
            let at = l1.offset.saturating_add(number.saturating_mul(L1_ENTRY));
            frame.file.read_padded(at, words.as_mut_bytes())?;
            self.weigh(&words)?;
            let writable = self.flags.repair && self.is_single(at, now.saturating_mul(L1_ENTRY))?;
            let mut changed = false;
            for (word, number) in words.iter_mut().zip(number..) {
                let value = word.get();
                if value & bit::OFFSET != 0 {
                    word.set(self.l1_entry(number, value, writable)?);
                    changed |= word.get() != value;
                }
            }
            if changed {
                frame.file.write(at, words.as_bytes())?;
            }
            number = number.saturating_add(now);
        }
        Ok(())
    }

    /// An L1 entry and its table; gives what the entry is to be.
    fn l1_entry(&mut self, number: u64, value: u64, writable: bool) -> Result<u64> {
        let offset = value & bit::OFFSET;
        let Some(refcount) = self.refcount(offset)? else {
            return Ok(value);
        };
        let mut now = value;
        if (refcount == 1) != (value & bit::COPIED != 0) {
            if writable {
                now ^= bit::COPIED;
            }
            let code = if writable {
                fault::check::REPAIRING_COPIED_L1
            } else {
                fault::check::COPIED_L1
            };
            self.found(writable, Fault::new(code).with([number, value, refcount]));
        }
        let known = self.known.get(&offset).copied();
        if let Some(wrong) = known
            && (wrong == 0 || self.flags.findings.is_full())
        {
            self.wrong.left = self.wrong.left.saturating_add(wrong);
            self.flags.findings.leave_out(wrong);
            return Ok(now);
        }
        let before = self.wrong.left;
        let writable = self.flags.repair && self.is_table(offset, refcount);
        self.table(offset, writable)?;
        if self.known.len() < KNOWN {
            self.known.insert(offset, self.wrong.left.saturating_sub(before));
        }
        Ok(now)
    }

    fn table(&mut self, offset: u64, writable: bool) -> Result<()> {
        let frame = self.flags.frame;
        // What lies past the end reads as zero.
        if offset >= frame.length {
            return Ok(());
        }
        self.flags.budget.spend(frame.cluster_size())?;
        let mut table = core::mem::take(&mut self.table);
        let words = table.read(frame, offset)?;
        let mut changed: Option<Vec<U64>> = None;
        let code = if writable {
            fault::check::REPAIRING_COPIED_L2
        } else {
            fault::check::COPIED_L2
        };
        let each = if frame.header.features.extended_l2() { 2 } else { 1 };
        for (number, word) in words.iter().enumerate().step_by(each) {
            let value = word.get();
            let Place::At(offset) = place(frame, value) else {
                continue;
            };
            let refcount = if frame.external {
                Some(1)
            } else {
                self.refcount(offset)?
            };
            if let Some(refcount) = refcount
                && (refcount == 1) != (value & bit::COPIED != 0)
            {
                if writable {
                    let changed = changed.get_or_insert_with(|| words.to_vec());
                    if let Some(word) = changed.get_mut(number) {
                        word.set(value ^ bit::COPIED);
                    }
                }
                self.found(writable, Fault::new(code).with([value, refcount]));
            }
        }
        if let Some(changed) = changed {
            frame.file.write(offset, changed.as_bytes())?;
        } else {
            self.table = table;
        }
        Ok(())
    }

    fn refcount(&mut self, offset: u64) -> Result<Option<u64>> {
        let flags = &mut self.flags;
        let cluster = flags.frame.cluster(offset);
        flags
            .blocks
            .refcount(flags.frame, cluster, flags.budget, flags.findings)
    }

    fn found(&mut self, fixed: bool, fault: Fault) {
        let count = if fixed {
            &mut self.wrong.fixed
        } else {
            &mut self.wrong.left
        };
        *count = count.saturating_add(1);
        self.flags.findings.say(fault);
    }

    /// Before anything is written to tables: finds out what else uses those of these L1 entries that are used more than once.
    fn weigh(&mut self, words: &[U64]) -> Result<()> {
        self.tables.clear();
        if !self.flags.repair {
            return Ok(());
        }
        for word in words {
            let offset = word.get() & bit::OFFSET;
            if offset != 0 && self.refcount(offset)?.is_some_and(|count| count > 1) {
                self.tables.push((offset, 0));
            }
        }
        if self.tables.is_empty() {
            return Ok(());
        }
        self.tables.sort_unstable();
        self.tables.dedup();
        let flags = &mut self.flags;
        flags.budget.one_pass_more();
        walk::weigh(flags.frame, flags.snapshots, flags.budget, &mut self.tables)
    }

    /// Whether nothing but L1 entries refers to the cluster at `offset`: what is written there is written to a table and nothing else.
    fn is_table(&self, offset: u64, refcount: u64) -> bool {
        let frame = self.flags.frame;
        let inside = frame.clusters_of(offset, frame.cluster_size()).is_some();
        let known = self.tables.binary_search_by_key(&offset, |(table, _)| *table);
        let pointers = known.ok().and_then(|at| self.tables.get(at));
        let only = refcount == 1 || pointers.is_some_and(|(_, pointers)| *pointers == refcount);
        let doubt = self
            .flags
            .overflows
            .doubt(frame.cluster(offset), refcount, frame.most());
        frame.within(offset) == 0 && inside && only && !doubt
    }

    /// Whether each cluster that these bytes touch is used once.
    fn is_single(&mut self, offset: u64, bytes: u64) -> Result<bool> {
        let Some((first, clusters)) = self.flags.frame.clusters_of(offset, bytes) else {
            return Ok(false);
        };
        for cluster in first..first.saturating_add(clusters) {
            let at = cluster.wrapping_shl(self.flags.frame.header.cluster_bits);
            let doubt = self.flags.overflows.doubt(cluster, 1, self.flags.frame.most());
            if self.refcount(at)? != Some(1) || doubt {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Entries of the L1 table that are looked at together. Ours: 2 MiB, and the largest table makes sixteen of it.
const PIECE: u64 = 256 << 10;
/// Tables whose wrong flags are remembered. Ours: some megabytes.
const KNOWN: usize = 128 << 10;
