//! Writing.

use instar_disk::{File, FileKind, Placement, Preallocate, Result, TableWriter, Target, ZeroHow};
use zerocopy::IntoBytes;

use crate::header::{BLOCK, Header, ImageType};
use crate::raw::{DISCARDED, RawHeader};
use crate::table::place_offset;

/// Every byte of a map entry that says [`UNALLOCATED`](crate::raw::UNALLOCATED).
const EMPTY: u8 = 0xff;

pub(crate) struct Vdi<'h> {
    file: File<'h>,
    header: Header,
    raw: RawHeader,
    map: TableWriter<'h>,
    /// Places given out.
    allocated: u32,
}

impl<'h> Vdi<'h> {
    /// An image without data. A static one has all its places now.
    pub(crate) fn new(file: File<'h>, header: Header, raw: RawHeader) -> Result<Self> {
        let mut map = TableWriter::new(file, header.map_offset, header.map_bytes(), EMPTY);
        let mut allocated = 0;
        if header.image_type == ImageType::Static {
            for block in 0..header.blocks {
                map.set(u64::from(block).saturating_mul(4), block.to_le_bytes())?;
            }
            allocated = header.blocks;
        }
        Ok(Self {
            file,
            header,
            raw,
            map,
            allocated,
        })
    }

    fn place(&mut self, block: u64) -> Result<Option<u32>> {
        let entry = u32::from_le_bytes(self.map.get(block.saturating_mul(4))?);
        Ok(Some(entry).filter(|place| *place < DISCARDED))
    }

    fn placement(&self, place: u32, within: u64, length: u64) -> Placement {
        Placement {
            slot: self.file.slot(),
            offset: place_offset(self.header.data_offset, place).saturating_add(within),
            length,
            fresh: self.file.kind() == FileKind::Fresh,
        }
    }

    /// Gives places to the blocks from `block` on, until `blocks` have one or a block is met that has one already.
    fn give(&mut self, block: u64, blocks: u64) -> Result<u64> {
        let mut given = 0_u64;
        while given < blocks {
            let next = block.saturating_add(given);
            if self.place(next)?.is_some() {
                break;
            }
            self.map
                .set(next.saturating_mul(4), self.allocated.to_le_bytes())?;
            self.allocated = self.allocated.saturating_add(1);
            given = given.saturating_add(1);
        }
        Ok(given)
    }
}

impl Target for Vdi<'_> {
    fn size(&self) -> u64 {
        self.header.size
    }

    fn unit(&self) -> u64 {
        BLOCK
    }

    fn allocate(&mut self, offset: u64, length: u64) -> Result<Placement> {
        let (block, within) = (offset / BLOCK, offset % BLOCK);
        if self.header.image_type == ImageType::Static {
            return Ok(self.placement(0, offset, length));
        }
        if let Some(place) = self.place(block)? {
            return Ok(self.placement(place, within, length.min(BLOCK.saturating_sub(within))));
        }
        let first = self.allocated;
        let given = self.give(block, within.saturating_add(length).div_ceil(BLOCK))?;
        let room = given.saturating_mul(BLOCK).saturating_sub(within);
        Ok(self.placement(first, within, length.min(room)))
    }

    fn zero(&mut self, offset: u64, length: u64) -> Result<()> {
        let (mut at, end) = (offset, offset.saturating_add(length));
        while at < end {
            let (block, within) = (at / BLOCK, at % BLOCK);
            let step = end.saturating_sub(at).min(BLOCK.saturating_sub(within));
            if let Some(place) = self.place(block)? {
                let placement = self.placement(place, within, step);
                self.file
                    .zero(placement.offset, placement.length, ZeroHow::MayUnmap)?;
            }
            at = at.saturating_add(step);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.map.finish()?;
        // The last block is whole, as is every other: readers may map the file.
        let end = place_offset(self.header.data_offset, self.allocated);
        if self.file.kind() != FileKind::Block {
            self.file.resize(end, Preallocate::Off)?;
        }
        self.file.flush()?;
        self.raw.blocks_allocated.set(self.allocated);
        self.file.write(0, self.raw.as_bytes())?;
        self.file.flush()
    }
}
