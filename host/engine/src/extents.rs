//! Extents: where a file has data.

use instar_abi::FileKind;
use instar_abi::request::{ExtentRecord, GuestRange};
use instar_memory::GuestMemory;
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use crate::file::{OpenFile, Outcome, bytes};
use crate::stop::Stop;

/// Writes the records that cover `length` bytes of the file from `offset` on, or as many as fit; gives their number.
///
/// The file's position is moved, which nothing else uses: every transfer names its offset.
pub(crate) fn extents(
    file: &OpenFile,
    memory: &GuestMemory,
    offset: u64,
    length: u64,
    into: GuestRange,
    sign: &Stop,
) -> Outcome<u64> {
    let end = file.length()?.min(offset + length);
    let room = into.length / bytes(RECORD);
    let (mut at, mut count) = (offset, 0);
    let mut written = Vec::new();
    while at < end && count < room {
        sign.check()?;
        let (stop, data) = next(file, at, end)?;
        let record = ExtentRecord {
            length: stop - at,
            data: data.into(),
        };
        written.extend_from_slice(&record.to_bytes());
        count += 1;
        at = stop;
        if written.len() >= PIECE || at >= end || count == room {
            let place = into.start + count * bytes(RECORD) - bytes(written.len());
            memory.write(place, &written).map_err(|_| Errno::FAULT)?;
            written.clear();
        }
    }
    Ok(count)
}

/// The end of the run at `at`, which is below `end`, and whether it is data.
fn next(file: &OpenFile, at: u64, end: u64) -> Outcome<(u64, bool)> {
    if file.kind == FileKind::Block {
        return Ok((end, true));
    }
    match seek(&file.fd, SeekFrom::Data(at)) {
        Ok(data) if data > at => Ok((data.min(end), false)),
        Ok(_) => match seek(&file.fd, SeekFrom::Hole(at)) {
            Ok(hole) if hole > at => Ok((hole.min(end), true)),
            // Punched since; or a filesystem that contradicts itself. Data is always true enough.
            Ok(_) | Err(_) => Ok((end, true)),
        },
        // No data up to the end of the file, unless the file was cut short meanwhile.
        Err(Errno::NXIO) => Ok((end, false)),
        // Filesystems say in many ways that they do not tell; if something is wrong with the file, reading it will show.
        Err(_) => Ok((end, true)),
    }
}

const RECORD: usize = size_of::<ExtentRecord>();
/// Records gathered before they are handed over.
const PIECE: usize = 256 * RECORD;

const _: () = assert!(RECORD == 16);
