//! Writing into a descriptor's extents, which the host has opened: flat ones and sparse ones, also mixed.
//!
//! ```text
//!  descriptor: its first bytes are zeros │ extents: data, tables │ descriptor: another content ID ─► its first bytes again
//! ```
//!
//! The descriptor is the image, so it alone bears the mark: extents are nothing without it.

use alloc::boxed::Box;
use alloc::vec::Vec;

use instar_disk::job::Seed;
use instar_disk::{
    BlockTarget, Fault, File, FileKind, Identifiers, Placement, Result, Slot, Target, ZeroHow, fault,
};

use super::{Existing, in_file, renewed, unsupported};
use crate::descriptor::{Descriptor, Line, NO_PARENT};
use crate::extent::{self, ExtentKind};
use crate::header::{CAPACITY_SECTORS_MAX, Form, Packing};
use crate::image::{magic, separate_descriptor, separate_text};
use crate::raw::{COWD_MAGIC, SECTOR, SPARSE_MAGIC};

/// What becomes of the image while it is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meanwhile {
    /// It is none.
    Marked,
    /// It stays readable.
    Readable {
        /// In the end, overlays are to see that it has changed.
        renews: bool,
    },
}

/// The image that the descriptor in `file` describes, whose extents are in these files.
///
/// # Errors
/// As [`super::existing`].
pub(super) fn open<'h>(
    file: File<'h>,
    extents: &[File<'h>],
    size: u64,
    seed: &Seed,
    meanwhile: Meanwhile,
) -> Result<Box<dyn Target + 'h>> {
    if matches!(magic(&file)?, SPARSE_MAGIC | COWD_MAGIC) {
        return Err(unsupported(b"writing into a VMDK that has extents of two kinds"));
    }
    let text = separate_text(&file)?;
    let found = separate_descriptor(&text)?;
    if has_parent(&found) {
        return Err(unsupported(b"writing into a VMDK with a parent"));
    }
    if found.extents.len() != extents.len() {
        let numbers = [extents.len(), found.extents.len()].map(instar_disk::from_usize);
        return Err(Fault::new(fault::vmdk::EXTENT_FILES).with(numbers));
    }
    let mut parts: Vec<Part<'h>> = Vec::with_capacity(extents.len());
    let mut end = 0_u64;
    for (line, extent) in found.extents.iter().zip(extents) {
        let part = Part::open(&file, line, *extent, end, seed, meanwhile)?;
        end = end.saturating_add(part.bytes);
        if end > CAPACITY_SECTORS_MAX.saturating_mul(SECTOR) {
            return Err(Fault::new(fault::vmdk::CAPACITY).with([end / SECTOR]));
        }
        parts.push(part);
    }
    let mut slots: Vec<u32> = extents.iter().map(|extent| extent.slot().0).collect();
    slots.sort_unstable();
    slots.dedup();
    if slots.len() != extents.len() {
        return Err(unsupported(
            b"writing into a VMDK of which two extents are one file",
        ));
    }
    if end < size {
        return Err(Fault::new(fault::core::TARGET_TOO_SMALL));
    }
    let mut pieces = Pieces {
        file,
        text,
        content_id: Identifiers::new(seed, b"vmdk").next_u64() >> 32,
        parts,
        size: end,
        meanwhile,
        changed: false,
    };
    if pieces.plain().is_some() {
        // Nobody will ask where its bytes go.
        pieces.begin()?;
    }
    Ok(Box::new(pieces))
}

fn has_parent(found: &Descriptor) -> bool {
    let has_id = !matches!(found.parent_cid, NO_PARENT | 0);
    found.parent_name.is_some() || found.parent_uuid.is_some() || has_id
}

struct Pieces<'h> {
    file: File<'h>,
    text: Vec<u8>,
    content_id: u64,
    /// In the order of the disk, without gaps; at least one.
    parts: Vec<Part<'h>>,
    size: u64,
    meanwhile: Meanwhile,
    changed: bool,
}

