//! The bits of a bitmap.

use instar_disk::{Fault, File, Result, fault, from_usize, to_usize};

use super::directory::Entry;
use crate::header::Header;
use crate::num::{add, internal};
use crate::raw::entry;

impl Entry {
    /// Fills `into` with bits from their byte `offset` on. Each cluster of them costs a look at the table.
    pub(crate) fn bits(&self, file: File<'_>, header: &Header, offset: u64, into: &mut [u8]) -> Result<()> {
        let cluster = header.cluster_size();
        let (mut at, mut rest) = (offset, &mut *into);
        while !rest.is_empty() {
            let within = at & cluster.saturating_sub(1);
            let length = to_usize(cluster.saturating_sub(within))?.min(rest.len());
            let (piece, next) = core::mem::take(&mut rest)
                .split_at_mut_checked(length)
                .ok_or_else(|| internal(line!()))?;
            self.cluster(file, header, at >> header.cluster_bits, within, piece)?;
            at = at.saturating_add(from_usize(length));
            rest = next;
        }
        let bits = header.virtual_size().div_ceil(self.shown.granularity.max(1));
        clear_from(into, bits.saturating_sub(offset.saturating_mul(8)));
        Ok(())
    }

    /// Fills `into` with bits of one cluster, from its byte `within` on.
    fn cluster(
        &self,
        file: File<'_>,
        header: &Header,
        index: u64,
        within: u64,
        into: &mut [u8],
    ) -> Result<()> {
        if index >= self.table.entries {
            into.fill(0);
            return Ok(());
        }
        let mut raw = [0; 8];
        file.read_exact(add(self.table.offset, index.saturating_mul(8))?, &mut raw)?;
        let raw = u64::from_be_bytes(raw);
        let offset = raw & entry::OFFSET;
        let ones = raw & ALL_ONES != 0;
        let aligned = offset & header.cluster_size().saturating_sub(1) == 0;
        if raw & !(entry::OFFSET | ALL_ONES) != 0 || !aligned || (ones && offset != 0) {
            let name = self.shown.name.as_bytes();
            return Err(Fault::new(fault::qcow2::BITMAP_ENTRY)
                .named(name)
                .in_file(file.slot()));
        }
        match offset {
            0 => into.fill(if ones { 0xff } else { 0 }),
            _ => file.read_exact(add(offset, within)?, into)?,
        }
        Ok(())
    }
}

/// Clears every bit of `bytes` from `first` on.
fn clear_from(bytes: &mut [u8], first: u64) {
    let whole = usize::try_from(first >> 3).unwrap_or(usize::MAX);
    if let Some(tail) = bytes.get_mut(whole..)
        && let Some((edge, rest)) = tail.split_first_mut()
    {
        let kept = u32::try_from(first & 7).unwrap_or(0);
        *edge &= 1_u8.wrapping_shl(kept).wrapping_sub(1);
        rest.fill(0);
    }
}

/// In an entry of a bitmap's table without an offset: all bits are set.
const ALL_ONES: u64 = 1;
