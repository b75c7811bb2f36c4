//! Writing into an image that exists (`convert -n`).
//!
//! A cluster that is ours alone (counted once, and marked so) is overwritten where it is. Everything else - unallocated, compressed,
//! shared with a snapshot - gets a new place behind the end of the file, and what it leaves is counted once less. Nothing that
//! was in use is ever reused. While writing goes on the header says that the image is incomplete ([`mark`]).

mod joined;
mod mark;
mod tracked;
mod zeroing;

use alloc::boxed::Box;
use alloc::vec::Vec;

use instar_disk::job::Compression;
use instar_disk::report::Bitmap;
use instar_disk::{
    Codec, Encoding, Fault, File, FileKind, Placement, Preallocate, ReadBits, Result, Target, ZeroHow,
    align_down, align_up, fault,
};

use self::joined::Joined;
use self::mark::Marked;
use self::tracked::Written;
use crate::bitmaps::directory::{self, Entry};
use crate::edit::ledger::Ledger;
use crate::entry::{compressed, compressed_range};
use crate::header::Header;
use crate::layout::Layout;
use crate::new::batch::data_entry;
use crate::new::target::DEFLATE_WINDOW_BITS;
use crate::num::{add, internal, shl, shr, shr_up, sub};
use crate::packed;
use crate::raw::{crypt, entry};

/// Opens the image in `file` for writing `size` bytes to it. `data_file` is the file that it names for its data, if it names one; `compress`:
/// units are to be compressed.
///
/// # Errors
/// What is wrong with the header; `TARGET_TOO_SMALL`; `TARGET_DIRTY`, `TARGET_CORRUPT`, `TARGET_DATA_FILE` or `ENCRYPTED` for images that
/// cannot be written safely; the host's.
pub fn existing<'h>(
    file: File<'h>,
    size: u64,
    data_file: Option<File<'h>>,
    compress: bool,
) -> Result<Box<dyn Target + 'h>> {
    let header = Header::parse(file)?;
    check(&header, data_file.is_some(), compress).map_err(|fault| fault.in_file(file.slot()))?;
    let layout = Layout::of(&header);
    if layout.size() < size {
        return Err(Fault::new(fault::core::TARGET_TOO_SMALL).in_file(file.slot()));
    }
    let codec = match header.compression {
        Compression::Zlib => Codec::Deflate,
        Compression::Zstd => Codec::Zstd,
    };
    // What does not record stays as it is; so does what was not saved cleanly and counts for nothing.
    let mut tracked = directory::entries(file, &header)?;
    let joined = Joined::beside(&tracked);
    tracked.retain(|bitmap| bitmap.shown.auto && !bitmap.shown.in_use);
    Ok(Box::new(Existing {
        tracked,
        written: Written::default(),
        joined,
        ledger: Ledger::open(file, &header, layout)?,
        file,
        data: data_file,
        layout,
        codec: compress.then_some(codec),
        tail: None,
        mark: None,
        header,
    }))
}

fn check(header: &Header, data_file: bool, compress: bool) -> Result<()> {
    use fault::qcow2_write as faults;
    if header.encryption != crypt::NONE {
        return Err(Fault::new(fault::core::ENCRYPTED));
    }
    if header.features.corrupt() {
        return Err(Fault::new(faults::TARGET_CORRUPT));
    }
    if header.features.dirty() {
        return Err(Fault::new(faults::TARGET_DIRTY));
    }
    if header.features.data_file() {
        if compress {
            return Err(Fault::new(fault::core::NO_COMPRESSION));
        }
        if !data_file {
            let name = header.extensions.data_file.as_ref();
            let name = name.map_or(&[][..], |name| name.as_bytes());
            return Err(Fault::new(faults::TARGET_DATA_FILE).named(name));
        }
    }
    Ok(())
}

pub(crate) struct Existing<'h> {
    pub(crate) file: File<'h>,
    pub(crate) data: Option<File<'h>>,
    pub(crate) header: Header,
    pub(crate) layout: Layout,
    pub(crate) ledger: Ledger<'h>,
    codec: Option<Codec>,
    /// Where the next compressed stream goes: inside a cluster that holds others.
    tail: Option<u64>,
    /// The mark, once something was written.
    mark: Option<Marked<'h>>,
    /// Bitmaps that record what is written.
    pub(crate) tracked: Vec<Entry>,
    pub(crate) written: Written,
    pub(crate) joined: Joined,
}

