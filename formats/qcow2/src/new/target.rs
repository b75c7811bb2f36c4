//! Writing a new image, in ascending order of guest offsets.

use instar_disk::job::Qcow2Create;
use instar_disk::report::Bitmap;
use instar_disk::{
    Codec, Encoding, File, FileKind, Placement, Preallocate, ReadBits, Result, Sealing, Slot, Target,
    ZeroHow, align_down, align_up,
};

use super::batch::{Batch, Fill, Fixed};
use super::compose::{self, HEADER_SECTOR, Mark};
use super::refcount::{Refcounts, Table};
use crate::bitmaps::carried::Carried;
use crate::entry;
use crate::layout::Layout;
use crate::num::{add, internal, length as bytes_of, shl, shr, shr_up, sub};
use crate::raw::{RawBitmapsExtension, RawCryptoExtension};
use crate::space::Space;

/// An image being made.
pub(crate) struct New<'h> {
    pub(crate) file: File<'h>,
    pub(crate) options: Qcow2Create,
    pub(crate) layout: Layout,
    pub(crate) place: Where<'h>,
    /// How units are compressed, if they are.
    pub(crate) codec: Option<Codec>,
    pub(crate) mark: Mark,
    /// Where the LUKS header is, if there is one.
    pub(crate) luks: Option<RawCryptoExtension>,
    /// How data is sealed, if it is.
    pub(crate) sealing: Option<Sealing>,
    pub(crate) space: Space,
    pub(crate) tables: Batch,
    pub(crate) refcounts: Refcounts,
    /// Where the next compressed stream goes: inside a cluster that holds others.
    pub(crate) tail: Option<u64>,
    pub(crate) bitmaps: Carried,
    /// Everything below was handed out.
    pub(crate) position: u64,
}

