//! Images of equal blocks as targets: the part that such formats share.
//!
//! A new image says what it is only when all is written. `convert -n` makes an existing one unreadable until then. `commit` keeps it readable: data first, then, after a flush, the
//! tables that lead to it, in as many rounds as memory asks for.

use alloc::collections::BTreeMap;

use instar_abi::fault::core as faults;
use instar_abi::request::ZeroHow;
use instar_abi::{Fault, FileKind, Slot};

use crate::{File, Placement, Result, Target};

/// Guest bytes that are placed together at most. Ours: formats have blocks of up to gigabytes.
const UNIT_MAX: u64 = 1 << 20;

/// The blocks of an image, as its format describes them.
pub trait Blocks: Send {
    /// The file of the image.
    fn file(&self) -> &File<'_>;

    /// Virtual size in bytes.
    fn size(&self) -> u64;

    /// Guest bytes of a block, a multiple of 512.
    fn block_size(&self) -> u64;

    /// Where the bytes of `block` are in the file; none: it reads as zeros, or shows what is below.
    fn place(&mut self, block: u64) -> Result<Option<u64>>;

    /// Something else may show where a block has nothing: blocks are placed as a whole, and zeros are written down.
    fn is_over(&self) -> bool {
        false
    }

    /// The tables can say that a block without a place reads as zeros, whatever else may show. Otherwise such zeros are written down.
    fn says_zero(&self) -> bool {
        true
    }

    /// `block`, which has no place, reads as zeros. Where something else may show.
    ///
    /// # Errors
    /// `INTERNAL` in formats of which nothing is above something else.
    fn blank(&mut self, block: u64) -> Result<()> {
        let _ = block;
        Err(Fault::new(faults::INTERNAL).with([line!().into()]))
    }

    /// A place for a block behind everything else: where its bytes will be.
    ///
    /// # Errors
    /// The format's limits.
    fn reserve(&mut self) -> Result<u64>;

    /// `block`, which has no place, has that one, which was reserved.
    fn link(&mut self, block: u64, place: u64) -> Result<()>;

    /// The block at `place` is about to be written to.
    fn touch(&mut self, place: u64) -> Result<()> {
        let _ = place;
        Ok(())
    }

    /// In a new image: places that were reserved one after the other follow each other without a gap.
    fn adjoin(&self) -> bool {
        false
    }

    /// Whether blocks stand on multiples of 4096 bytes, and nothing but data in them.
    fn is_aligned(&self) -> bool {
        false
    }

    /// In a new image: where the whole disk is, if all blocks have their places, in order, before any is asked for.
    fn whole(&self) -> Option<u64> {
        None
    }

    /// Takes away what an existing image is recognised by: it is incomplete until [`Blocks::finish`].
    fn mark(&mut self) -> Result<()>;

    /// Writes all tables, then what the image is recognised by.
    fn finish(&mut self) -> Result<()>;

    /// The image stays readable: it is about to be written to.
    fn begin(&mut self) -> Result<()> {
        Ok(())
    }

    /// Likewise: sees to it that the file has all that [`Blocks::link`] is going to lead to.
    fn prepare(&mut self) -> Result<()>;

    /// Likewise: writes the tables.
    fn put(&mut self) -> Result<()>;

    /// Likewise: what was reserved and not linked was for nothing.
    fn forget(&mut self) -> Result<()> {
        Ok(())
    }

    /// Likewise: all is written.
    fn end(&mut self) -> Result<()> {
        Ok(())
    }
}

/// An image as a target. Blocks that have a place are overwritten there, others get one behind all of them.
#[derive(Debug)]
pub struct BlockTarget<B> {
    blocks: B,
    /// Nothing in the file says that it is an image, or, if it stays readable, what it says has been prepared.
    marked: bool,
    /// The image is being made: nothing but zeros is where a block gets its place, if the file is fresh too.
    new: bool,
    /// The image stays readable: places of blocks that nothing leads to yet; none: zeros.
    waiting: Option<BTreeMap<u64, Option<u64>>>,
}