struct Part<'h> {
    /// Where its bytes start on the disk.
    start: u64,
    bytes: u64,
    place: Place<'h>,
}

enum Place<'h> {
    /// Plain bytes from this one of the file on.
    Flat(File<'h>, u64),
    Sparse(Box<BlockTarget<Existing<'h>>>),
}

impl<'h> Part<'h> {
    fn open(
        namer: &File<'h>,
        line: &Line,
        file: File<'h>,
        start: u64,
        seed: &Seed,
        meanwhile: Meanwhile,
    ) -> Result<Self> {
        let extent = extent::opened(namer, line, file, start)?;
        if file.kind() == FileKind::Block {
            return Err(unsupported(b"writing into a VMDK of which an extent is a device"));
        }
        let place = match extent.kind {
            ExtentKind::Flat { offset } => Place::Flat(file, offset),
            ExtentKind::Sparse(sparse) => {
                let plain = sparse.packing == Packing::Plain && matches!(sparse.form, Form::Hosted { .. });
                if !plain || sparse.entries > ENTRIES {
                    let what = b"writing into a VMDK of which an extent is compressed, or of ESX";
                    return Err(unsupported(what));
                }
                let blocks = Existing::new(file, sparse, None, seed);
                let blocks = blocks.map_err(|fault| in_file(fault, file))?;
                let image = BlockTarget::new(blocks, 0)?;
                Place::Sparse(Box::new(match meanwhile {
                    Meanwhile::Marked => image,
                    Meanwhile::Readable { .. } => image.readable(),
                }))
            }
        };
        Ok(Self {
            start,
            bytes: extent.bytes,
            place,
        })
    }

    /// How many bytes each of its ranges has a multiple of.
    fn unit(&self) -> u64 {
        match &self.place {
            Place::Flat(..) => SECTOR,
            Place::Sparse(image) => image.unit(),
        }
    }

    fn allocate(&mut self, within: u64, length: u64) -> Result<Placement> {
        match &mut self.place {
            Place::Flat(file, first) => Ok(Placement {
                slot: file.slot(),
                offset: first.saturating_add(within),
                length,
                fresh: false,
            }),
            Place::Sparse(image) => image.allocate(within, length),
        }
    }

    fn zero(&mut self, within: u64, length: u64) -> Result<()> {
        match &mut self.place {
            Place::Flat(file, first) => file.zero(first.saturating_add(within), length, ZeroHow::MayUnmap),
            Place::Sparse(image) => image.zero(within, length),
        }
    }

    fn sparse(&mut self) -> Option<&mut BlockTarget<Existing<'h>>> {
        match &mut self.place {
            Place::Flat(..) => None,
            Place::Sparse(image) => Some(image),
        }
    }

    fn finish(&mut self) -> Result<()> {
        match &mut self.place {
            Place::Flat(file, _) => file.flush(),
            Place::Sparse(image) => image.finish(),
        }
    }
}

/// Entries of a grain table of a hosted extent, at most; those of ESX have more.
const ENTRIES: u64 = 512;

impl<'h> Pieces<'h> {
    /// From here on it is no VMDK, unless it stays readable.
    fn begin(&mut self) -> Result<()> {
        if !self.changed && self.meanwhile == Meanwhile::Marked {
            self.file.write(0, &[0; MARK])?;
            self.file.flush()?;
        }
        self.changed = true;
        Ok(())
    }

