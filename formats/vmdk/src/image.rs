//! Reading.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;

use instar_disk::report::{Backing, Info};
use instar_disk::{
    Fault, File, FileFacts, Image, ImageText, Kind, Mapping, Opened, Result, Slot, Status, Work, fault,
    to_usize,
};

use crate::descriptor::{self, Descriptor, Home, NO_PARENT};
use crate::extent::{self, Cursor, Extent, ExtentKind};
use crate::header::{self, CAPACITY_SECTORS_MAX, Found, Place};
use crate::raw::{COWD_MAGIC, SECTOR, SPARSE_MAGIC};

/// `createType` values of a descriptor whose extents are files of their own.
const SEPARATE: [&[u8]; 6] = [
    b"monolithicFlat",
    b"vmfs",
    b"vmfsSparse",
    b"seSparse",
    b"twoGbMaxExtentSparse",
    b"twoGbMaxExtentFlat",
];
/// `createType` of a descriptor inside the one file that has everything: plain and compressed.
const EMBEDDED: [&[u8]; 2] = [b"monolithicSparse", b"streamOptimized"];

/// Opens a VMDK by its descriptor, or by the one file that has everything. The extents that the descriptor names are opened
/// too, through the gate, and only as files beside it; their tables are read when they are needed.
///
/// # Errors
/// What is wrong with descriptor or headers, and the gate's refusals.
pub fn open<'h>(file: File<'h>) -> Result<Opened<'h>> {
    Ok(Box::new(Vmdk::open(file)?))
}

pub(crate) struct Vmdk<'h> {
    pub(crate) file: File<'h>,
    pub(crate) create_type: Vec<u8>,
    pub(crate) cid: u32,
    pub(crate) parent_cid: u32,
    pub(crate) parent_name: Option<Vec<u8>>,
    /// By which VirtualBox knows the disk, and the one below it.
    uuid: Option<[u8; 16]>,
    parent_uuid: Option<[u8; 16]>,
    /// What was opened as the layer below.
    below: Cell<Below>,
    /// In the order of the disk, without gaps; at least one.
    pub(crate) extents: Vec<Extent<'h>>,
    size: u64,
    /// The extent asked last, with its caches.
    cursor: Option<(usize, Cursor<'h>)>,
    /// What the tables of extents asked before took.
    work: Work,
}

/// The layer below, as far as it was looked at. What is wrong with it is said when bytes of it are needed, as by qemu-img:
/// `map` and `measure` need none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Below {
    /// Nothing was opened.
    Nothing,
    /// The right one.
    Right,
    /// It has this content ID, which is not the one remembered.
    Changed(u32),
    /// It is no VMDK.
    Foreign,
    /// It is not the one that VirtualBox remembers.
    Another([u8; 16]),
}

impl<'h> Vmdk<'h> {
    pub(crate) fn open(file: File<'h>) -> Result<Self> {
        let opened = match magic(&file)? {
            SPARSE_MAGIC | COWD_MAGIC => match header::read(&file)? {
                Found::Sparse(sparse) => Self::embedded(file, sparse),
                Found::Wrapper(place) => Self::separate(file, &wrapped(&file, place)?),
            },
            _ => Self::separate(file, &separate_text(&file)?),
        };
        // Faults of the extents' files keep the file that they were found in.
        opened.map_err(|fault| {
            if fault.slot.is_some() {
                fault
            } else {
                fault.in_file(file.slot())
            }
        })
    }

    /// The whole disk is in this file, and its header says how: of the descriptor only the content IDs and the parent count.
    fn embedded(file: File<'h>, sparse: header::Sparse) -> Result<Self> {
        let place = sparse
            .descriptor
            .ok_or_else(|| Fault::new(fault::vmdk::NO_DESCRIPTOR))?;
        let text = wrapped(&file, place)?;
        if text.first().is_none_or(|byte| *byte == 0) {
            return Err(Fault::new(fault::vmdk::NO_DESCRIPTOR));
        }
        let found = descriptor::parse(&text, Home::Extent)?;
        let kind = ExtentKind::Sparse(sparse);
        let [plain, packed] = EMBEDDED;
        let create_type = if kind.is_compressed() { packed } else { plain };
        let extent = Extent {
            file,
            start: 0,
            bytes: sparse.capacity,
            kind,
            origin: None,
        };
        Self::new(
            file,
            Descriptor {
                create_type: create_type.to_vec(),
                ..found
            },
            vec![extent],
        )
    }

