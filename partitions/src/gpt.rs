//! One GPT: its header and its entries, sound or not there.

use alloc::vec::Vec;
use core::char::{REPLACEMENT_CHARACTER, decode_utf16};
use core::ops::RangeInclusive;

use crc::{CRC_32_ISO_HDLC, Crc, Table};
use instar_disk::fault::partitions as found;
use instar_disk::partitions::{Partition, PartitionKind};
use instar_disk::{Fault, ImageText, Result, to_usize};
use zerocopy::{FromBytes, IntoBytes};

use crate::Disk;
use crate::raw::{RawEntry, RawHeader, SIGNATURE};

static SUM: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISO_HDLC);

/// Entries of a table at most. Ours: tools make 128, Linux shows 256, and all that can be said of them is one report.
const MOST_ENTRIES: u64 = 1024;
/// Bytes of all entries at most. Ours: [`MOST_ENTRIES`] that are eight times as large as usual.
const MOST_BYTES: u64 = 1 << 20;
/// Bytes of an entry at least; larger ones are a power of two times as large.
const ENTRY: u64 = 128;
/// Bytes of entries that are read at a time: a multiple of every entry's size.
const STEP: u64 = 64 << 10;

/// A sound GPT.
#[derive(Debug)]
pub(crate) struct Gpt {
    pub(crate) header: Header,
    /// In the order of their numbers.
    pub(crate) partitions: Vec<Partition>,
    pub(crate) findings: Vec<Fault>,
}

/// A sound header.
#[derive(Debug)]
pub(crate) struct Header {
    /// Bytes of a sector.
    pub(crate) sector_size: u32,
    /// The sector that it stands in.
    pub(crate) at: u64,
    /// The sector of the other one.
    pub(crate) alternate: u64,
    /// The disk's identifier.
    pub(crate) disk: [u8; 16],
    usable: RangeInclusive<u64>,
    entries: Entries,
}

/// Where the entries are.
#[derive(Debug)]
struct Entries {
    offset: u64,
    count: u64,
    size: u64,
    crc: u32,
}

impl Gpt {
    /// The one whose header stands in sector `at`, if there is one that is sound.
    pub(crate) fn read(disk: &mut dyn Disk, sector_size: u32, at: u64) -> Result<Option<Self>> {
        let Some(header) = Header::read(disk, sector_size, at)? else {
            return Ok(None);
        };
        let Entries {
            offset,
            count,
            size,
            crc,
        } = header.entries;
        let mut gpt = Self {
            header,
            partitions: Vec::new(),
            findings: Vec::new(),
        };
        let bytes = count.saturating_mul(size);
        let mut buffer = alloc::vec![0; to_usize(bytes.min(STEP))?];
        let (mut sum, mut done) = (SUM.digest(), 0);
        let mut number = 0_u32;
        while done < bytes {
            let length = to_usize(bytes.saturating_sub(done).min(STEP))?;
            let Some(piece) = buffer.get_mut(..length) else {
                break;
            };
            disk.read(offset.saturating_add(done), piece)?;
            sum.update(piece);
            for entry in piece.chunks(to_usize(size)?) {
                number = number.saturating_add(1);
                gpt.add(number, entry, disk.size());
            }
            done = done.saturating_add(STEP);
        }
        Ok((sum.finalize() == crc).then_some(gpt))
    }

    /// Adds the partition of an entry, if it is in use.
    fn add(&mut self, number: u32, entry: &[u8], disk_size: u64) {
        let Ok((entry, _)) = RawEntry::read_from_prefix(entry) else {
            return;
        };
        if entry.type_id == [0; 16] {
            return;
        }
        let (first, last) = (entry.first.get(), entry.last.get());
        let sector = u64::from(self.header.sector_size);
        let start = first.saturating_mul(sector);
        let end = last.saturating_add(1).saturating_mul(sector);
        let id = u64::from(number);
        let fault = if first > last {
            Some(Fault::new(found::REVERSED).with([id, first, last]))
        } else if end > disk_size {
            Some(Fault::new(found::BEYOND_DISK).with([id, start, end, disk_size]))
        } else {
            None
        };
        let usable = &self.header.usable;
        if fault.is_none() && !(usable.contains(&first) && usable.contains(&last)) {
            self.findings
                .push(Fault::new(found::OUTSIDE_USABLE).with([id, first, last]));
        }
        self.partitions.push(Partition {
            number,
            start,
            size: end.saturating_sub(start),
            kind: PartitionKind::Gpt {
                type_id: entry.type_id,
                id: entry.id,
                attributes: entry.attributes.get(),
                name: name(&entry),
            },
            fault,
        });
    }

