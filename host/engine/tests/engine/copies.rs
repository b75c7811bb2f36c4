//! Copy, by every way, against the obvious definition.

use std::os::unix::fs::FileExt;
use std::path::Path;

use instar_abi::RawRequest;
use instar_abi::Slot;
use instar_abi::request::{COPY_MAY_CLONE, COPY_TARGET_IS_ZERO, Op};
use instar_engine::{Cache, TargetOptions};

use crate::guest::{Guest, files, pattern, request};

/// Data with zeros of many lengths in it, some aligned, some not.
fn mixed(length: usize) -> Vec<u8> {
    let mut bytes = pattern(length, 7);
    for (at, zeros) in [
        (0, 4096),
        (8192, 512),
        (10_000, 3),
        (16_384, 70_000),
        (262_144 - 512, 1024),
        (300_000, 262_144),
        (700_000, 1),
        (786_432, 131_072),
    ] {
        if let Some(range) = bytes.get_mut(at..(at + zeros).min(length)) {
            range.fill(0);
        }
    }
    bytes
}

struct Case {
    source_offset: u64,
    target_offset: u64,
    length: u64,
    minimum: u64,
    flags: u32,
}

fn run(directory: &Path, cache: Cache, bytes: &[u8], old: &[u8], case: &Case) {
    let (input, output) = (directory.join("in"), directory.join("out"));
    let is_zero = case.flags & COPY_TARGET_IS_ZERO != 0;
    let mut expected = if is_zero { vec![0; old.len()] } else { old.to_vec() };
    std::fs::write(&output, &expected).unwrap();
    let files = files();
    let from = files.source(&input, cache.is_direct()).unwrap().slot;
    let options = TargetOptions {
        cache,
        ..TargetOptions::default()
    };
    let to = files.in_place(&output, &options).unwrap().slot;
    let guest = Guest::new(files);
    let raw = copy(from, to, case);
    let written = guest.ask(raw).unwrap().value;
    let into = &mut expected[case.target_offset as usize..][..case.length as usize];
    let from = bytes.get(case.source_offset as usize..).unwrap_or_default();
    let (from, _) = from.split_at(from.len().min(into.len()));
    into.fill(0);
    into[..from.len()].copy_from_slice(from);
    let Case {
        source_offset,
        target_offset,
        length,
        minimum,
        flags,
    } = case;
    let which = format!("{cache:?} {source_offset} {target_offset} {length} {minimum} {flags}");
    assert!(std::fs::read(&output).unwrap() == expected, "{which}");
    assert!(written <= *length, "{which}");
    if *minimum == 0 {
        assert_eq!(written, *length, "{which}");
    }
}

fn copy(from: Slot, to: Slot, case: &Case) -> RawRequest {
    RawRequest {
        other: to.0,
        other_offset: case.target_offset,
        extra: case.minimum,
        flags: case.flags,
        ..request(Op::COPY, from, case.source_offset, case.length)
    }
}

#[test]
fn copies_are_exact_whatever_the_alignment_minimum_and_cache() {
    let directory = tempfile::tempdir().unwrap();
    let (bytes, old) = (mixed(1_000_003), pattern(2_000_000, 11));
    std::fs::write(directory.path().join("in"), &bytes).unwrap();
    for cache in [Cache::Unsafe, Cache::None] {
        for (source_offset, target_offset, length) in [
            (0, 0, 1_000_003),
            (0, 0, 1_048_576),
            (4096, 8192, 900_000),
            (1, 0, 400_000),
            (0, 511, 300_001),
            (999_999, 100, 5000),
            (2_000_000, 512, 10_000),
            (5, 5, 0),
            (123_457, 654_321, 1),
        ] {
            for minimum in [0, 512, 4096, 5120, 65536, 96 << 10, 3 << 20, 1 << 24] {
                for flags in [0, COPY_TARGET_IS_ZERO, COPY_MAY_CLONE] {
                    let case = Case {
                        source_offset,
                        target_offset,
                        length,
                        minimum,
                        flags,
                    };
                    run(directory.path(), cache, &bytes, &old, &case);
                }
            }
        }
    }
}

