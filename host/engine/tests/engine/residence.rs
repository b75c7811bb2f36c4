//! The page cache: what is asked for ahead, and what does not stay behind.

use std::fs::File;
use std::io::IoSliceMut;
use std::path::Path;

use instar_abi::RawRequest;
use instar_abi::request::{Op, status};
use instar_memory::Next;
use rustix::fs::{Advice, fadvise};
use rustix::io::{ReadWriteFlags, preadv2};

use crate::guest::{Guest, files, pattern, request, source, target};

const PIECE: usize = 1 << 20;

/// Of the file's pieces, those whose first byte can be had without waiting; `None` where the filesystem cannot tell.
fn resident(path: &Path) -> Option<usize> {
    let file = File::open(path).unwrap();
    let pieces = usize::try_from(file.metadata().unwrap().len()).unwrap() / PIECE;
    let mut count = 0;
    for piece in 0..pieces {
        let mut byte = [0];
        let mut into = [IoSliceMut::new(&mut byte)];
        match preadv2(&file, &mut into, (piece * PIECE) as u64, ReadWriteFlags::NOWAIT) {
            Ok(_) => count += 1,
            Err(rustix::io::Errno::AGAIN) => {}
            Err(_) => return None,
        }
    }
    Some(count)
}

/// Puts a file out of the page cache; `false` where it cannot be put out, as on tmpfs.
fn put_out(path: &Path) -> bool {
    let file = File::open(path).unwrap();
    file.sync_all().unwrap();
    fadvise(&file, 0, None, Advice::DontNeed).unwrap();
    resident(path) == Some(0)
}

#[test]
fn no_more_than_the_window_stays() {
    const WINDOW: usize = 8 << 20;
    const PIECES: usize = 64;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    std::fs::write(directory.path().join("probe"), pattern(PIECE, 1)).unwrap();
    let can_tell = put_out(&directory.path().join("probe"));
    let files = files();
    let slot = target(&files, &path).slot;
    let mut guest = Guest::new(files);
    guest.engine = guest.engine.with_window(WINDOW as u64);
    for piece in 0..PIECES {
        guest
            .write(slot, (piece * PIECE) as u64, &pattern(PIECE, piece as u64))
            .unwrap();
    }
    guest.engine.files().commit(false).unwrap();
    if can_tell {
        let resident = resident(&path).unwrap();
        assert!(resident <= (WINDOW / PIECE) + 2, "{resident} of {PIECES}");
        assert!(resident > 0, "the window itself stays");
    }
    let written = std::fs::read(&path).unwrap();
    for (piece, bytes) in written.chunks(PIECE).enumerate() {
        assert!(bytes == pattern(PIECE, piece as u64), "{piece}");
    }
}

/// Whatever is asked for ahead, each piece arrives as it is.
#[test]
fn scattered_reads_are_exact_whether_they_are_in_memory_or_not() {
    const PIECES: usize = 48;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("in");
    let bytes = pattern(PIECES * PIECE, 3);
    std::fs::write(&path, &bytes).unwrap();
    let out = directory.path().join("out");
    let files = files();
    let from = source(&files, &path).slot;
    let to = target(&files, &out).slot;
    let guest = Guest::new(files);
    for round in 0..3 {
        let _ = put_out(&path);
        let places: Vec<usize> = (0..PIECES).map(|n| n * 31 % PIECES).collect();
        let batch: Vec<RawRequest> = places
            .iter()
            .enumerate()
            .map(|(n, place)| RawRequest {
                other: to.0,
                other_offset: (n * PIECE) as u64,
                address: 0,
                ..request(Op::COPY, from, (place * PIECE) as u64, PIECE as u64)
            })
            .collect();
        let (next, results) = guest.ring(0, &batch);
        assert_eq!(next, Next::Continue, "{round}");
        assert!(results.iter().all(|result| result.status == status::OK));
        for (n, place) in places.iter().enumerate() {
            let got = guest.read(to, (n * PIECE) as u64, PIECE);
            assert!(got == bytes[place * PIECE..(place + 1) * PIECE], "{round} {n}");
        }
    }
}

/// Ranges outside of the file, of files that end early or are empty: nothing is asked for that could not be.
#[test]
fn reads_past_the_end_ask_for_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("in");
    std::fs::write(&path, pattern(300_000, 4)).unwrap();
    let files = files();
    let slot = source(&files, &path).slot;
    let guest = Guest::new(files);
    let _ = put_out(&path);
    for offset in [0, 299_999, 300_000, 1 << 40, (1 << 62) + 5] {
        let batch = [
            request(Op::READ, slot, offset, 200_000),
            request(Op::READ, slot, 0, 200_000),
            request(Op::READ, slot, offset, 200_000),
        ];
        let (next, results) = guest.ring(0, &batch);
        assert_eq!(next, Next::Continue);
        let expected = 300_000_u64.saturating_sub(offset).min(200_000);
        assert_eq!(results[2].value, expected, "{offset}");
    }
}
