//! Bitmaps of a disk of another size: as many bits as it has granules. Those of what is added are not set.
//!
//! A bitmap whose table has as many entries as before, and no bit that has to go, stays as it is. The others get a new table, and
//! a new cluster of bits where the end lies in one; a new directory leads to them from the moment on at which the disk has its new
//! size.

use alloc::vec::Vec;
use core::ops::Range;

use instar_disk::fault::resize as faults;
use instar_disk::{Fault, File, Result, bitmap_bytes, fault, from_usize, to_usize};
use zerocopy::IntoBytes;
use zerocopy::big_endian::U64;

use crate::bitmaps::bits::clear_from;
use crate::bitmaps::directory::{self, Entry};
use crate::edit::head::Head;
use crate::edit::transaction::{Grow, Look, Release};
use crate::extensions::BitmapDirectory;
use crate::header::{Header, TableRange};
use crate::num::{add, index, shl, shr, shr_up};
use crate::raw::{entry, limit};

/// The bitmaps that cannot stay as they are.
pub(super) struct Lengths<'h> {
    file: File<'h>,
    cluster_bits: u32,
    directory: Option<BitmapDirectory>,
    changed: Vec<Changed>,
}

/// A bitmap that gets another table.
struct Changed {
    /// Where its entry stands in the directory.
    at: u64,
    old: TableRange,
    entries: u64,
    /// The cluster of bits that the end lies in, if some of them have to go.
    edge: Option<Bits>,
}

/// A cluster of bits.
struct Bits {
    /// Its number in the table.
    number: u64,
    /// Its entry there.
    word: u64,
    /// The first bit that has to go.
    from: u64,
}

impl<'h> Lengths<'h> {
    /// The bitmaps of the image behind `header` when its disk has `size` bytes.
    ///
    /// # Errors
    /// A bitmap that was not saved cleanly, or would become too large; damaged tables.
    pub(super) fn look(file: File<'h>, header: &Header, size: u64) -> Result<Self> {
        let mut lengths = Self {
            file,
            cluster_bits: header.cluster_bits,
            directory: header.extensions.bitmaps,
            changed: Vec::new(),
        };
        // Each table has clusters of its own: more of them than the file has are the same ones again and again.
        let mut bytes = 0_u64;
        for bitmap in directory::entries(file, header)? {
            bytes = bytes.saturating_add(bitmap.table.entries.saturating_mul(8));
            if bytes > file.size() {
                return Err(lengths.damaged(bytes, bitmap.table.offset));
            }
            if let Some(changed) = lengths.changed(&bitmap, header.virtual_size(), size)? {
                lengths.changed.push(changed);
            }
        }
        Ok(lengths)
    }

    fn changed(&self, bitmap: &Entry, old_size: u64, size: u64) -> Result<Option<Changed>> {
        let name = bitmap.shown.name.as_bytes();
        if bitmap.shown.in_use {
            return Err(Fault::new(faults::BITMAP_INCONSISTENT).named(name));
        }
        let granularity = bitmap.shown.granularity.max(1);
        let entries = shr_up(bitmap_bytes(size, granularity), self.cluster_bits).max(1);
        let bytes = shl(entries, self.cluster_bits)?;
        if bytes > limit::BITMAP_BYTES || entries > u64::from(limit::BITMAP_TABLE_ENTRIES) {
            return Err(Fault::new(faults::BITMAP_LARGE).named(name));
        }
        let old = bitmap.table;
        let kept = size.min(old_size).div_ceil(granularity);
        let grows = size > old_size;
        let edge = self.edge(old, entries, kept, grows)?;
        let same = entries == old.entries && edge.is_none();
        Ok((!same).then_some(Changed {
            at: bitmap.at,
            old,
            entries,
            edge,
        }))
    }

    /// The cluster that bit number `kept` is in, if that bit or one behind it is set there.
    fn edge(&self, old: TableRange, entries: u64, kept: u64, grows: bool) -> Result<Option<Bits>> {
        let of_cluster = self.cluster_bits.saturating_add(3);
        let number = shr(kept, of_cluster);
        let from = kept & shl(1, of_cluster)?.wrapping_sub(1);
        if from == 0 || number >= old.entries.min(entries) {
            return Ok(None);
        }
        let word = self.word(old, number)?;
        let bits = Bits { number, word, from };
        let has_more = if word == ALL_ONES {
            // It says so of as many bits as there are.
            grows
        } else if word == 0 {
            false
        } else {
            let mut bytes = self.bits(word)?;
            let all = bytes.clone();
            clear_from(&mut bytes, from);
            bytes != all
        };
        Ok(has_more.then_some(bits))
    }

    /// Entry `number` of a table, if it may be one.
    fn word(&self, table: TableRange, number: u64) -> Result<u64> {
        let place = add(table.offset, shl(number, 3)?)?;
        let mut word = U64::ZERO;
        self.file.read_padded(place, word.as_mut_bytes())?;
        self.sound(word.get(), place)
    }

    fn sound(&self, word: u64, place: u64) -> Result<u64> {
        let offset = word & entry::OFFSET;
        let known = word & !(entry::OFFSET | ALL_ONES) == 0;
        let aligned = offset & shl(1, self.cluster_bits)?.wrapping_sub(1) == 0;
        if !known || !aligned || (offset != 0 && word & ALL_ONES != 0) {
            return Err(self.damaged(word, place));
        }
        Ok(word)
    }

    /// The bits of a cluster that its entry leads to.
    fn bits(&self, word: u64) -> Result<Vec<u8>> {
        let mut bytes =
            alloc::vec![if word == ALL_ONES { 0xff } else { 0 }; to_usize(shl(1, self.cluster_bits)?)?];
        if word & entry::OFFSET != 0 {
            self.file.read_padded(word & entry::OFFSET, &mut bytes)?;
        }
        Ok(bytes)
    }

