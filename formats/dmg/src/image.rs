//! Reading.

use alloc::boxed::Box;

use instar_disk::fault::dmg as faults;
use instar_disk::{
    Codec, Encoded, Fault, File, Format, Image, Kind, Mapping, Opened, Result, Status, Work, fault, report,
};

use crate::chunks::{Chunk, Chunks, Content};
use crate::header::{Header, SECTOR};
use crate::tables;

/// Opens a UDIF image, with all of its tables, as qemu-img does.
///
/// # Errors
/// What is wrong with the trailer or a table.
pub fn open<'h>(file: File<'h>) -> Result<Opened<'h>> {
    let opened = Header::read(&file).and_then(|header| {
        let chunks = tables::read(&file, &header)?;
        Ok(Dmg { file, header, chunks })
    });
    Ok(Box::new(opened.map_err(|fault| fault.in_file(file.slot()))?))
}

struct Dmg<'h> {
    file: File<'h>,
    header: Header,
    chunks: Chunks,
}

impl Image for Dmg<'_> {
    fn size(&self) -> u64 {
        self.header.size
    }

    fn map(&mut self, offset: u64) -> Result<Mapping> {
        let slot = self.file.slot();
        let sector = offset / SECTOR;
        let chunk = self
            .chunks
            .at(sector)
            .ok_or_else(|| Fault::new(faults::GAP).with([sector]).in_file(slot))?;
        let mapping = self.within(chunk, offset.saturating_sub(chunk.sector.saturating_mul(SECTOR)))?;
        // Chunks may reach past the end of the disk.
        let left = self.header.size.saturating_sub(offset);
        Ok(Mapping {
            length: mapping.length.min(left),
            ..mapping
        })
    }

    fn status(&mut self, offset: u64) -> Result<Status> {
        Ok(Status::unknown(self.header.size.saturating_sub(offset)))
    }

    fn largest_unit(&self) -> u64 {
        let units = self.chunks.iter().map(|chunk| {
            let bytes = chunk.end.saturating_sub(chunk.sector).saturating_mul(SECTOR);
            match chunk.content {
                Content::Zeros | Content::Raw | Content::Unknown(_) => 0,
                // And a dictionary of the same size.
                Content::Xz => bytes.saturating_mul(2),
                Content::Adc | Content::Zlib | Content::Bzip2 | Content::Lzfse => bytes,
            }
        });
        units.max().unwrap_or(0)
    }

    fn work(&self) -> Work {
        Work {
            read: self.chunks.read,
            shared: 0,
        }
    }

    fn describe(&mut self) -> Result<report::Info> {
        Ok(report::Info::of(self.file.slot(), Format::Dmg, self.header.size))
    }
}

impl Dmg<'_> {
    /// What is left of a chunk from byte `within` on.
    fn within(&self, chunk: &Chunk, within: u64) -> Result<Mapping> {
        let slot = self.file.slot();
        let bytes = chunk.end.saturating_sub(chunk.sector).saturating_mul(SECTOR);
        let length = bytes.saturating_sub(within);
        let codec = match chunk.content {
            Content::Zeros => return Ok(zeros(length)),
            // The last sector need not be whole.
            Content::Raw => {
                let present = u64::from(chunk.length).saturating_sub(within);
                if present == 0 {
                    return Ok(zeros(length));
                }
                let kind = Kind::Data {
                    slot,
                    offset: chunk.offset.saturating_add(within),
                };
                return Ok(Mapping {
                    length: present.min(length),
                    kind,
                });
            }
            Content::Adc => Codec::Adc,
            Content::Zlib => Codec::WholeZlib,
            Content::Bzip2 => Codec::Bzip2,
            Content::Lzfse => Codec::Lzfse,
            Content::Xz => Codec::Xz,
            Content::Unknown(kind) => {
                let text = tables::kind_text(kind);
                return Err(Fault::new(faults::KIND).named(text.as_bytes()).in_file(slot));
            }
        };
        let damaged = || {
            Fault::new(fault::core::BAD_COMPRESSED_DATA)
                .with([chunk.offset])
                .in_file(slot)
        };
        // What lies past the file's end is no part of a stream.
        let stored = u64::from(chunk.length).min(self.file.size().saturating_sub(chunk.offset));
        let [stored, unit, within] = [stored, bytes, within].map(u32::try_from);
        match (stored, unit, within) {
            (Ok(stored @ 1..), Ok(unit), Ok(within)) => Ok(Mapping {
                length,
                kind: Kind::Encoded(Encoded {
                    codec,
                    slot,
                    offset: chunk.offset,
                    stored,
                    least: stored,
                    unit,
                    within,
                }),
            }),
            _ => Err(damaged()),
        }
    }
}

const fn zeros(length: u64) -> Mapping {
    Mapping {
        length,
        kind: Kind::Zero { at: None },
    }
}