#[test]
fn zero_granules_are_left_out_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let (input, output) = (directory.path().join("in"), directory.path().join("out"));
    let mut bytes = pattern(1 << 20, 3);
    bytes[65536..524_288].fill(0);
    bytes[600_000] = 0;
    std::fs::write(&input, &bytes).unwrap();
    let files = files();
    let from = files.source(&input, false).unwrap().slot;
    let to = files.target(&output, &TargetOptions::default()).unwrap().slot;
    let guest = Guest::new(files);
    guest.ask(request(Op::RESIZE, to, 0, 1 << 20)).unwrap();
    let case = Case {
        source_offset: 0,
        target_offset: 0,
        length: 1 << 20,
        minimum: 4096,
        flags: COPY_TARGET_IS_ZERO,
    };
    let written = guest.ask(copy(from, to, &case)).unwrap().value;
    assert_eq!(written, (1 << 20) - (524_288 - 65_536));
    let lengths: Vec<_> = guest
        .extents(to, 0, 1 << 20, 10)
        .iter()
        .map(|r| (r.length, r.data))
        .collect();
    assert_eq!(lengths, [(65_536, 1), (458_752, 0), (524_288, 1)]);
}

/// A run of zeros that is shorter than the granule is data, also when the granule is larger than any buffer.
#[test]
fn zeros_inside_a_large_granule_are_written() {
    let directory = tempfile::tempdir().unwrap();
    let (input, output) = (directory.path().join("in"), directory.path().join("out"));
    let file = std::fs::File::create(&input).unwrap();
    file.set_len(6 << 20).unwrap();
    file.write_at(b"x", (4 << 20) - 1).unwrap();
    let files = files();
    let from = files.source(&input, false).unwrap().slot;
    let to = files.target(&output, &TargetOptions::default()).unwrap().slot;
    let guest = Guest::new(files);
    guest.ask(request(Op::RESIZE, to, 0, 6 << 20)).unwrap();
    let case = Case {
        source_offset: 0,
        target_offset: 0,
        length: 6 << 20,
        minimum: 2 << 20,
        flags: COPY_TARGET_IS_ZERO,
    };
    assert_eq!(guest.ask(copy(from, to, &case)).unwrap().value, 2 << 20);
    let lengths: Vec<_> = guest
        .extents(to, 0, 6 << 20, 10)
        .iter()
        .map(|r| (r.length, r.data))
        .collect();
    assert_eq!(lengths, [(2 << 20, 0), (2 << 20, 1), (2 << 20, 0)]);
}

/// What waits for its end may be longer than the buffer: it is written or left out by its length alone.
#[test]
fn zeros_between_data_count_by_their_length() {
    let directory = tempfile::tempdir().unwrap();
    let (input, output) = (directory.path().join("in"), directory.path().join("out"));
    // Granules of 512 KiB: one of zeros is too short, two are not.
    let (granule, minimum) = (512 << 10, 640 << 10);
    for (zeros, expected) in [(1, 3), (2, 2)] {
        let first = 2 * granule;
        let file = std::fs::File::create(&input).unwrap();
        file.set_len(4 << 20).unwrap();
        file.write_at(b"x", first - 1).unwrap();
        file.write_at(b"x", first + zeros * granule).unwrap();
        let files = files();
        let from = files.source(&input, false).unwrap().slot;
        let to = files.target(&output, &TargetOptions::default()).unwrap().slot;
        let guest = Guest::new(files);
        guest.ask(request(Op::RESIZE, to, 0, 4 << 20)).unwrap();
        let case = Case {
            source_offset: 0,
            target_offset: 0,
            length: 4 << 20,
            minimum,
            flags: COPY_TARGET_IS_ZERO,
        };
        assert_eq!(
            guest.ask(copy(from, to, &case)).unwrap().value,
            expected * granule
        );
        std::fs::remove_file(&input).unwrap();
    }
}

#[test]
fn a_stopped_copy_ends_soon() {
    let directory = tempfile::tempdir().unwrap();
    let input = directory.path().join("in");
    std::fs::File::create(&input).unwrap().set_len(1 << 40).unwrap();
    let files = files();
    let from = files.source(&input, false).unwrap().slot;
    let to = files
        .target(&directory.path().join("out"), &TargetOptions::default())
        .unwrap()
        .slot;
    let guest = Guest::new(files);
    let case = Case {
        source_offset: 0,
        target_offset: 0,
        length: 1 << 40,
        minimum: 4096,
        flags: COPY_TARGET_IS_ZERO,
    };
    std::thread::scope(|scope| {
        let copy = scope.spawn(|| guest.ask(copy(from, to, &case)));
        std::thread::sleep(std::time::Duration::from_millis(30));
        let start = std::time::Instant::now();
        guest.engine.stop();
        assert_eq!(copy.join().unwrap(), Err(libc::ECANCELED.unsigned_abs()));
        assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
    });
}

