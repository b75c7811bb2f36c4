//! Read, Write, Zero, Discard, Extents, Resize, Flush, Advise.

use std::path::Path;

use instar_abi::request::{ExtentRecord, Op, ZERO_MAY_UNMAP, status};
use instar_abi::{FileKind, RawRequest, Slot};
use instar_engine::{Cache, Files, TargetOptions};

use crate::guest::{Guest, files, pattern, request, source, target};

const DATA: u64 = 1;
const HOLE: u64 = 0;

fn record(length: u64, data: u64) -> ExtentRecord {
    ExtentRecord { length, data }
}

fn guest_with(path: &Path, bytes: &[u8]) -> (Guest, Slot) {
    std::fs::write(path, bytes).unwrap();
    let files = files();
    let facts = files.in_place(path, &TargetOptions::default()).unwrap();
    assert_eq!(facts.kind, FileKind::Regular);
    assert_eq!(facts.size, bytes.len() as u64);
    assert!(facts.writable);
    (Guest::new(files), facts.slot)
}

#[test]
fn a_read_is_short_only_at_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("in");
    let bytes = pattern(100_001, 1);
    std::fs::write(&path, &bytes).unwrap();
    let files = files();
    let slot = source(&files, &path).slot;
    let guest = Guest::new(files);
    assert!(guest.read(slot, 0, 65536) == bytes[..65536]);
    assert!(guest.read(slot, 99_999, 4096) == bytes[99_999..]);
    assert_eq!(guest.read(slot, 100_001, 10), b"");
    assert_eq!(guest.read(slot, 1 << 40, 10), b"");
}

#[test]
fn zero_makes_zeros_and_only_there() {
    let directory = tempfile::tempdir().unwrap();
    for (n, flags) in [0, ZERO_MAY_UNMAP].into_iter().enumerate() {
        let path = directory.path().join(n.to_string());
        let mut bytes = pattern(200_000, 2);
        let (guest, slot) = guest_with(&path, &bytes);
        for (offset, length) in [(10, 5), (4096, 8192), (65_535, 70_000), (199_999, 1), (7, 0)] {
            let raw = RawRequest {
                flags,
                ..request(Op::ZERO, slot, offset, length)
            };
            guest.ask(raw).unwrap();
            bytes[offset as usize..(offset + length) as usize].fill(0);
            assert!(std::fs::read(&path).unwrap() == bytes, "{offset} {length}");
        }
    }
}

#[test]
fn zero_past_the_end_lengthens_the_file() {
    let directory = tempfile::tempdir().unwrap();
    for (n, flags) in [0, ZERO_MAY_UNMAP].into_iter().enumerate() {
        let path = directory.path().join(n.to_string());
        let (guest, slot) = guest_with(&path, b"12345");
        let raw = RawRequest {
            flags,
            ..request(Op::ZERO, slot, 3, 100_000)
        };
        guest.ask(raw).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len(), 100_003);
        assert_eq!(&bytes[..3], b"123");
        assert!(bytes[3..].iter().all(|byte| *byte == 0));
        let on_disk = guest.engine.files().status(slot).unwrap().disk_size;
        // The first and the last page hold parts of it.
        assert!(flags == 0 || on_disk <= 8192, "a hole will do: {on_disk}");
    }
}

#[test]
fn zero_may_unmap_gives_space_back_and_discard_too() {
    let directory = tempfile::tempdir().unwrap();
    for (n, op) in [Op::ZERO, Op::DISCARD].into_iter().enumerate() {
        let path = directory.path().join(n.to_string());
        let (guest, slot) = guest_with(&path, &pattern(1 << 20, 3));
        let flags = if op == Op::ZERO { ZERO_MAY_UNMAP } else { 0 };
        let raw = RawRequest {
            flags,
            ..request(op, slot, 4096, 512 << 10)
        };
        guest.ask(raw).unwrap();
        assert_eq!(
            guest.extents(slot, 0, u64::MAX >> 2, 100),
            [
                record(4096, DATA),
                record(512 << 10, HOLE),
                record((512 << 10) - 4096, DATA)
            ]
        );
    }
}

