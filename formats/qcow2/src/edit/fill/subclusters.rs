//! Parts of clusters: subclusters, each of which is allocated, zero, or what is below.

use instar_disk::{Placement, Result, align_down, from_usize, to_usize};

use super::Existing;
use crate::new::batch::{data_entry, zero_subclusters};
use crate::num::{add, internal, shl, shr, shr_up, sub};
use crate::raw::entry;

impl Existing<'_> {
    /// How far whole clusters go from `offset` on; or, if the first is not whole, how far the range goes in that.
    pub(super) fn whole_clusters(&self, offset: u64, end: u64) -> Result<core::result::Result<u64, u64>> {
        let cluster = self.layout.cluster();
        let whole = if end == self.layout.size() {
            end
        } else {
            align_down(end, cluster)
        };
        let start = align_down(offset, cluster);
        if start == offset && whole > offset {
            return Ok(Ok(whole));
        }
        Ok(Err(end.min(add(start, cluster)?)))
    }

    /// Where data for a part of a cluster goes.
    pub(super) fn allocate_part(&mut self, offset: u64, end: u64) -> Result<Placement> {
        let start = align_down(offset, self.layout.cluster());
        let within = sub(offset, start)?;
        let at = self.locate(offset)?;
        let table = self.table_to_edit(at.l1_index)?;
        let old = self.words(table, at.index)?;
        let units = self.part(within, sub(end, start)?)?;
        let (slot, host, fresh) = match (self.data, self.own_host(old)?) {
            (Some(data), _) => (data.slot(), start, false),
            (None, Some(host)) => (self.file.slot(), host, false),
            (None, None) => {
                let host = self.ledger.take(1)?;
                let shared = old.0 & entry::OFFSET;
                if old.0 & entry::COMPRESSED != 0 {
                    return Err(internal(line!()));
                }
                if shared != 0 {
                    self.copy_cluster(start, shared, host)?;
                    self.release(old.0)?;
                }
                (self.file.slot(), host, shared == 0 && self.is_fresh(host))
            }
        };
        self.set_words(table, at.index, data_entry(host, old.1, units))?;
        Ok(Placement {
            slot,
            offset: add(host, within)?,
            length: sub(end, offset)?,
            fresh,
        })
    }

    /// Makes a part of a cluster zero; gives where that ends.
    pub(super) fn zero_part(&mut self, offset: u64, end: u64) -> Result<u64> {
        let start = align_down(offset, self.layout.cluster());
        let at = self.locate(offset)?;
        self.begin()?;
        let table = self.table_to_edit(at.l1_index)?;
        let (word, bitmap) = self.words(table, at.index)?;
        if word & entry::COMPRESSED != 0 {
            return Err(internal(line!()));
        }
        let units = self.part(sub(offset, start)?, sub(end, start)?)?;
        self.set_words(table, at.index, zero_subclusters(word, bitmap, units))?;
        Ok(end)
    }

    /// The subclusters from byte `from` of a cluster up to byte `to`, one bit each.
    fn part(&self, from: u64, to: u64) -> Result<u64> {
        let bits = self.layout.unit_bits();
        let below = |number: u64| Ok(shl(1, u32::try_from(number).unwrap_or(u32::MAX))?.wrapping_sub(1));
        let (first, stop): (u64, u64) = (below(shr(from, bits))?, below(shr_up(to, bits))?);
        Ok(stop & !first)
    }

    /// Brings what the shared cluster at `from` holds to one of our own; it is at `disk` on the disk.
    fn copy_cluster(&self, disk: u64, from: u64, to: u64) -> Result<()> {
        let mut bytes = alloc::vec![0; to_usize(self.layout.cluster())?];
        debug_assert_eq!(from_usize(bytes.len()), self.layout.cluster());
        self.file.read_padded(from, &mut bytes)?;
        if let Some(sealing) = &self.sealing {
            // The place counts.
            sealing.key.decrypt(sealing.position(disk, from), &mut bytes)?;
            sealing.key.encrypt(sealing.position(disk, to), &mut bytes)?;
        }
        self.file.write(to, &bytes)
    }
}