/// An L2 table, and an entry in it.
#[derive(Clone, Copy)]
pub(crate) struct At {
    pub(crate) l1_index: u64,
    pub(crate) index: u64,
}

/// An L2 entry and its subcluster bits, which are 0 without subclusters.
pub(crate) type Words = (u64, u64);

impl Target for Existing<'_> {
    fn size(&self) -> u64 {
        self.layout.size()
    }

    fn unit(&self) -> u64 {
        self.layout.cluster()
    }

    fn allocate(&mut self, offset: u64, length: u64) -> Result<Placement> {
        let end = self.enter(offset, length)?;
        self.begin()?;
        let at = self.locate(offset)?;
        let table = self.table_to_edit(at.l1_index)?;
        let reach_end = shl(add(at.l1_index, 1)?, self.layout.reach_bits())?;
        let stop = end.min(reach_end);
        if let Some(data) = self.data {
            self.fill(table, offset, stop, offset)?;
            return self.placement(data, offset, offset, stop, false);
        }
        let clusters = shr_up(sub(stop, offset)?, self.layout.cluster_bits());
        let old = self.words(table, at.index)?;
        let (host, run, fresh) = match self.own_host(old)? {
            Some(host) => {
                let run = self.own_run(table, at.index, clusters, host)?;
                (host, run, false)
            }
            None => {
                let run = self.lost_run(table, at.index, clusters)?;
                let host = self.ledger.take(run)?;
                self.release_run(table, at.index, run)?;
                (host, run, self.file.kind() != FileKind::Block)
            }
        };
        let stop = add(offset, shl(run, self.layout.cluster_bits())?)?.min(stop);
        self.fill(table, offset, stop, host)?;
        self.placement(self.file, host, offset, stop, fresh)
    }

    fn zero(&mut self, offset: u64, length: u64) -> Result<()> {
        let end = self.enter(offset, length)?;
        let mut at = offset;
        while at < end {
            at = self.zero_table(at, end)?;
        }
        Ok(())
    }

    fn encoding(&self) -> Option<Encoding> {
        Some(Encoding {
            codec: self.codec?,
            unit: self.layout.cluster(),
            plain_if_larger: true,
            window_bits: DEFLATE_WINDOW_BITS,
            prefix: 0,
            align: 1,
        })
    }

    fn allocate_encoded(&mut self, offset: u64, stored: u64) -> Result<Placement> {
        let cluster = self.layout.cluster();
        self.enter(offset, cluster.min(self.layout.size().saturating_sub(offset)))?;
        if self.codec.is_none() || stored == 0 || stored >= cluster {
            return Err(internal(line!()));
        }
        self.begin()?;
        let at = self.locate(offset)?;
        let table = self.table_to_edit(at.l1_index)?;
        let host = self.place_stream(stored)?;
        self.release_run(table, at.index, 1)?;
        let word = compressed(self.layout.cluster_bits(), host, stored)?;
        self.set_words(table, at.index, (word, 0))?;
        Ok(Placement {
            slot: self.file.slot(),
            offset: host,
            length: stored,
            fresh: self.file.kind() != FileKind::Block,
        })
    }

    fn takes_bitmaps(&self) -> bool {
        self.header.version >= 3
    }

    fn has_bitmap(&self, name: &[u8]) -> bool {
        self.joined.knows(name)
    }

    fn add_bitmap(&mut self, bitmap: &Bitmap, bits: &mut ReadBits<'_>) -> Result<()> {
        self.join(bitmap, bits)
    }

    fn finish(&mut self) -> Result<()> {
        self.keep_up()?;
        if let Some(name_at) = self.finish_joined()?
            && let Some(mark) = &mut self.mark
        {
            mark.lead_to_bitmaps(name_at);
        }
        self.ledger.pages.flush()?;
        if self.ledger.has_grown() && self.file.kind() != FileKind::Block {
            self.file.resize(self.ledger.end()?, Preallocate::Off)?;
        }
        if let Some(data) = self.data {
            data.flush()?;
        }
        self.file.flush()?;
        match self.mark.take() {
            Some(mark) => mark.clear(self.ledger.table, self.layout.cluster_bits()),
            None => Ok(()),
        }
    }
}

