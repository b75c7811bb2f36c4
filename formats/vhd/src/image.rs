//! Reading.

use alloc::boxed::Box;

use instar_disk::fault::vhd as faults;
use instar_disk::job::SizeRule;
use instar_disk::{
    Extents, Fault, File, Format, Image, Kind, Mapping, Opened, Result, Status, Work, align_up, limits,
    report,
};
use zerocopy::{FromZeros, IntoBytes};

use crate::bitmap::Bitmap;
use crate::header::{DiskType, DynamicHeader, Footer};
use crate::raw::{FOOTER_BYTES, FOOTER_COOKIE, RawDynamicHeader, RawFooter};
use crate::table::Table;

/// Opens a VHD: dynamic or differencing by the footer in front, fixed by the footer at the end.
///
/// # Errors
/// What the headers say that this driver refuses, in qemu-img's words where it has any; the host's.
pub fn open<'h>(file: File<'h>) -> Result<Opened<'h>> {
    open_by(file, SizeRule::Creator)
}

/// As [`open`], with what the user says of the disk's size.
///
/// # Errors
/// As [`open`].
pub fn open_by<'h>(file: File<'h>, rule: SizeRule) -> Result<Opened<'h>> {
    open_any(file, rule).map_err(|fault| Fault {
        slot: Some(file.slot()),
        ..fault
    })
}

fn open_any<'h>(file: File<'h>, rule: SizeRule) -> Result<Opened<'h>> {
    if file.size() == 0 {
        return Err(Fault::new(faults::TOO_SMALL));
    }
    let front = read_footer(&file, 0)?;
    if front.cookie != FOOTER_COOKIE {
        return open_fixed(file, rule);
    }
    let footer = Footer::parse_by(&front, rule)?;
    if footer.disk_type == DiskType::Fixed && file.size() <= 512 {
        // A fixed disk of no size is its footer alone, which then stands in front.
        return open_fixed(file, rule);
    }
    let raw = dynamic_header(&file, &footer)?;
    let header = DynamicHeader::parse(&raw, footer.size)?;
    let (parent, differencing) = match footer.disk_type {
        // Its footer stands at the end only: in front it would be the guest's first sector.
        DiskType::Fixed => return Err(Fault::new(faults::NOT_VHD)),
        DiskType::Dynamic => (None, false),
        // Without a bitmap nobody can tell what is here and what is below.
        DiskType::Differencing if header.bitmap_size == 0 => {
            return Err(Fault::new(faults::BLOCK_SIZE).with([header.block_size]));
        }
        DiskType::Differencing => (crate::parent::parent(&file, &raw)?, true),
    };
    Ok(Box::new(Sparse {
        file,
        size: footer.size,
        header,
        table: Table::open(file, &footer, header)?,
        bitmap: Bitmap::default(),
        differencing,
        parent,
        unique_id: footer.unique_id,
        parent_id: raw.parent_unique_id,
    }))
}

/// The footer by which the disk is read, as it stands, and where: in front, or at the end of a fixed disk.
pub(crate) fn leading_footer(file: &File<'_>) -> Result<(RawFooter, u64)> {
    let front = read_footer(file, 0)?;
    let at = align_up(file.size(), 512)?.saturating_sub(512);
    if front.cookie == FOOTER_COOKIE && at > 0 {
        return Ok((front, 0));
    }
    Ok((read_footer(file, at)?, at))
}

/// The footer ends with the file, or one byte later: old versions of Virtual PC wrote 511 bytes.
fn open_fixed<'h>(file: File<'h>, rule: SizeRule) -> Result<Opened<'h>> {
    let end = align_up(file.size(), 512)?;
    let footer = Footer::parse_by(&read_footer(&file, end.saturating_sub(512))?, rule)?;
    if footer.disk_type != DiskType::Fixed {
        return Err(Fault::new(faults::NOT_VHD));
    }
    Ok(Box::new(Fixed {
        file,
        size: footer.size,
        unique_id: footer.unique_id,
        extents: Extents::new(file),
    }))
}

/// The dynamic header that `footer` leads to, as it stands.
///
/// # Errors
/// `DYNAMIC_OFFSET`; the host's.
pub(crate) fn dynamic_header(file: &File<'_>, footer: &Footer) -> Result<RawDynamicHeader> {
    if footer.data_offset >= limits::FILE_END {
        return Err(Fault::new(faults::DYNAMIC_OFFSET));
    }
    let mut raw = RawDynamicHeader::new_zeroed();
    file.read_padded(footer.data_offset.min(file.size()), raw.as_mut_bytes())?;
    Ok(raw)
}

pub(crate) fn read_footer(file: &File<'_>, offset: u64) -> Result<RawFooter> {
    let mut raw = RawFooter::new_zeroed();
    file.read_padded(offset, raw.as_mut_bytes())?;
    Ok(raw)
}

