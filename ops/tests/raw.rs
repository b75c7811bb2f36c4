//! Raw images through the copier, natively: the whole path without a sandbox, compared with the bytes themselves.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a failure is a test failure"
)]

mod common;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use common::{conversion, pattern, raw_target, run, source};
use instar_abi::job::{CopiedRange, Dd, Verb};
use instar_abi::{FileFacts, Format, Report};
use instar_testkit::Native;

fn convert(native: &Native, files: &[FileFacts], existing: bool) -> Report {
    let mut job = conversion(files);
    job.target.existing = existing;
    for source in &mut job.sources {
        source.format = Some(Format::Raw);
    }
    run(native, files, Verb::Convert(job))
}

fn blocks(path: &Path) -> u64 {
    fs::metadata(path).unwrap().blocks()
}

#[test]
fn zeros_inside_data_become_holes() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("a"), dir.path().join("b"));
    let mut bytes = pattern(9 << 20);
    bytes[1 << 20..3 << 20].fill(0);
    bytes[(5 << 20) + 100..(5 << 20) + 9000].fill(0);
    fs::write(&from, &bytes).unwrap();
    for lanes in [1, 3] {
        let native = Native::new(lanes);
        let files = [native.source(&from), native.target(&to)];
        assert!(matches!(convert(&native, &files, false), Report::Done(_)));
        assert!(fs::read(&to).unwrap() == bytes);
        let holes = blocks(&from) - blocks(&to);
        assert!((4096 + 8..4096 + 32).contains(&holes), "{holes} sectors of hole");
    }
}

#[test]
fn several_sources_stand_in_a_row_each_rounded_to_a_sector() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b, to) = (dir.path().join("a"), dir.path().join("b"), dir.path().join("c"));
    fs::write(&a, pattern(1000)).unwrap();
    fs::write(&b, pattern(70_000)).unwrap();
    let native = Native::new(2);
    let files = [native.source(&a), native.source(&b), native.target(&to)];
    assert!(matches!(convert(&native, &files, false), Report::Done(_)));
    let mut expected = pattern(1000);
    expected.resize(1024, 0);
    expected.extend(pattern(70_000));
    expected.resize(1024 + 70_144, 0);
    assert!(fs::read(&to).unwrap() == expected);
}

#[test]
fn an_existing_target_has_its_old_bytes_replaced_and_its_tail_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("a"), dir.path().join("b"));
    let mut bytes = pattern(1 << 20);
    bytes[4096..400_000].fill(0);
    fs::write(&from, &bytes).unwrap();
    fs::write(&to, vec![0xee; (1 << 20) + 777]).unwrap();
    let native = Native::new(2);
    let files = [native.source(&from), native.existing(&to)];
    assert!(matches!(convert(&native, &files, true), Report::Done(_)));
    bytes.extend([0xee; 777]);
    assert!(fs::read(&to).unwrap() == bytes);
}

#[test]
fn a_range_goes_to_its_place_and_what_is_around_it_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("a"), dir.path().join("b"));
    let mut bytes = pattern(1 << 20);
    bytes[200_000..500_000].fill(0);
    fs::write(&from, &bytes).unwrap();
    for (offset, length, target) in [
        (512, 1024, 4096),
        (65_536, 900_000 / 512 * 512, 512),
        (0, 1 << 20, 1 << 20),
    ] {
        fs::write(&to, vec![0xee; 2 << 20]).unwrap();
        let native = Native::new(2);
        let files = [native.source(&from), native.existing(&to)];
        let mut job = conversion(&files);
        job.target.existing = true;
        job.range = Some(CopiedRange {
            offset,
            length,
            target,
        });
        assert!(matches!(
            run(&native, &files, Verb::Convert(job)),
            Report::Done(_)
        ));
        let mut expected = vec![0xee; 2 << 20];
        let (offset, length, target) = (offset as usize, length as usize, target as usize);
        expected[target..target + length].copy_from_slice(&bytes[offset..offset + length]);
        assert!(fs::read(&to).unwrap() == expected, "{offset} {length} {target}");
    }
}

#[test]
fn a_range_into_a_new_image_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("a"), dir.path().join("b"));
    fs::write(&from, pattern(8192)).unwrap();
    let native = Native::new(1);
    let files = [native.source(&from), native.target(&to)];
    let mut job = conversion(&files);
    job.range = Some(CopiedRange {
        offset: 0,
        length: 512,
        target: 0,
    });
    let Report::Failed(failure) = run(&native, &files, Verb::Convert(job)) else {
        panic!("accepted")
    };
    assert_eq!(failure.fault.code, instar_abi::fault::core::RANGE_TARGET);
}

#[test]
fn a_target_that_is_too_small_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("a"), dir.path().join("b"));
    fs::write(&from, pattern(8192)).unwrap();
    fs::write(&to, [0xee; 8191]).unwrap();
    let native = Native::new(1);
    let files = [native.source(&from), native.existing(&to)];
    let Report::Failed(failure) = convert(&native, &files, true) else {
        panic!("accepted")
    };
    assert_eq!(failure.fault.code, instar_abi::fault::core::TARGET_TOO_SMALL);
    assert_eq!(fs::read(&to).unwrap(), [0xee; 8191]);
}

/// Runs `dd` from a raw disk; gives the bytes of the target.
fn window(from: &Path, to: &Path, block_size: u64, count: Option<u64>, skip: u64) -> Vec<u8> {
    let native = Native::new(2);
    let files = [native.source(from), native.target(to)];
    let verb = Verb::Dd(Dd {
        source: source(files[0].slot),
        target: raw_target(files[1].slot, false),
        block_size,
        count,
        skip,
        sent_to: None,
    });
    assert!(matches!(run(&native, &files, verb), Report::Done(_)));
    fs::read(to).unwrap()
}

/// Of the disk, which is whole sectors: the first `count` blocks, without the first `skip`; and that again as whole sectors.
fn named(bytes: &[u8], block_size: u64, count: Option<u64>, skip: u64) -> Vec<u8> {
    let sectors = |mut bytes: Vec<u8>| {
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    };
    let disk = sectors(bytes.to_vec()).into_iter();
    let cut = count.map_or(usize::MAX, |count| (count * block_size) as usize);
    sectors(disk.take(cut).skip((skip * block_size) as usize).collect())
}

#[test]
fn windows_of_dd_are_the_bytes_they_name() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("a"), dir.path().join("b"));
    let bytes = pattern(100_000);
    fs::write(&from, &bytes).unwrap();
    for (block_size, count, skip) in [
        (512, None, 0),
        (1, Some(777), 3),
        (4096, Some(3), 1),
        (65536, None, 1),
        (1 << 20, None, 7),
    ] {
        let made = window(&from, &to, block_size, count, skip);
        assert!(
            made == named(&bytes, block_size, count, skip),
            "bs={block_size} count={count:?} skip={skip}"
        );
    }
}

#[test]
fn every_window_of_dd_over_small_numbers_is_the_bytes_it_names() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("a"), dir.path().join("b"));
    for size in [0, 1, 511, 512, 513, 1024, 1537] {
        let bytes = pattern(size);
        fs::write(&from, &bytes).unwrap();
        for block_size in [1, 3, 511, 512, 513, 1024] {
            for count in (0..4).map(Some).chain([None]) {
                for skip in 0..4 {
                    let made = window(&from, &to, block_size, count, skip);
                    assert!(
                        made == named(&bytes, block_size, count, skip),
                        "{size}: bs={block_size} count={count:?} skip={skip}"
                    );
                }
            }
        }
    }
}
