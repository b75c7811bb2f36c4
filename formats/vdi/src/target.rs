//! Writing: into a new image, and into one that exists (`convert -n`).

use alloc::boxed::Box;

use instar_disk::{
    BlockTarget, Blocks, Fault, File, FileKind, Preallocate, Result, TableWriter, Target, behind, fault,
};
use zerocopy::{FromZeros, IntoBytes};

use crate::header::{BLOCK, Header, ImageType};
use crate::raw::{DISCARDED, RawHeader, SIGNATURE, SIGNATURE_AT};
use crate::table::{BlockMap, place_offset};

/// Every byte of a map entry that says [`UNALLOCATED`](crate::raw::UNALLOCATED).
const EMPTY: u8 = 0xff;

/// Takes the VDI in `file` as a target of `size` bytes. From the first change on it is no VDI, until
/// [`finish`](Target::finish); one that was left so is taken again.
///
/// # Errors
/// As reading it; `TARGET_TOO_SMALL`, `SHORT_READ`; the host's.
pub fn existing<'h>(file: File<'h>, size: u64) -> Result<Box<dyn Target + 'h>> {
    let file = file.past_the_mark(SIGNATURE_AT, const { &SIGNATURE.to_le_bytes() })?;
    Ok(Box::new(open(file, size)?))
}

/// Takes the VDI in `file` as a target that stays readable.
///
/// # Errors
/// As [`existing`].
pub fn readable(file: File<'_>) -> Result<Box<dyn Target + '_>> {
    Ok(Box::new(open(file, 0)?.readable()))
}

/// An image without data that is being made. A static one has all its places now.
pub(crate) fn making<'h>(file: File<'h>, header: Header, raw: RawHeader) -> Result<Box<dyn Target + 'h>> {
    let is_static = header.image_type == ImageType::Static;
    let mut blocks = VdiBlocks {
        map: TableWriter::new(file, header.map_offset, header.map_bytes(), EMPTY),
        next: 0,
        allocated: 0,
        file,
        header,
        raw,
    };
    if is_static {
        for block in 0..u64::from(blocks.header.blocks) {
            let place = blocks.reserve()?;
            blocks.link(block, place)?;
        }
    }
    Ok(Box::new(BlockTarget::making(blocks)))
}

fn open(file: File<'_>, size: u64) -> Result<BlockTarget<VdiBlocks<'_>>> {
    let mut raw = RawHeader::new_zeroed();
    file.read_padded(0, raw.as_mut_bytes())?;
    let header = Header::parse(&raw)
        .and_then(|header| header.refuse_data_in_front().map(|()| header))
        .map_err(|fault| fault.in_file(file.slot()))?;
    // The map is in the file, all of it.
    BlockMap::new(file, &header)?;
    behind(&file, 512)?;
    let mut blocks = VdiBlocks {
        map: TableWriter::existing(file, header.map_offset, header.map_bytes()),
        next: 0,
        allocated: 0,
        file,
        header,
        raw,
    };
    for block in 0..u64::from(blocks.header.blocks) {
        let Some(place) = blocks.place(block)? else {
            continue;
        };
        // Read as zeros; written to, it would be the place of another block as well.
        if place >= file.size() {
            return Err(Fault::new(fault::core::SHORT_READ)
                .with([place, BLOCK, file.size()])
                .in_file(file.slot()));
        }
        blocks.allocated = blocks.allocated.saturating_add(1);
        // Not behind the file, which may have the places of a run that failed: places are dense.
        let number = blocks.number(place);
        blocks.next = blocks.next.max(number.saturating_add(1));
    }
    BlockTarget::new(blocks, size)
}

struct VdiBlocks<'h> {
    file: File<'h>,
    header: Header,
    raw: RawHeader,
    map: TableWriter<'h>,
    /// The first place that nobody has.
    next: u32,
    /// Blocks that have places.
    allocated: u32,
}

impl VdiBlocks<'_> {
    /// The number of the place that begins there.
    fn number(&self, place: u64) -> u32 {
        let number = place.saturating_sub(self.header.data_offset) / BLOCK;
        u32::try_from(number).unwrap_or(DISCARDED)
    }

    /// The header, which says how many blocks have places.
    fn count(&mut self) -> Result<()> {
        self.raw.blocks_allocated.set(self.allocated);
        self.file.write(0, self.raw.as_bytes())
    }
}

impl Blocks for VdiBlocks<'_> {
    fn file(&self) -> &File<'_> {
        &self.file
    }

    fn size(&self) -> u64 {
        self.header.size
    }

    fn block_size(&self) -> u64 {
        BLOCK
    }

    fn place(&mut self, block: u64) -> Result<Option<u64>> {
        let entry = u32::from_le_bytes(self.map.get(block.saturating_mul(4))?);
        Ok((entry < DISCARDED).then(|| place_offset(self.header.data_offset, entry)))
    }

    fn is_aligned(&self) -> bool {
        self.header.data_offset.is_multiple_of(4096)
    }

    fn reserve(&mut self) -> Result<u64> {
        let place = self.next;
        if place >= DISCARDED {
            return Err(Fault::new(fault::core::OVERFLOW).with([place.into()]));
        }
        self.next = place.saturating_add(1);
        Ok(place_offset(self.header.data_offset, place))
    }

    fn link(&mut self, block: u64, place: u64) -> Result<()> {
        let number = self.number(place);
        self.map.set(block.saturating_mul(4), number.to_le_bytes())?;
        self.allocated = self.allocated.saturating_add(1);
        Ok(())
    }

    fn adjoin(&self) -> bool {
        true
    }

    fn whole(&self) -> Option<u64> {
        (self.header.image_type == ImageType::Static).then_some(self.header.data_offset)
    }

    fn mark(&mut self) -> Result<()> {
        let mut raw = self.raw.clone();
        raw.signature.set(0);
        self.file.write(0, raw.as_bytes())
    }

    fn finish(&mut self) -> Result<()> {
        self.map.finish()?;
        self.prepare()?;
        self.file.flush()?;
        self.count()
    }

    fn prepare(&mut self) -> Result<()> {
        // The last block is whole, as is every other: readers may map the file.
        let end = place_offset(self.header.data_offset, self.next);
        match end > self.file.size() && self.file.kind() != FileKind::Block {
            true => self.file.resize(end, Preallocate::Off),
            false => Ok(()),
        }
    }

    fn put(&mut self) -> Result<()> {
        self.map.finish()?;
        self.count()
    }
}