/// Where guest clusters go.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Where<'h> {
    /// To the end of the file.
    Appended,
    /// To their own offset in another file.
    DataFile(File<'h>),
    /// To the place reserved for them, in this file or another.
    Fixed(Fixed, Option<File<'h>>),
}

impl Target for New<'_> {
    fn size(&self) -> u64 {
        self.layout.size()
    }

    fn unit(&self) -> u64 {
        if self.codec.is_some() {
            self.layout.cluster()
        } else {
            1_u64.wrapping_shl(self.layout.unit_bits())
        }
    }

    fn plain(&self) -> Option<Slot> {
        // Subclusters are marked as they are written, so that such an image is never this simple.
        match self.place {
            Where::Fixed(_, Some(data)) if !self.layout.extended_l2() && self.sealing.is_none() => {
                Some(data.slot())
            }
            _ => None,
        }
    }

    fn blocks(&self) -> Option<Slot> {
        let whole = self.layout.cluster() >= 4096 && self.sealing.is_none();
        // What has its space already is written to it.
        let placed = !matches!(self.place, Where::Fixed(..));
        (whole && placed).then(|| self.data_file().slot())
    }

    fn allocate(&mut self, offset: u64, length: u64) -> Result<Placement> {
        let end = self.enter(offset, length)?;
        let file = self.data_file();
        let fresh = file.kind() == FileKind::Fresh && self.sealing.is_none();
        let (host, stop) = match self.place {
            Where::Appended => self.append(offset, end)?,
            Where::DataFile(_) => (offset, self.fill(offset, end, |at| Ok(Fill::Data(at)))?),
            Where::Fixed(fixed, _) if self.layout.extended_l2() || self.sealing.is_some() => {
                let place = |at| Ok(Fill::Data(add(fixed.data, at)?));
                (add(fixed.data, offset)?, self.fill(offset, end, place)?)
            }
            Where::Fixed(fixed, _) => (add(fixed.data, offset)?, end),
        };
        self.position = stop;
        let length = sub(stop, offset)?;
        if !fresh && stop == self.layout.size() {
            // A reader never sees the rest of the last unit, but it becomes visible when the image grows.
            let end = add(host, length)?;
            let rest = sub(align_up(end, self.unit())?, end)?;
            match &self.sealing {
                // A device ends where it ends.
                Some(_) if file.slot() != self.file.slot() && file.kind() == FileKind::Block => {}
                Some(sealing) => sealing.write_zeros(&file, stop, end, rest)?,
                None => file.zero(end, rest, ZeroHow::Keep)?,
            }
        }
        Ok(Placement {
            slot: file.slot(),
            offset: host,
            length,
            fresh,
        })
    }

    fn zero(&mut self, offset: u64, length: u64) -> Result<()> {
        if let Where::Fixed(_, Some(data)) = self.place
            && self.plain().is_some()
        {
            return data.zero(offset, length, ZeroHow::MayUnmap);
        }
        let end = self.enter(offset, length)?;
        match self.place {
            Where::Fixed(fixed, _) if !self.layout.extended_l2() && self.sealing.is_none() => {
                if self.file.kind() != FileKind::Fresh {
                    self.file.zero(add(fixed.data, offset)?, length, ZeroHow::Keep)?;
                }
                self.position = end;
                Ok(())
            }
            _ if self.options.version < 3 => self.zero_by_data(offset, end),
            _ => {
                let mut at = offset;
                while at < end {
                    at = self.fill(at, end, |_| Ok(Fill::Zero))?;
                }
                self.position = end;
                Ok(())
            }
        }
    }

    fn encoding(&self) -> Option<Encoding> {
        Some(Encoding {
            codec: self.codec?,
            unit: self.layout.cluster(),
            plain_if_larger: true,
            window_bits: DEFLATE_WINDOW_BITS,
            prefix: 0,
            align: 1,
        })
    }

    fn allocate_encoded(&mut self, offset: u64, stored: u64) -> Result<Placement> {
        let cluster = self.layout.cluster();
        let end = self.enter(offset, cluster.min(self.layout.size().saturating_sub(offset)))?;
        if self.codec.is_none() || stored == 0 || stored >= cluster {
            return Err(internal(line!()));
        }
        let bits = self.layout.cluster_bits();
        let table = shr(offset, self.layout.reach_bits());
        self.tables.open(table, false, &self.file, &mut self.space)?;
        let host = self.place_stream(stored)?;
        let last = shr(sub(add(host, stored)?, 1)?, bits);
        for touched in shr(host, bits)..=last {
            self.refcounts.add_stream(touched)?;
        }
        let at = shr(offset, bits) & shl(1, self.layout.table_bits())?.wrapping_sub(1);
        self.tables.set(at, entry::compressed(bits, host, stored)?, 0)?;
        self.position = end;
        Ok(Placement {
            slot: self.file.slot(),
            offset: host,
            length: stored,
            fresh: self.file.kind() == FileKind::Fresh,
        })
    }

    fn sealing(&self) -> Option<Sealing> {
        self.sealing.clone()
    }

    /// What is reserved for sealed data is noise, which version 2 cannot hide.
    fn begins_as_zeros(&self) -> bool {
        let noise = self.sealing.is_some() && matches!(self.place, Where::Fixed(..));
        !noise || self.options.version >= 3
    }

    fn takes_bitmaps(&self) -> bool {
        self.options.version >= 3
    }

    fn add_bitmap(&mut self, bitmap: &Bitmap, bits: &mut ReadBits<'_>) -> Result<()> {
        self.bitmaps
            .add(&self.file, &self.layout, &mut self.space, bitmap, bits)
    }

    fn finish(&mut self) -> Result<()> {
        self.tables.finish(&self.file, &mut self.space)?;
        let bitmaps = self.bitmaps.finish(&self.file, &self.layout, &mut self.space)?;
        let fresh = self.file.kind() == FileKind::Fresh;
        let refcounts = self.refcounts.finish(&self.file, &mut self.space, fresh)?;
        if self.file.kind() != FileKind::Block {
            self.file.resize(self.space.end()?, Preallocate::Off)?;
        }
        if let Where::DataFile(data) | Where::Fixed(_, Some(data)) = self.place {
            data.flush()?;
        }
        self.finish_header(refcounts, bitmaps)
    }
}

