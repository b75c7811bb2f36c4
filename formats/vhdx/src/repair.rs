//! Writing what the log says into the file, and saying that the log is empty.
//!
//! ```text
//!  changes of the log ─► flush ─► the header that does not count, with an empty log and the next number ─► flush ─► the other one ─► flush
//! ```
//!
//! A stop before the first header is complete leaves the log as it is, to be replayed once more: no change of it lies where the log or
//! a header stands.

use alloc::vec::Vec;

use instar_disk::fault::vhdx as faults;
use instar_disk::{Action, Fault, Io, Preallocate, Result, ZeroHow, align_up, to_usize};
use zerocopy::{FromZeros, IntoBytes};

use crate::crc::crc32c;
use crate::header::Header;
use crate::layout::{HEADERS, MIB, REGION_TABLES};
use crate::raw::{Guid, RawHeader};
use crate::replayed::{Change, Replayed, SECTOR};

/// Writes the changes of `replayed` into its file. `header` is the one that counts, and `raw` what it was read from.
///
/// # Errors
/// `LOG_OVERLAP`, before anything is written; the host's.
pub(crate) fn write(replayed: &Replayed<'_>, header: &Header, raw: &RawHeader) -> Result<()> {
    let [headers_end, _] = REGION_TABLES;
    let log = header.log_offset..header.log_offset.saturating_add(header.log_length);
    for (start, end, _) in replayed.changes() {
        if start < headers_end || (start < log.end && end > log.start) {
            return Err(Fault::new(faults::LOG_OVERLAP).with([start, end]));
        }
    }
    let file = replayed.file();
    if replayed.size() > file.size() {
        file.resize(align_up(replayed.size(), MIB)?, Preallocate::Off)?;
    }
    let mut sectors: Vec<(u64, Vec<u8>)> = Vec::new();
    for (start, end, change) in replayed.changes() {
        if change == Change::Zero {
            // What is not there reads as zero.
            let end = end.min(replayed.size());
            file.zero(start, end.saturating_sub(start), ZeroHow::MayUnmap)?;
            continue;
        }
        let mut bytes = alloc::vec![0; to_usize(SECTOR)?];
        replayed.read(start, &mut bytes)?;
        sectors.push((start, bytes));
        if sectors.len() >= TOGETHER {
            write_sectors(replayed, &sectors)?;
            sectors.clear();
        }
    }
    write_sectors(replayed, &sectors)?;
    file.flush()?;
    empty_log(replayed, raw)
}

fn write_sectors(replayed: &Replayed<'_>, sectors: &[(u64, Vec<u8>)]) -> Result<()> {
    let file = replayed.file();
    let write = |(offset, bytes)| {
        Io::new(Action::Write {
            slot: file.slot(),
            offset,
            from: bytes,
        })
    };
    let mut batch: Vec<Io<'_>> = Vec::new();
    batch.extend(
        sectors
            .iter()
            .map(|(offset, bytes)| write((*offset, bytes.as_slice()))),
    );
    file.host().all(&mut batch)
}

/// Writes both headers, the one that does not count first.
fn empty_log(replayed: &Replayed<'_>, raw: &RawHeader) -> Result<()> {
    let file = replayed.file();
    let [first, second] = HEADERS;
    let mut there = RawHeader::new_zeroed();
    file.read_padded(first, there.as_mut_bytes())?;
    // The checksum is not among what was kept.
    there.checksum.set(raw.checksum.get());
    let order = if there == *raw {
        [second, first]
    } else {
        [first, second]
    };
    for (offset, step) in order.into_iter().zip(1..) {
        let mut new = raw.clone();
        new.log_guid = [0; 16];
        new.file_write_guid = next_guid(raw.file_write_guid);
        let number = raw.sequence_number.get().wrapping_add(step);
        new.sequence_number.set(number);
        new.checksum.set(0);
        new.checksum.set(crc32c(new.as_bytes()));
        file.write(offset, new.as_bytes())?;
        file.flush()?;
    }
    Ok(())
}

/// Another identifier of the same kind: what is written shows that something was.
fn next_guid(mut guid: Guid) -> Guid {
    let [.., last, _, _, _, _] = &mut guid;
    *last = last.wrapping_add(1);
    guid
}

/// Sectors that are written together. Ours.
const TOGETHER: usize = 128;
