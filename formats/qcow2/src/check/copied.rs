//! The copied flags of the active state, one by one: set where a refcount is 1, and nowhere else.

use alloc::collections::BTreeMap;

use instar_disk::{Budget, Fault, Findings, Result, fault};

use super::blocks::Blocks;
use super::entry::{Place, place};
use super::frame::Frame;
use super::ordered::{L2, l1_entries};
use crate::raw::entry as bit;

/// Says which flags are wrong; gives their number.
pub(super) fn check<'h>(
    frame: &Frame<'h>,
    blocks: &mut Blocks,
    budget: &mut Budget<'h>,
    findings: &mut Findings<'_>,
) -> Result<u64> {
    let mut pass = Pass {
        frame,
        blocks,
        budget,
        findings,
        known: BTreeMap::new(),
        table: L2::default(),
        wrong: 0,
    };
    l1_entries(frame, frame.header.l1, |number, value| {
        if value & bit::OFFSET != 0 {
            pass.l1_entry(number, value)?;
        }
        Ok(true)
    })?;
    Ok(pass.wrong)
}

struct Pass<'a, 'h, 'f> {
    frame: &'a Frame<'h>,
    blocks: &'a mut Blocks,
    budget: &'a mut Budget<'h>,
    findings: &'a mut Findings<'f>,
    /// Wrong flags of tables that need not be looked at again.
    known: BTreeMap<u64, u64>,
    table: L2,
    wrong: u64,
}

impl Pass<'_, '_, '_> {
    fn l1_entry(&mut self, number: u64, value: u64) -> Result<()> {
        let offset = value & bit::OFFSET;
        let Some(refcount) = self.refcount(offset)? else {
            return Ok(());
        };
        if (refcount == 1) != (value & bit::COPIED != 0) {
            self.found(Fault::new(fault::check::COPIED_L1).with([number, value, refcount]));
        }
        if let Some(wrong) = self.known.get(&offset).copied()
            && (wrong == 0 || self.findings.is_full())
        {
            self.wrong = self.wrong.saturating_add(wrong);
            self.findings.leave_out(wrong);
            return Ok(());
        }
        let before = self.wrong;
        self.table(offset)?;
        if self.known.len() < KNOWN {
            self.known.insert(offset, self.wrong.saturating_sub(before));
        }
        Ok(())
    }

    fn table(&mut self, offset: u64) -> Result<()> {
        // What lies past the end reads as zero.
        if offset >= self.frame.length {
            return Ok(());
        }
        self.budget.spend(self.frame.cluster_size())?;
        let mut table = core::mem::take(&mut self.table);
        let words = table.read(self.frame, offset)?;
        let each = if self.frame.header.features.extended_l2() {
            2
        } else {
            1
        };
        for word in words.iter().step_by(each) {
            let value = word.get();
            let Place::At(offset) = place(self.frame, value) else {
                continue;
            };
            let refcount = if self.frame.external {
                Some(1)
            } else {
                self.refcount(offset)?
            };
            if let Some(refcount) = refcount
                && (refcount == 1) != (value & bit::COPIED != 0)
            {
                self.found(Fault::new(fault::check::COPIED_L2).with([value, refcount]));
            }
        }
        self.table = table;
        Ok(())
    }

    fn refcount(&mut self, offset: u64) -> Result<Option<u64>> {
        let cluster = self.frame.cluster(offset);
        self.blocks
            .refcount(self.frame, cluster, self.budget, self.findings)
    }

    fn found(&mut self, fault: Fault) {
        self.wrong = self.wrong.saturating_add(1);
        self.findings.say(fault);
    }
}

/// Tables whose wrong flags are remembered. Ours: some megabytes.
const KNOWN: usize = 128 << 10;
