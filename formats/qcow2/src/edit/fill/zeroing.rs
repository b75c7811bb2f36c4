//! Zeroing in an existing image: by a flag where the format has one, else by freeing, else by zeros.

use instar_disk::{Action, Result, Target, ZeroHow};

use super::{Existing, Upkeep, Words};
use crate::num::{add, internal, shl, shr_up, sub};
use crate::raw::{entry, subcluster};

impl Existing<'_> {
    /// Makes the range from `start` on zero, up to the end of its L2 table or `end`; gives where that is.
    pub(crate) fn zero_table(&mut self, start: u64, end: u64) -> Result<u64> {
        let at = self.locate(start)?;
        let stop = shl(add(at.l1_index, 1)?, self.layout.reach_bits())?.min(end);
        let covered = self.covered;
        let v3 = self.header.version >= 3;
        // Zeros of an encrypted disk are none in the file: only the flag says that they are.
        if self.data.is_some() && self.header.features.data_file_raw() && self.sealing.is_none() {
            return self.zero_raw_data(start, stop);
        }
        if self.table(at.l1_index)?.is_none() && !covered {
            return Ok(stop);
        }
        if !v3 && covered {
            return self.zero_by_data(start, stop);
        }
        let mut table = self.table(at.l1_index)?.map(|(offset, _)| offset);
        let mut owned = false;
        let mut idle = Idle::default();
        for number in 0..shr_up(sub(stop, start)?, self.layout.cluster_bits()) {
            let index = add(at.index, number)?;
            let old = match table {
                Some(table) => self.words(table, index)?,
                None => (0, 0),
            };
            if self.is_zero(old, covered) {
                continue;
            }
            if !owned {
                self.begin()?;
                table = Some(self.table_to_edit(at.l1_index)?);
                owned = true;
            }
            let table = table.ok_or_else(|| internal(line!()))?;
            let new = self.zero_words(old, v3)?;
            self.set_words(table, index, new)?;
            let cluster = self.layout.cluster();
            if new.0 & entry::COPIED != 0 && !idle.extend(new.0 & entry::OFFSET, cluster) {
                self.give_back(idle)?;
                idle = Idle {
                    start: new.0 & entry::OFFSET,
                    bytes: cluster,
                };
            }
        }
        self.give_back(idle)?;
        Ok(stop)
    }

    /// Whether a cluster reads as zero already; `covered`: something may be below.
    fn is_zero(&self, (word, bitmap): Words, covered: bool) -> bool {
        if word & entry::COMPRESSED != 0 {
            return false;
        }
        if self.layout.extended_l2() {
            let allocated = bitmap & subcluster::ALLOCATED != 0;
            let all_zero = bitmap & subcluster::ZERO == subcluster::ZERO;
            return !allocated && (!covered || all_zero);
        }
        let unallocated = word & entry::OFFSET == 0 && word & entry::COPIED == 0;
        word & entry::ZERO != 0 || (unallocated && !covered)
    }

    /// The entry of a cluster that becomes zero: it keeps its place if that is its own.
    fn zero_words(&mut self, old: Words, v3: bool) -> Result<Words> {
        let external = self.data.is_some() && old.0 & entry::COPIED != 0;
        let keeps = v3 && (external || self.own_host(old)?.is_some());
        let mut place = 0;
        if keeps {
            place = old.0 & (entry::OFFSET | entry::COPIED);
        } else {
            self.release(old.0)?;
        }
        if self.layout.extended_l2() {
            return Ok((place, subcluster::ZERO));
        }
        Ok((if v3 { place | entry::ZERO } else { 0 }, 0))
    }

    /// Gives the space of zeroed clusters back to the filesystem; their places stay theirs. If the image is to stay readable, that waits
    /// until it says that they are zero.
    fn give_back(&mut self, idle: Idle) -> Result<()> {
        if idle.bytes == 0 {
            return Ok(());
        }
        // The last cluster of a data file is rarely whole.
        let end = add(idle.start, idle.bytes)?;
        let end = if self.data.is_some() {
            end.min(self.layout.size())
        } else {
            end
        };
        if let Upkeep::Readable(readable) = &mut self.upkeep {
            readable.idle.push(idle.start..end);
            return Ok(());
        }
        let slot = self.data.unwrap_or(self.file).slot();
        let length = sub(end, idle.start)?;
        let discard = Action::Discard {
            slot,
            offset: idle.start,
            length,
        };
        self.file.host().one(discard).map(|_| ())
    }

    fn zero_by_data(&mut self, start: u64, stop: u64) -> Result<u64> {
        let mut at = start;
        while at < stop {
            let placed = self.allocate(at, sub(stop, at)?)?;
            match &self.sealing {
                Some(sealing) => sealing.write_zeros(&self.file, at, placed.offset, placed.length)?,
                None if placed.fresh => {}
                None => self.file.zero(placed.offset, placed.length, ZeroHow::Keep)?,
            }
            at = add(at, placed.length)?;
        }
        Ok(stop)
    }

    /// A program that reads only the data file of such an image must see zeros too.
    fn zero_raw_data(&mut self, start: u64, stop: u64) -> Result<u64> {
        let data = self.data.ok_or_else(|| internal(line!()))?;
        let placed = self.allocate(start, sub(stop, start)?)?;
        data.zero(placed.offset, placed.length, ZeroHow::MayUnmap)?;
        add(start, placed.length)
    }
}

/// Bytes of the file that nobody reads any more.
#[derive(Clone, Copy, Default)]
struct Idle {
    start: u64,
    bytes: u64,
}

impl Idle {
    /// Adds what follows; false if something else does.
    fn extend(&mut self, host: u64, bytes: u64) -> bool {
        if self.bytes == 0 || self.start.checked_add(self.bytes) != Some(host) {
            return false;
        }
        self.bytes = self.bytes.saturating_add(bytes);
        true
    }
}