impl<'h> New<'h> {
    /// The file that holds the guest's bytes.
    const fn data_file(&self) -> File<'h> {
        match self.place {
            Where::DataFile(data) | Where::Fixed(_, Some(data)) => data,
            Where::Appended | Where::Fixed(_, None) => self.file,
        }
    }

    /// The end of a range that follows what was handed out before.
    fn enter(&self, offset: u64, length: u64) -> Result<u64> {
        let end = add(offset, length)?;
        let aligned = |at: u64| at == align_down(at, self.unit()) || at == self.layout.size();
        if length == 0
            || offset < self.position
            || end > self.layout.size()
            || !aligned(offset)
            || !aligned(end)
        {
            return Err(internal(line!()));
        }
        Ok(end)
    }

    /// Enters the guest range from `at` to `end`, up to where the tables that can be held end; gives where that is.
    fn fill(&mut self, start: u64, end: u64, place: impl Fn(u64) -> Result<Fill>) -> Result<u64> {
        let mut at = start;
        while at < end {
            let table = shr(at, self.layout.reach_bits());
            if !self.tables.open(table, at > start, &self.file, &mut self.space)? {
                break;
            }
            let stop = shl(add(table, 1)?, self.layout.reach_bits())?.min(end);
            self.tables.fill(at, stop, place(at)?)?;
            at = stop;
        }
        Ok(at)
    }

    /// Places the guest range at the end of the file, as far as that is one piece; gives where, and where that ends.
    fn append(&mut self, start: u64, end: u64) -> Result<(u64, u64)> {
        let bits = self.layout.cluster_bits();
        let mut first = None;
        let mut at = start;
        while at < end {
            let table = shr(at, self.layout.reach_bits());
            if !self.tables.open(table, at > start, &self.file, &mut self.space)? {
                break;
            }
            let base = align_down(at, self.layout.cluster());
            let index = shr(base, bits) & shl(1, self.layout.table_bits())?.wrapping_sub(1);
            // A cluster of which other subclusters are in use has its place.
            let known = self.tables.host(index).filter(|_| at > base);
            let (host, stop) = if let Some(host) = known {
                (host, add(base, self.layout.cluster())?.min(end))
            } else {
                if first.is_some_and(|first| self.space.end() != add(first, at.saturating_sub(start))) {
                    break;
                }
                let stop = shl(add(table, 1)?, self.layout.reach_bits())?.min(end);
                (self.space.take(shr_up(sub(stop, base)?, bits))?, stop)
            };
            let host = add(host, sub(at, base)?)?;
            self.tables.fill(at, stop, Fill::Data(host))?;
            first = first.or(Some(host));
            at = stop;
        }
        Ok((first.ok_or_else(|| internal(line!()))?, at))
    }

    /// Version 2 has no zero clusters: without a backing file nothing at all reads as zero, with one only zeros do.
    fn zero_by_data(&mut self, start: u64, end: u64) -> Result<()> {
        if self.options.backing_file.is_none() && self.begins_as_zeros() {
            self.position = end;
            return Ok(());
        }
        let mut at = start;
        while at < end {
            let placed = self.allocate(at, sub(end, at)?)?;
            match &self.sealing {
                Some(sealing) => {
                    sealing.write_zeros(&self.data_file(), at, placed.offset, placed.length)?;
                }
                None if placed.fresh => {}
                None => self
                    .data_file()
                    .zero(placed.offset, placed.length, ZeroHow::Keep)?,
            }
            at = add(at, placed.length)?;
        }
        Ok(())
    }

    /// Where a stream of `stored` bytes goes: behind the one before, or into a cluster of its own.
    fn place_stream(&mut self, stored: u64) -> Result<u64> {
        let bits = self.layout.cluster_bits();
        let settled = self.refcounts.relieve(&self.file, &mut self.space)?;
        let tail = self.tail.take().filter(|tail| {
            let cluster = shr(*tail, bits);
            cluster >= settled && !self.refcounts.is_full(cluster)
        });
        let mut host = None;
        if let Some(tail) = tail {
            let room = sub(align_up(tail, self.layout.cluster())?, tail)?;
            let last = add(shr(tail, bits), 1)? == self.space.clusters();
            if stored <= room {
                host = Some(tail);
            } else if last {
                self.space.take(1)?;
                host = Some(tail);
            }
        }
        let host = match host {
            Some(host) => host,
            None => self.space.take(1)?,
        };
        let end = add(host, stored)?;
        self.tail = (end != align_down(end, self.layout.cluster())).then_some(end);
        Ok(host)
    }

    /// Writes the header over the mark: the first sector after everything else.
    fn finish_header(&self, refcounts: Table, bitmaps: Option<RawBitmapsExtension>) -> Result<()> {
        let l1_offset = if self.layout.l1_entries() == 0 {
            0
        } else {
            self.layout.cluster()
        };
        let tables = compose::Tables {
            l1_offset,
            refcounts,
            bitmaps,
            luks: self.luks,
        };
        let header = compose::header(&self.options, &self.layout, tables)?;
        let (first, rest) = header.split_at_checked(HEADER_SECTOR).unwrap_or((&header, &[]));
        if !rest.is_empty() {
            self.file.write(bytes_of(first), rest)?;
        }
        if self.mark == Mark::InPlace {
            self.file.flush()?;
        }
        let mut sector = first.to_vec();
        // The mark is longer than some headers.
        sector.resize(HEADER_SECTOR, 0);
        self.file.write(0, &sector)?;
        self.file.flush()
    }
}

/// log2 of the deflate window. The reference's: its readers reserve no more.
pub(crate) const DEFLATE_WINDOW_BITS: u8 = 12;
