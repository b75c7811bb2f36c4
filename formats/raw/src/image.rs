//! Reading.

use alloc::boxed::Box;

use instar_disk::{
    Action, Extent, File, FileKind, Format, Image, Io, Kind, Mapping, Opened, Result, align_up, report,
};

/// Opens any file as a raw image. Its size is the file's, rounded up to 512.
///
/// # Errors
/// None in practice: the largest file rounds up without overflow.
pub fn open<'h>(file: File<'h>) -> Result<Opened<'h>> {
    let size = align_up(file.size(), 512)?;
    Ok(Box::new(Raw {
        file,
        size,
        cache: [Extent::default(); CACHED],
        cached: 0,
        start: 0,
    }))
}

/// Extents asked for at a time. Ours: one request answers for a fragmented megabyte-scale run, and 1 KiB of state is kept.
const CACHED: usize = 64;

struct Raw<'h> {
    file: File<'h>,
    size: u64,
    /// Extents that follow one another from `start`.
    cache: [Extent; CACHED],
    cached: usize,
    start: u64,
}

impl Image for Raw<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn map(&mut self, offset: u64) -> Result<Mapping> {
        let length = self.size.saturating_sub(offset);
        if offset >= self.file.size() {
            return Ok(Mapping {
                length,
                kind: Kind::Zero { at: None },
            });
        }
        if self.file.kind() == FileKind::Block {
            return Ok(Mapping {
                length,
                kind: self.data(offset),
            });
        }
        let extent = match self.lookup(offset) {
            Some(extent) => extent,
            None => self.load(offset)?,
        };
        let kind = if extent.data {
            self.data(offset)
        } else {
            Kind::Zero {
                at: Some((self.file.slot(), offset)),
            }
        };
        Ok(Mapping {
            length: extent.length.min(length).max(1),
            kind,
        })
    }

    fn describe(&mut self) -> Result<report::Info> {
        Ok(report::Info {
            slot: self.file.slot(),
            format: Format::Raw,
            virtual_size: self.size,
            cluster_size: None,
            encrypted: false,
            compressed: false,
            dirty: false,
            backing: None,
            snapshots: alloc::vec::Vec::new(),
            specific: None,
        })
    }
}

impl Raw<'_> {
    fn data(&self, offset: u64) -> Kind {
        Kind::Data {
            slot: self.file.slot(),
            offset,
        }
    }

    /// What is left of the cached extent that `offset` lies in.
    fn lookup(&self, offset: u64) -> Option<Extent> {
        let mut start = self.start;
        for extent in self.cache.get(..self.cached)? {
            let end = start.checked_add(extent.length)?;
            if (start..end).contains(&offset) {
                return Some(Extent {
                    length: end.checked_sub(offset)?,
                    data: extent.data,
                });
            }
            start = end;
        }
        None
    }

    fn load(&mut self, offset: u64) -> Result<Extent> {
        let slot = self.file.slot();
        let length = self.file.size().saturating_sub(offset);
        let mut io = [Io::new(Action::Extents {
            slot,
            offset,
            length,
            into: &mut self.cache,
        })];
        self.file.host().submit(&mut io);
        let [io] = io;
        let filled = io.outcome.map_err(|error| error.fault(slot))?;
        self.cached = instar_disk::to_usize(filled)?.min(CACHED);
        self.start = offset;
        // A file that shrank under us has nothing here any more: data, which then reads as zero.
        Ok(self.lookup(offset).unwrap_or(Extent { length, data: true }))
    }
}
