//! The region table: where the BAT and the metadata are.

use alloc::vec::Vec;

use instar_disk::fault::vhdx as faults;
use instar_disk::{Fault, Result};
use zerocopy::FromBytes;

use crate::crc;
use crate::header::Header;
use crate::layout::{HEADER_SECTION, MIB, REGION_TABLES, TABLE_BYTES, TABLE_ENTRIES};
use crate::raw::{REGION_BAT, REGION_METADATA, REGION_SIGNATURE, RawRegionTableEntry, RawRegionTableHeader};
use crate::replayed::Replayed;

/// A piece of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// The regions of an image.
#[derive(Clone, Debug)]
pub(crate) struct Regions {
    pub(crate) bat: Region,
    pub(crate) metadata: Region,
    /// All that no block may touch, ascending, without overlap: start and end.
    taken: Vec<(u64, u64)>,
    /// The log and all regions, in the order in which qemu-img takes note of them.
    pub(crate) listed: Vec<(u64, u64)>,
}

impl Regions {
    /// The regions that the first valid table of `file` names.
    ///
    /// # Errors
    /// `NO_REGIONS`, and what is wrong with the table; the host's.
    pub(crate) fn read(file: &Replayed<'_>, header: &Header) -> Result<Self> {
        let mut table = alloc::vec![0; TABLE_BYTES];
        for offset in REGION_TABLES {
            file.read(offset, &mut table)?;
            if let Some(count) = valid(&table) {
                return Self::parse(&table, count, header);
            }
        }
        Err(Fault::new(faults::NO_REGIONS))
    }

    /// Whether the bytes from `start` to `end` touch a region, the log or the header section.
    pub(crate) fn touches(&self, start: u64, end: u64) -> bool {
        let before = self.taken.partition_point(|(from, _)| *from < end);
        before
            .checked_sub(1)
            .and_then(|last| self.taken.get(last))
            .is_some_and(|(_, to)| *to > start)
    }

    /// Where the last of regions and log ends.
    pub(crate) fn end(&self) -> u64 {
        self.taken.iter().map(|(_, end)| *end).max().unwrap_or(0)
    }

    /// Judges the first `count` entries of a table whose checksum is right.
    fn parse(table: &[u8], count: usize, header: &Header) -> Result<Self> {
        let (mut bat, mut metadata) = (None, None);
        let log_end = header.log_offset.saturating_add(header.log_length);
        let mut taken = alloc::vec![(0, HEADER_SECTION)];
        if log_end > header.log_offset {
            taken.push((header.log_offset, log_end));
        }
        let entries = table.get(size_of::<RawRegionTableHeader>()..).unwrap_or_default();
        let entries = entries.chunks_exact(32).map(RawRegionTableEntry::read_from_bytes);
        for raw in entries.take(count).flatten() {
            let region = Region {
                offset: raw.file_offset.get(),
                length: u64::from(raw.length.get()),
            };
            let misplaced =
                region.offset < HEADER_SECTION || !region.offset.is_multiple_of(MIB) || region.length == 0;
            let end = region.offset.checked_add(region.length);
            let (false, Some(end)) = (misplaced, end) else {
                return Err(misplaced_region(region));
            };
            taken.push((region.offset, end));
            let known = match raw.guid {
                REGION_BAT => &mut bat,
                REGION_METADATA => &mut metadata,
                _ if raw.required.get() & 1 != 0 => {
                    return Err(Fault::new(faults::UNKNOWN_REGION).named(text(&raw.guid).as_bytes()));
                }
                _ => continue,
            };
            if known.replace(region).is_some() {
                return Err(Fault::new(faults::REGIONS_MISSING));
            }
        }
        let listed = taken.get(1..).unwrap_or_default().to_vec();
        taken.sort_unstable();
        for (one, two) in taken.iter().zip(taken.iter().skip(1)) {
            if one.1 > two.0 {
                return Err(misplaced_region(Region {
                    offset: two.0,
                    length: two.1.saturating_sub(two.0),
                }));
            }
        }
        let (Some(bat), Some(metadata)) = (bat, metadata) else {
            return Err(Fault::new(faults::REGIONS_MISSING));
        };
        Ok(Self {
            bat,
            metadata,
            taken,
            listed,
        })
    }
}

/// The GUID as one reads it.
pub(crate) fn text(guid: &crate::raw::Guid) -> alloc::string::String {
    let [d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p] = *guid;
    let fields = u128::from_be_bytes([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]);
    alloc::format!("{fields:032x}")
}

fn misplaced_region(region: Region) -> Fault {
    Fault::new(faults::REGION_PLACE).with([region.offset, region.length])
}

/// The number of entries of a table that holds together.
fn valid(table: &[u8]) -> Option<usize> {
    let (header, _) = RawRegionTableHeader::read_from_prefix(table).ok()?;
    let count = usize::try_from(header.entry_count.get()).ok()?;
    let valid = header.signature == REGION_SIGNATURE
        && checksum(table)? == header.checksum.get()
        && count <= TABLE_ENTRIES;
    valid.then_some(count)
}

fn checksum(table: &[u8]) -> Option<u32> {
    let mut crc = crc::pieces();
    crc.update(table.get(..4)?);
    crc.update(&[0; 4]);
    crc.update(table.get(8..)?);
    Some(crc.finalize())
}

/// Whether a table holds together.
pub(crate) fn is_valid(table: &[u8]) -> bool {
    valid(table).is_some()
}

/// Makes a table that holds together lead to another BAT, if that changes nothing behind its first `within` bytes; else it says
/// false.
pub(crate) fn lead_to_bat(table: &mut [u8], offset: u64, length: u64, within: usize) -> bool {
    let header = size_of::<RawRegionTableHeader>();
    let entry = size_of::<RawRegionTableEntry>();
    let entries = table.get_mut(header..within).unwrap_or_default();
    let found = entries
        .chunks_exact_mut(entry)
        .filter_map(|bytes| RawRegionTableEntry::mut_from_bytes(bytes).ok())
        .find(|raw| raw.guid == REGION_BAT);
    let (Some(raw), Ok(length)) = (found, u32::try_from(length)) else {
        return false;
    };
    raw.file_offset.set(offset);
    raw.length.set(length);
    let sum = checksum(table);
    let place = RawRegionTableHeader::mut_from_prefix(table);
    if let (Some(sum), Ok((header, _))) = (sum, place) {
        header.checksum.set(sum);
        return true;
    }
    false
}