    /// The extents are files of their own.
    fn separate(file: File<'h>, text: &[u8]) -> Result<Self> {
        let found = separate_descriptor(text)?;
        let mut extents: Vec<Extent<'h>> = Vec::with_capacity(found.extents.len());
        let mut start = 0_u64;
        for line in &found.extents {
            let extent = extent::open(&file, line, start)?;
            start = start.saturating_add(extent.bytes);
            if start > CAPACITY_SECTORS_MAX.saturating_mul(SECTOR) {
                return Err(Fault::new(fault::vmdk::CAPACITY).with([start / SECTOR]));
            }
            extents.push(extent);
        }
        Self::new(file, found, extents)
    }

    fn index_at(&self, offset: u64) -> usize {
        self.extents
            .partition_point(|extent| extent.start <= offset)
            .saturating_sub(1)
    }

    fn extent_at(&mut self, offset: u64) -> Result<(&Extent<'h>, &mut Cursor<'h>)> {
        let index = self.index_at(offset);
        let extent = self
            .extents
            .get(index)
            .ok_or_else(|| Fault::new(fault::vmdk::NO_EXTENTS))?;
        if let Some((_, left)) = self.cursor.take_if(|(at, _)| *at != index) {
            self.work = self.work.and(left.work());
        }
        let (_, cursor) = self.cursor.get_or_insert_with(|| (index, extent.cursor()));
        Ok((extent, cursor))
    }

    fn new(file: File<'h>, found: Descriptor, extents: Vec<Extent<'h>>) -> Result<Self> {
        let last = extents
            .last()
            .ok_or_else(|| Fault::new(fault::vmdk::NO_EXTENTS))?;
        Ok(Self {
            size: last.start.saturating_add(last.bytes),
            file,
            create_type: found.create_type,
            cid: found.cid,
            parent_cid: found.parent_cid,
            parent_name: found.parent_name,
            uuid: found.uuid,
            parent_uuid: found.parent_uuid,
            below: Cell::new(Below::Nothing),
            extents,
            cursor: None,
            work: Work::default(),
        })
    }

    /// It lies above another disk, whether or not it names that.
    pub(crate) const fn has_parent(&self) -> bool {
        // A few writers put 0 where there is no parent.
        let has_id = !matches!(self.parent_cid, NO_PARENT | 0);
        self.parent_name.is_some() || has_id || self.parent_uuid.is_some()
    }

    /// Whether bytes may be taken from below: zeros, or another disk's bytes, in place of the parent's would be silent
    /// corruption.
    fn judge_below(&self) -> Result<()> {
        let fault = match self.below.get() {
            Below::Right => return Ok(()),
            Below::Nothing if self.parent_name.is_some() || !self.has_parent() => return Ok(()),
            Below::Nothing => {
                let known = match self.parent_uuid {
                    Some(uuid) => format!("ddb.uuid.parent {}", hex(uuid)),
                    None => format!("parentCID {:08x}", self.parent_cid),
                };
                Fault::new(fault::vmdk::NO_PARENT).named(known.as_bytes())
            }
            Below::Foreign => Fault::new(fault::vmdk::PARENT_FORMAT),
            Below::Changed(found) => {
                let text = format!("{found:08x}, not {:08x}", self.parent_cid);
                Fault::new(fault::vmdk::PARENT_CID).named(text.as_bytes())
            }
            Below::Another(found) => {
                let text = format!(
                    "{}, not {}",
                    hex(found),
                    hex(self.parent_uuid.unwrap_or_default())
                );
                Fault::new(fault::vmdk::PARENT_IDENTITY).named(text.as_bytes())
            }
        };
        Err(fault.in_file(self.file.slot()))
    }

    /// VirtualBox remembers the layer below by its identifier only.
    const fn goes_by_uuid(&self) -> bool {
        matches!(self.parent_cid, NO_PARENT | 0) && self.parent_name.is_none() && self.parent_uuid.is_some()
    }
}

fn hex(uuid: [u8; 16]) -> alloc::string::String {
    format!("{:032x}", u128::from_be_bytes(uuid))
}

