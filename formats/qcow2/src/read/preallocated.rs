//! Whether the tables of an image were made in advance.
//!
//! The reference tool tells by the file's storage: if clearly more clusters are counted as used than the file occupies, many
//! of them were never written, and it pays to ask the filesystem which.

use alloc::vec;
use alloc::vec::Vec;

use instar_disk::{Action, File, Io, Result, align_down, from_usize, to_usize};
use zerocopy::IntoBytes;
use zerocopy::big_endian::U64;

use crate::header::Header;
use crate::raw::limit::FILE_END;

/// Whether more clusters have a refcount than the file's storage can hold, by a margin that is the reference tool's.
pub(crate) fn detect(file: File<'_>, header: &Header) -> Result<bool> {
    let storage = allocated(file)?;
    let clusters = storage >> header.cluster_bits;
    let tenth_more = clusters.saturating_mul(10) / 9;
    let threshold = tenth_more.max(clusters.saturating_add(2));
    let mut count = Count {
        file,
        order: header.refcount_order,
        block_bytes: header.cluster_size(),
        left: file.size().div_ceil(header.cluster_size()),
        used: 0,
        // What is counted must be in the file, and each byte of it once.
        allowance: storage.saturating_mul(2).saturating_add(SLACK),
    };
    let mut entries = vec![U64::ZERO; ENTRIES];
    let mut at = 0_u64;
    while at < header.refcount_table.entries && count.left > 0 && count.used < threshold {
        let length = header.refcount_table.entries.saturating_sub(at);
        let length = to_usize(length)?.min(ENTRIES);
        let piece = entries.get_mut(..length).unwrap_or_default();
        let offset = header.refcount_table.offset.saturating_add(at.saturating_mul(8));
        file.read_padded(offset, piece.as_mut_bytes())?;
        if !count.blocks(piece, threshold)? {
            return Ok(false);
        }
        at = at.saturating_add(from_usize(length));
    }
    Ok(count.used >= threshold)
}

fn allocated(file: File<'_>) -> Result<u64> {
    let slot = file.slot();
    file.host().one(Action::Allocated { slot })
}

struct Count<'h> {
    file: File<'h>,
    order: u32,
    block_bytes: u64,
    /// Clusters of the file that have not been looked at.
    left: u64,
    used: u64,
    allowance: u64,
}

impl Count<'_> {
    /// Goes through refcount blocks; `false` if they cannot be what they seem to be.
    fn blocks(&mut self, entries: &[U64], threshold: u64) -> Result<bool> {
        let per_block = self
            .block_bytes
            .saturating_mul(8)
            .checked_shr(self.order)
            .unwrap_or(0);
        let together = to_usize(BATCH.checked_div(self.block_bytes).unwrap_or(1).max(1))?;
        for group in entries.chunks(together) {
            let wanted = group.iter().filter(|entry| offset(entry) != 0).count();
            let bytes = from_usize(wanted).saturating_mul(self.block_bytes);
            if group.iter().any(|entry| {
                offset(entry) != align_down(offset(entry), self.block_bytes) || offset(entry) >= FILE_END
            }) || bytes > self.allowance
            {
                return Ok(false);
            }
            self.allowance = self.allowance.saturating_sub(bytes);
            let blocks = self.read(group, wanted)?;
            let mut blocks = blocks.chunks(to_usize(self.block_bytes)?);
            for entry in group {
                let here = per_block.min(self.left);
                if offset(entry) != 0 {
                    let block = blocks.next().unwrap_or_default();
                    let used = used(block, self.order, here);
                    self.used = self.used.saturating_add(used);
                }
                self.left = self.left.saturating_sub(here);
            }
            if self.left == 0 || self.used >= threshold {
                break;
            }
        }
        Ok(true)
    }

    fn read(&self, group: &[U64], wanted: usize) -> Result<Vec<u8>> {
        let block_bytes = to_usize(self.block_bytes)?;
        let mut blocks = vec![0; block_bytes.saturating_mul(wanted)];
        let slot = self.file.slot();
        let offsets = group.iter().map(offset).filter(|offset| *offset != 0);
        let mut batch: Vec<Io<'_>> = offsets
            .zip(blocks.chunks_mut(block_bytes.max(1)))
            .map(|(offset, into)| Io::new(Action::Read { slot, offset, into }))
            .collect();
        // What the file lacks stays zero.
        self.file.host().all(&mut batch)?;
        Ok(blocks)
    }
}

/// Where a refcount block stands; 0 if there is none.
fn offset(entry: &U64) -> u64 {
    entry.get() & !0x1ff
}

/// How many of the first `count` refcounts of a block are not zero.
fn used(block: &[u8], order: u32, count: u64) -> u64 {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let used = match order {
        0..=2 => {
            let width = 1_u32.wrapping_shl(order);
            let mask = u8::MAX.wrapping_shr(8_u32.saturating_sub(width));
            let shifts = (0..8_u32).filter(|shift| shift.is_multiple_of(width));
            let fields = block
                .iter()
                .flat_map(|byte| shifts.clone().map(move |shift| byte.wrapping_shr(shift) & mask));
            fields.take(count).filter(|field| *field != 0).count()
        }
        3 => nonzero::<1>(block, count),
        4 => nonzero::<2>(block, count),
        5 => nonzero::<4>(block, count),
        _ => nonzero::<8>(block, count),
    };
    from_usize(used)
}

fn nonzero<const N: usize>(block: &[u8], count: usize) -> usize {
    let (fields, _) = block.as_chunks::<N>();
    fields
        .iter()
        .take(count)
        .filter(|field| **field != [0; N])
        .count()
}

/// Entries of the refcount table that are read at a time. Ours.
const ENTRIES: usize = 4096;
/// Bytes of refcount blocks that are read at a time. Ours: a doorbell for each of them would cost more than reading them.
const BATCH: u64 = 1 << 20;
/// What a tiny image may have on top. Ours.
const SLACK: u64 = 8 << 20;

#[cfg(test)]
mod tests {
    use super::used;

    #[test]
    fn counts_fields_of_every_width() {
        assert_eq!(used(&[0b1000_0001, 0], 0, 16), 2);
        assert_eq!(used(&[0b1000_0001, 0], 0, 7), 1);
        assert_eq!(used(&[0b0100_0011], 1, 4), 2);
        assert_eq!(used(&[0x10], 2, 2), 1);
        assert_eq!(used(&[1, 0, 2], 3, 3), 2);
        assert_eq!(used(&[0, 1, 0, 0, 1, 0], 4, 3), 2);
        assert_eq!(used(&[0, 0, 0, 1, 0, 0, 0, 0], 5, 2), 1);
        assert_eq!(used(&[0, 0, 0, 1, 0, 0, 0, 0], 6, 1), 1);
    }
}
