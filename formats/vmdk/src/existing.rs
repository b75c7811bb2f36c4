//! Writing into an image that exists (`convert -n`): one sparse file that has everything, as all writers make them, with
//! its grain tables in place; or a descriptor and its extents ([`pieces`]).

mod pieces;

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use instar_disk::job::Seed;
use instar_disk::{
    BlockTarget, Blocks, Fault, File, Identifiers, Preallocate, Result, Target, align_up, behind, fault,
    to_usize,
};
use zerocopy::{FromZeros, IntoBytes};

use self::pieces::Meanwhile;
use crate::extent::{Extent, ExtentKind};
use crate::header::{Form, Packing, Place, Sparse};
use crate::image::Vmdk;
use crate::raw::{GTE_ZEROED, RawSparseHeader, SECTOR, SPARSE_MAGIC, flags};
use crate::table::Tables;

/// Takes the VMDK in `file` as a target of `size` bytes. Its `extents` are the files that the descriptor names, in its order, as far as the
/// host has opened them. From the first change on it is no VMDK, until [`finish`](Target::finish); one that was left so is
/// taken again.
///
/// # Errors
/// As reading it; `UNSUPPORTED` for compressed images, overlays, extents that were not opened, and grain tables that are yet to be
/// made; `TARGET_TOO_SMALL`; the host's.
pub fn existing<'h>(
    file: File<'h>,
    extents: &[File<'h>],
    size: u64,
    seed: &Seed,
) -> Result<Box<dyn Target + 'h>> {
    let opened = match extents {
        [] => file
            .past_the_mark(0, &SPARSE_MAGIC)
            .and_then(|file| open(file, size, seed))
            .map(|image| -> Box<dyn Target + 'h> { Box::new(image) }),
        _ => pieces::open(file, extents, size, seed, Meanwhile::Marked),
    };
    opened.map_err(|fault| in_file(fault, file))
}

/// Takes the VMDK in `file` as a target that stays readable. Its `extents` are as for [`existing`]. `renews`: overlays are to see that it has changed.
///
/// # Errors
/// As [`existing`].
pub fn readable<'h>(
    file: File<'h>,
    extents: &[File<'h>],
    seed: &Seed,
    renews: bool,
) -> Result<Box<dyn Target + 'h>> {
    let opened = match extents {
        [] => open(file, 0, seed).map(|image| -> Box<dyn Target + 'h> {
            Box::new(image.with(|blocks| blocks.renews = renews).readable())
        }),
        _ => pieces::open(file, extents, 0, seed, Meanwhile::Readable { renews }),
    };
    opened.map_err(|fault| in_file(fault, file))
}

/// A fault of this file, unless it names another one.
fn in_file(fault: Fault, file: File<'_>) -> Fault {
    Fault {
        slot: fault.slot.or(Some(file.slot())),
        ..fault
    }
}

fn open<'h>(file: File<'h>, size: u64, seed: &Seed) -> Result<BlockTarget<Existing<'h>>> {
    let image = Vmdk::open(file)?;
    let sparse = match (&image.extents[..], image.has_parent()) {
        ([extent], false) => match extent.kind {
            ExtentKind::Sparse(sparse) if extent.file.slot() == file.slot() => Some(sparse),
            _ => None,
        },
        _ => None,
    };
    let plain = sparse
        .filter(|sparse| sparse.packing == Packing::Plain && matches!(sparse.form, Form::Hosted { .. }));
    let (Some(sparse), Some(text)) = (plain, plain.and_then(|sparse| sparse.descriptor)) else {
        let is_elsewhere = |extent: &Extent<'_>| extent.file.slot() != file.slot();
        return Err(unsupported(match image.extents.iter().any(is_elsewhere) {
            // The host found no names that it could open.
            true => b"writing into a VMDK whose extents are not called after it",
            false => b"writing into a VMDK that is compressed, or not without parent",
        }));
    };
    BlockTarget::new(Existing::new(file, sparse, Some(text), seed)?, size)
}

impl<'h> Existing<'h> {
    /// The grains of a sparse file. `text`: where its descriptor is, if it has everything.
    ///
    /// # Errors
    /// Tables that are damaged.
    fn new(file: File<'h>, sparse: Sparse, text: Option<Place>, seed: &Seed) -> Result<Self> {
        // Judges every entry of every table as for reading.
        let mut tables = Tables::new(file, sparse);
        let mut at = 0_u64;
        while at < sparse.capacity {
            at = at.saturating_add(tables.map(at)?.length.max(1));
        }
        let mut raw = RawSparseHeader::new_zeroed();
        file.read_padded(0, raw.as_mut_bytes())?;
        let has_redundant = raw.flags.get() & flags::REDUNDANT_TABLE != 0;
        let redundant = has_redundant.then(|| raw.rgd_offset.get().saturating_mul(SECTOR));
        Ok(Self {
            next: behind(&file, sparse.grain)?,
            content_id: Identifiers::new(seed, b"vmdk").next_u64() >> 32,
            table: Vec::new(),
            number: u64::MAX,
            places: [None; 2],
            dirty: false,
            file,
            sparse,
            text,
            redundant,
            renews: true,
        })
    }
}

fn unsupported(what: &[u8]) -> Fault {
    Fault::new(fault::core::UNSUPPORTED).named(what)
}

struct Existing<'h> {
    file: File<'h>,
    sparse: Sparse,
    /// The descriptor in it; none: it is one of several files.
    text: Option<Place>,
    /// The redundant directory.
    redundant: Option<u64>,
    /// Where the next grain goes.
    next: u64,
    /// Of what is written, by which overlays see that their parent has changed.
    content_id: u64,
    /// The grain table that is in memory, its number, and where it and its copy stand.
    table: Vec<u8>,
    number: u64,
    places: [Option<u64>; 2],
    dirty: bool,
    /// The content ID is to be a new one.
    renews: bool,
}

