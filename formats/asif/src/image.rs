//! Reading.

use alloc::boxed::Box;
use alloc::vec::Vec;

use instar_disk::{File, Format, Image, Kind, Mapping, Opened, Result, Work, report};
use zerocopy::{FromZeros, IntoBytes};

use crate::header::Header;
use crate::raw::{RawHeader, entry};
use crate::tables::Tables;

/// Opens a sparse image of Apple.
///
/// # Errors
/// What the header says that this driver refuses; directories that are not in the file; the host's.
pub fn open<'h>(file: File<'h>) -> Result<Opened<'h>> {
    let mut raw = RawHeader::new_zeroed();
    file.read_padded(0, raw.as_mut_bytes())?;
    let header = Header::parse(&raw).map_err(|fault| fault.in_file(file.slot()))?;
    Ok(Box::new(Asif {
        tables: Tables::new(file, header)?,
        file,
        header,
    }))
}

struct Asif<'h> {
    file: File<'h>,
    header: Header,
    tables: Tables<'h>,
}

impl Image for Asif<'_> {
    fn size(&self) -> u64 {
        self.header.size
    }

    fn map(&mut self, offset: u64) -> Result<Mapping> {
        let run = self.tables.run(offset)?;
        let slot = self.file.slot();
        Ok(Mapping {
            length: run.length.min(self.header.size.saturating_sub(offset)),
            kind: run
                .place
                .map_or(Kind::Zero { at: None }, |offset| Kind::Data { slot, offset }),
        })
    }

    fn work(&self) -> Work {
        self.tables.work()
    }

    fn declared_tables(&self) -> Vec<(u64, u64)> {
        let bytes = self.header.directory_bytes().saturating_add(entry::BYTES);
        self.header
            .directories
            .iter()
            .map(|start| (*start, bytes))
            .collect()
    }

    fn describe(&mut self) -> Result<report::Info> {
        Ok(report::Info::of(self.file.slot(), Format::Asif, self.header.size))
    }
}
