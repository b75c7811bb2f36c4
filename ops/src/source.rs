//! The source of a conversion: one image, or several in a row, whole or a window.

use alloc::boxed::Box;
use alloc::vec::Vec;

use instar_abi::job;
use instar_abi::report::Stage;
use instar_disk::{Bitmaps, Fault, Result, Slot, fault};

use crate::chain::Chain;
use crate::keys::Keys;
use crate::located::Located;
use crate::session::{At, Outcome, Session};

/// Images in a row.
pub(crate) struct Source<'h> {
    parts: Vec<Part<'h>>,
    size: u64,
    wanted: Wanted<'h>,
}

/// What of it is copied, where some of it is left to what lies below the target.
enum Wanted<'h> {
    /// What the top layer has.
    Top,
    /// What the layers above the one with this number have.
    Above(usize),
    /// What the top layer does not have, and is not the same over the other layers.
    Differing(Box<Chain<'h>>),
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
            wanted: Wanted::Top,
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

    /// What the layers of `chain` above number `depth` have, for a disk of `size` bytes: it ends where the layer that it is for does.
    pub(crate) fn above(chain: Chain<'h>, depth: usize, size: u64) -> Self {
        Self {
            parts: [Part { start: 0, chain }].into(),
            size,
            wanted: Wanted::Above(depth),
        }
    }

    /// What the top layer of `chain` must have to show the same disk over `other`.
    pub(crate) fn differing(chain: Chain<'h>, other: Chain<'h>) -> Self {
        Self {
            size: chain.size(),
            parts: [Part { start: 0, chain }].into(),
            wanted: Wanted::Differing(Box::new(other)),
        }
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
        let other = match &self.wanted {
            Wanted::Differing(other) => other.largest_unit(),
            _ => 0,
        };
        units.max().unwrap_or(0).max(other)
    }

    /// The keys of what is sealed in them, and in the layers that they are compared with.
    pub(crate) fn keys(&self) -> Keys {
        let parts = self.parts.iter().map(|part| part.chain.keys());
        let other = match &self.wanted {
            Wanted::Differing(other) => other.keys(),
            _ => Keys::default(),
        };
        parts.fold(other, Keys::and)
    }

    /// The files that hold its data.
    pub(crate) fn slots(&self) -> Vec<Slot> {
        let parts = self.parts.iter();
        parts.flat_map(|part| part.chain.slots()).collect()
    }

    /// Where the bytes from `offset` (below the size) on are.
    pub(crate) fn map(&mut self, offset: u64) -> Result<Located> {
        let size = self.size;
        if let Wanted::Above(depth) = self.wanted {
            let chain = &mut self.part(offset)?.chain;
            let first = if offset < chain.size() { 0 } else { depth };
            let end = if first == 0 { chain.size() } else { size };
            return chain.map_from(first, offset, end);
        }
        let part = self.part(offset)?;
        part.chain.map(offset.saturating_sub(part.start))
    }

    /// Whether the bytes from `offset` on are to be copied, and how many of them alike.
    pub(crate) fn wants(&mut self, offset: u64) -> Result<(bool, u64)> {
        let size = self.size;
        let Self { parts, wanted, .. } = self;
        match (wanted, &mut parts[..]) {
            (Wanted::Above(depth), [part]) => part.chain.above(*depth, offset),
            (Wanted::Differing(other), [part]) => {
                let (has, length) = part.chain.top(offset)?;
                if has {
                    return Ok((false, length));
                }
                let old = part.chain.map_from(1, offset, size)?;
                let new = other.map_from(0, offset, size)?;
                let length = length.min(old.length).min(new.length);
                // As far as that can be told without reading them.
                Ok((old.from != new.from, length))
            }
            _ => {
                let part = self.part(offset)?;
                part.chain.top(offset.saturating_sub(part.start))
            }
        }
    }

    /// Whether what is copied is compared with other layers.
    pub(crate) const fn compares(&self) -> bool {
        matches!(self.wanted, Wanted::Differing(_))
    }

    /// Where the bytes from `offset` on are over the other layers, if there are such.
    pub(crate) fn other(&mut self, offset: u64) -> Result<Option<Located>> {
        let size = self.size;
        let Self { parts, wanted, .. } = self;
        let (Wanted::Differing(other), [part]) = (wanted, &mut parts[..]) else {
            return Ok(None);
        };
        let (has, length) = part.chain.top(offset)?;
        let located = match has {
            true => part.chain.map(offset)?,
            false => other.map_from(0, offset, size)?,
        };
        Ok(Some(Located {
            length: located.length.min(length),
            ..located
        }))
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