impl Existing<'_> {
    /// Turns to the table of `block`; gives where in it the block's entry is.
    fn turn_to(&mut self, block: u64) -> Result<usize> {
        let entries = self.sparse.entries.max(1);
        let number = block.checked_div(entries).unwrap_or(0);
        let index = block.saturating_sub(number.saturating_mul(entries));
        if number != self.number {
            self.put_table()?;
            self.number = u64::MAX;
            let first = self.directory_entry(self.sparse.directory, number)?;
            let Some(place) = first else {
                return Err(unsupported(
                    b"writing into a VMDK whose grain tables are yet to be made",
                ));
            };
            let copy = match self.redundant {
                Some(directory) => self.directory_entry(directory, number)?,
                None => None,
            };
            self.table = vec![0; to_usize(entries.saturating_mul(4))?];
            self.file.read_padded(place, &mut self.table)?;
            self.places = [Some(place), copy.filter(|copy| *copy != place)];
            // A copy that is none is somebody's data.
            if let [_, Some(copy)] = self.places {
                let mut same = vec![0; self.table.len()];
                self.file.read_padded(copy, &mut same)?;
                if copy < self.sparse.floor || same != self.table {
                    self.places = [Some(place), None];
                }
            }
            self.number = number;
        }
        to_usize(index.saturating_mul(4))
    }

    fn directory_entry(&self, directory: u64, number: u64) -> Result<Option<u64>> {
        let mut entry = [0; 4];
        let at = directory.saturating_add(number.saturating_mul(4));
        self.file.read_padded(at, &mut entry)?;
        let sector = u64::from(u32::from_le_bytes(entry));
        Ok((sector != 0).then(|| sector.saturating_mul(SECTOR)))
    }

    fn put_table(&mut self) -> Result<()> {
        if core::mem::take(&mut self.dirty) {
            for place in self.places.into_iter().flatten() {
                self.file.write(place, &self.table)?;
            }
        }
        Ok(())
    }

    /// The descriptor with the new content ID. While the image is to be readable, only if nothing else moves.
    fn renew_content_id(&self, readable: bool) -> Result<()> {
        let Some(place) = self.text else {
            return Ok(());
        };
        let mut text = vec![0; to_usize(place.bytes)?];
        self.file.read_padded(place.offset, &mut text)?;
        let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
        let mut renewed = renewed(text.get(..end).unwrap_or_default(), self.content_id);
        if renewed.len() > text.len() {
            return Err(Fault::new(fault::vmdk::DESCRIPTOR_SIZE)
                .with([instar_disk::from_usize(renewed.len()), place.bytes]));
        }
        if readable && renewed.len() != end {
            return Ok(());
        }
        renewed.resize(text.len(), 0);
        self.file.write(place.offset, &renewed)
    }
}

/// A descriptor's text with another content ID.
fn renewed(text: &[u8], content_id: u64) -> Vec<u8> {
    let mut renewed = Vec::new();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        if line.trim_ascii_start().starts_with(b"CID=") {
            renewed.extend_from_slice(alloc::format!("CID={content_id:08x}\n").as_bytes());
        } else {
            renewed.extend_from_slice(line);
        }
    }
    renewed
}

impl Blocks for Existing<'_> {
    fn file(&self) -> &File<'_> {
        &self.file
    }

    fn size(&self) -> u64 {
        self.sparse.capacity
    }

    fn block_size(&self) -> u64 {
        self.sparse.grain
    }

    fn place(&mut self, block: u64) -> Result<Option<u64>> {
        let at = self.turn_to(block)?;
        let entry = self.table.get(at..).and_then(<[u8]>::first_chunk::<4>);
        let sector = entry.map_or(0, |entry| u32::from_le_bytes(*entry));
        Ok((sector > GTE_ZEROED).then(|| u64::from(sector).saturating_mul(SECTOR)))
    }

    fn reserve(&mut self) -> Result<u64> {
        let place = self.next;
        sector(place)?;
        self.next = align_up(place.saturating_add(self.sparse.grain), SECTOR)?;
        Ok(place)
    }

    fn link(&mut self, block: u64, place: u64) -> Result<()> {
        let sector = sector(place)?;
        let at = self.turn_to(block)?;
        for (to, from) in self.table.iter_mut().skip(at).zip(sector.to_le_bytes()) {
            *to = from;
        }
        self.dirty = true;
        Ok(())
    }

    fn mark(&mut self) -> Result<()> {
        match self.text {
            Some(_) => self.file.write(0, &[0; SPARSE_MAGIC.len()]),
            // The descriptor is.
            None => Ok(()),
        }
    }

    fn finish(&mut self) -> Result<()> {
        self.put_table()?;
        self.renew_content_id(false)?;
        self.prepare()?;
        self.file.flush()?;
        match self.text {
            Some(_) => self.file.write(0, &SPARSE_MAGIC),
            None => Ok(()),
        }
    }

    fn prepare(&mut self) -> Result<()> {
        match self.next > self.file.size() {
            true => self.file.resize(self.next, Preallocate::Off),
            false => Ok(()),
        }
    }

    fn put(&mut self) -> Result<()> {
        self.put_table()
    }

    fn end(&mut self) -> Result<()> {
        match self.renews {
            true => self.renew_content_id(true),
            false => Ok(()),
        }
    }
}

/// The entry of a grain at this byte.
pub(crate) fn sector(place: u64) -> Result<u32> {
    u32::try_from(place / SECTOR).map_err(|_| {
        Fault::new(fault::vmdk::FILE_FULL).with([place, u64::from(u32::MAX).saturating_mul(SECTOR)])
    })
}
