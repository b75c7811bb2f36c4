//! Reading.

use alloc::boxed::Box;

use instar_disk::{
    Codec, Encoded, Fault, File, Format, Image, Kind, Mapping, Opened, Result, Status, Work, fault, report,
};
use zerocopy::{FromZeros, IntoBytes};

use crate::header::Header;
use crate::offsets::Offsets;
use crate::raw::RawHeader;

/// Opens a cloop image.
///
/// # Errors
/// What header and offsets say that qemu-img refuses.
pub fn open<'h>(file: File<'h>) -> Result<Opened<'h>> {
    let mut raw = RawHeader::new_zeroed();
    file.read_padded(0, raw.as_mut_bytes())?;
    let header = Header::parse(&raw).map_err(|fault| fault.in_file(file.slot()))?;
    let offsets = Offsets::open(file, &header)?;
    Ok(Box::new(Cloop {
        file,
        header,
        offsets,
    }))
}

struct Cloop<'h> {
    file: File<'h>,
    header: Header,
    offsets: Offsets<'h>,
}

impl Image for Cloop<'_> {
    fn size(&self) -> u64 {
        self.header.size()
    }

    fn map(&mut self, offset: u64) -> Result<Mapping> {
        let unit = self.header.block_size;
        // It is not zero.
        let block = offset.checked_div(unit.into()).unwrap_or(0);
        let within = offset.checked_rem(unit.into()).unwrap_or(0);
        let (start, stored) = self.offsets.block(block)?;
        let slot = self.file.slot();
        let damaged = || {
            Fault::new(fault::core::BAD_COMPRESSED_DATA)
                .with([start])
                .in_file(slot)
        };
        // What lies past the file's end is no part of a stream.
        let stored = stored.min(self.file.size().saturating_sub(start));
        let stored = u32::try_from(stored).map_err(|_| damaged())?;
        let within = u32::try_from(within).map_err(|_| damaged())?;
        if stored == 0 {
            return Err(damaged());
        }
        Ok(Mapping {
            length: unit.saturating_sub(within).into(),
            kind: Kind::Encoded(Encoded {
                codec: Codec::WholeZlib,
                slot,
                offset: start,
                stored,
                least: stored,
                unit,
                within,
            }),
        })
    }

    fn status(&mut self, offset: u64) -> Result<Status> {
        Ok(Status::unknown(self.size().saturating_sub(offset)))
    }

    fn largest_unit(&self) -> u64 {
        self.header.block_size.into()
    }

    fn work(&self) -> Work {
        self.offsets.work()
    }

    fn describe(&mut self) -> Result<report::Info> {
        Ok(report::Info::of(
            self.file.slot(),
            Format::Cloop,
            self.header.size(),
        ))
    }
}
