//! Reading.

use alloc::boxed::Box;

use instar_disk::{File, Format, Image, Kind, Mapping, Opened, Result, Status, Work, align_down, report};
use zerocopy::{FromZeros, IntoBytes};

use crate::catalog::{Catalog, present};
use crate::header::{Header, SECTOR};
use crate::raw::RawHeader;

/// Opens a growing redolog.
///
/// # Errors
/// What the header says that this driver refuses; a catalog past the file's end.
pub fn open<'h>(file: File<'h>) -> Result<Opened<'h>> {
    let mut raw = RawHeader::new_zeroed();
    file.read_padded(0, raw.as_mut_bytes())?;
    let header = Header::parse(&raw).map_err(|fault| fault.in_file(file.slot()))?;
    let catalog = Catalog::new(file, header)?;
    Ok(Box::new(Bochs {
        file,
        header,
        catalog,
    }))
}

struct Bochs<'h> {
    file: File<'h>,
    header: Header,
    catalog: Catalog<'h>,
}

impl Image for Bochs<'_> {
    fn size(&self) -> u64 {
        self.header.size
    }

    fn map(&mut self, offset: u64) -> Result<Mapping> {
        let Header { size, extent, .. } = self.header;
        let start = align_down(offset, extent);
        // A power of two.
        let number = start.checked_div(extent).unwrap_or(0);
        let within = offset.saturating_sub(start);
        let left = size.saturating_sub(offset);
        let run = self.catalog.run(number)?;
        let Some(place) = run.place else {
            let length = run.extents.saturating_mul(extent).saturating_sub(within);
            return Ok(zeros(length.min(left)));
        };
        let (is_there, sectors) = self.catalog.sectors(number, place, within / SECTOR)?;
        let length = sectors.saturating_mul(SECTOR).saturating_sub(within % SECTOR);
        let length = length.min(left);
        if !is_there {
            return Ok(zeros(length));
        }
        let at = self
            .header
            .bitmap_offset(place)
            .saturating_add(self.header.bitmap)
            .saturating_add(within);
        present(&self.file, at, length)?;
        Ok(Mapping {
            length,
            kind: Kind::Data {
                slot: self.file.slot(),
                offset: at,
            },
        })
    }

    fn status(&mut self, offset: u64) -> Result<Status> {
        Ok(Status::unknown(self.header.size.saturating_sub(offset)))
    }

    fn work(&self) -> Work {
        self.catalog.work()
    }

    fn declared_tables(&self) -> alloc::vec::Vec<(u64, u64)> {
        alloc::vec![(self.header.catalog_offset, self.header.catalog_bytes)]
    }

    fn describe(&mut self) -> Result<report::Info> {
        Ok(report::Info::of(
            self.file.slot(),
            Format::Bochs,
            self.header.size,
        ))
    }
}

const fn zeros(length: u64) -> Mapping {
    Mapping {
        length,
        kind: Kind::Zero { at: None },
    }
}