#[test]
fn discard_past_the_end_changes_no_length() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let (guest, slot) = guest_with(&path, b"12345");
    guest.ask(request(Op::DISCARD, slot, 4096, 8192)).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"12345");
}

#[test]
fn extents_cover_the_file_without_a_gap() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let (guest, slot) = guest_with(&path, b"");
    guest.ask(request(Op::RESIZE, slot, 0, 1 << 20)).unwrap();
    guest.write(slot, 64 << 10, &pattern(4096, 4)).unwrap();
    guest.write(slot, 128 << 10, &pattern(8192, 4)).unwrap();
    let all = [
        record(64 << 10, HOLE),
        record(4096, DATA),
        record((64 << 10) - 4096, HOLE),
        record(8192, DATA),
        record((1 << 20) - (136 << 10), HOLE),
    ];
    assert_eq!(guest.extents(slot, 0, 1 << 20, 100), all);
    assert_eq!(guest.extents(slot, 0, 1 << 40, 100), all);
    assert_eq!(guest.extents(slot, 0, 1 << 40, 2), all[..2]);
    assert_eq!(guest.extents(slot, 0, 1000, 100), [record(1000, HOLE)]);
    assert_eq!(
        guest.extents(slot, (64 << 10) + 100, 4096, 100),
        [record(3996, DATA), record(100, HOLE)]
    );
    assert_eq!(guest.extents(slot, 1 << 20, 4096, 100), []);
    assert_eq!(guest.extents(slot, 1 << 50, 4096, 100), []);
    assert_eq!(guest.extents(slot, 0, 4096, 0), []);
}

#[test]
fn many_extents_arrive_whole() {
    let directory = tempfile::tempdir().unwrap();
    let (guest, slot) = guest_with(&directory.path().join("file"), b"");
    let count = 700;
    for n in 0..count {
        guest.write(slot, n * 8192 + 4096, &[1; 4096]).unwrap();
    }
    let records = guest.extents(slot, 0, 1 << 40, 10_000);
    assert_eq!(records.len() as u64, 2 * count);
    for pair in records.chunks(2) {
        assert_eq!(pair, [record(4096, HOLE), record(4096, DATA)]);
    }
}

#[test]
fn resize_sets_the_length_and_reserves_what_was_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    for (flags, least, most) in [(0, 0, 8192), (1, 1 << 20, 2 << 20), (2, 1 << 20, 2 << 20)] {
        let path = directory.path().join(flags.to_string());
        let (guest, slot) = guest_with(&path, b"12345");
        let raw = RawRequest {
            flags,
            ..request(Op::RESIZE, slot, 0, 1 << 20)
        };
        guest.ask(raw).unwrap();
        let status = guest.engine.files().status(slot).unwrap();
        assert_eq!(status.length, 1 << 20);
        assert!((least..=most).contains(&status.disk_size), "{flags}: {status:?}");
        assert_eq!(guest.read(slot, 0, 8), b"12345\0\0\0");
        guest.ask(request(Op::RESIZE, slot, 0, 3)).unwrap();
        assert_eq!(guest.read(slot, 0, 8), b"123");
    }
}

#[test]
fn a_reservation_without_space_leaves_the_file_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let (guest, slot) = guest_with(&path, b"12345");
    for flags in [1, 2] {
        let length = if flags == 1 { 1 << 60 } else { 1 << 62 };
        let raw = RawRequest {
            flags,
            ..request(Op::RESIZE, slot, 0, length)
        };
        let status = guest.ask(raw).unwrap_err();
        let expected = [libc::EFBIG, libc::ENOSPC].map(i32::unsigned_abs);
        assert!(expected.contains(&status), "{status}");
        assert_eq!(std::fs::read(&path).unwrap(), b"12345");
    }
}

