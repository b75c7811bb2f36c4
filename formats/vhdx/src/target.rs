//! Writing: into a new image, and into one that exists (`convert -n`).

use alloc::boxed::Box;

use instar_disk::job::Seed;
use instar_disk::{
    BlockTarget, Blocks, Fault, File, FileKind, Identifiers, Preallocate, Result, TableWriter, Target,
    behind, fault,
};
use zerocopy::IntoBytes;

use crate::crc::crc32c;
use crate::header::{Header, read_valid};
use crate::layout::{Chunks, HEADERS, MIB, state};
use crate::metadata::Metadata;
use crate::plan::Plan;
use crate::raw::{FILE_SIGNATURE, Guid, RawHeader};
use crate::region::Regions;
use crate::replayed::Replayed;
use crate::table::Table;

/// Takes the VHDX in `file` as a target of `size` bytes. From the first change on it is no VHDX, until
/// [`finish`](Target::finish); one that was left so is taken again.
///
/// # Errors
/// As reading it; `UNSUPPORTED` for a differencing disk and one whose log must be replayed; `TARGET_TOO_SMALL`,
/// the host's.
pub fn existing<'h>(file: File<'h>, size: u64, seed: &Seed) -> Result<Box<dyn Target + 'h>> {
    match file
        .past_the_mark(0, &FILE_SIGNATURE)
        .and_then(|file| open(file, size, seed))
    {
        Ok(image) => Ok(Box::new(image)),
        Err(fault) => Err(Fault {
            slot: Some(file.slot()),
            ..fault
        }),
    }
}

/// Takes the VHDX in `file` as a target that stays readable. `renews`: overlays are to see that it has changed.
///
/// # Errors
/// As [`existing`].
pub fn readable<'h>(file: File<'h>, seed: &Seed, renews: bool) -> Result<Box<dyn Target + 'h>> {
    match open(file, 0, seed) {
        Ok(image) => Ok(Box::new(image.with(|blocks| blocks.renew(renews)).readable())),
        Err(fault) => Err(Fault {
            slot: Some(file.slot()),
            ..fault
        }),
    }
}

/// An image without data that is being made.
pub(crate) fn making<'h>(file: File<'h>, plan: Plan) -> Box<dyn Target + 'h> {
    Box::new(BlockTarget::making(VhdxBlocks {
        table: plan.table(file),
        file,
        size: plan.size,
        chunks: plan.chunks,
        next: if plan.fixed {
            plan.fixed_end()
        } else {
            plan.data_offset
        },
        headers: Headers::New(Box::new(plan)),
    }))
}

fn open<'h>(file: File<'h>, size: u64, seed: &Seed) -> Result<BlockTarget<VhdxBlocks<'h>>> {
    let (header, raw) = Header::read(&file)?;
    if header.log_guid.is_some() {
        let what = b"writing into a VHDX whose log must be replayed first, by qemu-img check -r all";
        return Err(Fault::new(fault::core::UNSUPPORTED).named(what));
    }
    let as_it_is = Replayed::new(file);
    let regions = Regions::read(&as_it_is, &header)?;
    let metadata = Metadata::read(&as_it_is, regions.metadata)?;
    if metadata.differencing {
        let what = b"writing into a differencing VHDX";
        return Err(Fault::new(fault::core::UNSUPPORTED).named(what));
    }
    let chunks = Chunks::new(metadata.block_size, metadata.sector_size);
    let bytes = chunks.entries(metadata.size, false).saturating_mul(8);
    let (bat, next) = (regions.bat.offset, behind(&file, MIB)?);
    if regions.end() > next {
        // A log that the file does not have is nothing to a reader; written behind it, the file would have a hole of that length.
        let missing = regions.end().saturating_sub(next);
        return Err(Fault::new(fault::core::SHORT_READ).with([next, missing, file.size()]));
    }
    // Judges all of the table as for reading, and that it has room.
    let mut table = Table::open(&as_it_is, regions, &metadata)?;
    let mut block = 0_u64;
    while block < chunks.blocks(metadata.size) {
        block = block.saturating_add(table.run(&as_it_is, block)?.blocks);
    }
    let mut identifiers = Identifiers::new(seed, b"vhdx");
    let blocks = VhdxBlocks {
        file,
        size: metadata.size,
        chunks,
        table: TableWriter::existing(file, bat, bytes),
        next,
        headers: Headers::There(Box::new(Renewal {
            raw,
            guids: [identifiers.guid(), identifiers.guid()],
            renews: true,
        })),
    };
    BlockTarget::new(blocks, size)
}

