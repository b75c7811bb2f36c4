//! Writing plain extents.

use alloc::vec::Vec;

use instar_disk::vmdk::SPLIT_BYTES;
use instar_disk::{
    Fault, File, FileKind, Placement, Result, Slot, Target, ZeroHow, fault, from_usize, to_usize,
};

use crate::layout::{prepare, settle};
use crate::raw::SECTOR;

/// `monolithicFlat`: the disk is one plain file.
pub(crate) struct Flat<'h> {
    file: File<'h>,
    extent: File<'h>,
    size: u64,
    descriptor: Vec<u8>,
}

impl<'h> Flat<'h> {
    pub(crate) fn new(file: File<'h>, extent: File<'h>, size: u64, descriptor: Vec<u8>) -> Result<Self> {
        let file = prepare(file, 0)?;
        let extent = prepare(extent, size)?;
        Ok(Self {
            file,
            extent,
            size,
            descriptor,
        })
    }
}

impl Target for Flat<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn unit(&self) -> u64 {
        SECTOR
    }

    fn plain(&self) -> Option<Slot> {
        Some(self.extent.slot())
    }

    fn allocate(&mut self, offset: u64, length: u64) -> Result<Placement> {
        Ok(Placement {
            slot: self.extent.slot(),
            offset,
            length,
            fresh: self.extent.kind() == FileKind::Fresh,
        })
    }

    fn zero(&mut self, offset: u64, length: u64) -> Result<()> {
        self.extent.zero(offset, length, ZeroHow::MayUnmap)
    }

    fn finish(&mut self) -> Result<()> {
        self.extent.flush()?;
        write_descriptor(&self.file, &self.descriptor)
    }
}

/// `twoGbMaxExtentFlat`: the disk is plain files of 2 GiB.
pub(crate) struct Split<'h> {
    file: File<'h>,
    extents: Vec<File<'h>>,
    size: u64,
    descriptor: Vec<u8>,
}

impl<'h> Split<'h> {
    pub(crate) fn new(file: File<'h>, extents: &[File<'h>], size: u64, descriptor: Vec<u8>) -> Result<Self> {
        let mut prepared = Vec::with_capacity(extents.len());
        let mut left = size;
        for extent in extents {
            prepared.push(prepare(*extent, left.min(SPLIT_BYTES))?);
            left = left.saturating_sub(SPLIT_BYTES);
        }
        Ok(Self {
            file: prepare(file, 0)?,
            extents: prepared,
            size,
            descriptor,
        })
    }

    /// The extent at `offset`, where in it that is, and how much of `length` it takes.
    fn find(&self, offset: u64, length: u64) -> Result<(&File<'h>, u64, u64)> {
        let extent = self.extents.get(to_usize(offset / SPLIT_BYTES)?);
        let extent = extent.ok_or_else(|| Fault::new(fault::core::INTERNAL).with([line!().into()]))?;
        let within = offset % SPLIT_BYTES;
        Ok((extent, within, length.min(SPLIT_BYTES.saturating_sub(within))))
    }
}

impl Target for Split<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn unit(&self) -> u64 {
        SECTOR
    }

    fn allocate(&mut self, offset: u64, length: u64) -> Result<Placement> {
        let (extent, offset, length) = self.find(offset, length)?;
        Ok(Placement {
            slot: extent.slot(),
            offset,
            length,
            fresh: extent.kind() == FileKind::Fresh,
        })
    }

    fn zero(&mut self, offset: u64, length: u64) -> Result<()> {
        let mut done = 0_u64;
        while done < length {
            let (extent, within, part) =
                self.find(offset.saturating_add(done), length.saturating_sub(done))?;
            extent.zero(within, part, ZeroHow::MayUnmap)?;
            done = done.saturating_add(part);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        for extent in &self.extents {
            extent.flush()?;
        }
        write_descriptor(&self.file, &self.descriptor)
    }
}

/// Writes the descriptor of a split image: the last file, and the one by which it is recognised.
pub(crate) fn write_descriptor(file: &File<'_>, text: &[u8]) -> Result<()> {
    file.write(0, text)?;
    settle(file, from_usize(text.len()))?;
    file.flush()
}
