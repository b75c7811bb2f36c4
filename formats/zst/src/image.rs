//! Reading.

use alloc::boxed::Box;

use instar_disk::{
    Codec, Encoded, Fault, File, Format, Image, Kind, Mapping, Opened, Result, Work, align_up, fault, report,
};

use crate::frames::Frames;
use crate::header::Header;

/// Opens a disk in seekable zstd. Its size is that of what the frames decode to, rounded up to 512.
///
/// # Errors
/// What is wrong with the seek table, or that there is none; the host's.
pub fn open<'h>(file: File<'h>) -> Result<Opened<'h>> {
    let header = Header::read(&file).map_err(|fault| fault.in_file(file.slot()))?;
    let frames = Frames::open(file, header)?;
    Ok(Box::new(Zst {
        size: align_up(frames.size(), 512)?,
        file,
        frames,
    }))
}

struct Zst<'h> {
    file: File<'h>,
    frames: Frames<'h>,
    size: u64,
}

impl Image for Zst<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn map(&mut self, offset: u64) -> Result<Mapping> {
        let Some(frame) = self.frames.at(offset)? else {
            // The bytes that round the size up.
            return Ok(Mapping {
                length: self.size.saturating_sub(offset),
                kind: Kind::Zero { at: None },
            });
        };
        let slot = self.file.slot();
        let within = offset.saturating_sub(frame.start);
        let [Ok(stored), Ok(unit), Ok(inside)] = [frame.stored, frame.plain, within].map(u32::try_from)
        else {
            return Err(Fault::new(fault::core::INTERNAL).with([line!().into()]));
        };
        Ok(Mapping {
            length: frame.plain.saturating_sub(within),
            kind: Kind::Encoded(Encoded {
                codec: Codec::WholeZstd(frame.checksum),
                slot,
                offset: frame.offset,
                stored,
                least: stored,
                unit,
                within: inside,
            }),
        })
    }

    fn largest_unit(&self) -> u64 {
        self.frames.largest()
    }

    fn work(&self) -> Work {
        self.frames.work()
    }

    fn describe(&mut self) -> Result<report::Info> {
        Ok(report::Info::of(self.file.slot(), Format::Zst, self.size))
    }
}
