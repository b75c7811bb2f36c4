//! Bitmaps of a new image.
//!
//! ```text
//!  header extension ─► directory: one entry a bitmap ─► table: one entry a cluster of bits ─► bits
//! ```

use alloc::vec::Vec;

use instar_disk::report::Bitmap;
use instar_disk::{Fault, File, ReadBits, Result, bitmap_bytes, fault, from_usize, to_usize};
use zerocopy::IntoBytes;

use crate::layout::Layout;
use crate::num::{length, shl, shr_up};
use crate::raw::{RawBitmapEntry, RawBitmapsExtension, bitmap_flag, limit};
use crate::space::Space;

/// The bitmaps that a new image has so far.
#[derive(Default)]
pub(crate) struct Carried {
    directory: Vec<u8>,
    count: u32,
}

impl Carried {
    /// Writes the bits and the table of one more bitmap.
    pub(crate) fn add(
        &mut self,
        file: &File<'_>,
        layout: &Layout,
        space: &mut Space,
        bitmap: &Bitmap,
        bits: &mut ReadBits<'_>,
    ) -> Result<()> {
        let name = bitmap.name.as_bytes();
        let name_size = u16::try_from(name.len()).unwrap_or(u16::MAX);
        let granularity = u8::try_from(bitmap.granularity.trailing_zeros()).unwrap_or(u8::MAX);
        let bytes = bitmap_bytes(layout.size(), bitmap.granularity);
        let fits = bitmap.granularity.is_power_of_two()
            && (limit::MIN_GRANULARITY_BITS..=limit::MAX_GRANULARITY_BITS).contains(&granularity)
            && bytes <= limit::BITMAP_BYTES
            && name_size <= limit::BITMAP_NAME
            && self.count < limit::BITMAPS;
        if !fits {
            return Err(Fault::new(fault::qcow2::BITMAP_ENTRY).named(name));
        }
        let bits_of = layout.cluster_bits();
        let entries = shr_up(bytes, bits_of).max(1);
        let cluster = layout.cluster();
        let mut table = Vec::with_capacity(to_usize(entries.saturating_mul(8))?);
        let mut piece = alloc::vec![0; to_usize(cluster)?];
        for entry in 0..entries {
            let at = shl(entry, bits_of)?;
            let wanted = to_usize(bytes.saturating_sub(at).min(cluster))?;
            piece.fill(0);
            bits(at, piece.get_mut(..wanted).unwrap_or_default())?;
            let host = if piece.iter().all(|byte| *byte == 0) {
                0
            } else {
                let host = space.take(1)?;
                file.write(host, &piece)?;
                host
            };
            table.extend_from_slice(&host.to_be_bytes());
        }
        let table_at = space.take(shr_up(length(&table), bits_of))?;
        file.write(table_at, &table)?;
        push_entry(&mut self.directory, bitmap, granularity, table_at, entries);
        self.count = self.count.saturating_add(1);
        Ok(())
    }

    /// Writes the directory; gives what the header says of it, if there is something to say.
    pub(crate) fn finish(
        &self,
        file: &File<'_>,
        layout: &Layout,
        space: &mut Space,
    ) -> Result<Option<RawBitmapsExtension>> {
        if self.count == 0 {
            return Ok(None);
        }
        let bytes = from_usize(self.directory.len());
        let offset = space.take(shr_up(bytes, layout.cluster_bits()))?;
        file.write(offset, &self.directory)?;
        Ok(Some(RawBitmapsExtension {
            nb_bitmaps: self.count.into(),
            reserved: 0.into(),
            bitmap_directory_size: bytes.into(),
            bitmap_directory_offset: offset.into(),
        }))
    }
}

/// Adds a bitmap to a directory: its table has `entries` entries and lies at `table`. The name's length has been judged.
pub(crate) fn push_entry(
    directory: &mut Vec<u8>,
    bitmap: &Bitmap,
    granularity_bits: u8,
    table: u64,
    entries: u64,
) {
    let name = bitmap.name.as_bytes();
    let flag = |set: bool, flag: u32| if set { flag } else { 0 };
    let flags = flag(bitmap.auto, bitmap_flag::AUTO) | flag(bitmap.in_use, bitmap_flag::IN_USE);
    let entry = RawBitmapEntry {
        bitmap_table_offset: table.into(),
        bitmap_table_size: u32::try_from(entries).unwrap_or(u32::MAX).into(),
        flags: flags.into(),
        kind: 1,
        granularity_bits,
        name_size: u16::try_from(name.len()).unwrap_or(u16::MAX).into(),
        extra_data_size: 0.into(),
    };
    directory.extend_from_slice(entry.as_bytes());
    directory.extend_from_slice(name);
    directory.resize(directory.len().next_multiple_of(8), 0);
}
