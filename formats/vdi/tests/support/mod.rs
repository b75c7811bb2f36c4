//! What the tests of vdi, vhd and vhdx share: the reference tool, position-dependent patterns, a reader and a writer that
//! use drivers as the engine does.
#![allow(dead_code, reason = "each test file uses its part")]

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use instar_disk::{Fault, File, FileFacts, Host, Image, Kind, Result, Slot, Target};
use instar_native::Native;
use instar_native::conformance::{self, Format, Open};

pub(crate) const MIB: u64 = 1 << 20;

/// Runs qemu-img, which must succeed.
pub(crate) fn qemu(args: &[&str]) -> String {
    let output = run(args);
    assert!(
        output.status.success(),
        "qemu-img {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// What the reference tool says when it refuses `path`, without the prefix; none if it reads all of it.
pub(crate) fn qemu_complaint(format: &str, path: &Path) -> Option<String> {
    let out = path.with_extension("complaint");
    let output = run(&["convert", "-f", format, "-O", "raw", text(path), text(&out)]);
    let _ = std::fs::remove_file(&out);
    if output.status.success() {
        return None;
    }
    let said = String::from_utf8(output.stderr).unwrap();
    let prefix = format!("qemu-img: Could not open '{}': ", path.display());
    Some(said.trim().trim_start_matches(&prefix).to_owned())
}

pub(crate) fn run(args: &[&str]) -> Output {
    Command::new("qemu-img")
        .args(args)
        .output()
        .expect("qemu-img is installed")
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A directory for one test.
pub(crate) struct Dir(tempfile::TempDir);

impl Dir {
    pub(crate) fn new() -> Self {
        Self(instar_native::scratch())
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A raw disk of `size` bytes with the pattern in `ranges` (offset, length), holes elsewhere.
    pub(crate) fn raw(&self, name: &str, size: u64, ranges: &[(u64, u64)]) -> PathBuf {
        let path = self.join(name);
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(size).unwrap();
        for (offset, length) in ranges {
            let length = (*length).min(size.saturating_sub(*offset));
            file.write_all_at(&pattern(*offset, length), *offset).unwrap();
        }
        path
    }
}

/// Bytes that no other place has: each 8-byte word is a scrambled number of its offset, and never zero.
pub(crate) fn pattern(offset: u64, length: u64) -> Vec<u8> {
    let skip = usize::try_from(offset % 8).unwrap();
    let length = usize::try_from(length).unwrap();
    let mut bytes = vec![0; (skip + length).next_multiple_of(8)];
    for (chunk, word) in bytes.chunks_exact_mut(8).zip(offset / 8..) {
        chunk.copy_from_slice(&(word.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1).to_le_bytes());
    }
    bytes.truncate(skip + length);
    bytes.split_off(skip)
}

/// Opens `path` with `open` and reads all of it, zeros for what is unallocated. Checks that the map covers the disk.
pub(crate) fn read_all(open: Open, path: &Path) -> Result<Vec<u8>> {
    let native = Native::new(1);
    let facts = native.source(path);
    let mut image = open(File::new(&native, facts))?;
    read_image(&native, image.as_mut(), None)
}

/// Reads all of `image`; what is unallocated comes from `below`, zeros where that ends.
pub(crate) fn read_image(host: &dyn Host, image: &mut dyn Image, below: Option<&[u8]>) -> Result<Vec<u8>> {
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
            Kind::Data { slot, offset } => read_slot(host, slot, offset, &mut disk[range])?,
            Kind::Zero { .. } => {}
            Kind::Unallocated => {
                if let Some(below) =
                    below.and_then(|b| b.get(range.start.min(b.len())..range.end.min(b.len())))
                {
                    disk[range.start..range.start + below.len()].copy_from_slice(below);
                }
            }
            Kind::Encoded(_) => panic!("nothing is encoded here"),
        }
        at += mapping.length;
    }
    Ok(disk)
}

fn read_slot(host: &dyn Host, slot: Slot, offset: u64, into: &mut [u8]) -> Result<()> {
    let facts = FileFacts {
        slot,
        size: 0,
        kind: instar_disk::FileKind::Regular,
        writable: false,
        busy: false,
    };
    File::new(host, facts).read_padded(offset, into)
}

/// The whole disk as qemu-img reads `path`.
pub(crate) fn qemu_reads(format: &str, path: &Path) -> Vec<u8> {
    let out = path.with_extension("as-raw");
    qemu(&["convert", "-f", format, "-O", "raw", text(path), text(&out)]);
    let bytes = std::fs::read(&out).unwrap();
    std::fs::remove_file(out).unwrap();
    bytes
}

/// Compares two disks and says where they first differ.
pub(crate) fn assert_same(what: &str, ours: &[u8], theirs: &[u8]) {
    assert_eq!(ours.len(), theirs.len(), "{what}: sizes");
    if ours != theirs {
        let at = ours.iter().zip(theirs).position(|(a, b)| a != b);
        panic!("{what}: first difference at byte {at:#x?}");
    }
}

/// Writes `disk` through `target` as the engine does: ascending, unit by unit, zero units left out, zero pieces of
/// 4096 bytes left out of fresh places. Asks for at most `stride` units at a time.
pub(crate) fn write_disk(host: &dyn Host, target: &mut dyn Target, disk: &[u8], stride: u64) -> Result<()> {
    let unit = target.unit();
    let size = disk.len() as u64;
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
                write_slot(host, slot, at, slice(disk, at, end - at))?;
                break;
            }
            let place = target.allocate(at, end - at)?;
            assert!(
                place.length > 0 && place.length <= end - at,
                "a placement of {} bytes",
                place.length
            );
            let bytes = slice(disk, at, place.length);
            for (index, piece) in bytes.chunks(4096).enumerate() {
                if !place.fresh || !is_zero(piece) {
                    write_slot(host, place.slot, place.offset + 4096 * index as u64, piece)?;
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

fn is_zero(bytes: &[u8]) -> bool {
    const ZEROS: &[u8] = &[0; 1 << 16];
    bytes
        .chunks(ZEROS.len())
        .all(|piece| piece == &ZEROS[..piece.len()])
}

fn write_slot(host: &dyn Host, slot: Slot, offset: u64, from: &[u8]) -> Result<()> {
    let facts = FileFacts {
        slot,
        size: 0,
        kind: instar_disk::FileKind::Fresh,
        writable: true,
        busy: false,
    };
    File::new(host, facts).write(offset, from)
}

/// `qemu-img info --output json` without what differs between two files of the same content: names and space used.
pub(crate) fn qemu_info(format: &str, path: &Path) -> String {
    qemu(&["info", "--output", "json", "-f", format, text(path)])
        .lines()
        .filter(|line| !line.contains("\"filename\"") && !line.contains("\"actual-size\""))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The value of a number in `qemu-img info`'s JSON, outermost object only.
pub(crate) fn info_number(format: &str, path: &Path, key: &str) -> Option<u64> {
    let needle = format!("    \"{key}\": ");
    qemu(&["info", "--output", "json", "-f", format, text(path)])
        .lines()
        .find_map(|line| line.strip_prefix(&needle)?.trim_end_matches(',').parse().ok())
}

/// [`walk_file`] of a file with these bytes.
pub(crate) fn walk(
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
pub(crate) fn walk_file(
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

/// Reads `length` bytes from `offset` on; what is unallocated is zeros.
pub(crate) fn read_range(
    host: &dyn Host,
    image: &mut dyn Image,
    offset: u64,
    length: u64,
) -> Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).unwrap()];
    let mut done = 0;
    while done < length {
        let mapping = image.map(offset + done)?;
        let step = mapping.length.min(length - done);
        let range = usize::try_from(done).unwrap()..usize::try_from(done + step).unwrap();
        if let Kind::Data { slot, offset } = mapping.kind {
            read_slot(host, slot, offset, &mut bytes[range])?;
        }
        done += step;
    }
    Ok(bytes)
}

/// The file as a block device with other people's data on it, whose length cannot change.
pub(crate) fn as_device(native: &Native, path: &Path, length: usize) -> FileFacts {
    std::fs::write(path, vec![0xee; length]).unwrap();
    FileFacts {
        kind: instar_disk::FileKind::Block,
        ..native.existing(path)
    }
}