const _: () = assert!(FOOTER_BYTES == 512);

struct Fixed<'h> {
    file: File<'h>,
    size: u64,
    unique_id: [u8; 16],
    extents: Extents<'h>,
}

impl Image for Fixed<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn map(&mut self, offset: u64) -> Result<Mapping> {
        let slot = self.file.slot();
        let extent = self.extents.at(offset)?;
        let kind = if extent.data {
            Kind::Data { slot, offset }
        } else {
            let present = offset < self.file.size();
            Kind::Zero {
                at: present.then_some((slot, offset)),
            }
        };
        Ok(Mapping {
            length: extent.length.min(self.size.saturating_sub(offset)),
            kind,
        })
    }

    /// All of it is data at its own offset, also where the file has a hole or has ended.
    fn status(&mut self, offset: u64) -> Result<Status> {
        let status = Status::of(Mapping {
            length: self.size.saturating_sub(offset),
            kind: Kind::Data {
                slot: self.file.slot(),
                offset,
            },
        });
        status.look_below(&mut self.extents, self.file.size())
    }

    fn identity(&self) -> Option<[u8; 16]> {
        Some(self.unique_id)
    }

    fn describe(&mut self) -> Result<report::Info> {
        Ok(report::Info::of(self.file.slot(), Format::Vpc, self.size))
    }
}

/// Dynamic or differencing.
struct Sparse<'h> {
    file: File<'h>,
    size: u64,
    header: DynamicHeader,
    table: Table<'h>,
    bitmap: Bitmap,
    differencing: bool,
    parent: Option<report::Backing>,
    unique_id: [u8; 16],
    /// The identifier of the parent, or zeros if the writer left it out.
    parent_id: [u8; 16],
}

impl Image for Sparse<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn map(&mut self, offset: u64) -> Result<Mapping> {
        let block_size = self.header.block_size;
        let block = offset.checked_div(block_size).unwrap_or(0);
        let within = offset.saturating_sub(block.saturating_mul(block_size));
        let run = self.table.run(block)?;
        let length = run
            .blocks
            .saturating_mul(block_size)
            .saturating_sub(within)
            .min(self.size.saturating_sub(offset));
        let Some(start) = run.offset else {
            return self.absent(length);
        };
        let data = Kind::Data {
            slot: self.file.slot(),
            offset: start
                .saturating_add(self.header.bitmap_size)
                .saturating_add(within),
        };
        if !self.differencing {
            return Ok(Mapping { length, kind: data });
        }
        let bitmap_size = self.header.bitmap_size;
        let (present, sectors) = self
            .bitmap
            .run(&self.file, block, (start, bitmap_size), within / 512)?;
        let known = sectors.saturating_mul(512).saturating_sub(within % 512);
        let length = length.min(known);
        if present {
            Ok(Mapping { length, kind: data })
        } else {
            self.absent(length)
        }
    }

    fn backing(&self) -> Option<report::Backing> {
        self.parent.clone()
    }

    fn identity(&self) -> Option<[u8; 16]> {
        Some(self.unique_id)
    }

    fn check_parent(&self, parent: &dyn Image) -> Result<()> {
        let found = parent.identity().unwrap_or_default();
        if self.parent_id == [0; 16] || found == self.parent_id {
            return Ok(());
        }
        let (found, wanted) = (u128::from_be_bytes(found), u128::from_be_bytes(self.parent_id));
        let text = alloc::format!("{found:032x}, not {wanted:032x}");
        Err(Fault::new(faults::PARENT_IDENTITY)
            .named(text.as_bytes())
            .in_file(self.file.slot()))
    }

    fn work(&self) -> Work {
        let read = self.table.bytes_read();
        self.bitmap.work().and(Work { read, shared: 0 })
    }

    fn describe(&mut self) -> Result<report::Info> {
        Ok(report::Info {
            cluster_size: Some(self.header.block_size),
            backing: self.parent.clone(),
            ..report::Info::of(self.file.slot(), Format::Vpc, self.size)
        })
    }

    fn cluster_size(&self) -> Option<u64> {
        Some(self.header.block_size)
    }

    fn status_unit(&self, _: u64) -> u64 {
        self.header.block_size
    }
}

impl Sparse<'_> {
    /// Not in this file: in the parent, or zeros.
    fn absent(&self, length: u64) -> Result<Mapping> {
        let kind = match (self.differencing, &self.parent) {
            (false, _) => Kind::Zero { at: None },
            (true, Some(_)) => Kind::Unallocated,
            (true, None) => return Err(Fault::new(faults::NO_PARENT).in_file(self.file.slot())),
        };
        Ok(Mapping { length, kind })
    }
}
