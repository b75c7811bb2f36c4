//! Writing into an image that exists.

use alloc::boxed::Box;

use instar_disk::fault::qed as faults;
use instar_disk::{BlockTarget, Blocks, Fault, File, LevelsWriter, Result, Target, align_up, behind};
use zerocopy::IntoBytes;

use crate::geometry::Geometry;
use crate::header::Header;
use crate::raw::{MAGIC, RawHeader, entry};
use crate::repair::{clean, refuse_shared};
use crate::scan::scan;

/// Takes the QED image in `file` as a target of `size` bytes (`convert -n`). From the first change on it is none, until
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
    Ok(Box::new(open(seen, size, false, marked)?))
}

/// Takes the QED image in `file` as a target that stays readable. `covered`: something will be below it.
///
/// # Errors
/// As [`existing`].
pub fn readable(file: File<'_>, covered: bool) -> Result<Box<dyn Target + '_>> {
    Ok(Box::new(open(file, 0, covered, false)?.readable()))
}

/// `repairs`: entries may lead to what was never written.
fn open(file: File<'_>, size: u64, covered: bool, repairs: bool) -> Result<BlockTarget<Existing<'_>>> {
    behind(&file, 512)?;
    let (header, raw) = clean(file)?;
    let tally = scan(file, &header, repairs)?;
    refuse_shared(file, tally.shared)?;
    if tally.invalid > tally.removed {
        return Err(Fault::new(faults::DAMAGED)
            .with([tally.invalid])
            .in_file(file.slot()));
    }
    let blocks = Existing {
        tables: writer(file, &header)?,
        file,
        geometry: header.geometry,
        over: covered || header.has_backing(),
        raw,
    };
    BlockTarget::new(blocks, size)
}

/// The tables of the image in `file`, to be written.
///
/// # Errors
/// `OVERFLOW`.
pub(crate) fn writer<'h>(file: File<'h>, header: &Header) -> Result<LevelsWriter<'h>> {
    let end = align_up(file.size(), header.geometry.cluster())?;
    Ok(LevelsWriter::existing(
        file,
        header.geometry.levels(header.l1_offset),
        end,
    ))
}

#[derive(Debug)]
struct Existing<'h> {
    file: File<'h>,
    geometry: Geometry,
    raw: RawHeader,
    tables: LevelsWriter<'h>,
    over: bool,
}

impl Blocks for Existing<'_> {
    fn file(&self) -> &File<'_> {
        &self.file
    }

    fn size(&self) -> u64 {
        self.raw.image_size.get()
    }

    fn block_size(&self) -> u64 {
        self.geometry.cluster()
    }

    fn place(&mut self, block: u64) -> Result<Option<u64>> {
        let place = self.tables.get(block)?;
        Ok((place > entry::ZERO).then_some(place))
    }

    fn is_over(&self) -> bool {
        self.over
    }

    fn reserve(&mut self) -> Result<u64> {
        self.tables
            .reserve(self.geometry.cluster(), self.geometry.cluster())
    }

    fn link(&mut self, block: u64, place: u64) -> Result<()> {
        let end = place.saturating_add(self.geometry.cluster());
        self.tables.set(block, place, end)
    }

    fn blank(&mut self, block: u64) -> Result<()> {
        self.tables.set(block, entry::ZERO, 0)
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
