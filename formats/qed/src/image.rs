//! Reading.

use alloc::boxed::Box;
use alloc::vec::Vec;

use instar_disk::report::Backing;
use instar_disk::{File, Format, Image, Kind, Mapping, Opened, Result, Status, Work, report};

use crate::header::Header;
use crate::table::{Entry, Tables};

/// Opens a QED image.
///
/// # Errors
/// What the header says that this driver refuses, in qemu-img's words; the host's.
pub fn open<'h>(file: File<'h>) -> Result<Opened<'h>> {
    let (header, _) = Header::read(&file)?;
    Ok(Box::new(Qed {
        tables: Tables::new(file, &header),
        file,
        header,
    }))
}

struct Qed<'h> {
    file: File<'h>,
    header: Header,
    tables: Tables<'h>,
}

impl Image for Qed<'_> {
    fn size(&self) -> u64 {
        self.header.size
    }

    fn map(&mut self, offset: u64) -> Result<Mapping> {
        let mapping = self.declared(offset)?;
        let Kind::Data { offset: at, .. } = mapping.kind else {
            return Ok(mapping);
        };
        // The last sector of the file may be cut short: what is not in the file is zeros.
        let present = self.file.size().saturating_sub(at);
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

    fn status_unit(&self, _: u64) -> u64 {
        self.header.geometry.span()
    }

    fn cluster_size(&self) -> Option<u64> {
        Some(self.header.geometry.cluster())
    }

    fn work(&self) -> Work {
        self.tables.work()
    }

    fn declared_tables(&self) -> Vec<(u64, u64)> {
        [(self.header.l1_offset, self.header.geometry.table_bytes())].into()
    }

    fn backing(&self) -> Option<Backing> {
        self.header.backing()
    }

    fn describe(&mut self) -> Result<report::Info> {
        Ok(report::Info {
            cluster_size: self.cluster_size(),
            dirty: self.header.need_check,
            backing: self.header.backing(),
            ..report::Info::of(self.file.slot(), Format::Qed, self.header.size)
        })
    }
}

impl Qed<'_> {
    /// What the tables say of the bytes from `offset` on, wherever the file ends.
    fn declared(&mut self, offset: u64) -> Result<Mapping> {
        let geometry = self.header.geometry;
        let run = self.tables.run(geometry.cluster_of(offset))?;
        let within = offset.saturating_sub(geometry.start_of(offset));
        let length = run
            .clusters
            .saturating_mul(geometry.cluster())
            .saturating_sub(within)
            .min(self.header.size.saturating_sub(offset));
        let kind = match run.entry {
            Entry::None => Kind::Unallocated,
            Entry::Zero => Kind::Zero { at: None },
            Entry::At(start) => Kind::Data {
                slot: self.file.slot(),
                offset: start.saturating_add(within),
            },
        };
        Ok(Mapping { length, kind })
    }
}
