//! Writing.

use alloc::vec::Vec;

use instar_disk::{
    Action, File, FileKind, Io, Placement, Preallocate, Result, Slot, TableWriter, Target, ZeroHow, fault,
};
use zerocopy::IntoBytes;

use crate::header::DynamicHeader;
use crate::raw::{DYNAMIC_BYTES, FOOTER_BYTES, RawDynamicHeader, RawFooter, UNALLOCATED};

/// Sector bitmaps that wait to be written together. Ours: 128 MiB of guest for one batch.
const BITMAPS: usize = 64;

pub(crate) struct Fixed<'h> {
    pub(crate) file: File<'h>,
    pub(crate) size: u64,
    /// Where the footer goes.
    pub(crate) end: u64,
    pub(crate) footer: RawFooter,
}

impl Target for Fixed<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn unit(&self) -> u64 {
        512
    }

    fn plain(&self) -> Option<Slot> {
        Some(self.file.slot())
    }

    fn allocate(&mut self, offset: u64, length: u64) -> Result<Placement> {
        Ok(Placement {
            slot: self.file.slot(),
            offset,
            length,
            fresh: self.file.kind() == FileKind::Fresh,
        })
    }

    fn zero(&mut self, offset: u64, length: u64) -> Result<()> {
        self.file.zero(offset, length, ZeroHow::MayUnmap)
    }

    fn finish(&mut self) -> Result<()> {
        self.file.flush()?;
        self.file.write(self.end, self.footer.as_bytes())?;
        self.file.flush()
    }
}

pub(crate) struct Dynamic<'h> {
    file: File<'h>,
    size: u64,
    header: DynamicHeader,
    footer: RawFooter,
    raw: RawDynamicHeader,
    table: TableWriter<'h>,
    /// Where the next block goes.
    next: u64,
    /// Blocks whose bitmap is not written yet, by offset.
    bitmaps: Vec<u64>,
}

impl<'h> Dynamic<'h> {
    /// An image without data.
    pub(crate) fn new(
        file: File<'h>,
        size: u64,
        header: DynamicHeader,
        footer: RawFooter,
        raw: RawDynamicHeader,
    ) -> Self {
        let table_bytes = header.table_bytes().div_ceil(512).saturating_mul(512);
        Self {
            file,
            size,
            header,
            footer,
            raw,
            // Every byte of an unallocated entry is ff; the rest of the last sector too, as in qemu-img.
            table: TableWriter::new(file, header.table_offset, table_bytes, 0xff),
            next: header.table_offset.saturating_add(table_bytes),
            bitmaps: Vec::new(),
        }
    }

    /// Where the block's bitmap starts, if it has one.
    fn block(&mut self, block: u64) -> Result<Option<u64>> {
        let sector = u32::from_be_bytes(self.table.get(block.saturating_mul(4))?);
        Ok((sector != UNALLOCATED).then(|| u64::from(sector).saturating_mul(512)))
    }

    fn give(&mut self, block: u64) -> Result<u64> {
        let offset = self.next;
        let sector = u32::try_from(offset / 512)
            .map_err(|_| instar_disk::Fault::new(fault::core::OVERFLOW).with([offset / 512]))?;
        self.table.set(block.saturating_mul(4), sector.to_be_bytes())?;
        self.next = offset
            .saturating_add(self.header.bitmap_size)
            .saturating_add(self.header.block_size);
        self.bitmaps.push(offset);
        if self.bitmaps.len() >= BITMAPS {
            self.write_bitmaps()?;
        }
        Ok(offset)
    }

    /// All sectors of a block are in it as soon as one is: what is not written reads as zeros.
    fn write_bitmaps(&mut self) -> Result<()> {
        let bits = alloc::vec![0xff_u8; instar_disk::to_usize(self.header.bitmap_size)?];
        let slot = self.file.slot();
        let write = |offset: u64| {
            Io::new(Action::Write {
                slot,
                offset,
                from: &bits,
            })
        };
        let mut batch: Vec<Io<'_>> = self.bitmaps.drain(..).map(write).collect();
        self.file.host().submit(&mut batch);
        for io in batch {
            io.outcome.map_err(|error| error.fault(slot))?;
        }
        Ok(())
    }

    fn split(&self, offset: u64) -> (u64, u64) {
        let block = offset.checked_div(self.header.block_size).unwrap_or(0);
        let start = block.saturating_mul(self.header.block_size);
        (block, offset.saturating_sub(start))
    }
}

impl Target for Dynamic<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn unit(&self) -> u64 {
        self.header.block_size
    }

    fn allocate(&mut self, offset: u64, length: u64) -> Result<Placement> {
        let (block, within) = self.split(offset);
        let start = match self.block(block)? {
            Some(start) => start,
            None => self.give(block)?,
        };
        Ok(Placement {
            slot: self.file.slot(),
            offset: start
                .saturating_add(self.header.bitmap_size)
                .saturating_add(within),
            length: length.min(self.header.block_size.saturating_sub(within)),
            fresh: self.file.kind() == FileKind::Fresh,
        })
    }

    fn zero(&mut self, offset: u64, length: u64) -> Result<()> {
        let (mut at, end) = (offset, offset.saturating_add(length));
        while at < end {
            let (block, within) = self.split(at);
            let room = self.header.block_size.saturating_sub(within).max(1);
            let step = end.saturating_sub(at).min(room);
            if let Some(start) = self.block(block)? {
                let data = start.saturating_add(self.header.bitmap_size);
                self.file
                    .zero(data.saturating_add(within), step, ZeroHow::MayUnmap)?;
            }
            at = at.saturating_add(step);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.write_bitmaps()?;
        self.table.finish()?;
        if self.file.kind() != FileKind::Block {
            self.file.resize(self.next, Preallocate::Off)?;
        }
        self.file.write(self.next, self.footer.as_bytes())?;
        self.file
            .write(instar_disk::from_usize(FOOTER_BYTES), self.raw.as_bytes())?;
        self.file.flush()?;
        self.file.write(0, self.footer.as_bytes())?;
        self.file.flush()
    }
}

const _: () = assert!(DYNAMIC_BYTES.is_multiple_of(FOOTER_BYTES));
