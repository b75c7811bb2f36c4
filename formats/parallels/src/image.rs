//! Reading.

use alloc::boxed::Box;
use alloc::vec::Vec;

use instar_disk::{
    Bitmaps, Fault, File, Format, Image, Kind, Mapping, Opened, Result, Status, Work, fault, report,
};

use crate::extension;
use crate::header::Header;
use crate::raw::HEADER_BYTES;
use crate::table::Bat;

/// Opens a Parallels disk.
///
/// # Errors
/// What the header or the format extension says that this driver refuses, in qemu-img's words; a BAT that is not in the file; the host's.
pub fn open<'h>(file: File<'h>) -> Result<Opened<'h>> {
    let (header, _) = Header::read(&file)?;
    extension::judge(&file, &header).map_err(|fault| fault.in_file(file.slot()))?;
    Ok(Box::new(Parallels {
        bat: Bat::new(file, &header),
        file,
        header,
    }))
}

struct Parallels<'h> {
    file: File<'h>,
    header: Header,
    bat: Bat<'h>,
}

impl Image for Parallels<'_> {
    fn size(&self) -> u64 {
        self.header.size
    }

    fn map(&mut self, offset: u64) -> Result<Mapping> {
        let mapping = self.declared(offset)?;
        let Kind::Data { offset: at, .. } = mapping.kind else {
            return Ok(mapping);
        };
        // The last cluster may be cut short: what is not in the file is zeros.
        let present = self.header.file_size.saturating_sub(at);
        Ok(match present {
            0 => Mapping {
                kind: Kind::Zero { at: None },
                ..mapping
            },
            _ => Mapping {
                length: mapping.length.min(present),
                ..mapping
            },
        })
    }

    /// The reference tool takes a cluster that is cut short for data up to its end.
    fn status(&mut self, offset: u64) -> Result<Status> {
        self.declared(offset).map(Status::of)
    }

    /// The reference tool reads bitmaps of this format, and keeps none.
    fn bitmaps(&mut self) -> Option<&mut dyn Bitmaps> {
        Some(self)
    }

    fn work(&self) -> Work {
        self.bat.work()
    }

    fn declared_tables(&self) -> Vec<(u64, u64)> {
        [(HEADER_BYTES, self.header.bat_bytes())].into()
    }

    fn describe(&mut self) -> Result<report::Info> {
        Ok(report::Info {
            dirty: self.header.is_dirty,
            ..report::Info::of(self.file.slot(), Format::Parallels, self.header.size)
        })
    }
}

impl Parallels<'_> {
    /// What the BAT says of the bytes from `offset` on, wherever the file ends.
    fn declared(&mut self, offset: u64) -> Result<Mapping> {
        let (cluster, within) = self.header.split(offset);
        let run = self.bat.run(cluster)?;
        let length = run
            .clusters
            .saturating_mul(self.header.cluster)
            .saturating_sub(within)
            .min(self.header.size.saturating_sub(offset));
        let kind = match run.place {
            None => Kind::Unallocated,
            Some(place) => Kind::Data {
                slot: self.file.slot(),
                offset: place.saturating_add(within),
            },
        };
        Ok(Mapping { length, kind })
    }
}

impl Bitmaps for Parallels<'_> {
    fn list(&mut self) -> Result<Vec<report::Bitmap>> {
        Ok(Vec::new())
    }

    fn read(&mut self, _: usize, _: u64, _: &mut [u8]) -> Result<()> {
        // None is on the list.
        Err(Fault::new(fault::core::INTERNAL).with([line!().into()]))
    }
}
