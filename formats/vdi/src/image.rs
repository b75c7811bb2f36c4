//! Reading.

use alloc::boxed::Box;

use instar_disk::{Extents, File, Format, Image, Kind, Mapping, Opened, Result, Status, Work, report};
use zerocopy::{FromZeros, IntoBytes};

use crate::header::{BLOCK, Header, ImageType};
use crate::raw::RawHeader;
use crate::table::{BlockMap, place_offset};

/// Opens a VDI.
///
/// # Errors
/// What the header says that this driver refuses, in qemu-img's words; a block map past the file's end; the host's.
pub fn open<'h>(file: File<'h>) -> Result<Opened<'h>> {
    let mut raw = RawHeader::new_zeroed();
    file.read_padded(0, raw.as_mut_bytes())?;
    let header = Header::parse(&raw).map_err(|fault| fault.in_file(file.slot()))?;
    let map = BlockMap::new(file, &header)?;
    let extents = (header.image_type == ImageType::Static).then(|| Extents::new(file));
    Ok(Box::new(Vdi {
        file,
        header,
        map,
        extents,
    }))
}

struct Vdi<'h> {
    file: File<'h>,
    header: Header,
    map: BlockMap<'h>,
    /// Of a static image: its holes are guest holes.
    extents: Option<Extents<'h>>,
}

impl Image for Vdi<'_> {
    fn size(&self) -> u64 {
        self.header.size
    }

    fn map(&mut self, offset: u64) -> Result<Mapping> {
        let (block, within) = (offset / BLOCK, offset % BLOCK);
        let run = self.map.run(block)?;
        let length = run
            .blocks
            .saturating_mul(BLOCK)
            .saturating_sub(within)
            .min(self.header.size.saturating_sub(offset));
        let Some(place) = run.place else {
            return Ok(Mapping {
                length,
                kind: Kind::Zero { at: None },
            });
        };
        self.data(
            place_offset(self.header.data_offset, place).saturating_add(within),
            length,
        )
    }

    fn status(&mut self, offset: u64) -> Result<Status> {
        let (block, within) = (offset / BLOCK, offset % BLOCK);
        let run = self.map.run(block)?;
        let length = run
            .blocks
            .saturating_mul(BLOCK)
            .saturating_sub(within)
            .min(self.header.size.saturating_sub(offset));
        let kind = run.place.map_or(Kind::Zero { at: None }, |place| Kind::Data {
            slot: self.file.slot(),
            offset: place_offset(self.header.data_offset, place).saturating_add(within),
        });
        let status = Status::of(Mapping { length, kind });
        match &mut self.extents {
            Some(extents) => status.look_below(extents, self.file.size()),
            None => Ok(status),
        }
    }

    fn work(&self) -> Work {
        self.map.work()
    }

    fn cluster_size(&self) -> Option<u64> {
        Some(BLOCK)
    }

    fn status_unit(&self, _: u64) -> u64 {
        BLOCK
    }

    fn describe(&mut self) -> Result<report::Info> {
        Ok(report::Info {
            cluster_size: Some(BLOCK),
            ..report::Info::of(self.file.slot(), Format::Vdi, self.header.size)
        })
    }
}

impl Vdi<'_> {
    /// What stands at byte `at` of the file. Past its end, and in holes of a static image, zeros.
    fn data(&mut self, at: u64, length: u64) -> Result<Mapping> {
        let slot = self.file.slot();
        self.header
            .refuse_own(at, length)
            .map_err(|fault| fault.in_file(slot))?;
        let present = self.file.size().saturating_sub(at);
        if present == 0 {
            return Ok(Mapping {
                length,
                kind: Kind::Zero { at: None },
            });
        }
        let mut length = length.min(present);
        if let Some(extents) = &mut self.extents {
            let extent = extents.at(at)?;
            length = length.min(extent.length);
            if !extent.data {
                let kind = Kind::Zero { at: Some((slot, at)) };
                return Ok(Mapping { length, kind });
            }
        }
        Ok(Mapping {
            length,
            kind: Kind::Data { slot, offset: at },
        })
    }
}