impl<B: Blocks> BlockTarget<B> {
    /// Takes the image as the target of `size` bytes. The format has made sure that all places are in the file, and in none of
    /// its structures.
    ///
    /// # Errors
    /// `TARGET_TOO_SMALL`.
    pub fn new(blocks: B, size: u64) -> Result<Self> {
        if blocks.size() < size {
            return Err(Fault::new(faults::TARGET_TOO_SMALL).in_file(blocks.file().slot()));
        }
        Ok(Self {
            blocks,
            marked: false,
            new: false,
            waiting: None,
        })
    }

    /// A new image: nothing in its file says what it is before [`Target::finish`].
    #[must_use]
    pub const fn making(blocks: B) -> Self {
        Self {
            blocks,
            marked: true,
            new: true,
            waiting: None,
        }
    }

    /// With other blocks.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut B)) -> Self {
        change(&mut self.blocks);
        self
    }

    /// The image stays readable.
    #[must_use]
    pub fn readable(self) -> Self {
        Self {
            waiting: Some(BTreeMap::new()),
            ..self
        }
    }

    /// The block at `offset`, where in it that is, and how much of `length` it takes.
    fn split(&self, offset: u64, length: u64) -> (u64, u64, u64) {
        let size = self.blocks.block_size().max(1);
        let block = offset.checked_div(size).unwrap_or(0);
        let within = offset.saturating_sub(block.saturating_mul(size));
        (block, within, length.min(size.saturating_sub(within)))
    }

    fn begin(&mut self) -> Result<()> {
        if !self.marked {
            match self.waiting {
                Some(_) => self.blocks.begin()?,
                None => self.blocks.mark()?,
            }
            self.blocks.file().flush()?;
            self.marked = true;
        }
        Ok(())
    }

    /// Where the bytes of `block` are, or will be.
    fn place(&mut self, block: u64) -> Result<Option<u64>> {
        let waiting = self.waiting.as_ref().and_then(|waiting| waiting.get(&block));
        match waiting {
            Some(place) => Ok(*place),
            None => self.blocks.place(block),
        }
    }

    /// Gives `block`, which has none, a place. `covered`: all its bytes will be written.
    fn give(&mut self, block: u64, covered: bool) -> Result<u64> {
        let place = self.blocks.reserve()?;
        match &mut self.waiting {
            Some(waiting) => {
                waiting.insert(block, Some(place));
            }
            None => self.blocks.link(block, place)?,
        }
        if !covered && !self.is_fresh() {
            let size = self.blocks.block_size();
            self.blocks.file().zero(place, size, ZeroHow::MayUnmap)?;
        }
        self.blocks.touch(place)?;
        Ok(place)
    }

    /// Gives places to blocks from `block` on, for `length` bytes from `within` it on, until one has a place or would not follow the one
    /// in front of it. Gives the first place and how many bytes they have room for.
    fn give_run(&mut self, block: u64, within: u64, length: u64) -> Result<(u64, u64)> {
        let (size, end) = (self.blocks.block_size(), within.saturating_add(length));
        let first = self.give(block, within == 0 && end >= size)?;
        let (mut next, mut room) = (block, size);
        while room < end && self.new && self.blocks.adjoin() {
            next = next.saturating_add(1);
            if self.place(next)?.is_some() {
                break;
            }
            self.give(next, end.saturating_sub(room) >= size)?;
            room = room.saturating_add(size);
        }
        Ok((first, room))
    }

    /// Whether a block that gets a place is zero there.
    fn is_fresh(&self) -> bool {
        self.new && self.blocks.file().kind() == FileKind::Fresh
    }

    fn placement(&self, offset: u64, length: u64) -> Placement {
        Placement {
            slot: self.blocks.file().slot(),
            offset,
            length,
            fresh: self.is_fresh(),
        }
    }

    /// `block`, which has no place, is to read as zeros.
    fn blank(&mut self, block: u64) -> Result<()> {
        self.begin()?;
        match &mut self.waiting {
            Some(waiting) => {
                waiting.insert(block, None);
                Ok(())
            }
            None => self.blocks.blank(block),
        }
    }

    /// What was written is led to. Nothing to do unless the image stays readable.
    fn link(&mut self) -> Result<()> {
        let Some(waiting) = &mut self.waiting else {
            return Ok(());
        };
        self.blocks.prepare()?;
        self.blocks.file().flush()?;
        for (block, place) in core::mem::take(waiting) {
            match place {
                Some(place) => self.blocks.link(block, place)?,
                None => self.blocks.blank(block)?,
            }
        }
        self.blocks.put()?;
        self.blocks.file().flush()
    }
}