    /// The new content ID takes the place of the old one, if that has the usual length: a descriptor is one at any moment.
    fn renew(&self) -> Result<()> {
        let text = self.next_text();
        let differs = |(old, new): (&u8, &u8)| old != new;
        let mut pairs = self.text.iter().zip(&text);
        let Some(first) = pairs.position(differs).filter(|_| text.len() == self.text.len()) else {
            return Ok(());
        };
        let last = self.text.iter().zip(&text).rposition(differs).unwrap_or(first);
        let end = |text: &[u8]| text.iter().position(|byte| *byte == 0);
        match (end(&text) == end(&self.text), text.get(first..=last)) {
            (true, Some(part)) => {
                self.file.write(instar_disk::from_usize(first), part)?;
                self.file.flush()
            }
            _ => Ok(()),
        }
    }

    /// The extent at `offset`, where in it that is, and how much of `length` it takes.
    fn find(&mut self, offset: u64, length: u64) -> Result<(&mut Part<'h>, u64, u64)> {
        let behind = self.parts.partition_point(|part| part.start <= offset);
        let part = self.parts.get_mut(behind.saturating_sub(1));
        let part = part.ok_or_else(|| Fault::new(fault::core::INTERNAL).with([line!().into()]))?;
        let within = offset.saturating_sub(part.start);
        let length = length.min(part.bytes.saturating_sub(within));
        Ok((part, within, length))
    }

    /// The descriptor as it is from now on: no shorter than it was, since what stood behind its text may have been part of it.
    fn next_text(&self) -> Vec<u8> {
        let end = self.text.iter().position(|byte| *byte == 0);
        let text = self.text.get(..end.unwrap_or(self.text.len()));
        let mut next = renewed(text.unwrap_or_default(), self.content_id);
        let fill = if end.is_some() { 0 } else { b'\n' };
        next.resize(next.len().max(self.text.len()), fill);
        next
    }
}

impl Target for Pieces<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn unit(&self) -> u64 {
        let units = self.parts.iter().map(Part::unit);
        let unit = units.min().unwrap_or(SECTOR);
        let is_whole = |part: &Part<'_>| part.start.is_multiple_of(unit);
        match self.parts.iter().all(is_whole) {
            true => unit,
            false => SECTOR,
        }
    }

    fn plain(&self) -> Option<Slot> {
        match &self.parts[..] {
            [
                Part {
                    place: Place::Flat(file, 0),
                    ..
                },
            ] => Some(file.slot()),
            _ => None,
        }
    }

    fn allocate(&mut self, offset: u64, length: u64) -> Result<Placement> {
        self.begin()?;
        let (part, within, length) = self.find(offset, length)?;
        part.allocate(within, length)
    }

    fn zero(&mut self, offset: u64, length: u64) -> Result<()> {
        self.begin()?;
        let mut done = 0_u64;
        while done < length {
            let (part, within, step) = self.find(offset.saturating_add(done), length.saturating_sub(done))?;
            if step == 0 {
                break;
            }
            part.zero(within, step)?;
            done = done.saturating_add(step);
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.parts.iter().any(|part| match &part.place {
            Place::Flat(..) => false,
            Place::Sparse(image) => image.is_full(),
        })
    }

    fn settle(&mut self) -> Result<()> {
        let mut images = self.parts.iter_mut().filter_map(Part::sparse);
        images.try_for_each(|image| image.settle())
    }

    fn abandon(&mut self) {
        for image in self.parts.iter_mut().filter_map(Part::sparse) {
            image.abandon();
        }
    }

    fn finish(&mut self) -> Result<()> {
        for part in &mut self.parts {
            part.finish()?;
        }
        match self.meanwhile {
            _ if !self.changed => return Ok(()),
            Meanwhile::Readable { renews: false } => return Ok(()),
            Meanwhile::Readable { renews: true } => return self.renew(),
            Meanwhile::Marked => {}
        }
        let text = self.next_text();
        let (mark, rest) = text.split_at_checked(MARK).unwrap_or((&text, &[]));
        self.file.write(instar_disk::from_usize(MARK), rest)?;
        self.file.flush()?;
        self.file.write(0, mark)?;
        self.file.flush()
    }
}

/// Bytes of the descriptor by which it is known.
const MARK: usize = 4;