    /// Whether everything that will be given up is counted, and the header can lead to another directory.
    pub(super) fn judge(&self, look: &mut Look<'h>) -> Result<()> {
        if let Some(directory) = self.directory.filter(|_| !self.changed.is_empty()) {
            let mut head = Head::read(look.file, &look.header)?;
            head.set_size(u64::MAX);
            head.set_directory(BitmapDirectory {
                offset: u64::MAX,
                ..directory
            });
            head.judge(look.file)?;
        }
        self.each_given_up(&mut |clusters| look.judge_counted(clusters))
    }

    /// Writes what the new disk needs; gives the directory that leads to it, if anything is new.
    pub(super) fn prepare(&self, grow: &mut Grow<'h>) -> Result<Option<BitmapDirectory>> {
        let Some(old) = self.directory.filter(|_| !self.changed.is_empty()) else {
            return Ok(None);
        };
        let mut listed = alloc::vec![0; to_usize(old.bytes)?];
        self.file.read_exact(old.offset, &mut listed)?;
        for bitmap in &self.changed {
            let table = self.write_table(bitmap, grow)?;
            let entries = u32::try_from(bitmap.entries).unwrap_or(u32::MAX);
            let place = index(bitmap.at.saturating_sub(old.offset));
            let into = listed.get_mut(place..).and_then(<[u8]>::first_chunk_mut::<12>);
            let into = into.ok_or_else(|| crate::num::internal(line!()))?;
            // The first two fields of an entry: where its table is, and how long.
            let (offset, length) = into.split_at_mut(8);
            offset.copy_from_slice(&table.to_be_bytes());
            length.copy_from_slice(&entries.to_be_bytes());
        }
        let offset = grow.take_bytes(old.bytes)?;
        grow.write(offset, &listed)?;
        Ok(Some(BitmapDirectory { offset, ..old }))
    }

    /// Writes the table of a bitmap, and the cluster of bits that the end lies in.
    fn write_table(&self, bitmap: &Changed, grow: &mut Grow<'h>) -> Result<u64> {
        let mut edge = None;
        if let Some(bits) = &bitmap.edge {
            let mut bytes = self.bits(bits.word)?;
            clear_from(&mut bytes, bits.from);
            let host = grow.take(1)?;
            grow.write(host, &bytes)?;
            edge = Some((bits.number, host));
        }
        let table = grow.take_bytes(shl(bitmap.entries, 3)?)?;
        let mut at = 0;
        while at < bitmap.entries {
            let mut words = alloc::vec![U64::ZERO; to_usize(bitmap.entries.saturating_sub(at).min(PIECE))?];
            let there = to_usize(bitmap.old.entries.saturating_sub(at))?.min(words.len());
            let place = add(bitmap.old.offset, shl(at, 3)?)?;
            if let Some(old) = words.get_mut(..there) {
                self.file.read_padded(place, old.as_mut_bytes())?;
            }
            for (number, word) in (at..).zip(&mut words) {
                match edge {
                    Some((edge, host)) if edge == number => *word = U64::new(host),
                    _ => {}
                }
            }
            grow.write(add(table, shl(at, 3)?)?, words.as_bytes())?;
            at = add(at, from_usize(words.len()))?;
        }
        Ok(table)
    }

    /// Gives up what only the old disk's bitmaps used.
    pub(super) fn give_up(&self, release: &mut Release<'h>) -> Result<()> {
        self.each_given_up(&mut |clusters| release.lower(clusters))
    }

    /// The clusters that only the old disk's bitmaps use.
    fn each_given_up(&self, visit: &mut dyn FnMut(Range<u64>) -> Result<()>) -> Result<()> {
        let Some(directory) = self.directory.filter(|_| !self.changed.is_empty()) else {
            return Ok(());
        };
        let bits = self.cluster_bits;
        let table = |offset: u64, bytes: u64| -> Result<Range<u64>> {
            Ok(shr(offset, bits)..add(shr(offset, bits), shr_up(bytes, bits))?)
        };
        visit(table(directory.offset, directory.bytes)?)?;
        for bitmap in &self.changed {
            visit(table(bitmap.old.offset, shl(bitmap.old.entries, 3)?)?)?;
            let mut cluster_of = |word: u64| {
                let host = shr(word & entry::OFFSET, bits);
                if host == 0 {
                    Ok(())
                } else {
                    visit(host..add(host, 1)?)
                }
            };
            if let Some(edge) = &bitmap.edge {
                cluster_of(edge.word)?;
            }
            let mut at = bitmap.entries;
            while at < bitmap.old.entries {
                let mut words =
                    alloc::vec![U64::ZERO; to_usize(bitmap.old.entries.saturating_sub(at).min(PIECE))?];
                let place = add(bitmap.old.offset, shl(at, 3)?)?;
                self.file.read_padded(place, words.as_mut_bytes())?;
                for word in &words {
                    cluster_of(self.sound(word.get(), place)?)?;
                }
                at = add(at, from_usize(words.len()))?;
            }
        }
        Ok(())
    }

    fn damaged(&self, word: u64, offset: u64) -> Fault {
        Fault::new(fault::qcow2_write::TARGET_TABLE)
            .with([word, offset])
            .in_file(self.file.slot())
    }
}

/// In an entry of a bitmap's table without an offset: all bits are set.
const ALL_ONES: u64 = 1;
/// Entries of a table that are copied at a time. Ours: 64 KiB.
const PIECE: u64 = 8192;
