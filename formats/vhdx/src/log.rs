//! The log: finding the entries that count, and what they change.
//!
//! An entry is a header, descriptors of 32 bytes packed into as many sectors as they need, then a sector for each data
//! descriptor. Entries that follow one another with ascending sequence numbers make a sequence; the one with the highest number
//! whose last entry names one of its entries as tail is the one to be replayed, from that tail on.

use alloc::vec::Vec;

use instar_disk::fault::vhdx as faults;
use instar_disk::{Fault, File, Result};
use zerocopy::FromBytes;

use crate::crc;
use crate::header::Header;
use crate::raw::{
    DATA_DESCRIPTOR, DATA_SECTOR, Guid, LOG_SIGNATURE, RawLogDescriptor, RawLogEntryHeader, ZERO_DESCRIPTOR,
};
use crate::replayed::{Change, Replayed, SECTOR};
use crate::ring::Ring;

/// Bytes of a log that is replayed. Ours: 256 times the usual one.
const LOG_MAX: u64 = 256 << 20;

/// Descriptors that fit a sector; the header takes the room of two.
const DESCRIPTORS: u64 = SECTOR / 32;

/// An entry that holds together.
#[derive(Clone, Copy, Debug)]
struct Entry {
    start: u64,
    sectors: u64,
    tail: u64,
    sequence: u64,
    descriptors: u64,
    flushed: u64,
    last: u64,
}

/// Entries that follow one another.
#[derive(Debug, Default)]
struct Sequence {
    entries: Vec<Entry>,
}

/// The file as it will be when the log is replayed, and whether there was anything to replay.
///
/// # Errors
/// `LOG_*`; the host's.
pub(crate) fn replay<'h>(file: File<'h>, header: &Header) -> Result<(Replayed<'h>, bool)> {
    let mut replayed = Replayed::new(file);
    let Some(guid) = header.log_guid else {
        return Ok((replayed, false));
    };
    if header.log_length > LOG_MAX {
        return Err(Fault::new(faults::LOG_TOO_LARGE).with([header.log_length, LOG_MAX]));
    }
    let mut ring = Ring::new(file, header.log_offset, header.log_length);
    let entries = active(&mut ring, &guid)?;
    for entry in &entries {
        if entry.flushed > file.size() {
            return Err(Fault::new(faults::LOG_TRUNCATED).with([file.size(), entry.flushed]));
        }
        apply(&mut ring, entry, &mut replayed)?;
        replayed.grow(entry.last);
    }
    Ok((replayed, !entries.is_empty()))
}

/// The entries to be replayed, oldest first.
fn active(ring: &mut Ring<'_>, guid: &Guid) -> Result<Vec<Entry>> {
    let mut best = Sequence::default();
    let mut start = 0;
    while start < ring.sectors() {
        let sequence = sequence(ring, start, guid)?;
        let used: u64 = sequence.entries.iter().map(|entry| entry.sectors).sum();
        // At least one sector forward, whatever was found.
        start = start.saturating_add(used.max(1));
        if sequence.tail(ring.sectors()).is_some() && sequence.number() > best.number() {
            best = sequence;
        }
    }
    let tail = best.tail(ring.sectors()).unwrap_or(0);
    Ok(best.entries.split_off(tail))
}

impl Sequence {
    fn number(&self) -> u64 {
        self.entries.last().map_or(0, |entry| entry.sequence)
    }

    /// Which of the entries the last one names as tail.
    fn tail(&self, sectors: u64) -> Option<usize> {
        let tail = self.entries.last()?.tail;
        let starts = |entry: &Entry| entry.start.checked_rem(sectors) == Some(tail);
        self.entries.iter().position(starts)
    }
}

/// The sequence that starts with sector `start`.
fn sequence(ring: &mut Ring<'_>, start: u64, guid: &Guid) -> Result<Sequence> {
    let mut sequence = Sequence::default();
    let (mut at, end) = (start, start.saturating_add(ring.sectors()));
    while at < end {
        let Some(entry) = entry(ring, at, guid)? else {
            break;
        };
        let follows = sequence
            .entries
            .last()
            .is_none_or(|last| last.sequence.checked_add(1) == Some(entry.sequence));
        at = at.saturating_add(entry.sectors);
        if !follows || at > end {
            break;
        }
        sequence.entries.push(entry);
    }
    Ok(sequence)
}

