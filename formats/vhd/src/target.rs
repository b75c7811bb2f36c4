//! Writing: into a new dynamic disk, and into an image that exists (`convert -n`).

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use instar_disk::{
    Action, BlockTarget, Blocks, Fault, File, FileKind, Io, Preallocate, Result, TableWriter, Target,
    align_up, behind, fault,
};
use zerocopy::IntoBytes;

use crate::fixed::Fixed;
use crate::header::{DiskType, DynamicHeader, Footer};
use crate::image::{dynamic_header, read_footer};
use crate::raw::{DYNAMIC_BYTES, FOOTER_BYTES, FOOTER_COOKIE, RawDynamicHeader, RawFooter, UNALLOCATED};
use crate::table::Table;

/// Bytes of a footer, and of a sector.
const SECTOR: u64 = 512;

/// Blocks whose bitmaps wait to be written together. Ours: 128 MiB of guest for one batch.
const TOUCHED: usize = 64;

/// Takes the VHD in `file` as a target of `size` bytes. While it is written it is no VHD, until
/// [`finish`](Target::finish); one that was left so is taken again.
///
/// # Errors
/// As reading it; `UNSUPPORTED` for a differencing disk; `TARGET_TOO_SMALL`, `SHORT_READ`; the host's.
pub fn existing<'h>(file: File<'h>, size: u64) -> Result<Box<dyn Target + 'h>> {
    open(file, size, false).map_err(|fault| Fault {
        slot: Some(file.slot()),
        ..fault
    })
}

/// Takes the VHD in `file` as a target that stays readable.
///
/// # Errors
/// As [`existing`].
pub fn readable(file: File<'_>) -> Result<Box<dyn Target + '_>> {
    open(file, 0, true).map_err(|fault| Fault {
        slot: Some(file.slot()),
        ..fault
    })
}

/// A dynamic disk without data that is being made.
pub(crate) fn making<'h>(
    file: File<'h>,
    size: u64,
    header: DynamicHeader,
    footer: RawFooter,
    raw: RawDynamicHeader,
) -> Box<dyn Target + 'h> {
    let table_bytes = header.table_bytes().div_ceil(SECTOR).saturating_mul(SECTOR);
    let next = header.table_offset.saturating_add(table_bytes);
    Box::new(BlockTarget::making(VhdBlocks {
        // Every byte of an unallocated entry is ff; the rest of the last sector too, as in qemu-img.
        table: TableWriter::new(file, header.table_offset, table_bytes, 0xff),
        file,
        size,
        header,
        footer,
        raw: Some(raw),
        next,
        touched: BTreeSet::new(),
    }))
}

fn open<'h>(file: File<'h>, size: u64, readable: bool) -> Result<Box<dyn Target + 'h>> {
    if file.size() == 0 {
        return Err(Fault::new(fault::vhd::TOO_SMALL));
    }
    let mut front = read_footer(&file, 0)?;
    if front.cookie != FOOTER_COOKIE {
        let marked = file.past_the_mark(0, &FOOTER_COOKIE)?;
        front = read_footer(&marked, 0)?;
        // The first sector of a fixed disk is the guest's.
        let is_dynamic = !readable && Footer::parse(&front).is_ok();
        if !is_dynamic || is_fixed(&file)? {
            return fixed(file, size, readable);
        }
    }
    let footer = Footer::parse(&front)?;
    let header = DynamicHeader::parse(&dynamic_header(&file, &footer)?, footer.size)?;
    if footer.disk_type != DiskType::Dynamic {
        let what = b"writing into a VHD that is neither fixed nor dynamic";
        return Err(Fault::new(fault::core::UNSUPPORTED).named(what));
    }
    // Judges all of the table as for reading.
    let mut table = Table::open(file, &footer, header)?;
    let mut block = 0_u64;
    while block < footer.size.div_ceil(header.block_size.max(1)) {
        block = block.saturating_add(table.run(block)?.blocks);
    }
    let last = read_footer(&file, behind_a_fixed_disk(&file)?)?;
    let end = behind(&file, SECTOR)?;
    let next = if last.cookie == FOOTER_COOKIE {
        end.saturating_sub(SECTOR)
    } else {
        end
    };
    let blocks = VhdBlocks {
        table: TableWriter::existing(file, header.table_offset, header.table_bytes()),
        file,
        size: footer.size,
        header,
        footer: front,
        raw: None,
        next,
        touched: BTreeSet::new(),
    };
    let image = BlockTarget::new(blocks, size)?;
    Ok(Box::new(if readable { image.readable() } else { image }))
}

/// Whether the footer is where a fixed disk has it, and says so.
fn is_fixed(file: &File<'_>) -> Result<bool> {
    let raw = read_footer(file, behind_a_fixed_disk(file)?)?;
    Ok(Footer::parse(&raw).is_ok_and(|footer| footer.disk_type == DiskType::Fixed))
}

