//! Tables in files: read through a bounded cache, written once through a window.
//!
//! Both deal in bytes; what an entry is, the format knows.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::file::File;
use crate::host::{Action, Io};
use crate::{FileKind, Result, from_usize, to_usize};

/// Bytes of a table read at a time. Ours: a request answers for gigabytes of guest, and a deep chain stays small.
const PAGE: u64 = 32 << 10;

/// Pages kept of one table. Ours.
const PAGES: usize = 4;

/// Bytes of a table that are written at a time. Ours.
const WINDOW: u64 = 64 << 10;

/// Writes in one batch while a table's untouched part is filled. Ours.
const FILL_BATCH: usize = 64;

/// A table being read: at most four pages of it are in memory.
#[derive(Debug)]
pub struct TableReader {
    start: u64,
    bytes: u64,
    pages: [Page; PAGES],
    next: usize,
    /// Bytes read so far.
    read: u64,
}

#[derive(Debug, Default)]
struct Page {
    at: u64,
    data: Vec<u8>,
}

impl TableReader {
    /// The table of `bytes` bytes at `start` of a file. The caller has made sure that the file is long enough.
    #[must_use]
    pub fn new(start: u64, bytes: u64) -> Self {
        Self {
            start,
            bytes,
            pages: Default::default(),
            next: 0,
            read: 0,
        }
    }

    /// Bytes read so far, those read again included.
    #[must_use]
    pub const fn bytes_read(&self) -> u64 {
        self.read
    }

    /// The table from byte `offset` to the end of the page that it lies in; empty past the table's end. Makes at most one
    /// call of `read`, which fills a buffer from a file offset.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn from<R>(&mut self, offset: u64, read: R) -> Result<&[u8]>
    where
        R: FnOnce(u64, &mut [u8]) -> Result<()>,
    {
        let at = crate::align_down(offset, PAGE);
        let within = to_usize(offset.saturating_sub(at))?;
        let known = self
            .pages
            .iter()
            .position(|page| page.at == at && !page.data.is_empty());
        let index = match known {
            Some(index) => index,
            None => self.load(at, read)?,
        };
        let page = self.pages.get(index).map_or(&[][..], |page| &page.data);
        Ok(page.get(within..).unwrap_or_default())
    }

    fn load<R>(&mut self, at: u64, read: R) -> Result<usize>
    where
        R: FnOnce(u64, &mut [u8]) -> Result<()>,
    {
        let index = self.next;
        self.next = index.saturating_add(1) % PAGES;
        let length = to_usize(self.bytes.saturating_sub(at).min(PAGE))?;
        if let Some(page) = self.pages.get_mut(index) {
            // Forgotten first, so that a read that fails leaves no half-filled page behind.
            let mut data = core::mem::take(&mut page.data);
            data.clear();
            data.resize(length, 0);
            self.read = self.read.saturating_add(from_usize(length));
            read(self.start.saturating_add(at), &mut data)?;
            *page = Page { at, data };
        }
        Ok(index)
    }
}

/// The content of the untouched part of a table.
enum Fill {
    /// A run of this byte.
    Byte(u8),
    /// Computed entries: called with a byte offset in the table, and a buffer that starts there.
    Entries(Box<FillEntries>),
}

/// Fills a buffer with the untouched entries of a table from a byte offset on.
pub type FillEntries = dyn Fn(u64, &mut [u8]) + Send;

impl Fill {
    fn fill(&self, at: u64, into: &mut [u8]) {
        match self {
            Self::Byte(byte) => into.fill(*byte),
            Self::Entries(entries) => entries(at, into),
        }
    }
}

/// A table being written: one window of it is in memory, the part never touched is filled on the way.
pub struct TableWriter<'h> {
    file: File<'h>,
    start: u64,
    bytes: u64,
    fill: Fill,
    window: Vec<u8>,
    at: u64,
    dirty: bool,
    /// Bytes of the table before this one are in the file.
    reached: u64,
}

impl core::fmt::Debug for TableWriter<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("TableWriter")
            .field("start", &self.start)
            .field("bytes", &self.bytes)
            .field("reached", &self.reached)
            .finish_non_exhaustive()
    }
}

impl<'h> TableWriter<'h> {
    /// The table of `bytes` bytes at `start`, all of them `fill` until set.
    #[must_use]
    pub fn new(file: File<'h>, start: u64, bytes: u64, fill: u8) -> Self {
        Self::with(file, start, bytes, Fill::Byte(fill))
    }

    /// The table of `bytes` bytes at `start`, of which every entry is what `entries` says until set.
    #[must_use]
    pub fn with_entries(file: File<'h>, start: u64, bytes: u64, entries: Box<FillEntries>) -> Self {
        Self::with(file, start, bytes, Fill::Entries(entries))
    }

