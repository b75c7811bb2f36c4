//! Images of equal blocks that exist and are written in place (`convert -n`): the part that such formats share.

use instar_abi::fault::core as faults;
use instar_abi::request::ZeroHow;
use instar_abi::{Fault, FileKind};

use crate::{File, Placement, Result, Target};

/// Guest bytes that are placed together at most. Ours: formats have blocks of up to gigabytes.
const UNIT_MAX: u64 = 1 << 20;

/// The blocks of an image without a parent, as its format describes them.
pub trait Blocks: Send {
    /// The file of the image.
    fn file(&self) -> &File<'_>;

    /// Virtual size in bytes.
    fn size(&self) -> u64;

    /// Guest bytes of a block, a power of two of at least 512.
    fn block_size(&self) -> u64;

    /// Where the bytes of `block` are in the file; none: it reads as zeros.
    ///
    /// # Errors
    /// Errors of the host.
    fn place(&mut self, block: u64) -> Result<Option<u64>>;

    /// Gives `block`, which has none, a place behind everything else; says where its bytes are.
    ///
    /// # Errors
    /// The format's limits; the host's.
    fn give(&mut self, block: u64) -> Result<u64>;

    /// `block`, which has a place, is about to be written to.
    ///
    /// # Errors
    /// Errors of the host.
    fn touch(&mut self, block: u64) -> Result<()> {
        let _ = block;
        Ok(())
    }

    /// Takes away what the image is recognised by: it is incomplete until [`Blocks::finish`].
    ///
    /// # Errors
    /// Errors of the host.
    fn mark(&mut self) -> Result<()>;

    /// Writes all tables, then what the image is recognised by.
    ///
    /// # Errors
    /// Errors of the host.
    fn finish(&mut self) -> Result<()>;
}

/// An existing image as a target. Blocks that have a place are overwritten there, others get one at the end of the file.
#[derive(Debug)]
pub struct InPlace<B> {
    blocks: B,
    marked: bool,
}

impl<B: Blocks> InPlace<B> {
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
        })
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
            self.blocks.mark()?;
            self.blocks.file().flush()?;
            self.marked = true;
        }
        Ok(())
    }
}

impl<B: Blocks> Target for InPlace<B> {
    fn size(&self) -> u64 {
        self.blocks.size()
    }

    fn unit(&self) -> u64 {
        self.blocks.block_size().clamp(512, UNIT_MAX)
    }

    fn allocate(&mut self, offset: u64, length: u64) -> Result<Placement> {
        self.begin()?;
        let (block, within, length) = self.split(offset, length);
        let place = match self.blocks.place(block)? {
            Some(place) => place,
            None => {
                let place = self.blocks.give(block)?;
                // Only the part that is asked for will be written.
                let size = self.blocks.block_size();
                self.blocks.file().zero(place, size, ZeroHow::MayUnmap)?;
                place
            }
        };
        self.blocks.touch(block)?;
        Ok(Placement {
            slot: self.blocks.file().slot(),
            offset: place.saturating_add(within),
            length,
            fresh: false,
        })
    }

    fn zero(&mut self, offset: u64, length: u64) -> Result<()> {
        let (mut at, mut left) = (offset, length);
        while left > 0 {
            let (block, within, step) = self.split(at, left);
            if let Some(place) = self.blocks.place(block)? {
                self.begin()?;
                self.blocks.touch(block)?;
                let start = place.saturating_add(within);
                self.blocks.file().zero(start, step, ZeroHow::MayUnmap)?;
            }
            at = at.saturating_add(step);
            left = left.saturating_sub(step);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        if self.marked {
            self.blocks.finish()?;
        }
        self.blocks.file().flush()
    }
}

/// Where the next block of a file goes: its end, up to a multiple of `align`. A device has no end that could move.
///
/// # Errors
/// `OVERFLOW`; for a device, `UNSUPPORTED`.
pub fn behind(file: &File<'_>, align: u64) -> Result<u64> {
    if file.kind() == FileKind::Block {
        let what = b"writing into an image of this format on a device (-n)";
        return Err(Fault::new(faults::UNSUPPORTED).named(what).in_file(file.slot()));
    }
    crate::align_up(file.size(), align)
}