/// A batch of small copies to adjoining places gives what each of them alone would.
#[test]
fn adjoining_small_copies_are_as_exact_as_single_ones() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = mixed(300_000);
    let old = pattern(1 << 20, 31);
    let input = directory.path().join("in");
    std::fs::write(&input, &bytes).unwrap();
    let mut state = 17_u64;
    let mut random = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    for cache in [Cache::Unsafe, Cache::None] {
        for minimum in [0, 512, 4096, 65536] {
            for flags in [0, COPY_TARGET_IS_ZERO] {
                let output = directory.path().join("out");
                let mut expected = if flags == 0 {
                    old.clone()
                } else {
                    vec![0; old.len()]
                };
                std::fs::write(&output, &expected).unwrap();
                let files = files();
                let from = files.source(&input, false).unwrap().slot;
                let options = TargetOptions {
                    cache,
                    ..TargetOptions::default()
                };
                let to = files.in_place(&output, &options).unwrap().slot;
                let guest = Guest::new(files);
                let mut batch = Vec::new();
                let mut at = random(5000);
                for _ in 0..200 {
                    let case = Case {
                        source_offset: [random(310_000), random(600) * 512][random(2) as usize],
                        target_offset: at,
                        length: [random(9000), 4096, 512, 0][random(4) as usize],
                        minimum,
                        flags,
                    };
                    for n in 0..case.length {
                        let byte = bytes.get((case.source_offset + n) as usize).copied().unwrap_or(0);
                        expected[(at + n) as usize] = byte;
                    }
                    at += case.length;
                    batch.push(copy(from, to, &case));
                    if random(20) == 0 {
                        at += random(3) * 512;
                    }
                }
                let (next, results) = guest.ring(0, &batch);
                assert_eq!(next, instar_memory::Next::Continue);
                for (raw, result) in batch.iter().zip(&results) {
                    assert_eq!(result.status, 0);
                    assert!(result.value <= raw.length);
                    assert!(minimum != 0 || result.value == raw.length);
                }
                assert!(
                    std::fs::read(&output).unwrap() == expected,
                    "{cache:?} {minimum} {flags}"
                );
            }
        }
    }
}

#[test]
fn a_failure_among_adjoining_copies_is_that_copys_own() {
    let directory = tempfile::tempdir().unwrap();
    let input = directory.path().join("in");
    std::fs::write(&input, pattern(65536, 5)).unwrap();
    let files = files();
    let from = files.source(&input, false).unwrap().slot;
    let options = TargetOptions {
        limit: 10_000,
        ..TargetOptions::default()
    };
    let output = directory.path().join("out");
    let to = files.target(&output, &options).unwrap().slot;
    let guest = Guest::new(files);
    let case = |n: u64| Case {
        source_offset: n * 4096,
        target_offset: n * 4096,
        length: 4096,
        minimum: 4096,
        flags: 0,
    };
    let batch: Vec<_> = (0..4).map(|n| copy(from, to, &case(n))).collect();
    let (_, results) = guest.ring(0, &batch);
    use instar_abi::request::status::{CANCELLED, REFUSED_OUTPUT};
    let statuses: Vec<_> = results.iter().map(|result| result.status).collect();
    assert_eq!(statuses, [0, 0, REFUSED_OUTPUT, CANCELLED]);
    guest.engine.files().commit(false).unwrap();
    assert!(std::fs::read(&output).unwrap() == pattern(65536, 5)[..8192]);
}

/// What is read is what earlier copies of the batch have written.
#[test]
fn copies_within_one_file_keep_their_order() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, [[1_u8; 4096], [2; 4096], [3; 4096]].concat()).unwrap();
    let files = files();
    let slot = files.in_place(&path, &TargetOptions::default()).unwrap().slot;
    let guest = Guest::new(files);
    let case = |source: u64, target: u64| Case {
        source_offset: source,
        target_offset: target,
        length: 4096,
        minimum: 4096,
        flags: 0,
    };
    let batch = [copy(slot, slot, &case(8192, 0)), copy(slot, slot, &case(0, 4096))];
    guest.ring(0, &batch);
    assert!(std::fs::read(&path).unwrap() == [3; 3 * 4096]);
}
