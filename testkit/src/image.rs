//! Disks read and written through a driver, as the engine does it.

use std::path::Path;

use instar_disk::{Fault, File, FileFacts, FileKind, Host, Image, Kind, Result, Sealed, Slot, Target};

use crate::Native;
use crate::conformance::{self, Format, Open};
use crate::pattern::is_zero;

/// Opens `path` with `open` and reads all of it, zeros for what is unallocated. Checks that the map covers the disk.
///
/// # Errors
/// Why it cannot be read.
pub fn read_all(open: Open, path: &Path) -> Result<Vec<u8>> {
    let native = Native::new(1);
    let facts = native.source(path);
    let mut image = open(File::new(&native, facts))?;
    read_image(&native, image.as_mut(), None)
}

/// Reads all of `image`; what is unallocated comes from `below`, zeros where that ends.
///
/// # Errors
/// Why it cannot be read.
///
/// # Panics
/// If the map is not that of a disk.
pub fn read_image(host: &dyn Host, image: &mut dyn Image, below: Option<&[u8]>) -> Result<Vec<u8>> {
    let size = image.size();
    assert!(size.is_multiple_of(512));
    let mut disk = vec![0; usize::try_from(size).unwrap()];
    let mut at = 0;
    while at < size {
        let mapping = image.map(at)?;
        assert!(mapping.length > 0, "an empty mapping at {at}");
        assert!(at + mapping.length <= size, "a mapping past the end at {at}");
        let range = usize::try_from(at).unwrap()..usize::try_from(at + mapping.length).unwrap();
        match mapping.kind {
            Kind::Data { slot, offset } => {
                file(host, slot, FileKind::Regular).read_padded(offset, &mut disk[range])?
            }
            Kind::Zero { .. } => {}
            Kind::Unallocated => {
                if let Some(below) =
                    below.and_then(|b| b.get(range.start.min(b.len())..range.end.min(b.len())))
                {
                    disk[range.start..range.start + below.len()].copy_from_slice(below);
                }
            }
            Kind::Sealed(Sealed {
                slot,
                offset,
                position,
            }) => {
                let (_, key) = image.key().expect("a key for what is sealed");
                let bytes = &mut disk[range];
                file(host, slot, FileKind::Regular).read_padded(offset, bytes)?;
                key.decrypt(position, bytes)?;
            }
            Kind::Encoded(_) => panic!("nothing is encoded here"),
        }
        at += mapping.length;
    }
    Ok(disk)
}

/// Reads `length` bytes from `offset` on; what is unallocated is zeros.
///
/// # Errors
/// Why they cannot be read.
pub fn read_range(host: &dyn Host, image: &mut dyn Image, offset: u64, length: u64) -> Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).unwrap()];
    let mut done = 0;
    while done < length {
        let mapping = image.map(offset + done)?;
        let step = mapping.length.min(length - done);
        let range = usize::try_from(done).unwrap()..usize::try_from(done + step).unwrap();
        if let Kind::Data { slot, offset } = mapping.kind {
            file(host, slot, FileKind::Regular).read_padded(offset, &mut bytes[range])?;
        }
        done += step;
    }
    Ok(bytes)
}

/// Writes `disk` through `target` as the engine does: ascending, unit by unit, zero units left out, zero pieces of
/// 4096 bytes left out of fresh places, and sealed if the target wants it. Asks for at most `stride` units at a time.
///
/// # Errors
/// Why it cannot be written.
///
/// # Panics
/// If a placement is not one.
pub fn write_disk(host: &dyn Host, target: &mut dyn Target, disk: &[u8], stride: u64) -> Result<()> {
    let unit = target.unit();
    let size = disk.len() as u64;
    let write = |slot, offset, bytes: &[u8]| file(host, slot, FileKind::Fresh).write(offset, bytes);
    let mut at = 0;
    while at < size {
        let mut end = at;
        while end < size && end - at < unit * stride && !is_zero(slice(disk, end, unit)) {
            end = (end + unit).min(size);
        }
        if end == at {
            at += unit;
            continue;
        }
        while at < end {
            if let Some(slot) = target.plain() {
                write(slot, at, slice(disk, at, end - at))?;
                break;
            }
            let place = target.allocate(at, end - at)?;
            assert!(
                place.length > 0 && place.length <= end - at,
                "a placement of {} bytes",
                place.length
            );
            if let Some(sealing) = target.sealing() {
                let mut bytes = slice(disk, at, place.length).to_vec();
                sealing
                    .key
                    .encrypt(sealing.position(at, place.offset), &mut bytes)?;
                write(place.slot, place.offset, &bytes)?;
                at += place.length;
                continue;
            }
            let bytes = slice(disk, at, place.length);
            for (index, piece) in bytes.chunks(4096).enumerate() {
                if !place.fresh || !is_zero(piece) {
                    write(place.slot, place.offset + 4096 * index as u64, piece)?;
                }
            }
            at += place.length;
        }
        at = end;
    }
    target.finish()
}

fn slice(disk: &[u8], at: u64, length: u64) -> &[u8] {
    let end = (at + length).min(disk.len() as u64);
    &disk[usize::try_from(at).unwrap()..usize::try_from(end).unwrap()]
}

/// A file of the host, by its slot alone.
fn file(host: &dyn Host, slot: Slot, kind: FileKind) -> File<'_> {
    let facts = FileFacts {
        slot,
        size: 0,
        kind,
        writable: kind == FileKind::Fresh,
        busy: false,
        called_dmg: false,
    };
    File::new(host, facts)
}

/// The file as a block device with other people's data on it, whose length cannot change.
///
/// # Panics
/// If it cannot be written.
#[must_use]
pub fn as_device(native: &Native, path: &Path, length: usize) -> FileFacts {
    std::fs::write(path, vec![0xee; length]).unwrap();
    FileFacts {
        kind: FileKind::Block,
        ..native.existing(path)
    }
}

/// [`walk_file`] of a file with these bytes.
///
/// # Errors
/// The first fault.
///
/// # Panics
/// If the file cannot be written, or as [`conformance::walk`].
pub fn walk(
    open: Open,
    path: &Path,
    bytes: &[u8],
    open_calls: u64,
    map_calls: u64,
) -> std::result::Result<u64, Fault> {
    std::fs::write(path, bytes).unwrap();
    walk_file(open, path, open_calls, map_calls)
}

/// One look at whatever the file is, by the suite of every format.
///
/// # Errors
/// The first fault.
pub fn walk_file(
    open: Open,
    path: &Path,
    open_calls: u64,
    map_calls: u64,
) -> std::result::Result<u64, Fault> {
    let format = Format {
        open,
        open_requests: open_calls,
        map_requests: map_calls,
        bytes: 16 << 20,
        heap: 256 << 10,
    };
    conformance::walk(&format, path)
}