impl Image for Vmdk<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn map(&mut self, offset: u64) -> Result<Mapping> {
        if offset >= self.size {
            return Ok(Mapping {
                length: 0,
                kind: Kind::Unallocated,
            });
        }
        let (extent, cursor) = self.extent_at(offset)?;
        let mapping = extent.map(cursor, offset.saturating_sub(extent.start))?;
        if mapping.kind == Kind::Unallocated {
            self.judge_below()?;
        }
        Ok(mapping)
    }

    fn status(&mut self, offset: u64) -> Result<Status> {
        let (extent, cursor) = self.extent_at(offset)?;
        let status = extent.status(cursor, offset.saturating_sub(extent.start))?;
        if !status.present && self.below.get() == Below::Nothing {
            self.judge_below()?;
        }
        Ok(status)
    }

    fn cluster_size(&self) -> Option<u64> {
        match self.extents.first()?.kind {
            ExtentKind::Sparse(ref sparse) => Some(sparse.grain),
            _ => None,
        }
    }

    fn largest_unit(&self) -> u64 {
        let packed = self.extents.iter().filter(|extent| extent.kind.is_compressed());
        packed.filter_map(|extent| extent.kind.grain()).max().unwrap_or(0)
    }

    fn status_unit(&self, offset: u64) -> u64 {
        let index = self.index_at(offset);
        let kind = self.extents.get(index).map(|extent| extent.kind);
        match kind {
            Some(ExtentKind::Sparse(sparse)) => sparse.grain,
            _ => u64::MAX,
        }
    }

    fn others(&self) -> Vec<(Slot, ImageText)> {
        let named = |extent: &Extent<'_>| {
            let (name, _) = extent.origin.as_ref()?;
            Some((extent.file.slot(), ImageText::new(name)))
        };
        self.extents.iter().filter_map(named).collect()
    }

    fn backing(&self) -> Option<Backing> {
        self.parent_name.as_ref().map(|name| Backing {
            name: ImageText::new(name),
            format: Some(ImageText::new(b"vmdk")),
        })
    }

    fn content_id(&self) -> Option<u32> {
        Some(self.cid)
    }

    fn identity(&self) -> Option<[u8; 16]> {
        self.uuid
    }

    fn check_parent(&self, parent: &dyn Image) -> Result<()> {
        self.below.set(match (parent.content_id(), parent.identity()) {
            (None, _) => Below::Foreign,
            (Some(_), found) if self.goes_by_uuid() => {
                if found == self.parent_uuid {
                    Below::Right
                } else {
                    Below::Another(found.unwrap_or_default())
                }
            }
            (Some(found), _) if found == self.parent_cid => Below::Right,
            (Some(found), _) => Below::Changed(found),
        });
        Ok(())
    }

    fn work(&self) -> Work {
        let now = self.cursor.as_ref().map(|(_, cursor)| cursor.work());
        self.work.and(now.unwrap_or_default())
    }

    fn files(&self) -> Vec<FileFacts> {
        let mut files: Vec<_> = self.extents.iter().map(|extent| extent.file.facts()).collect();
        files.push(self.file.facts());
        files.sort_unstable_by_key(|facts| facts.slot);
        files.dedup_by_key(|facts| facts.slot);
        files
    }

    fn describe(&mut self) -> Result<Info> {
        Ok(self.info())
    }
}

/// What a file begins with.
pub(crate) fn magic(file: &File<'_>) -> Result<[u8; 4]> {
    let mut magic = [0; 4];
    file.read_padded(0, &mut magic)?;
    Ok(magic)
}

/// The descriptor inside a sparse file.
pub(crate) fn wrapped(file: &File<'_>, place: Place) -> Result<Vec<u8>> {
    let present = file.size().saturating_sub(place.offset).min(place.bytes);
    let mut text = vec![0; to_usize(present)?];
    file.read_exact(place.offset, &mut text)?;
    Ok(text)
}

/// A descriptor whose extents are files of their own.
pub(crate) fn separate_descriptor(text: &[u8]) -> Result<Descriptor> {
    let found = descriptor::parse(text, Home::File).map_err(|fault| {
        // What is no descriptor at all lacks no single thing.
        match fault.code {
            fault::vmdk::DESCRIPTOR if !crate::probe(text) => Fault::new(fault::vmdk::NOT_VMDK),
            _ => fault,
        }
    })?;
    match SEPARATE.contains(&&found.create_type[..]) {
        true => Ok(found),
        false => Err(Fault::new(fault::vmdk::CREATE_TYPE).named(&found.create_type)),
    }
}

/// The descriptor that is a file of its own.
pub(crate) fn separate_text(file: &File<'_>) -> Result<Vec<u8>> {
    let mut head = [0; 512];
    let present = file.read(0, &mut head)?;
    if file.size() > descriptor::BYTES_MAX && !crate::probe(head.get(..present).unwrap_or_default()) {
        return Err(Fault::new(fault::vmdk::NOT_VMDK).in_file(file.slot()));
    }
    if file.size() > descriptor::BYTES_MAX {
        let numbers = [file.size(), descriptor::BYTES_MAX];
        return Err(Fault::new(fault::vmdk::DESCRIPTOR_SIZE)
            .with(numbers)
            .in_file(file.slot()));
    }
    let mut text = vec![0; to_usize(file.size())?];
    file.read_exact(0, &mut text)?;
    Ok(text)
}
