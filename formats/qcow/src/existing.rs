//! Writing into an image that exists.

use alloc::boxed::Box;

use instar_disk::fault::qcow as faults;
use instar_disk::{BlockTarget, Blocks, Fault, File, LevelsWriter, Result, Target, align_up, behind};
use zerocopy::IntoBytes;

use crate::edit::changeable;
use crate::geometry::{Entry, Geometry};
use crate::header::Header;
use crate::raw::{MAGIC, RawHeader, SECTOR};
use crate::scan::scan;

/// Takes the qcow image in `file` as a target of `size` bytes (`convert -n`). From the first change on it is none, until
/// [`finish`](Target::finish); one that was left so is taken again.
///
/// # Errors
/// As reading it; `TARGET_TOO_SMALL`; tables that are damaged; the host's.
pub fn existing<'h>(file: File<'h>, size: u64) -> Result<Box<dyn Target + 'h>> {
    let mut magic = MAGIC;
    file.read_padded(0, &mut magic)?;
    let marked = magic == [0; 4];
    let seen = file.past_the_mark(0, &MAGIC)?;
    if marked && Header::read(&seen).is_err() {
        return Err(Fault::new(faults::MAGIC).in_file(file.slot()));
    }
    Ok(Box::new(open(seen, size, false)?))
}

/// Takes the qcow image in `file` as a target that stays readable. `covered`: something will be below it.
///
/// # Errors
/// As [`existing`].
pub fn readable(file: File<'_>, covered: bool) -> Result<Box<dyn Target + '_>> {
    Ok(Box::new(open(file, 0, covered)?.readable()))
}

fn open(file: File<'_>, size: u64, covered: bool) -> Result<BlockTarget<Existing<'_>>> {
    behind(&file, 512)?;
    let header = changeable(file)?;
    let (_, raw) = Header::read(&file)?;
    let tally = scan(file, &header)?;
    if tally.shared > 0 {
        return Err(Fault::new(faults::SHARED)
            .with([tally.shared])
            .in_file(file.slot()));
    }
    let geometry = header.geometry;
    let blocks = Existing {
        tables: LevelsWriter::existing(
            file,
            geometry.levels(header.l1_offset, header.l1_bytes()),
            align_up(file.size(), SECTOR)?,
        ),
        file,
        geometry,
        // What is written to a part of a stream's cluster would lose the rest.
        over: covered || header.has_backing() || tally.streams > 0,
        size: header.size,
        raw,
    };
    BlockTarget::new(blocks, size)
}

#[derive(Debug)]
struct Existing<'h> {
    file: File<'h>,
    geometry: Geometry,
    raw: RawHeader,
    size: u64,
    tables: LevelsWriter<'h>,
    over: bool,
}

impl Blocks for Existing<'_> {
    fn file(&self) -> &File<'_> {
        &self.file
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn block_size(&self) -> u64 {
        self.geometry.cluster()
    }

    fn place(&mut self, block: u64) -> Result<Option<u64>> {
        match self.geometry.entry(self.tables.get(block)?) {
            Entry::At(place) => Ok(Some(place)),
            Entry::None | Entry::Stream(..) => Ok(None),
        }
    }

    fn is_over(&self) -> bool {
        self.over
    }

    fn says_zero(&self) -> bool {
        false
    }

    fn reserve(&mut self) -> Result<u64> {
        self.tables
            .reserve(self.geometry.cluster(), self.geometry.cluster())
    }

    fn link(&mut self, block: u64, place: u64) -> Result<()> {
        let end = place.saturating_add(self.geometry.cluster());
        self.tables.set(block, place, end)
    }

    fn mark(&mut self) -> Result<()> {
        let mut raw = self.raw.clone();
        raw.magic = [0; 4];
        self.file.write(0, raw.as_bytes())
    }

    fn finish(&mut self) -> Result<()> {
        self.tables.put()?;
        self.file.flush()?;
        self.file.write(0, self.raw.as_bytes())
    }

    fn prepare(&mut self) -> Result<()> {
        self.tables.lengthen()
    }

    fn put(&mut self) -> Result<()> {
        self.tables.put()
    }

    fn forget(&mut self) -> Result<()> {
        self.tables.forget()
    }
}
