//! The header, valid by construction.

use instar_disk::fault::cloop as faults;
use instar_disk::{Fault, Result};

use crate::raw::RawHeader;

/// Bytes of a block; qemu-img's limit.
const BLOCK_MAX: u32 = 64 << 20;
/// Blocks whose offsets it can count; qemu-img's limit.
const BLOCKS_MAX: u32 = 536_870_911;
/// Bytes of the offsets; qemu-img's limit.
const OFFSETS_MAX: u64 = 512 << 20;

/// What the header says, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of a block, a multiple of 512, at most 64 MiB.
    pub block_size: u32,
    /// Blocks.
    pub blocks: u32,
}

impl Header {
    /// Checks what stands in the file. Whether the script is there does not matter to qemu-img, nor here: it was the user who
    /// named the format if it is not.
    ///
    /// # Errors
    /// What qemu-img refuses, in its words and in its order.
    pub fn parse(raw: &RawHeader) -> Result<Self> {
        let (block_size, blocks) = (raw.block_size.get(), raw.blocks.get());
        if !block_size.is_multiple_of(512) {
            return Err(Fault::new(faults::BLOCK_MULTIPLE).with([block_size.into()]));
        }
        if block_size == 0 {
            return Err(Fault::new(faults::BLOCK_ZERO));
        }
        if block_size > BLOCK_MAX {
            return Err(Fault::new(faults::BLOCK_LARGE).with([block_size.into()]));
        }
        if blocks > BLOCKS_MAX {
            return Err(Fault::new(faults::BLOCKS).with([blocks.into(), BLOCKS_MAX.into()]));
        }
        let header = Self { block_size, blocks };
        if header.offsets_bytes() > OFFSETS_MAX {
            return Err(Fault::new(faults::OFFSETS));
        }
        Ok(header)
    }

    /// Bytes of the offsets.
    #[must_use]
    pub fn offsets_bytes(&self) -> u64 {
        u64::from(self.blocks).saturating_add(1).saturating_mul(8)
    }

    /// Bytes of the disk.
    #[must_use]
    pub fn size(&self) -> u64 {
        u64::from(self.blocks).saturating_mul(self.block_size.into())
    }
}
