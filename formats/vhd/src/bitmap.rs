//! Sector bitmaps of a differencing disk.

use alloc::vec::Vec;

use instar_disk::{File, Result, Walked, Work, from_usize, to_usize};

/// Bytes of a bitmap read at a time. Ours: 16 MiB of guest, eight times the usual block.
const PIECE: u64 = 4096;

/// The piece of a bitmap that was read last.
#[derive(Debug, Default)]
pub(crate) struct Bitmap {
    /// Where in the file it stands.
    at: u64,
    bits: Vec<u8>,
    walked: Walked,
}

impl Bitmap {
    /// What bitmaps have taken so far.
    pub(crate) const fn work(&self) -> Work {
        self.walked.work()
    }

    /// Whether the sector `sector` of `block` is in it, and for how many sectors that holds, as far as one piece tells. The
    /// block's bitmap is `size` bytes at `offset`.
    pub(crate) fn run(
        &mut self,
        file: &File<'_>,
        block: u64,
        (offset, size): (u64, u64),
        sector: u64,
    ) -> Result<(bool, u64)> {
        let byte = sector / 8;
        let start = instar_disk::align_down(byte, PIECE);
        let at = offset.saturating_add(start);
        if self.at != at || self.bits.is_empty() {
            let mut bits = core::mem::take(&mut self.bits);
            bits.clear();
            bits.resize(to_usize(size.saturating_sub(start).min(PIECE))?, 0);
            let length = from_usize(bits.len());
            self.walked.read_alone(length);
            let pieces = size.div_ceil(PIECE);
            let number = block.saturating_mul(pieces).saturating_add(start / PIECE);
            self.walked.enter(number, at, length);
            file.read_padded(at, &mut bits)?;
            (self.at, self.bits) = (at, bits);
        }
        let first = to_usize(sector.saturating_sub(start.saturating_mul(8)))?;
        let present = self.bit(first);
        let mut length = 1_usize;
        let last = self.bits.len().saturating_mul(8);
        while first.saturating_add(length) < last && self.bit(first.saturating_add(length)) == present {
            length = length.saturating_add(1);
        }
        Ok((present, instar_disk::from_usize(length)))
    }

    /// The most significant bit of a byte comes first.
    fn bit(&self, index: usize) -> bool {
        let byte = self.bits.get(index / 8).copied().unwrap_or(0);
        byte.rotate_left(u32::try_from(index % 8).unwrap_or(0)) & 0x80 != 0
    }
}