struct VhdxBlocks<'h> {
    file: File<'h>,
    size: u64,
    chunks: Chunks,
    table: TableWriter<'h>,
    /// Where the next block goes.
    next: u64,
    headers: Headers,
}

/// What becomes of the headers.
enum Headers {
    /// They are written, with all other structures, when the image is complete.
    New(Box<Plan>),
    There(Box<Renewal>),
}

/// Headers that are there and will be renewed.
struct Renewal {
    /// The header that counted.
    raw: RawHeader,
    /// Of this writing, by which overlays see that their parent has changed.
    guids: [Guid; 2],
    /// That of the data is a new one.
    renews: bool,
}

impl Renewal {
    /// Both headers, one after the other, with new identifiers; the one that counts comes last.
    fn write(&self, file: &File<'_>) -> Result<()> {
        let [file_write, data_write] = self.guids;
        let [first, second] = HEADERS;
        let order = match read_valid(file, first)? {
            Some(raw) if raw.sequence_number == self.raw.sequence_number => [second, first],
            _ => [first, second],
        };
        for (offset, step) in order.into_iter().zip(1..) {
            let mut raw = self.raw.clone();
            raw.sequence_number
                .set(self.raw.sequence_number.get().wrapping_add(step));
            raw.file_write_guid = file_write;
            if self.renews {
                raw.data_write_guid = data_write;
            }
            raw.checksum.set(0);
            raw.checksum.set(crc32c(raw.as_bytes()));
            file.write(offset, raw.as_bytes())?;
            file.flush()?;
        }
        Ok(())
    }
}

impl VhdxBlocks<'_> {
    /// Whether overlays are to see that the data has changed.
    fn renew(&mut self, renews: bool) {
        if let Headers::There(renewal) = &mut self.headers {
            renewal.renews = renews;
        }
    }
}

impl Blocks for VhdxBlocks<'_> {
    fn file(&self) -> &File<'_> {
        &self.file
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn block_size(&self) -> u64 {
        self.chunks.block_size
    }

    fn place(&mut self, block: u64) -> Result<Option<u64>> {
        let entry = self.chunks.entry(block).saturating_mul(8);
        let value = u64::from_le_bytes(self.table.get(entry)?);
        Ok((value & 7 == state::FULLY_PRESENT).then_some(value & !(MIB.saturating_sub(1))))
    }

    fn is_aligned(&self) -> bool {
        true
    }

    fn reserve(&mut self) -> Result<u64> {
        let place = self.next;
        self.next = place.saturating_add(self.chunks.block_size);
        Ok(place)
    }

    fn link(&mut self, block: u64, place: u64) -> Result<()> {
        let entry = self.chunks.entry(block).saturating_mul(8);
        self.table
            .set(entry, (place | state::FULLY_PRESENT).to_le_bytes())
    }

    fn adjoin(&self) -> bool {
        true
    }

    fn whole(&self) -> Option<u64> {
        match &self.headers {
            Headers::New(plan) => plan.fixed.then_some(plan.data_offset),
            Headers::There(_) => None,
        }
    }

    fn mark(&mut self) -> Result<()> {
        self.file.write(0, &[0; FILE_SIGNATURE.len()])
    }

    fn finish(&mut self) -> Result<()> {
        self.table.finish()?;
        self.prepare()?;
        match &self.headers {
            Headers::New(plan) => plan.write(&self.file),
            Headers::There(renewal) => {
                self.file.flush()?;
                renewal.write(&self.file)?;
                self.file.write(0, &FILE_SIGNATURE)
            }
        }
    }

    fn begin(&mut self) -> Result<()> {
        match &self.headers {
            Headers::New(_) => Ok(()),
            Headers::There(renewal) => renewal.write(&self.file),
        }
    }

    fn prepare(&mut self) -> Result<()> {
        match self.next > self.file.size() && self.file.kind() != FileKind::Block {
            true => self.file.resize(self.next, Preallocate::Off),
            false => Ok(()),
        }
    }

    fn put(&mut self) -> Result<()> {
        self.table.finish()
    }
}
