//! Bitmaps added to an image that exists: bits and tables behind the end of the file, a new directory, and a place in the
//! header that leads to it.

use alloc::vec::Vec;

use instar_disk::report::Bitmap;
use instar_disk::{Fault, File, ReadBits, Result, bitmap_bytes, fault, from_usize, to_usize};
use zerocopy::IntoBytes;

use super::Existing;
use crate::bitmaps::carried::push_entry;
use crate::bitmaps::directory;
use crate::edit::pages::Level;
use crate::extensions::Extensions;
use crate::header::Header;
use crate::new::compose::push_extension;
use crate::num::{add, index, length, shl, shr, shr_up};
use crate::pieces::Pieces;
use crate::raw::{RawBitmapsExtension, RawHeader, extension, limit};

/// Entries for the directory.
#[derive(Default)]
pub(crate) struct Joined {
    directory: Vec<u8>,
    count: u32,
    /// Names of all bitmaps, old and new.
    names: Vec<Vec<u8>>,
}

impl Joined {
    pub(crate) fn knows(&self, name: &[u8]) -> bool {
        self.names.iter().any(|known| known == name)
    }

    /// Nothing new, beside what the image has.
    pub(crate) fn beside(old: &[directory::Entry]) -> Self {
        Self {
            names: old
                .iter()
                .map(|entry| entry.shown.name.as_bytes().to_vec())
                .collect(),
            ..Self::default()
        }
    }
}

impl Existing<'_> {
    /// Writes the bits and the table of one more bitmap.
    ///
    /// # Errors
    /// `BITMAP_EXISTS`; the format's limits; what is wrong with the bits' source; the host's.
    pub(crate) fn join(&mut self, bitmap: &Bitmap, bits: &mut ReadBits<'_>) -> Result<()> {
        let name = bitmap.name.as_bytes();
        if self.joined.knows(name) {
            return Err(Fault::new(fault::core::BITMAP_EXISTS).named(name));
        }
        let granularity = u8::try_from(bitmap.granularity.trailing_zeros()).unwrap_or(u8::MAX);
        let bytes = bitmap_bytes(self.layout.size(), bitmap.granularity);
        let name_size = u16::try_from(name.len()).unwrap_or(u16::MAX);
        let fits = bitmap.granularity.is_power_of_two()
            && (limit::MIN_GRANULARITY_BITS..=limit::MAX_GRANULARITY_BITS).contains(&granularity)
            && bytes <= limit::BITMAP_BYTES
            && name_size <= limit::BITMAP_NAME
            && from_usize(self.joined.names.len()) < u64::from(limit::BITMAPS);
        if !fits {
            return Err(Fault::new(fault::qcow2::BITMAP_ENTRY).named(name));
        }
        self.begin()?;
        let cluster = self.layout.cluster();
        let entries = shr_up(bytes, self.layout.cluster_bits()).max(1);
        let table = self
            .ledger
            .take(shr_up(shl(entries, 3)?, self.layout.cluster_bits()))?;
        self.blank(table, shl(entries, 3)?)?;
        let mut piece = alloc::vec![0; to_usize(cluster)?];
        for entry in 0..entries {
            let at = shl(entry, self.layout.cluster_bits())?;
            let wanted = to_usize(bytes.saturating_sub(at).min(cluster))?;
            piece.fill(0);
            bits(at, piece.get_mut(..wanted).unwrap_or_default())?;
            if piece.iter().all(|byte| *byte == 0) {
                continue;
            }
            let host = self.ledger.take(1)?;
            self.file.write(host, &piece)?;
            self.ledger.pages.set_word(Level::Links, table, entry, host)?;
        }
        let joined = &mut self.joined;
        push_entry(&mut joined.directory, bitmap, granularity, table, entries);
        joined.count = joined.count.saturating_add(1);
        joined.names.push(name.to_vec());
        Ok(())
    }

    /// Writes the directory of old and new bitmaps, and the header that leads to it; gives where the backing file's name went.
    pub(crate) fn finish_joined(&mut self) -> Result<Option<u64>> {
        if self.joined.count == 0 {
            return Ok(None);
        }
        let old = self.header.extensions.bitmaps;
        let mut directory = Vec::new();
        if let Some(old) = old {
            directory.resize(to_usize(old.bytes)?, 0);
            self.file.read_exact(old.offset, &mut directory)?;
            directory.resize(directory.len().next_multiple_of(8), 0);
        }
        directory.extend_from_slice(&self.joined.directory);
        if length(&directory) > limit::BITMAP_DIRECTORY_BYTES {
            let numbers = [length(&directory), limit::BITMAP_DIRECTORY_BYTES];
            return Err(Fault::new(fault::qcow2::BITMAPS_SIZE).with(numbers));
        }
        let bits = self.layout.cluster_bits();
        let offset = self.ledger.take(shr_up(length(&directory), bits))?;
        self.file.write(offset, &directory)?;
        if let Some(old) = old {
            for number in 0..shr_up(old.bytes, bits) {
                self.ledger.release(add(shr(old.offset, bits), number)?)?;
            }
        }
        let count = old.map_or(0, |old| old.bitmaps).saturating_add(self.joined.count);
        let bitmaps = RawBitmapsExtension {
            nb_bitmaps: count.into(),
            reserved: 0.into(),
            bitmap_directory_size: length(&directory).into(),
            bitmap_directory_offset: offset.into(),
        };
        lead_to(self.file, &self.header, &bitmaps).map(Some)
    }

    /// Clusters from `offset` on, for `bytes` of a table, all zero.
    fn blank(&mut self, offset: u64, bytes: u64) -> Result<()> {
        let bits = self.layout.cluster_bits();
        for number in 0..shr_up(bytes, bits) {
            let page = add(offset, shl(number, bits)?)?;
            self.ledger.pages.create(page, Level::Links)?;
        }
        Ok(())
    }
}

/// Puts the extension into the header: over the one that is there, else behind all others, where the backing file's name
/// makes room for it. Gives where the name is now, or 0 if there is none.
fn lead_to(file: File<'_>, header: &Header, bitmaps: &RawBitmapsExtension) -> Result<u64> {
    let mut head = Pieces::new(file);
    let raw: RawHeader = head.value(0)?;
    let name_at = raw.backing_file_offset.get();
    let end = if name_at == 0 {
        header.cluster_size()
    } else {
        name_at
    };
    let area = u64::from(header.header_length)..end;
    let (known, behind) = Extensions::place_of_bitmaps(&mut head, area)?;
    if let Some(at) = known {
        file.write(at, bitmaps.as_bytes())?;
        return Ok(name_at);
    }
    let name_bytes = raw.backing_file_size.get();
    let mut name = alloc::vec![0; index(if name_at == 0 { 0 } else { u64::from(name_bytes) })];
    file.read_exact(name_at, &mut name)?;
    let mut tail = Vec::new();
    push_extension(&mut tail, extension::BITMAPS, bitmaps.as_bytes());
    push_extension(&mut tail, extension::END, &[]);
    let place = add(behind, length(&tail))?;
    tail.extend_from_slice(&name);
    let all = add(behind, length(&tail))?;
    if all > header.cluster_size() {
        return Err(Fault::new(fault::qcow2_write::HEADER_TOO_LONG).with([all, header.cluster_size()]));
    }
    file.write(behind, &tail)?;
    Ok(if name_at == 0 { 0 } else { place })
}
