//! The bits of a bitmap.

use instar_disk::{Fault, File, Result, fault, from_usize, to_usize};

use super::directory::Entry;
use crate::header::Header;
use crate::num::{add, index, internal};
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
pub(crate) fn clear_from(bytes: &mut [u8], first: u64) {
    let whole = usize::try_from(first >> 3).unwrap_or(usize::MAX);
    if let Some(tail) = bytes.get_mut(whole..)
        && let Some((edge, rest)) = tail.split_first_mut()
    {
        let kept = u32::try_from(first & 7).unwrap_or(0);
        *edge &= 1_u8.wrapping_shl(kept).wrapping_sub(1);
        rest.fill(0);
    }
}

/// Sets the bits `from` to `to`.
pub(crate) fn set(bytes: &mut [u8], from: u64, to: u64) {
    let mut at = from;
    while at < to {
        let next = to.min((at | 7).saturating_add(1));
        if at & 7 == 0 && next == at.saturating_add(8) {
            let whole = index(at >> 3)..index(to >> 3);
            at = to & !7;
            if let Some(bytes) = bytes.get_mut(whole) {
                bytes.fill(0xff);
            }
            continue;
        }
        let low = 0xff_u8.wrapping_shl(u32::try_from(at & 7).unwrap_or(0));
        let high = match next & 7 {
            0 => 0xff,
            bits => 1_u8
                .wrapping_shl(u32::try_from(bits).unwrap_or(0))
                .wrapping_sub(1),
        };
        if let Some(byte) = bytes.get_mut(index(at >> 3)) {
            *byte |= low & high;
        }
        at = next;
    }
}

/// Calls `visit` with each run of bits that are set: the first one, and the one behind the last.
pub(crate) fn runs(bytes: &[u8], visit: &mut dyn FnMut(u64, u64)) {
    let mut start = None;
    let mut at = 0_u64;
    for byte in bytes {
        let mut step = |at: u64, is_set: bool| match (start, is_set) {
            (None, true) => start = Some(at),
            (Some(first), false) => {
                visit(first, at);
                start = None;
            }
            _ => {}
        };
        match *byte {
            0 => step(at, false),
            0xff => step(at, true),
            mixed => (0..8).for_each(|bit| step(at.saturating_add(bit), mixed >> bit & 1 != 0)),
        }
        at = at.saturating_add(8);
    }
    if let Some(first) = start {
        visit(first, at);
    }
}

/// In an entry of a bitmap's table without an offset: all bits are set.
pub(crate) const ALL_ONES: u64 = 1;

#[cfg(test)]
mod tests {
    use super::{runs, set};

    #[test]
    fn sets_just_these_bits() {
        for from in 0..40 {
            for to in from..40 {
                let mut bytes = [0; 6];
                set(&mut bytes, from, to);
                for bit in 0..48_u64 {
                    let there = bytes[usize::try_from(bit / 8).unwrap()] >> (bit % 8) & 1;
                    assert_eq!(there == 1, (from..to).contains(&bit), "{from}..{to}: {bit}");
                }
                let mut found = Vec::new();
                runs(&bytes, &mut |first, end| found.push((first, end)));
                assert_eq!(found, if from < to { vec![(from, to)] } else { Vec::new() });
            }
        }
    }

    #[test]
    fn runs_are_found_within_and_across_bytes() {
        let mut found = Vec::new();
        runs(&[0b1000_0101, 0xff, 0, 0b0110_0000, 0xff], &mut |first, end| {
            found.push((first, end))
        });
        assert_eq!(found, [(0, 1), (2, 3), (7, 16), (29, 31), (32, 40)]);
    }
}
