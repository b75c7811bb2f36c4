//! Where a file has data, asked for many extents at a time.

use crate::file::File;
use crate::host::{Action, Extent};
use crate::{FileKind, Result};

/// Extents asked for at a time. Ours: one request answers for a fragmented megabyte-scale run, and 1 KiB of state is kept.
const CACHED: usize = 64;

/// Extents that are added up. Ours: a fraction of a second.
const PIECES: u32 = 1 << 18;

/// Where to begin when questions go backwards: first, and at most. Ours.
const BACK_FIRST: u64 = 1 << 20;
const BACK_MOST: u64 = 1 << 30;

/// The allocation map of a file, for formats whose guest bytes stand in one long run: holes need not be read.
#[derive(Debug)]
pub struct Extents<'h> {
    file: File<'h>,
    /// Extents that follow one another from `start`.
    cache: [Extent; CACHED],
    cached: usize,
    start: u64,
    /// How far before the place asked for to begin when questions go backwards.
    back: u64,
}

impl<'h> Extents<'h> {
    /// Nothing asked yet.
    #[must_use]
    pub fn new(file: File<'h>) -> Self {
        Self {
            file,
            cache: [Extent::default(); CACHED],
            cached: 0,
            start: 0,
            back: BACK_FIRST,
        }
    }

    /// Where the file ends.
    #[must_use]
    pub const fn file_size(&self) -> u64 {
        self.file.size()
    }

    /// What is left of the extent that `offset` lies in, at least one byte. Past the file's end: a hole without end.
    /// A block device is data throughout.
    pub fn at(&mut self, offset: u64) -> Result<Extent> {
        if offset >= self.file.size() {
            return Ok(Extent {
                length: u64::MAX.saturating_sub(offset),
                data: false,
            });
        }
        if self.file.kind() == FileKind::Block {
            return Ok(self.rest(offset));
        }
        if let Some(extent) = self.lookup(offset) {
            return Ok(extent);
        }
        if self.cached > 0 && offset < self.start && self.back > 0 {
            // An image whose clusters lie backwards would ask once for each of them.
            self.ask(offset.saturating_sub(self.back))?;
            if let Some(extent) = self.lookup(offset) {
                self.back = self.back.saturating_mul(4).min(BACK_MOST);
                return Ok(extent);
            }
            self.back /= 16;
        }
        self.ask(offset)?;
        // A file that shrank under us has nothing here any more: data, which then reads as zero.
        Ok(self.lookup(offset).unwrap_or_else(|| self.rest(offset)))
    }

    /// Bytes of the file that are data: all but its holes. A file in more pieces than is worth asking for has data in the rest.
    pub fn present(&mut self) -> Result<u64> {
        let size = self.file.size();
        let (mut at, mut sum) = (0_u64, 0_u64);
        for _ in 0..PIECES {
            if at >= size {
                return Ok(sum);
            }
            let extent = self.at(at)?;
            let length = extent.length.min(size.saturating_sub(at)).max(1);
            if extent.data {
                sum = sum.saturating_add(length);
            }
            at = at.saturating_add(length);
        }
        Ok(sum.saturating_add(size.saturating_sub(at)))
    }

    /// Fills the cache from `offset` on.
    fn ask(&mut self, offset: u64) -> Result<()> {
        let slot = self.file.slot();
        self.cached = 0;
        let filled = self.file.host().one(Action::Extents {
            slot,
            offset,
            length: self.file.size().saturating_sub(offset),
            into: &mut self.cache,
        })?;
        self.cached = crate::to_usize(filled)?.min(CACHED);
        self.start = offset;
        Ok(())
    }

    fn rest(&self, offset: u64) -> Extent {
        Extent {
            length: self.file.size().saturating_sub(offset).max(1),
            data: true,
        }
    }

    fn lookup(&self, offset: u64) -> Option<Extent> {
        let mut start = self.start;
        for extent in self.cache.get(..self.cached)? {
            let end = start.checked_add(extent.length)?;
            if (start..end).contains(&offset) {
                return Some(Extent {
                    length: end.checked_sub(offset)?,
                    data: extent.data,
                });
            }
            start = end;
        }
        None
    }
}
