//! Reading.

use alloc::boxed::Box;

use instar_disk::{Extents, File, Format, Image, Kind, Mapping, Opened, Result, align_up, report};

/// Opens any file as a raw image. Its size is the file's, rounded up to 512.
///
/// # Errors
/// None in practice: the largest file rounds up without overflow.
pub fn open<'h>(file: File<'h>) -> Result<Opened<'h>> {
    let size = align_up(file.size(), 512)?;
    Ok(Box::new(Raw {
        file,
        size,
        extents: Extents::new(file),
    }))
}

struct Raw<'h> {
    file: File<'h>,
    size: u64,
    extents: Extents<'h>,
}

impl Image for Raw<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn map(&mut self, offset: u64) -> Result<Mapping> {
        let slot = self.file.slot();
        let rest = self.size.saturating_sub(offset);
        if offset >= self.file.size() {
            // The bytes that round the size up; qemu-img gives them a place in the file, too.
            return Ok(Mapping {
                length: rest,
                kind: Kind::Zero {
                    at: Some((slot, offset)),
                },
            });
        }
        let extent = self.extents.at(offset)?;
        let kind = if extent.data {
            Kind::Data { slot, offset }
        } else {
            Kind::Zero {
                at: Some((slot, offset)),
            }
        };
        Ok(Mapping {
            length: extent.length.min(rest).max(1),
            kind,
        })
    }

    fn describe(&mut self) -> Result<report::Info> {
        Ok(report::Info::of(self.file.slot(), Format::Raw, self.size))
    }
}
