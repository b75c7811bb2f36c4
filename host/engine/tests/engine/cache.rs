//! Cache modes that go past the page cache.

use instar_abi::request::Op;
use instar_engine::{Cache, TargetOptions};

use crate::guest::{Guest, files, pattern, request};

#[test]
fn direct_reads_are_exact_whatever_the_alignment() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("in");
    let bytes = pattern(1_000_003, 21);
    std::fs::write(&path, &bytes).unwrap();
    let files = files();
    let slot = files.source(&path, true).unwrap().slot;
    let guest = Guest::new(files);
    for (offset, length) in [
        (0, 1_000_003),
        (0, 2_000_000),
        (1, 1),
        (4095, 2),
        (511, 300_000),
        (4096, 262_144),
        (999_424, 4096),
        (1_000_002, 10),
        (1_000_003, 10),
        (5_000_000, 10),
    ] {
        let end = (offset + length).min(bytes.len());
        let expected = bytes.get(offset..end).unwrap_or_default();
        assert!(
            guest.read(slot, offset as u64, length) == expected,
            "{offset} {length}"
        );
    }
}

#[test]
fn direct_writes_are_exact_and_keep_the_length() {
    let directory = tempfile::tempdir().unwrap();
    for cache in [Cache::None, Cache::DirectSync] {
        let path = directory.path().join(format!("{cache:?}"));
        let files = files();
        let options = TargetOptions {
            cache,
            ..TargetOptions::default()
        };
        let slot = files.target(&path, &options).unwrap().slot;
        let guest = Guest::new(files);
        let mut expected: Vec<u8> = Vec::new();
        for (n, (offset, length)) in [
            (0, 1000),
            (1000, 3096),
            (4096, 8192),
            (100, 5000),
            (12_288, 300_000),
            (4095, 2),
            (600_001, 700_007),
            (0, 1),
            (8192, 4096),
        ]
        .into_iter()
        .enumerate()
        {
            let bytes = pattern(length, n as u64 + 50);
            guest.write(slot, offset as u64, &bytes).unwrap();
            expected.resize(expected.len().max(offset + length), 0);
            expected[offset..offset + length].copy_from_slice(&bytes);
            assert!(
                guest.read(slot, 0, 2_000_000) == expected,
                "{cache:?} {offset} {length}"
            );
        }
        guest.ask(request(Op::FLUSH, slot, 0, 0)).unwrap();
        guest.engine.files().commit(true).unwrap();
        assert!(std::fs::read(&path).unwrap() == expected);
    }
}

/// Lanes that write neighbouring pieces of one page lose nothing of each other's.
#[test]
fn direct_writers_do_not_disturb_each_other() {
    use instar_abi::RawRequest;
    use instar_abi::layout::HEAP;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    let files = files();
    let options = TargetOptions {
        cache: Cache::None,
        ..TargetOptions::default()
    };
    let slot = files.target(&path, &options).unwrap().slot;
    let guest = Guest::new(files);
    let bytes = pattern(1 << 20, 8);
    guest.put(HEAP, &bytes);
    let piece = 1000;
    std::thread::scope(|scope| {
        for lane in 0..4_u32 {
            let guest = &guest;
            scope.spawn(move || {
                let mut at = u64::from(lane) * piece;
                while at < 1 << 20 {
                    let raw = RawRequest {
                        address: HEAP + at,
                        ..request(Op::WRITE, slot, at, piece.min((1 << 20) - at))
                    };
                    let (_, results) = guest.ring(lane, &[raw]);
                    assert_eq!(results[0].status, 0);
                    at += 4 * piece;
                }
            });
        }
    });
    guest.engine.files().commit(false).unwrap();
    assert!(std::fs::read(&path).unwrap() == bytes);
}
