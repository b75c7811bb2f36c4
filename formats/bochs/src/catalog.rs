//! The catalog, and the bitmaps of extents.

use alloc::vec::Vec;

use instar_disk::{Fault, File, Result, TableReader, Walked, Work, fault, from_usize, to_usize};

use crate::header::{Header, SECTOR};
use crate::raw::UNALLOCATED;

/// A catalog being read, and the bitmap read last.
#[derive(Debug)]
pub(crate) struct Catalog<'h> {
    file: File<'h>,
    header: Header,
    table: TableReader,
    bitmap: Option<Bitmap>,
    walked: Walked,
}

/// Sectors of one extent.
#[derive(Debug)]
struct Bitmap {
    /// Of which place.
    place: u32,
    bits: Vec<u8>,
}

/// Extents that follow one another and have no place, or one extent that has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Extents, at least 1.
    pub(crate) extents: u64,
    pub(crate) place: Option<u32>,
}

impl<'h> Catalog<'h> {
    /// The catalog that `header` describes.
    ///
    /// # Errors
    /// `SHORT_READ` when the file ends before the catalog does.
    pub(crate) fn new(file: File<'h>, header: Header) -> Result<Self> {
        let (start, bytes) = (header.catalog_offset, header.catalog_bytes);
        present(&file, start, bytes)?;
        Ok(Self {
            file,
            header,
            table: TableReader::new(start, bytes),
            bitmap: None,
            walked: Walked::new(),
        })
    }

    /// The run that starts with `extent`, as far as one page of the catalog tells.
    pub(crate) fn run(&mut self, extent: u64) -> Result<Run> {
        let file = self.file;
        let page = self
            .table
            .from(extent.saturating_mul(4), |at, into| file.read_exact(at, into))?;
        let mut places = page.as_chunks::<4>().0.iter().map(|entry| place(*entry));
        let first = places.next().flatten();
        let more = match first {
            Some(_) => 0,
            None => places.take_while(Option::is_none).count(),
        };
        Ok(Run {
            extents: from_usize(more).saturating_add(1),
            place: first,
        })
    }

    /// Whether sector `sector` of guest extent `extent`, which has `place`, is there, and how many sectors with the same answer
    /// start with it.
    pub(crate) fn sectors(&mut self, extent: u64, place: u32, sector: u64) -> Result<(bool, u64)> {
        let count = self.header.extent / SECTOR;
        let bits = self.bits(extent, place)?;
        let is_set = |sector: u64| {
            let byte = usize::try_from(sector / 8).ok().and_then(|byte| bits.get(byte));
            byte.is_some_and(|byte| byte & 1_u8.wrapping_shl(u32::try_from(sector & 7).unwrap_or(0)) != 0)
        };
        let first = is_set(sector);
        let end = (sector..count).find(|sector| is_set(*sector) != first);
        Ok((first, end.unwrap_or(count).saturating_sub(sector)))
    }

    /// What the tables have taken so far.
    pub(crate) fn work(&self) -> Work {
        let catalog = Work {
            read: self.table.bytes_read(),
            shared: 0,
        };
        self.walked.work().and(catalog)
    }

    fn bits(&mut self, extent: u64, place: u32) -> Result<&[u8]> {
        let offset = self.header.bitmap_offset(place);
        let bytes = (self.header.extent / SECTOR).div_ceil(8);
        self.walked.enter(extent, offset, bytes);
        let bitmap = match self.bitmap.take().filter(|known| known.place == place) {
            Some(known) => known,
            None => {
                let mut bits = alloc::vec![0; to_usize(bytes)?];
                self.file.read_exact(offset, &mut bits)?;
                self.walked.read_alone(bytes);
                Bitmap { place, bits }
            }
        };
        Ok(&self.bitmap.insert(bitmap).bits)
    }
}

/// Makes sure that the file has all of a range.
///
/// # Errors
/// `SHORT_READ`.
pub(crate) fn present(file: &File<'_>, offset: u64, bytes: u64) -> Result<()> {
    if offset.saturating_add(bytes) <= file.size() {
        return Ok(());
    }
    Err(Fault::new(fault::core::SHORT_READ)
        .with([offset, bytes, file.size()])
        .in_file(file.slot()))
}

fn place(entry: [u8; 4]) -> Option<u32> {
    Some(u32::from_le_bytes(entry)).filter(|place| *place != UNALLOCATED)
}