/// The entry that starts with sector `start`, if one does.
fn entry(ring: &mut Ring<'_>, start: u64, guid: &Guid) -> Result<Option<Entry>> {
    let Some((entry, checksum)) = parse(ring, start, guid)? else {
        return Ok(None);
    };
    let described = descriptor_sectors(entry.descriptors);
    let mut crc = crc::pieces();
    let (mut data, mut left) = (0_u64, entry.descriptors);
    for index in 0..entry.sectors {
        let sector = ring.sector(start.saturating_add(index))?;
        if index == 0 {
            crc.update(sector.get(..4).unwrap_or_default());
            crc.update(&[0; 4]);
            crc.update(sector.get(8..).unwrap_or_default());
        } else {
            crc.update(sector);
        }
        if index < described {
            for descriptor in descriptors(sector, index, &mut left) {
                match judge(&descriptor, entry.sequence) {
                    Some(with_data) => data = data.saturating_add(u64::from(with_data)),
                    None => return Ok(None),
                }
            }
            if entry.sectors < described.saturating_add(data) {
                return Ok(None);
            }
        } else if index < described.saturating_add(data) && !is_data(sector, entry.sequence) {
            return Ok(None);
        }
    }
    Ok((crc.finalize() == checksum).then_some(entry))
}

/// What the header in sector `start` says, and its checksum.
fn parse(ring: &mut Ring<'_>, start: u64, guid: &Guid) -> Result<Option<(Entry, u32)>> {
    let sectors_there = ring.sectors();
    let sector = ring.sector(start)?;
    let Ok((raw, _)) = RawLogEntryHeader::read_from_prefix(sector) else {
        return Ok(None);
    };
    let (length, tail) = (u64::from(raw.entry_length.get()), u64::from(raw.tail.get()));
    let entry = Entry {
        start,
        sectors: length / SECTOR,
        tail: tail / SECTOR,
        sequence: raw.sequence_number.get(),
        descriptors: u64::from(raw.descriptor_count.get()),
        flushed: raw.flushed_file_offset.get(),
        last: raw.last_file_offset.get(),
    };
    let valid = raw.signature == LOG_SIGNATURE
        && raw.log_guid == *guid
        && length.is_multiple_of(SECTOR)
        && tail.is_multiple_of(SECTOR)
        && (1..=sectors_there).contains(&entry.sectors)
        && entry.tail < sectors_there
        && entry.sequence > 0
        && descriptor_sectors(entry.descriptors) <= entry.sectors;
    Ok(valid.then_some((entry, raw.checksum.get())))
}

const fn descriptor_sectors(count: u64) -> u64 {
    count.saturating_add(2).div_ceil(DESCRIPTORS)
}

/// The descriptors in descriptor sector `index`, of which `left` are still to come.
fn descriptors<'s>(
    sector: &'s [u8],
    index: u64,
    left: &mut u64,
) -> impl Iterator<Item = RawLogDescriptor> + use<'s> {
    let skip = if index == 0 { 2_usize } else { 0 };
    let room = DESCRIPTORS.saturating_sub(instar_disk::from_usize(skip));
    let here = room.min(*left);
    *left = left.saturating_sub(here);
    sector
        .chunks_exact(32)
        .skip(skip)
        .take(usize::try_from(here).unwrap_or(0))
        .filter_map(|bytes| RawLogDescriptor::read_from_bytes(bytes).ok())
}

/// Whether the descriptor has a data sector; none if it is not valid.
fn judge(descriptor: &RawLogDescriptor, sequence: u64) -> Option<bool> {
    if descriptor.sequence_number.get() != sequence || !descriptor.file_offset.get().is_multiple_of(SECTOR) {
        return None;
    }
    match descriptor.signature {
        DATA_DESCRIPTOR => Some(true),
        ZERO_DESCRIPTOR if descriptor.leading_bytes.get().is_multiple_of(SECTOR) => Some(false),
        _ => None,
    }
}

fn is_data(sector: &[u8], sequence: u64) -> bool {
    let part = |range| sector.get(range).unwrap_or_default();
    let number = sequence.to_be_bytes();
    let (high, low) = number.split_at(4);
    let same = |field: &[u8], wanted: &[u8]| field.iter().rev().eq(wanted);
    part(0..4) == DATA_SECTOR && same(part(4..8), high) && same(part(4092..4096), low)
}

/// Notes what `entry` changes.
fn apply(ring: &mut Ring<'_>, entry: &Entry, replayed: &mut Replayed<'_>) -> Result<()> {
    let described = descriptor_sectors(entry.descriptors);
    let mut data = entry.start.saturating_add(described);
    let mut left = entry.descriptors;
    for index in 0..described {
        let at = entry.start.saturating_add(index);
        let mut sector = [0; 4096];
        for (to, from) in sector.iter_mut().zip(ring.sector(at)?) {
            *to = *from;
        }
        let skipped = if index == 0 { 64 } else { 0 };
        let places = (ring.place(at).saturating_add(skipped)..).step_by(32);
        for (descriptor, place) in descriptors(&sector, index, &mut left).zip(places) {
            let start = descriptor.file_offset.get();
            if descriptor.signature == DATA_DESCRIPTOR {
                let change = Change::Logged {
                    descriptor: place,
                    data: ring.place(data),
                };
                replayed.change(start, SECTOR, change)?;
                data = data.saturating_add(1);
            } else {
                replayed.change(start, descriptor.leading_bytes.get(), Change::Zero)?;
            }
        }
    }
    Ok(())
}
