//! L2 tables and their entries.

use alloc::vec::Vec;

use instar_disk::{Result, align_down};

use super::Existing;
use crate::edit::pages::Level;
use crate::entry::compressed_range;
use crate::new::batch::data_entry;
use crate::num::{add, shl, shr, shr_up, sub};
use crate::raw::entry;

/// An L2 table, and an entry in it.
#[derive(Clone, Copy)]
pub(crate) struct At {
    pub(crate) l1_index: u64,
    pub(crate) index: u64,
}

/// An L2 entry and its subcluster bits, which are 0 without subclusters.
pub(crate) type Words = (u64, u64);

impl Existing<'_> {
    /// The L2 table with this number, if there is one.
    pub(crate) fn table(&mut self, l1_index: u64) -> Result<Option<(u64, bool)>> {
        let word = self.ledger.pages.word(self.header.l1.offset, l1_index)?;
        let offset = word & entry::OFFSET;
        if offset & self.layout.cluster().wrapping_sub(1) != 0 {
            return Err(self
                .ledger
                .damaged(word, add(self.header.l1.offset, shl(l1_index, 3)?)?));
        }
        Ok((offset != 0).then_some((offset, word & entry::COPIED != 0)))
    }

    /// The L2 table with this number, ours alone: made or copied if need be.
    pub(crate) fn table_to_edit(&mut self, l1_index: u64) -> Result<u64> {
        let old = self.table(l1_index)?;
        if let Some((offset, copied)) = old
            && self.ledger.is_exclusive(offset, copied)?
        {
            self.check_place(offset)?;
            return Ok(offset);
        }
        let offset = self.ledger.take(1)?;
        let content = match old {
            Some((old, _)) => self.ledger.pages.get(old)?.to_vec(),
            None => Vec::new(),
        };
        let page = self.ledger.pages.create(offset, Level::Links)?;
        if let Some(page) = page.get_mut(..content.len()) {
            page.copy_from_slice(&content);
        }
        if let Some((old, _)) = old {
            self.ledger.release(shr(old, self.layout.cluster_bits()))?;
        }
        self.ledger.pages.set_word(
            Level::Root,
            self.header.l1.offset,
            l1_index,
            offset | entry::COPIED,
        )?;
        Ok(offset)
    }

    pub(crate) fn words(&mut self, table: u64, at: u64) -> Result<Words> {
        if !self.layout.extended_l2() {
            return Ok((self.ledger.pages.word(table, at)?, 0));
        }
        let first = shl(at, 1)?;
        let word = self.ledger.pages.word(table, first)?;
        Ok((word, self.ledger.pages.word(table, add(first, 1)?)?))
    }

    pub(crate) fn set_words(&mut self, table: u64, at: u64, (word, bitmap): Words) -> Result<()> {
        if !self.layout.extended_l2() {
            return self.ledger.pages.set_word(Level::Links, table, at, word);
        }
        let first = shl(at, 1)?;
        let pages = &mut self.ledger.pages;
        pages.set_word(Level::Links, table, first, word)?;
        pages.set_word(Level::Links, table, add(first, 1)?, bitmap)
    }

    /// Where the cluster of this entry is, if it may be overwritten there.
    pub(crate) fn own_host(&mut self, (word, _): Words) -> Result<Option<u64>> {
        let host = word & entry::OFFSET;
        if word & entry::COMPRESSED != 0 || host == 0 {
            return Ok(None);
        }
        if !self.ledger.is_exclusive(host, word & entry::COPIED != 0)? {
            return Ok(None);
        }
        self.check_place(host)?;
        Ok(Some(host))
    }

    /// Refuses a cluster or table where something else is.
    pub(crate) fn check_place(&self, host: u64) -> Result<()> {
        let cluster = self.layout.cluster();
        let l1_bytes = shl(self.header.l1.entries, 3)?;
        let counts = self.ledger.table;
        let counts_bytes = shl(counts.entries, 3)?;
        let aligned = host == align_down(host, cluster);
        let in_table = |start: u64, bytes: u64| {
            let end = start.saturating_add(bytes);
            start < host.saturating_add(cluster) && host < end
        };
        if !aligned
            || host == 0
            || in_table(self.header.l1.offset, l1_bytes)
            || in_table(counts.offset, counts_bytes)
        {
            return Err(self.ledger.damaged(host, 0));
        }
        Ok(())
    }

    /// Clusters from `at` on that may be overwritten where they are and follow one another from `host`.
    pub(super) fn own_run(&mut self, table: u64, at: u64, most: u64, host: u64) -> Result<u64> {
        for number in 1..most {
            let expected = add(host, shl(number, self.layout.cluster_bits())?)?;
            let words = self.words(table, add(at, number)?)?;
            if words.0 & entry::OFFSET != expected || self.own_host(words)? != Some(expected) {
                return Ok(number);
            }
        }
        Ok(most)
    }

    /// Clusters from `at` on that need a new place.
    pub(super) fn lost_run(&mut self, table: u64, at: u64, most: u64) -> Result<u64> {
        for number in 1..most {
            let words = self.words(table, add(at, number)?)?;
            if self.own_host(words)?.is_some() {
                return Ok(number);
            }
        }
        Ok(most)
    }

    /// Counts what `clusters` entries from `at` on refer to once less.
    pub(super) fn release_run(&mut self, table: u64, at: u64, clusters: u64) -> Result<()> {
        for number in 0..clusters {
            let (word, _) = self.words(table, add(at, number)?)?;
            self.release(word)?;
        }
        Ok(())
    }

    pub(crate) fn release(&mut self, word: u64) -> Result<()> {
        let bits = self.layout.cluster_bits();
        if word & entry::COMPRESSED == 0 {
            let host = word & entry::OFFSET;
            if host == 0 || self.data.is_some() {
                return Ok(());
            }
            return self.ledger.release(shr(host, bits));
        }
        let (start, end) = compressed_range(bits, word);
        for cluster in shr(start, bits)..=shr(end.saturating_sub(1), bits) {
            self.ledger.release(cluster)?;
        }
        Ok(())
    }

    /// Enters the guest range from `start` to `stop`, which is in one table, as data at `host`.
    pub(super) fn fill(&mut self, table: u64, start: u64, stop: u64, host: u64) -> Result<()> {
        let cluster = self.layout.cluster();
        let (mut at, mut host) = (start, host);
        while at < stop {
            let next = add(at, cluster)?.min(stop);
            let units = self.units(sub(next, at)?);
            let index = self.locate(at)?.index;
            self.set_words(table, index, data_entry(host, 0, units))?;
            host = add(host, cluster)?;
            at = next;
        }
        Ok(())
    }

    /// The subclusters that the first `bytes` bytes of a cluster touch; 0 without subclusters.
    fn units(&self, bytes: u64) -> u64 {
        if !self.layout.extended_l2() {
            return 0;
        }
        let subclusters = shr_up(bytes, self.layout.unit_bits());
        let bits = u32::try_from(subclusters).unwrap_or(u32::MAX);
        1_u64
            .checked_shl(bits)
            .map_or(u64::MAX, |bit| bit.wrapping_sub(1))
    }
}