fn behind_a_fixed_disk(file: &File<'_>) -> Result<u64> {
    Ok(align_up(file.size(), SECTOR)?.saturating_sub(SECTOR))
}

/// The footer goes at once, unless the image is to stay readable: guest bytes stand at their own offset, and nobody asks where they go.
fn fixed<'h>(file: File<'h>, size: u64, readable: bool) -> Result<Box<dyn Target + 'h>> {
    let at = behind_a_fixed_disk(&file)?;
    let file = match readable {
        true => file,
        false => file.past_the_mark(at, &FOOTER_COOKIE)?,
    };
    let raw = read_footer(&file, at)?;
    let footer = Footer::parse(&raw)?;
    if footer.disk_type != DiskType::Fixed || footer.size > at {
        return Err(Fault::new(fault::vhd::NOT_VHD));
    }
    if footer.size < size {
        return Err(Fault::new(fault::core::TARGET_TOO_SMALL));
    }
    if !readable {
        file.write(at, &[0; FOOTER_COOKIE.len()])?;
        file.flush()?;
    }
    Ok(Box::new(Fixed {
        file,
        size: footer.size,
        end: at,
        footer: raw,
    }))
}

struct VhdBlocks<'h> {
    file: File<'h>,
    size: u64,
    header: DynamicHeader,
    footer: RawFooter,
    /// The header of a disk that is being made.
    raw: Option<RawDynamicHeader>,
    table: TableWriter<'h>,
    /// Where the next block goes, bitmap first.
    next: u64,
    /// Where the bitmaps are of blocks that were written to.
    touched: BTreeSet<u64>,
}

impl VhdBlocks<'_> {
    /// The entry of a block at this byte.
    fn sector(&self, start: u64) -> Result<u32> {
        u32::try_from(start / SECTOR)
            .ok()
            .filter(|sector| *sector != UNALLOCATED)
            .ok_or_else(|| Fault::new(fault::core::OVERFLOW).with([start / SECTOR]))
    }

    /// The footer behind all blocks.
    fn write_footer(&self) -> Result<()> {
        if self.file.kind() != FileKind::Block {
            self.file
                .resize(self.next.saturating_add(SECTOR), Preallocate::Off)?;
        }
        self.file.write(self.next, self.footer.as_bytes())
    }

    /// All sectors of a block are in it, written or not: what readers that look at bitmaps see is what all others see.
    fn write_bitmaps(&mut self) -> Result<()> {
        let bits = alloc::vec![0xff_u8; instar_disk::to_usize(self.header.bitmap_size)?];
        let slot = self.file.slot();
        let mut batch: Vec<Io<'_>> = core::mem::take(&mut self.touched)
            .into_iter()
            .map(|offset| Action::Write {
                slot,
                offset,
                from: &bits,
            })
            .map(Io::new)
            .collect();
        self.file.host().all(&mut batch)
    }
}

impl Blocks for VhdBlocks<'_> {
    fn file(&self) -> &File<'_> {
        &self.file
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn block_size(&self) -> u64 {
        self.header.block_size
    }

    fn place(&mut self, block: u64) -> Result<Option<u64>> {
        let sector = u32::from_be_bytes(self.table.get(block.saturating_mul(4))?);
        let start = u64::from(sector).saturating_mul(SECTOR);
        Ok((sector != UNALLOCATED).then(|| start.saturating_add(self.header.bitmap_size)))
    }

    fn reserve(&mut self) -> Result<u64> {
        let start = self.next;
        self.sector(start)?;
        let data = start.saturating_add(self.header.bitmap_size);
        self.next = align_up(data.saturating_add(self.header.block_size), SECTOR)?;
        Ok(data)
    }

    fn link(&mut self, block: u64, place: u64) -> Result<()> {
        let sector = self.sector(place.saturating_sub(self.header.bitmap_size))?;
        self.table.set(block.saturating_mul(4), sector.to_be_bytes())
    }

    fn touch(&mut self, place: u64) -> Result<()> {
        self.touched.insert(place.saturating_sub(self.header.bitmap_size));
        if self.touched.len() >= TOUCHED {
            self.write_bitmaps()?;
        }
        Ok(())
    }

    fn mark(&mut self) -> Result<()> {
        self.file.write(0, &[0; FOOTER_COOKIE.len()])
    }

    fn finish(&mut self) -> Result<()> {
        self.write_bitmaps()?;
        self.table.finish()?;
        self.write_footer()?;
        if let Some(raw) = &self.raw {
            self.file
                .write(instar_disk::from_usize(FOOTER_BYTES), raw.as_bytes())?;
        }
        self.file.flush()?;
        self.file.write(0, self.footer.as_bytes())
    }

    fn prepare(&mut self) -> Result<()> {
        self.write_bitmaps()?;
        self.write_footer()
    }

    fn put(&mut self) -> Result<()> {
        self.table.finish()
    }
}

const _: () = assert!(DYNAMIC_BYTES.is_multiple_of(FOOTER_BYTES));
