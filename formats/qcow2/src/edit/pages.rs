//! Metadata clusters of an existing image, changed in memory and written back many at a time.
//!
//! Where order matters, what is counted reaches the disk before what is linked, and each table before what leads to it: a flush lies
//! between two of these [levels](Level), whether they are written at the end or because memory is short.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use instar_disk::{Action, File, Io, Result, align_down};

use crate::num::{add, index, internal, shl, shr};

/// Clusters held in memory, by file offset.
pub(crate) struct Pages<'h> {
    file: File<'h>,
    cluster_bits: u32,
    order: Order,
    held: BTreeMap<u64, Page>,
    /// Changed pages that wait for [`Pages::write_links`].
    waiting: usize,
}

/// When pages may be written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// At any time.
    Any,
    /// Level by level.
    Levels,
    /// Level by level, and those that link data only when asked to.
    LinksWait,
}

/// What a page is, in the order in which pages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Counts, and bits.
    Counts,
    /// Leads to counts.
    CountTable,
    /// Leads to data.
    Links,
    /// Leads to tables of links.
    Root,
}

const LEVELS: [Level; 4] = [Level::Counts, Level::CountTable, Level::Links, Level::Root];

struct Page {
    bytes: Vec<u8>,
    dirty: bool,
    level: Level,
}

impl Page {
    fn waits(&self) -> bool {
        self.dirty && self.level >= Level::Links
    }
}

impl<'h> Pages<'h> {
    pub(crate) const fn new(file: File<'h>, cluster_bits: u32) -> Self {
        Self {
            file,
            cluster_bits,
            order: Order::Any,
            held: BTreeMap::new(),
            waiting: 0,
        }
    }

    /// From now on, a flush lies between levels.
    pub(crate) const fn keep_order(&mut self) {
        self.order = Order::Levels;
    }

    /// And from now on what leads to data is kept until [`Pages::write_links`], when the data is there.
    pub(crate) const fn hold_links(&mut self) {
        self.order = Order::LinksWait;
    }

    /// The cluster at `offset`; what lies past the file's end reads as zero.
    pub(crate) fn get(&mut self, offset: u64) -> Result<&[u8]> {
        Ok(&self.load(offset, true)?.bytes)
    }

    /// The cluster at `offset`, to be changed.
    pub(crate) fn edit(&mut self, offset: u64) -> Result<&mut [u8]> {
        self.load(offset, true)?;
        Ok(&mut self.soil(offset, Level::Counts)?.bytes)
    }

    /// The cluster at `offset`, all zero whatever the file has there.
    pub(crate) fn create(&mut self, offset: u64, level: Level) -> Result<&mut [u8]> {
        if let Some(page) = self.held.remove(&offset) {
            self.waiting = self.waiting.saturating_sub(usize::from(page.waits()));
        }
        self.load(offset, false)?;
        Ok(&mut self.soil(offset, level)?.bytes)
    }

    /// The cluster at `offset` is nobody's any more: what was changed in it is not written.
    pub(crate) fn forget(&mut self, offset: u64) {
        self.held.remove(&offset);
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
    pub(crate) fn set_word(&mut self, level: Level, table: u64, at: u64, word: u64) -> Result<()> {
        let (page, within) = self.place(table, at)?;
        self.load(page, true)?;
        let page = self.soil(page, level)?;
        let bytes = page.bytes.get_mut(within..);
        let bytes = bytes.and_then(<[u8]>::first_chunk_mut::<8>);
        *bytes.ok_or_else(|| internal(line!()))? = word.to_be_bytes();
        Ok(())
    }

    /// Writes back what was changed.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.write_counts()?;
        if self.order != Order::Any && self.waiting > 0 {
            self.file.flush()?;
        }
        self.write_links()
    }

    /// Writes back counts and what leads to them. Unless there is an order, all of it.
    pub(crate) fn write_counts(&mut self) -> Result<()> {
        match self.order {
            Order::Any => self.write(|_| true),
            _ => self.write_levels(|level| level < Level::Links),
        }
    }

    /// Writes back what leads to data, and what leads to that.
    pub(crate) fn write_links(&mut self) -> Result<()> {
        self.write_levels(|level| level >= Level::Links)
    }

    /// Bytes of pages that wait for [`Pages::write_links`].
    pub(crate) fn waiting(&self) -> u64 {
        instar_disk::from_usize(self.waiting).saturating_mul(self.cluster())
    }

    /// Forgets what waits: the file keeps what it has.
    pub(crate) fn forget_links(&mut self) {
        self.held.retain(|_, page| !page.waits());
        self.waiting = 0;
    }

    /// Writes back some levels, a flush between two of them.
    fn write_levels(&mut self, wanted: impl Fn(Level) -> bool) -> Result<()> {
        let mut written = false;
        for level in LEVELS.into_iter().filter(|level| wanted(*level)) {
            if !self.held.values().any(|page| page.dirty && page.level == level) {
                continue;
            }
            if written {
                self.file.flush()?;
            }
            self.write(|page| page.level == level)?;
            written = true;
        }
        Ok(())
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
        self.file.host().all(&mut batch)?;
        for page in self.held.values_mut().filter(|page| kind(page)) {
            page.dirty = false;
        }
        self.waiting = self.held.values().filter(|page| page.waits()).count();
        Ok(())
    }

    /// The page and the place in it of entry `at` of a table of 64-bit words.
    fn place(&self, table: u64, at: u64) -> Result<(u64, usize)> {
        let byte = add(table, shl(at, 3)?)?;
        let page = align_down(byte, self.cluster());
        Ok((page, index(byte.saturating_sub(page))))
    }

    const fn cluster(&self) -> u64 {
        1_u64.wrapping_shl(self.cluster_bits)
    }

    /// A page that is held is to be changed.
    fn soil(&mut self, offset: u64, level: Level) -> Result<&mut Page> {
        let page = self.held.get_mut(&offset).ok_or_else(|| internal(line!()))?;
        let waited = page.waits();
        page.dirty = true;
        page.level = page.level.max(level);
        if page.waits() && !waited {
            self.waiting = self.waiting.saturating_add(1);
        }
        Ok(page)
    }

    fn load(&mut self, offset: u64, read: bool) -> Result<&mut Page> {
        if !self.held.contains_key(&offset) {
            self.make_room()?;
            let mut bytes = alloc::vec![0; index(self.cluster())];
            if read {
                self.file.read_padded(offset, &mut bytes)?;
            }
            let page = Page {
                bytes,
                dirty: false,
                level: Level::Counts,
            };
            self.held.insert(offset, page);
        }
        self.held.get_mut(&offset).ok_or_else(|| internal(line!()))
    }

    /// A front-to-back writer rarely comes back to a page.
    fn make_room(&mut self) -> Result<()> {
        let most = index(shr(HELD_BYTES, self.cluster_bits).max(HELD_PAGES));
        if self.order != Order::LinksWait {
            if self.held.len() >= most {
                self.flush()?;
                self.held.clear();
            }
            return Ok(());
        }
        if self.held.len().saturating_sub(self.waiting) >= most {
            self.write_counts()?;
            self.held.retain(|_, page| page.dirty);
        }
        Ok(())
    }
}

/// Bytes of metadata held, but for what waits. Ours.
const HELD_BYTES: u64 = 2 << 20;
/// Clusters held at least. Ours: one of each kind of table, with room for the next.
const HELD_PAGES: u64 = 8;
