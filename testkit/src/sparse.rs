//! File operations in their plainest form.

use std::fs::File;
use std::io::{Error, Result};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use instar_disk::{CopyRange, Extent, Sieve};

/// Reads until the buffer is full or the file ends.
pub(crate) fn read_full(file: &File, into: &mut [u8], offset: u64) -> Result<usize> {
    let mut done = 0;
    while done < into.len() {
        match file.read_at(&mut into[done..], offset + done as u64)? {
            0 => break,
            n => done += n,
        }
    }
    Ok(done)
}

/// Copies, leaving out or zeroing what the rule leaves out.
pub(crate) fn copy(source: &File, target: &File, asked: &CopyRange) -> Result<u64> {
    let CopyRange {
        source_offset,
        target_offset,
        length,
        sparse,
        target_is_zero,
        ..
    } = *asked;
    let mut written = 0;
    let mut found = Vec::new();
    match sparse {
        None => found.push((target_offset..target_offset + length, false)),
        Some(sparse) => {
            let mut sieve = Sieve::new(sparse, target_offset);
            let end = target_offset + length;
            while sieve.at() < end {
                let start = sieve.at();
                let stop = (start - start % PIECE + PIECE).min(end);
                let bytes = read(source, source_offset + (start - target_offset), stop - start)?;
                while sieve.at() < stop {
                    let step = (SECTOR - sieve.at() % SECTOR).min(stop - sieve.at());
                    let zero = is_zero(&bytes[(sieve.at() - start) as usize..][..step as usize]);
                    sieve.take(step, zero, |range, left_out| found.push((range, left_out)));
                }
            }
            sieve.end(|range, left_out| found.push((range, left_out)));
        }
    }
    for (range, left_out) in found {
        let length = range.end - range.start;
        if !left_out {
            let bytes = read(source, source_offset + (range.start - target_offset), length)?;
            target.write_all_at(&bytes, range.start)?;
            written += length;
        } else if !target_is_zero {
            zero(target, range.start, length, true)?;
        }
    }
    Ok(written)
}

/// By the library's comparison, which is fast without optimisation too.
fn is_zero(sector: &[u8]) -> bool {
    sector == &[0; SECTOR as usize][..sector.len()]
}

/// Zero where the file has ended.
fn read(file: &File, offset: u64, length: u64) -> Result<Vec<u8>> {
    let mut bytes = vec![0; length as usize];
    read_full(file, &mut bytes, offset)?;
    Ok(bytes)
}

/// Writes zeros, or makes a hole.
pub(crate) fn zero(file: &File, offset: u64, length: u64, unmap: bool) -> Result<()> {
    if offset + length > file.metadata()?.len() {
        file.set_len(offset + length)?;
    }
    let mode = if unmap {
        libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE
    } else {
        libc::FALLOC_FL_ZERO_RANGE
    };
    // SAFETY: plain integers and an open descriptor.
    let result = unsafe { libc::fallocate(file.as_raw_fd(), mode, offset as i64, length as i64) };
    if result == 0 {
        return Ok(());
    }
    match Error::last_os_error() {
        // A filesystem in memory only makes holes.
        error if error.raw_os_error() == Some(libc::EOPNOTSUPP) && !unmap => fill(file, offset, length, 0),
        error => Err(error),
    }
}

fn fill(file: &File, offset: u64, length: u64, byte: u8) -> Result<()> {
    let bytes = vec![byte; 1 << 16];
    let end = offset.saturating_add(length);
    let mut at = offset;
    while at < end {
        let step = (end - at).min(bytes.len() as u64);
        file.write_all_at(&bytes[..step as usize], at)?;
        at += step;
    }
    Ok(())
}

/// Discards by writing garbage, so that a later read there fails the test.
pub(crate) fn garble(file: &File, offset: u64, length: u64) -> Result<()> {
    let end = file.metadata()?.len().min(offset.saturating_add(length));
    fill(file, offset, end.saturating_sub(offset), 0xd1)
}

/// How many bytes from the start are the same as in `other`, or zero; what lies past a file's end is zero.
pub(crate) fn compare(file: &File, offset: u64, other: Option<(File, u64)>, length: u64) -> Result<u64> {
    let read = |file: &File, offset| {
        let mut bytes = vec![0; length as usize];
        read_full(file, &mut bytes, offset).map(|_| bytes)
    };
    let one = read(file, offset)?;
    let two = match other {
        Some((file, offset)) => read(&file, offset)?,
        None => vec![0; one.len()],
    };
    // Byte by byte only where they differ.
    let same = one
        .chunks(SECTOR as usize)
        .zip(two.chunks(SECTOR as usize))
        .take_while(|(a, b)| a == b)
        .count()
        * SECTOR as usize;
    let rest = one.iter().zip(&two).skip(same).take_while(|(a, b)| a == b);
    Ok((same.min(one.len()) + rest.count()) as u64)
}

/// Fills `into` with the runs of data and holes from `offset` on.
pub(crate) fn extents(file: &File, offset: u64, length: u64, into: &mut [Extent]) -> Result<usize> {
    let size = file.metadata()?.len();
    let end = size.min(offset.saturating_add(length));
    let (mut at, mut count) = (offset, 0);
    while at < end && count < into.len() {
        let data = seek(file, at, libc::SEEK_DATA)?.unwrap_or(size);
        let (is_data, stop) = if data > at {
            (false, data)
        } else {
            (true, seek(file, at, libc::SEEK_HOLE)?.unwrap_or(size))
        };
        let stop = stop.min(end);
        into[count] = Extent {
            length: stop - at,
            data: is_data,
        };
        count += 1;
        at = stop;
    }
    Ok(count)
}

fn seek(file: &File, offset: u64, whence: i32) -> Result<Option<u64>> {
    // SAFETY: plain integers and an open descriptor; nothing uses the position of the descriptor.
    let result = unsafe { libc::lseek(file.as_raw_fd(), offset as i64, whence) };
    if result >= 0 {
        return Ok(Some(result as u64));
    }
    let error = Error::last_os_error();
    if error.raw_os_error() == Some(libc::ENXIO) {
        Ok(None)
    } else {
        Err(error)
    }
}

/// Bytes of a sector.
const SECTOR: u64 = 512;
/// Bytes that are read at a time, a multiple of sectors.
const PIECE: u64 = 64 << 10;