impl<B: Blocks> Target for BlockTarget<B> {
    fn size(&self) -> u64 {
        self.blocks.size()
    }

    fn unit(&self) -> u64 {
        let most = match &self.waiting {
            _ if self.blocks.is_over() => u64::MAX,
            Some(_) => FINE,
            None => UNIT_MAX,
        };
        let size = self.blocks.block_size();
        // Of blocks of an odd size, a part.
        1_u64.wrapping_shl(size.trailing_zeros()).clamp(512, most)
    }

    fn blocks(&self) -> Option<Slot> {
        let aligned = self.new && self.is_fresh() && self.blocks.is_aligned();
        aligned.then(|| self.blocks.file().slot())
    }

    fn allocate(&mut self, offset: u64, length: u64) -> Result<Placement> {
        self.begin()?;
        if let Some(start) = self.blocks.whole().filter(|_| self.new) {
            return Ok(self.placement(start.saturating_add(offset), length));
        }
        let (block, within, there) = self.split(offset, length);
        if let Some(place) = self.place(block)? {
            if !self.new {
                self.blocks.touch(place)?;
            }
            return Ok(self.placement(place.saturating_add(within), there));
        }
        let (place, room) = self.give_run(block, within, length)?;
        let room = room.saturating_sub(within);
        Ok(self.placement(place.saturating_add(within), length.min(room)))
    }

    fn zero(&mut self, offset: u64, length: u64) -> Result<()> {
        let (mut at, mut left) = (offset, length);
        while left > 0 {
            let (block, within, step) = self.split(at, left);
            if let Some(place) = self.place(block)? {
                self.begin()?;
                self.blocks.touch(place)?;
                let start = place.saturating_add(within);
                self.blocks.file().zero(start, step, ZeroHow::MayUnmap)?;
            } else if self.blocks.is_over() && self.blocks.says_zero() {
                self.blank(block)?;
            } else if self.blocks.is_over() {
                self.begin()?;
                self.give(block, false)?;
            }
            at = at.saturating_add(step);
            left = left.saturating_sub(step);
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.waiting
            .as_ref()
            .is_some_and(|waiting| waiting.len() >= WAITING_MOST)
    }

    fn settle(&mut self) -> Result<()> {
        self.link()
    }

    fn abandon(&mut self) {
        if let Some(waiting) = &mut self.waiting
            && self.marked
        {
            // Nothing leads there. Why the work failed is known; what this fails with is of no interest beside it.
            waiting.clear();
            let _ = self.link();
            let _ = self.blocks.forget();
        }
    }

    fn finish(&mut self) -> Result<()> {
        match (self.marked, &self.waiting) {
            (false, _) => {}
            (true, Some(_)) => {
                self.link()?;
                self.blocks.end()?;
            }
            (true, None) => self.blocks.finish()?,
        }
        self.blocks.file().flush()
    }
}

/// The unit of an image that stays readable: what is written is no more than what was asked for, or little. Ours: a page.
const FINE: u64 = 4096;
/// Blocks that wait for the tables to be written. Ours.
const WAITING_MOST: usize = 1 << 14;

/// Where the next block of a file goes: its end, up to a multiple of `align`. A device has no end that could move.
///
/// # Errors
/// `OVERFLOW`; for a device, `UNSUPPORTED`.
pub fn behind(file: &File<'_>, align: u64) -> Result<u64> {
    if file.kind() == FileKind::Block {
        let what = b"writing into an image of this format on a device";
        return Err(Fault::new(faults::UNSUPPORTED).named(what).in_file(file.slot()));
    }
    crate::align_up(file.size(), align)
}