impl Existing<'_> {
    fn enter(&mut self, offset: u64, length: u64) -> Result<u64> {
        let end = add(offset, length)?;
        let unit = self.layout.cluster();
        let aligned = |at: u64| at == align_down(at, unit) || at == self.layout.size();
        if length == 0 || end > self.layout.size() || !aligned(offset) || !aligned(end) {
            return Err(internal(line!()));
        }
        if !self.tracked.is_empty() {
            self.written.add(offset, end);
        }
        Ok(end)
    }

    /// Marks the image as incomplete before anything is changed.
    pub(crate) fn begin(&mut self) -> Result<()> {
        if self.mark.is_none() {
            self.mark = Some(Marked::set(self.file, &self.header)?);
        }
        Ok(())
    }

    pub(crate) fn locate(&self, offset: u64) -> Result<At> {
        let mask = shl(1, self.layout.table_bits())?.wrapping_sub(1);
        Ok(At {
            l1_index: shr(offset, self.layout.reach_bits()),
            index: shr(offset, self.layout.cluster_bits()) & mask,
        })
    }

    fn placement(&self, file: File<'_>, host: u64, offset: u64, stop: u64, fresh: bool) -> Result<Placement> {
        let length = sub(stop, offset)?;
        if !fresh && self.data.is_none() && stop == self.layout.size() {
            // What is behind the disk's end stays unseen when it grows.
            let end = add(host, length)?;
            file.zero(
                end,
                sub(align_up(end, self.layout.cluster())?, end)?,
                ZeroHow::Keep,
            )?;
        }
        Ok(Placement {
            slot: file.slot(),
            offset: host,
            length,
            fresh,
        })
    }

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
        let page = self.ledger.pages.create(offset)?;
        if let Some(page) = page.get_mut(..content.len()) {
            page.copy_from_slice(&content);
        }
        if let Some((old, _)) = old {
            self.ledger.release(shr(old, self.layout.cluster_bits()))?;
        }
        self.ledger
            .pages
            .set_word(self.header.l1.offset, l1_index, offset | entry::COPIED)?;
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
            return self.ledger.pages.set_word(table, at, word);
        }
        let first = shl(at, 1)?;
        self.ledger.pages.set_word(table, first, word)?;
        self.ledger.pages.set_word(table, add(first, 1)?, bitmap)
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
    fn own_run(&mut self, table: u64, at: u64, most: u64, host: u64) -> Result<u64> {
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
    fn lost_run(&mut self, table: u64, at: u64, most: u64) -> Result<u64> {
        for number in 1..most {
            let words = self.words(table, add(at, number)?)?;
            if self.own_host(words)?.is_some() {
                return Ok(number);
            }
        }
        Ok(most)
    }

    /// Counts what `clusters` entries from `at` on refer to once less.
    fn release_run(&mut self, table: u64, at: u64, clusters: u64) -> Result<()> {
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
    fn fill(&mut self, table: u64, start: u64, stop: u64, host: u64) -> Result<()> {
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

    /// Where a stream of `stored` bytes goes; counts the clusters that it touches.
    fn place_stream(&mut self, stored: u64) -> Result<u64> {
        let bits = self.layout.cluster_bits();
        if let Some(tail) = self.tail.take() {
            let cluster = shr(tail, bits);
            let room = sub(align_up(tail, self.layout.cluster())?, tail)?;
            let full = self.ledger.count(cluster)? >= packed::limit(self.layout.refcount_order());
            let last = add(cluster, 1)? == self.ledger.clusters();
            if !full && (stored <= room || last) {
                self.ledger.add(cluster)?;
                // Counting may have taken the cluster that the stream would go on in.
                let next = shl(add(cluster, 1)?, bits)?;
                if stored <= room || self.ledger.take(1)? == next {
                    return self.after_stream(tail, stored);
                }
                return Err(internal(line!()));
            }
        }
        let host = self.ledger.take(1)?;
        self.after_stream(host, stored)
    }

    fn after_stream(&mut self, host: u64, stored: u64) -> Result<u64> {
        let end = add(host, stored)?;
        self.tail = (end != align_down(end, self.layout.cluster())).then_some(end);
        Ok(host)
    }
}