    /// The table of `bytes` bytes at `start` of a file that has all of them, to be changed where it stands.
    #[must_use]
    pub const fn existing(file: File<'h>, start: u64, bytes: u64) -> Self {
        Self {
            file,
            start,
            bytes,
            fill: Fill::Byte(0),
            window: Vec::new(),
            // No window yet: the first question reads one.
            at: u64::MAX,
            dirty: false,
            reached: bytes,
        }
    }

    fn with(file: File<'h>, start: u64, bytes: u64, fill: Fill) -> Self {
        let mut writer = Self {
            file,
            start,
            bytes,
            fill,
            window: Vec::new(),
            at: 0,
            dirty: false,
            reached: 0,
        };
        writer.clear();
        writer
    }

    /// The entry at byte `offset`, which does not straddle a multiple of its size.
    ///
    /// # Errors
    /// The host's, while another window is written and this one read.
    pub fn get<const N: usize>(&mut self, offset: u64) -> Result<[u8; N]> {
        let within = self.turn_to(offset)?;
        let mut entry = [0; N];
        let found = self.window.get(within..).unwrap_or_default();
        for (to, from) in entry.iter_mut().zip(found) {
            *to = *from;
        }
        Ok(entry)
    }

    /// Sets the entry at byte `offset`.
    ///
    /// # Errors
    /// As [`TableWriter::get`].
    pub fn set<const N: usize>(&mut self, offset: u64, entry: [u8; N]) -> Result<()> {
        let within = self.turn_to(offset)?;
        let found = self.window.get_mut(within..).unwrap_or_default();
        for (to, from) in found.iter_mut().zip(entry) {
            *to = from;
        }
        self.dirty = true;
        Ok(())
    }

    /// Writes what is not in the file yet.
    pub fn finish(&mut self) -> Result<()> {
        self.put()?;
        let reached = self.reached.max(self.at);
        self.fill_up(reached, self.bytes)
    }

    fn turn_to(&mut self, offset: u64) -> Result<usize> {
        let at = crate::align_down(offset, WINDOW);
        if at != self.at {
            self.put()?;
            self.at = at;
            if at < self.reached {
                let length = to_usize(self.bytes.saturating_sub(at).min(WINDOW))?;
                self.window.clear();
                self.window.resize(length, 0);
                self.file
                    .read_padded(self.start.saturating_add(at), &mut self.window)?;
            } else {
                self.fill_up(self.reached, at)?;
                self.clear();
            }
        }
        to_usize(offset.saturating_sub(at))
    }

    fn clear(&mut self) {
        let length = self.bytes.saturating_sub(self.at).min(WINDOW);
        self.window.clear();
        self.window.resize(usize::try_from(length).unwrap_or_default(), 0);
        self.fill.fill(self.at, &mut self.window);
    }

    fn put(&mut self) -> Result<()> {
        if self.dirty {
            self.file
                .write(self.start.saturating_add(self.at), &self.window)?;
            self.reached = self
                .reached
                .max(self.at.saturating_add(from_usize(self.window.len())));
            self.dirty = false;
        }
        Ok(())
    }

    /// Fills the table from byte `from` to byte `to`.
    fn fill_up(&mut self, from: u64, to: u64) -> Result<()> {
        if from >= to {
            return Ok(());
        }
        self.reached = self.reached.max(to);
        match self.fill {
            Fill::Byte(0) if self.file.kind() == FileKind::Fresh => Ok(()),
            Fill::Byte(byte) => self.fill_with_byte(from, to, byte),
            Fill::Entries(_) => self.fill_with_entries(from, to),
        }
    }

    fn fill_with_byte(&self, from: u64, to: u64, byte: u8) -> Result<()> {
        let filler = alloc::vec![byte; to_usize(to.saturating_sub(from).min(WINDOW))?];
        let mut at = from;
        while at < to {
            let mut batch = Vec::new();
            while at < to && batch.len() < FILL_BATCH {
                let length = to.saturating_sub(at).min(WINDOW);
                batch.push(Io::new(Action::Write {
                    slot: self.file.slot(),
                    offset: self.start.saturating_add(at),
                    from: filler.get(..to_usize(length)?).unwrap_or_default(),
                }));
                at = at.saturating_add(length);
            }
            self.file.host().all(&mut batch)?;
        }
        Ok(())
    }

    fn fill_with_entries(&self, from: u64, to: u64) -> Result<()> {
        let mut buffer = Vec::new();
        let mut at = from;
        while at < to {
            buffer.clear();
            buffer.resize(to_usize(to.saturating_sub(at).min(WINDOW))?, 0);
            self.fill.fill(at, &mut buffer);
            self.file.write(self.start.saturating_add(at), &buffer)?;
            at = at.saturating_add(from_usize(buffer.len()));
        }
        Ok(())
    }
}
