//! Writing `streamOptimized`: strictly from front to end, compressed grains between markers, the directory at the end.
//!
//! The header only says "see the footer". Since nothing that is written refers to what comes later, the file can be sent
//! while it is made; only the header's sector waits until the rest is there, because it makes the file an image.

use alloc::vec;
use alloc::vec::Vec;

use instar_disk::{
    Action, Codec, Encoding, Fault, File, FileKind, Io, Placement, Result, Target, align_up, fault,
    from_usize, to_usize,
};
use zerocopy::IntoBytes;

use crate::layout::{
    DESCRIPTOR, DESCRIPTOR_BYTES, ENTRIES, FILE_MAX, GRAIN, TABLE_BYTES, TABLE_SPAN, clear, common_header,
    directory_bytes, file_full, prepare, settle, write_directory, write_head,
};
use crate::raw::{
    COMPRESSION_DEFLATE, GD_AT_END, GTE_ZEROED, RawFooter, RawGrainMarker, RawMarker, RawSparseHeader,
    SECTOR, flags, marker,
};

/// Bytes of a grain marker.
const MARKER: usize = size_of::<RawGrainMarker>();
/// Grains of zeros that are written in one batch.
const ZEROS: usize = 128;

/// A stream being written.
pub(crate) struct Stream<'h> {
    file: File<'h>,
    size: u64,
    zeroed_grain: bool,
    descriptor: Vec<u8>,
    /// Where the next thing goes; a multiple of the sector.
    next: u64,
    /// Sectors of the grain tables that are written; 0 for those that have no grain.
    directory: Vec<u32>,
    /// The grain table of the grains being written.
    table: Vec<u32>,
    number: u64,
}

impl<'h> Stream<'h> {
    pub(crate) fn new(file: File<'h>, size: u64, zeroed_grain: bool, descriptor: Vec<u8>) -> Result<Self> {
        let file = prepare(file, GRAIN)?;
        clear(&file, 0, GRAIN)?;
        Ok(Self {
            file,
            size,
            zeroed_grain,
            descriptor,
            next: GRAIN,
            directory: Vec::new(),
            table: vec![0; to_usize(ENTRIES)?],
            number: 0,
        })
    }

    /// Room for `bytes` at the end of the stream, rounded up to a sector.
    fn take(&mut self, bytes: u64) -> Result<u64> {
        let place = self.next;
        let end = place.saturating_add(align_up(bytes, SECTOR)?);
        if end > FILE_MAX {
            return Err(file_full(end).in_file(self.file.slot()));
        }
        self.next = end;
        Ok(place)
    }

    /// Enters a grain; the table before it goes out when its last grain is in.
    fn enter(&mut self, grain: u64, entry: u32) -> Result<()> {
        let number = grain / ENTRIES;
        if number != self.number {
            self.put_table()?;
            self.number = number;
        }
        let index = to_usize(grain % ENTRIES)?;
        if let Some(slot) = self.table.get_mut(index) {
            *slot = entry;
        }
        Ok(())
    }

    /// Writes the current table, if anything is in it.
    fn put_table(&mut self) -> Result<()> {
        if self.table.iter().all(|entry| *entry == 0) {
            return Ok(());
        }
        let number = to_usize(self.number)?;
        if self.directory.len() > number {
            return Err(Fault::new(fault::core::INTERNAL).with([line!().into()]));
        }
        let place = self.take(SECTOR.saturating_add(TABLE_BYTES))?;
        let mut bytes = RawMarker::new(marker::GRAIN_TABLE, TABLE_BYTES / SECTOR)
            .as_bytes()
            .to_vec();
        for entry in &mut self.table {
            bytes.extend_from_slice(&entry.to_le_bytes());
            *entry = 0;
        }
        self.file.write(place, &bytes)?;
        self.directory.resize(number, 0);
        self.directory.push(sector(place.saturating_add(SECTOR))?);
        Ok(())
    }

    /// Compressed grains of zeros, for ranges that must hide a layer below.
    fn zero_grains(&mut self, grains: core::ops::Range<u64>) -> Result<()> {
        let slot = self.file.slot();
        let mut grains = grains.peekable();
        let unit = SECTOR.saturating_mul(ZERO_SECTORS);
        while grains.peek().is_some() {
            let mut pieces = Vec::with_capacity(ZEROS);
            for grain in grains.by_ref().take(ZEROS) {
                let place = self.place(grain, unit)?;
                let mut bytes = vec![0; to_usize(unit)?];
                let start = grain.saturating_mul(GRAIN);
                self.encoded_prefix(start, from_usize(ZERO_GRAIN.len()), &mut bytes);
                for (to, from) in bytes.iter_mut().skip(MARKER).zip(ZERO_GRAIN) {
                    *to = from;
                }
                pieces.push((place, bytes));
            }
            let write = pieces.iter().map(|(offset, from)| Action::Write {
                slot,
                offset: *offset,
                from,
            });
            let mut batch: Vec<Io<'_>> = write.map(Io::new).collect();
            self.file.host().all(&mut batch)?;
        }
        Ok(())
    }