#[test]
fn nothing_goes_past_the_output_limit() {
    let directory = tempfile::tempdir().unwrap();
    let files = files();
    let options = TargetOptions {
        limit: 1000,
        cache: Cache::Writeback,
        ..TargetOptions::default()
    };
    let slot = files
        .target(&directory.path().join("out"), &options)
        .unwrap()
        .slot;
    let guest = Guest::new(files);
    assert!(guest.write(slot, 999, &[1]).is_ok());
    for (op, offset, length) in [
        (Op::WRITE, 999, 2),
        (Op::WRITE, 1001, 0),
        (Op::ZERO, 0, 1001),
        (Op::RESIZE, 0, 1001),
        (Op::DISCARD, 1, 1000),
        (Op::COPY, 0, 1001),
    ] {
        let raw = request(op, slot, offset, length);
        assert_eq!(guest.ask(raw), Err(status::REFUSED_OUTPUT), "{op:?}");
    }
    assert_eq!(guest.engine.files().status(slot).unwrap().length, 1000);
}

#[test]
fn sources_cannot_be_changed_by_any_request() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("in");
    std::fs::write(&path, b"source").unwrap();
    let files = files();
    let facts = source(&files, &path);
    assert!(!facts.writable);
    let guest = Guest::new(files);
    for op in [Op::WRITE, Op::ZERO, Op::DISCARD, Op::RESIZE, Op::COPY] {
        let raw = request(op, facts.slot, 0, 3);
        assert_eq!(guest.ask(raw), Err(libc::EBADF.unsigned_abs()), "{op:?}");
    }
    assert!(guest.ask(request(Op::FLUSH, facts.slot, 0, 0)).is_ok());
    assert!(guest.ask(request(Op::ADVISE, facts.slot, 0, 1 << 40)).is_ok());
    assert_eq!(std::fs::read(&path).unwrap(), b"source");
}

#[test]
fn flush_works_in_every_cache_mode() {
    let directory = tempfile::tempdir().unwrap();
    for cache in [
        Cache::Unsafe,
        Cache::Writeback,
        Cache::Writethrough,
        Cache::None,
        Cache::DirectSync,
    ] {
        let files = files();
        let options = TargetOptions {
            cache,
            ..TargetOptions::default()
        };
        let path = directory.path().join(format!("{cache:?}"));
        let slot = files.target(&path, &options).unwrap().slot;
        let guest = Guest::new(files);
        guest.write(slot, 0, b"bytes").unwrap();
        guest.ask(request(Op::FLUSH, slot, 0, 0)).unwrap();
        guest.engine.files().commit(true).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"bytes");
    }
}

/// A filesystem of 1 MiB, in a mount namespace of a child's own where that is allowed.
#[test]
fn a_full_filesystem_is_reported_and_leaves_no_target() {
    let directory = tempfile::tempdir().unwrap();
    let path = std::ffi::CString::new(directory.path().to_str().unwrap()).unwrap();
    // SAFETY: C strings; the mount is taken down below, and only this test knows the directory.
    let mounted = unsafe {
        libc::mount(
            c"tmpfs".as_ptr(),
            path.as_ptr(),
            c"tmpfs".as_ptr(),
            0,
            c"size=1m".as_ptr().cast(),
        )
    };
    if mounted != 0 {
        eprintln!("skipped: mounting a tmpfs takes a privilege");
        return;
    }
    let files = files();
    let out = directory.path().join("out");
    let slot = target(&files, &out).slot;
    let guest = Guest::new(files);
    let result = guest.write(slot, 0, &pattern(2 << 20, 9));
    let commit = {
        guest.engine.files().abort();
        out.exists()
    };
    drop(guest);
    // SAFETY: a C string.
    let unmounted = unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
    assert_eq!(result, Err(libc::ENOSPC.unsigned_abs()));
    assert!(!commit);
    assert_eq!(unmounted, 0);
}

#[test]
fn facts_and_status_tell_what_is_open() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("in");
    std::fs::write(&path, vec![1; 5000]).unwrap();
    let files: Files = files();
    let facts = source(&files, &path);
    target(&files, &directory.path().join("out"));
    assert_eq!(files.facts().len(), 2);
    assert_eq!(files.facts()[0], facts);
    assert_eq!(files.facts()[1].kind, FileKind::Fresh);
    let status = files.status(facts.slot).unwrap();
    assert_eq!((status.name, status.length, status.is_block), (path, 5000, false));
    assert!(status.disk_size >= 5000);
    assert_eq!(files.status(Slot(2)), None);
}
