//! Reading.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use instar_disk::report::{Backing, Info};
use instar_disk::{
    Fault, File, FileFacts, Image, ImageText, Kind, Mapping, Opened, Result, Slot, Status, Work, fault,
    to_usize,
};

use crate::descriptor::{self, Descriptor};
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
/// `createType` values of a descriptor inside the one file that has everything.
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
    /// In the order of the disk, without gaps; at least one.
    pub(crate) extents: Vec<Extent<'h>>,
    size: u64,
    /// The extent asked last, with its caches.
    cursor: Option<(usize, Cursor<'h>)>,
    /// What the tables of extents asked before took.
    work: Work,
}

impl<'h> Vmdk<'h> {
    pub(crate) fn open(file: File<'h>) -> Result<Self> {
        let mut magic = [0; 4];
        file.read_padded(0, &mut magic)?;
        let opened = match magic {
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

    /// The whole disk is in this file; of the descriptor's extent line only the kind counts, since files get renamed.
    fn embedded(file: File<'h>, sparse: header::Sparse) -> Result<Self> {
        let place = sparse
            .descriptor
            .ok_or_else(|| Fault::new(fault::vmdk::NO_DESCRIPTOR))?;
        let text = wrapped(&file, place)?;
        if text.first().is_none_or(|byte| *byte == 0) {
            return Err(Fault::new(fault::vmdk::NO_DESCRIPTOR));
        }
        let found = descriptor::parse(&text)?;
        let one_sparse = matches!(&found.extents[..], [line] if line.kind == descriptor::LineKind::Sparse);
        if !EMBEDDED.contains(&&found.create_type[..]) || !one_sparse {
            return Err(Fault::new(fault::vmdk::CREATE_TYPE).named(&found.create_type));
        }
        let kind = ExtentKind::Sparse(sparse);
        // The header decides, as for qemu-img.
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
        let found = descriptor::parse(text)?;
        if !SEPARATE.contains(&&found.create_type[..]) {
            return Err(Fault::new(fault::vmdk::CREATE_TYPE).named(&found.create_type));
        }
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
            extents,
            cursor: None,
            work: Work::default(),
        })
    }
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
        extent.map(cursor, offset.saturating_sub(extent.start))
    }

    fn status(&mut self, offset: u64) -> Result<Status> {
        let (extent, cursor) = self.extent_at(offset)?;
        extent.status(cursor, offset.saturating_sub(extent.start))
    }

    fn cluster_size(&self) -> Option<u64> {
        match self.extents.first()?.kind {
            ExtentKind::Sparse(ref sparse) => Some(sparse.grain),
            _ => None,
        }
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

    fn check_parent(&self, parent: &dyn Image) -> Result<()> {
        let fault = match parent.content_id() {
            None => Fault::new(fault::vmdk::PARENT_FORMAT),
            Some(found) if found == self.parent_cid => return Ok(()),
            Some(found) => Fault::new(fault::vmdk::PARENT_CID).with([self.parent_cid.into(), found.into()]),
        };
        Err(fault.in_file(self.file.slot()))
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

/// The descriptor inside a sparse file.
fn wrapped(file: &File<'_>, place: Place) -> Result<Vec<u8>> {
    let present = file.size().saturating_sub(place.offset).min(place.bytes);
    let mut text = vec![0; to_usize(present)?];
    file.read_exact(place.offset, &mut text)?;
    Ok(text)
}

/// The descriptor that is a file of its own.
fn separate_text(file: &File<'_>) -> Result<Vec<u8>> {
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
    if descriptor::has_more_after_text(&text) {
        return Err(Fault::new(fault::vmdk::NOT_VMDK).in_file(file.slot()));
    }
    Ok(text)
}