    /// Enters a grain of `stored` bytes, marker included, at the end of the stream.
    fn place(&mut self, grain: u64, stored: u64) -> Result<u64> {
        // The table of the grains before goes first.
        self.enter(grain, 0)?;
        let place = self.take(stored)?;
        self.enter(grain, sector(place)?)?;
        Ok(place)
    }

    fn header(&self, directory: u64) -> RawSparseHeader {
        let mut raw = common_header(self.size, self.zeroed_grain);
        raw.version = 3.into();
        raw.flags = (raw.flags.get() | flags::COMPRESSED | flags::MARKERS).into();
        raw.gd_offset = directory.into();
        raw.over_head = (GRAIN / SECTOR).into();
        raw.compress_algorithm = COMPRESSION_DEFLATE.into();
        raw
    }
}

impl Target for Stream<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn unit(&self) -> u64 {
        GRAIN
    }

    fn allocate(&mut self, _offset: u64, _length: u64) -> Result<Placement> {
        // The encoding says that nothing is ever stored plain.
        Err(Fault::new(fault::core::INTERNAL).with([line!().into()]))
    }

    fn zero(&mut self, offset: u64, length: u64) -> Result<()> {
        let grains = offset / GRAIN..offset.saturating_add(length).div_ceil(GRAIN);
        if !self.zeroed_grain {
            return self.zero_grains(grains);
        }
        for grain in grains {
            self.enter(grain, GTE_ZEROED)?;
        }
        Ok(())
    }

    fn encoding(&self) -> Option<Encoding> {
        Some(Encoding {
            codec: Codec::Zlib,
            unit: GRAIN,
            plain_if_larger: false,
            window_bits: 15,
            prefix: MARKER,
            align: SECTOR,
        })
    }

    fn encoded_prefix(&self, offset: u64, stored: u64, into: &mut [u8]) {
        let marker = RawGrainMarker {
            lba: (offset / SECTOR).into(),
            size: u32::try_from(stored).unwrap_or(u32::MAX).into(),
        };
        for (to, from) in into.iter_mut().zip(marker.as_bytes()) {
            *to = *from;
        }
    }

    fn allocate_encoded(&mut self, offset: u64, stored: u64) -> Result<Placement> {
        let place = self.place(offset / GRAIN, stored)?;
        Ok(Placement {
            slot: self.file.slot(),
            offset: place,
            length: stored,
            fresh: self.file.kind() == FileKind::Fresh,
        })
    }

    fn finish(&mut self) -> Result<()> {
        self.put_table()?;
        let tables = self.size.div_ceil(TABLE_SPAN);
        let bytes = directory_bytes(tables)?;
        let place = self.take(SECTOR.saturating_add(bytes))?;
        let directory = place.saturating_add(SECTOR);
        self.file.write(
            place,
            RawMarker::new(marker::GRAIN_DIRECTORY, bytes / SECTOR).as_bytes(),
        )?;
        let known = &self.directory;
        write_directory(&self.file, directory, tables, |number| {
            let entry = usize::try_from(number).ok().and_then(|number| known.get(number));
            entry.copied().unwrap_or_default().into()
        })?;
        let place = self.take(from_usize(size_of::<RawFooter>()))?;
        let footer = RawFooter {
            footer_marker: RawMarker::new(marker::FOOTER, 1),
            header: self.header(directory / SECTOR),
            end_marker: RawMarker::new(marker::END_OF_STREAM, 0),
        };
        self.file.write(place, footer.as_bytes())?;
        settle(&self.file, self.next)?;
        self.file.flush()?;
        write_head(&self.file, &self.header(GD_AT_END), &self.descriptor)
    }
}

fn sector(place: u64) -> Result<u32> {
    u32::try_from(place / SECTOR).map_err(|_| file_full(place))
}

const _: () = assert!(DESCRIPTOR + DESCRIPTOR_BYTES <= GRAIN);

/// Sectors of a grain of zeros, marker included.
const ZERO_SECTORS: u64 = 1;
/// A zlib stream of 65536 zeros.
#[rustfmt::skip]
const ZERO_GRAIN: [u8; 84] = [
    0x78, 0xda, 0xed, 0xc1, 0x01, 0x01, 0x00, 0x00, 0x00, 0x80, 0x90, 0xfe, 0xaf, 0xee, 0x08, 0x0a,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x6a,
    0x00, 0x0f, 0x00, 0x01,
];