    /// Whether both show the same partitions of the same disk.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        self.header.disk == other.header.disk && self.partitions == other.partitions
    }
}

impl Header {
    fn read(disk: &mut dyn Disk, sector_size: u32, at: u64) -> Result<Option<Self>> {
        let sector = u64::from(sector_size);
        let offset = at.saturating_mul(sector);
        if offset.saturating_add(sector) > disk.size() {
            return Ok(None);
        }
        let mut bytes = alloc::vec![0; to_usize(sector)?];
        disk.read(offset, &mut bytes)?;
        Ok(Self::parse(&bytes, sector_size, at, disk.size()))
    }

    /// The header in a sector, if it is one, and its checksum and all its numbers are right.
    fn parse(bytes: &[u8], sector_size: u32, at: u64, disk_size: u64) -> Option<Self> {
        let (raw, _) = RawHeader::read_from_prefix(bytes).ok()?;
        let summed = bytes.get(..usize::try_from(raw.header_size.get()).ok()?)?;
        if raw.signature != SIGNATURE || raw.my_lba.get() != at || !is_whole(&raw, summed) {
            return None;
        }
        let sector = u64::from(sector_size);
        let last_sector = disk_size.checked_div(sector)?.checked_sub(1)?;
        let (first, last) = (raw.first_usable.get(), raw.last_usable.get());
        if first > last || last > last_sector {
            return None;
        }
        let (count, size) = (u64::from(raw.entries.get()), u64::from(raw.entry_size.get()));
        let bytes = count.checked_mul(size)?;
        let sizes = size >= ENTRY && size.is_power_of_two() && size <= STEP;
        if !sizes || count == 0 || count > MOST_ENTRIES || bytes > MOST_BYTES {
            return None;
        }
        // Its own sectors, which neither a partition has nor the header.
        let start = raw.entries_lba.get();
        let end = start.checked_add(bytes.div_ceil(sector))?;
        let apart = |from: u64, to: u64| end <= from || start > to;
        if start == 0 || end.checked_sub(1)? > last_sector || !apart(first, last) || !apart(at, at) {
            return None;
        }
        Some(Self {
            sector_size,
            at,
            alternate: raw.alternate_lba.get(),
            disk: raw.disk_id,
            usable: first..=last,
            entries: Entries {
                offset: start.checked_mul(sector)?,
                count,
                size,
                crc: raw.entries_crc.get(),
            },
        })
    }
}

/// Whether the checksum over `summed`, the bytes of the header, is right.
fn is_whole(raw: &RawHeader, summed: &[u8]) -> bool {
    let blank = RawHeader {
        header_crc: 0.into(),
        ..raw.clone()
    };
    let Some(rest) = summed.get(size_of::<RawHeader>()..) else {
        return false;
    };
    let mut sum = SUM.digest();
    sum.update(blank.as_bytes());
    sum.update(rest);
    sum.finalize() == raw.header_crc.get()
}

/// The name in an entry.
fn name(entry: &RawEntry) -> ImageText {
    let units = entry
        .name
        .iter()
        .map(|unit| unit.get())
        .take_while(|unit| *unit != 0);
    let mut text = alloc::string::String::new();
    text.extend(decode_utf16(units).map(|letter| letter.unwrap_or(REPLACEMENT_CHARACTER)));
    ImageText::new(text.as_bytes())
}
