//! The source of a conversion: one image, or several in a row, whole or a window.

use alloc::vec::Vec;

use instar_abi::job;
use instar_abi::report::Stage;
use instar_disk::{Bitmaps, Fault, Result, fault};

use crate::chain::{Chain, Located};
use crate::session::{At, Outcome, Session};

/// Images in a row.
pub(crate) struct Source<'h> {
    parts: Vec<Part<'h>>,
    size: u64,
}

struct Part<'h> {
    start: u64,
    chain: Chain<'h>,
}

impl<'h> Source<'h> {
    /// Opens `sources`, to be read one after the other.
    pub(crate) fn open(session: &Session<'h>, sources: &[job::Source]) -> Outcome<Self> {
        let mut source = Self {
            parts: Vec::new(),
            size: 0,
        };
        for (index, named) in sources.iter().enumerate() {
            let stage = Stage::OpenSource(u32::try_from(index).unwrap_or(u32::MAX));
            let chain = Chain::open(session, named, stage)?;
            let start = source.size;
            source.size = start
                .checked_add(chain.size())
                .ok_or_else(|| Fault::new(fault::core::OVERFLOW).with([chain.size()]))
                .at(stage)?;
            source.parts.push(Part { start, chain });
        }
        Ok(source)
    }

    /// Virtual bytes of all images together.
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of all files together, as often as each counts for bounds on data.
    pub(crate) fn counted(&self) -> u64 {
        let all = self.parts.iter().map(|part| part.chain.counted());
        all.fold(0, u64::saturating_add)
    }

    /// Bytes of the largest unit that must be decoded in one piece.
    pub(crate) fn largest_unit(&self) -> u64 {
        let units = self.parts.iter().map(|part| part.chain.largest_unit());
        units.max().unwrap_or(0)
    }

    /// Where the bytes from `offset` (below the size) on are.
    pub(crate) fn map(&mut self, offset: u64) -> Result<Located> {
        let part = self.part(offset)?;
        part.chain.map(offset.saturating_sub(part.start))
    }

    /// Whether the top layer says something of the bytes from `offset` on, and for how many.
    pub(crate) fn top(&mut self, offset: u64) -> Result<(bool, u64)> {
        let part = self.part(offset)?;
        part.chain.top(offset.saturating_sub(part.start))
    }

    /// For how many of the `limit` bytes from `offset` on the reference tool gets one answer.
    pub(crate) fn answer(&mut self, offset: u64, limit: u64) -> Result<u64> {
        let part = self.part(offset)?;
        part.chain.answer(offset.saturating_sub(part.start), limit)
    }

    /// The persistent bitmaps of the first image, where its format has such things.
    pub(crate) fn bitmaps(&mut self) -> Option<&mut dyn Bitmaps> {
        self.parts.first_mut()?.chain.bitmaps()
    }

    fn part(&mut self, offset: u64) -> Result<&mut Part<'h>> {
        let after = self.parts.partition_point(|part| part.start <= offset);
        // Empty images share their start with the next one, which is the last of that start.
        let index = after
            .checked_sub(1)
            .ok_or_else(|| crate::session::internal(line!()))?;
        self.parts
            .get_mut(index)
            .ok_or_else(|| crate::session::internal(line!()))
    }
}
