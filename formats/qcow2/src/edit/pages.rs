//! Metadata clusters of an existing image, changed in memory and written back many at a time.
//!
//! Where order matters, what is counted reaches the disk before what is linked: a flush lies between the two, whether they are
//! written at the end or because memory is short.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use instar_disk::{Action, File, Io, Result, align_down};

use crate::num::{add, index, internal, shl, shr};

/// Clusters held in memory, by file offset.
pub(crate) struct Pages<'h> {
    file: File<'h>,
    cluster_bits: u32,
    /// Counts are on stable storage before links are written.
    ordered: bool,
    held: BTreeMap<u64, Page>,
}

struct Page {
    bytes: Vec<u8>,
    dirty: bool,
    /// It leads to other clusters: it is written after those that count.
    links: bool,
}

impl<'h> Pages<'h> {
    pub(crate) const fn new(file: File<'h>, cluster_bits: u32) -> Self {
        Self {
            file,
            cluster_bits,
            ordered: false,
            held: BTreeMap::new(),
        }
    }

    /// From now on, a flush lies between counts and links.
    pub(crate) const fn keep_order(&mut self) {
        self.ordered = true;
    }

    /// The cluster at `offset`; what lies past the file's end reads as zero.
    pub(crate) fn get(&mut self, offset: u64) -> Result<&[u8]> {
        Ok(&self.load(offset, true)?.bytes)
    }

    /// The cluster at `offset`, to be changed.
    pub(crate) fn edit(&mut self, offset: u64) -> Result<&mut [u8]> {
        let page = self.load(offset, true)?;
        page.dirty = true;
        Ok(&mut page.bytes)
    }

    /// The cluster at `offset`, all zero whatever the file has there.
    pub(crate) fn create(&mut self, offset: u64) -> Result<&mut [u8]> {
        let page = self.load(offset, false)?;
        page.dirty = true;
        page.bytes.fill(0);
        Ok(&mut page.bytes)
    }

    /// Entry `at` of the table of 64-bit words at `table`.
    pub(crate) fn word(&mut self, table: u64, at: u64) -> Result<u64> {
        let (page, within) = self.place(table, at)?;
        let bytes = self.get(page)?.get(within..).and_then(<[u8]>::first_chunk::<8>);
        bytes
            .map(|bytes| u64::from_be_bytes(*bytes))
            .ok_or_else(|| internal(line!()))
    }

    /// Sets entry `at` of the table of 64-bit words at `table`.
    pub(crate) fn set_word(&mut self, table: u64, at: u64, word: u64) -> Result<()> {
        let (page, within) = self.place(table, at)?;
        let page = self.load(page, true)?;
        page.dirty = true;
        page.links = true;
        let bytes = page.bytes.get_mut(within..);
        let bytes = bytes.and_then(<[u8]>::first_chunk_mut::<8>);
        *bytes.ok_or_else(|| internal(line!()))? = word.to_be_bytes();
        Ok(())
    }

    /// Writes back what was changed.
    pub(crate) fn flush(&mut self) -> Result<()> {
        if self.ordered && self.held.values().any(|page| page.dirty && page.links) {
            self.write(|page| !page.links)?;
            self.file.flush()?;
        }
        self.write(|_| true)
    }

    /// Writes back the changed pages of one kind.
    fn write(&mut self, kind: impl Fn(&Page) -> bool) -> Result<()> {
        let slot = self.file.slot();
        let mut batch: Vec<Io<'_>> = Vec::new();
        for (offset, page) in self.held.iter().filter(|(_, page)| page.dirty && kind(page)) {
            batch.push(Io::new(Action::Write {
                slot,
                offset: *offset,
                from: &page.bytes,
            }));
        }
        self.file.host().submit(&mut batch);
        for io in batch {
            io.outcome.map_err(|error| error.fault(slot))?;
        }
        for page in self.held.values_mut().filter(|page| kind(page)) {
            page.dirty = false;
        }
        Ok(())
    }

    /// The page and the place in it of entry `at` of a table of 64-bit words.
    fn place(&self, table: u64, at: u64) -> Result<(u64, usize)> {
        let byte = add(table, shl(at, 3)?)?;
        let page = align_down(byte, 1_u64.wrapping_shl(self.cluster_bits));
        Ok((page, index(byte.saturating_sub(page))))
    }

    fn load(&mut self, offset: u64, read: bool) -> Result<&mut Page> {
        if !self.held.contains_key(&offset) {
            if self.held.len() >= index(shr(HELD_BYTES, self.cluster_bits).max(HELD_PAGES)) {
                // A front-to-back writer rarely comes back to a page.
                self.flush()?;
                self.held.clear();
            }
            let mut bytes = alloc::vec![0; index(1_u64.wrapping_shl(self.cluster_bits))];
            if read {
                self.file.read_padded(offset, &mut bytes)?;
            }
            let page = Page {
                bytes,
                dirty: false,
                links: false,
            };
            self.held.insert(offset, page);
        }
        self.held.get_mut(&offset).ok_or_else(|| internal(line!()))
    }
}

/// Bytes of metadata held. Ours.
const HELD_BYTES: u64 = 2 << 20;
/// Clusters held at least. Ours: one of each kind of table, with room for the next.
const HELD_PAGES: u64 = 8;
