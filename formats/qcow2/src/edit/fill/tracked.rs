//! Bitmaps of an image that is written in place: what is written is marked in every bitmap that records writes.
//!
//! Bits are set when all else is done, while the image still bears the mark of an incomplete one, so that nobody sees data
//! that its bitmaps do not know of.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use instar_disk::{Result, align_up};

use super::Existing;
use crate::bitmaps::bits::{ALL_ONES, set};
use crate::bitmaps::directory::Entry;
use crate::edit::pages::Level;
use crate::num::{add, internal, shl, shr};
use crate::raw::entry;

/// Guest ranges that were written: start and end, apart from each other.
#[derive(Default)]
pub(crate) struct Written(BTreeMap<u64, u64>);

impl Written {
    pub(crate) fn add(&mut self, start: u64, end: u64) {
        let (mut start, mut end) = (start, end);
        if let Some((&before, &until)) = self.0.range(..=start).next_back()
            && until >= start
        {
            start = before;
            end = end.max(until);
        }
        while let Some((&next, &until)) = self.0.range(start..=end).next() {
            self.0.remove(&next);
            end = end.max(until);
        }
        self.0.insert(start, end);
        if self.0.len() > RANGES_MAX {
            self.coarsen();
        }
    }

    /// Joins each second range with the one before it. A bit too many costs a copy, one too few a backup.
    fn coarsen(&mut self) {
        let ranges: Vec<(u64, u64)> = self.0.iter().map(|(start, end)| (*start, *end)).collect();
        self.0 = ranges
            .chunks(2)
            .filter_map(|pair| Some((pair.first()?.0, pair.last()?.1)))
            .collect();
    }
}

impl Existing<'_> {
    /// Sets the bits of everything that was written.
    pub(crate) fn keep_up(&mut self) -> Result<()> {
        if self.tracked.is_empty() || self.written.0.is_empty() {
            return Ok(());
        }
        self.begin()?;
        let tracked = core::mem::take(&mut self.tracked);
        let written = core::mem::take(&mut self.written);
        // Each table has clusters of its own: more of them than the file has are the same ones again and again.
        let mut tables = 0_u64;
        for bitmap in &tracked {
            let bytes = align_up(bitmap.table.entries.saturating_mul(8), self.layout.cluster())?;
            tables = tables.saturating_add(bytes);
        }
        for bitmap in &tracked {
            if tables > self.file.size() {
                return Err(self.ledger.damaged(tables, bitmap.table.offset));
            }
            self.check_table(bitmap)?;
            for (start, end) in &written.0 {
                let granularity = bitmap.shown.granularity.max(1);
                self.set_bits(
                    bitmap,
                    start.checked_div(granularity).unwrap_or(0),
                    end.div_ceil(granularity),
                )?;
            }
        }
        Ok(())
    }

    /// The table is nobody else's: it may be changed.
    fn check_table(&mut self, bitmap: &Entry) -> Result<()> {
        let bits = self.layout.cluster_bits();
        let clusters = shl(bitmap.table.entries, 3)?.div_ceil(self.layout.cluster());
        for number in 0..clusters {
            self.check_own(add(bitmap.table.offset, shl(number, bits)?)?)?;
        }
        Ok(())
    }

    fn check_own(&mut self, host: u64) -> Result<()> {
        self.check_place(host)?;
        if self.ledger.count(shr(host, self.layout.cluster_bits()))? == 1 {
            return Ok(());
        }
        Err(self.ledger.damaged(host, 0))
    }

    /// Sets bits from `first` up to `stop`.
    fn set_bits(&mut self, bitmap: &Entry, first: u64, stop: u64) -> Result<()> {
        let of_cluster = self.layout.cluster_bits().saturating_add(3);
        let mut at = first;
        while at < stop {
            let number = shr(at, of_cluster);
            if number >= bitmap.table.entries {
                return Err(internal(line!()));
            }
            let (start, end) = (shl(number, of_cluster)?, shl(add(number, 1)?, of_cluster)?);
            let to = end.min(stop);
            let whole = at == start && to == end;
            self.set_in_cluster(
                bitmap,
                number,
                at.saturating_sub(start),
                to.saturating_sub(start),
                whole,
            )?;
            at = to;
        }
        Ok(())
    }

    /// Sets the bits `from` to `to` of one cluster of bits.
    fn set_in_cluster(&mut self, bitmap: &Entry, number: u64, from: u64, to: u64, whole: bool) -> Result<()> {
        let bits = self.layout.cluster_bits();
        let raw = self.ledger.pages.word(bitmap.table.offset, number)?;
        let mut host = raw & entry::OFFSET;
        if raw & !(entry::OFFSET | ALL_ONES) != 0 || (host != 0 && raw & ALL_ONES != 0) {
            let place = add(bitmap.table.offset, shl(number, 3)?)?;
            return Err(self.ledger.damaged(raw, place));
        }
        if raw & ALL_ONES != 0 {
            return Ok(());
        }
        if host != 0 {
            self.check_own(host)?;
        }
        if whole {
            self.ledger
                .pages
                .set_word(Level::Links, bitmap.table.offset, number, ALL_ONES)?;
            return match host {
                0 => Ok(()),
                host => self.ledger.release(shr(host, bits)),
            };
        }
        if host == 0 {
            host = self.ledger.take(1)?;
            self.ledger.pages.create(host, Level::Counts)?;
            self.ledger
                .pages
                .set_word(Level::Links, bitmap.table.offset, number, host)?;
        }
        set(self.ledger.pages.edit(host)?, from, to);
        Ok(())
    }
}

/// Ranges that are told apart. Ours.
const RANGES_MAX: usize = 1 << 15;

#[cfg(test)]
mod tests {
    use super::{RANGES_MAX, Written};

    #[test]
    fn ranges_that_touch_are_one() {
        let mut written = Written::default();
        for (start, end) in [(10, 20), (30, 40), (20, 30), (5, 6), (0, 50), (60, 70)] {
            written.add(start, end);
        }
        let ranges: Vec<_> = written.0.into_iter().collect();
        assert_eq!(ranges, [(0, 50), (60, 70)]);
    }

    #[test]
    fn too_many_ranges_grow_together_and_lose_nothing() {
        let mut written = Written::default();
        let count = u64::try_from(RANGES_MAX).unwrap() * 3;
        for number in 0..count {
            written.add(number * 10, number * 10 + 5);
        }
        assert!(written.0.len() <= RANGES_MAX);
        for number in 0..count {
            let at = number * 10 + 4;
            let (_, end) = written.0.range(..=at).next_back().unwrap();
            assert!(*end > at);
        }
    }
}
