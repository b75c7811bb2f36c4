//! Compare, Allocated.

use instar_abi::request::{COMPARE_WITH_ZERO, Op};
use instar_abi::{RawRequest, Slot};

use crate::guest::{Guest, files, pattern, request, source};

/// What Compare says of `length` bytes of `one` and, if there is one, `other`.
fn compare(guest: &Guest, one: (Slot, u64), other: Option<(Slot, u64)>, length: u64) -> u64 {
    let raw = RawRequest {
        flags: if other.is_none() { COMPARE_WITH_ZERO } else { 0 },
        other: other.map_or(0, |(slot, _)| slot.0),
        other_offset: other.map_or(0, |(_, offset)| offset),
        ..request(Op::COMPARE, one.0, one.1, length)
    };
    guest.ask(raw).unwrap().value
}

#[test]
fn the_first_byte_that_differs_is_found_wherever_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = pattern(600_000, 1);
    for at in [0, 1, 511, 131_071, 131_072, 300_000, 599_999] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        std::fs::write(directory.path().join("one"), &bytes).unwrap();
        std::fs::write(directory.path().join("two"), &changed).unwrap();
        let files = files();
        let [one, two] = ["one", "two"].map(|name| source(&files, &directory.path().join(name)).slot);
        let guest = Guest::new(files);
        let at = at as u64;
        assert_eq!(compare(&guest, (one, 0), Some((two, 0)), 600_000), at);
        assert_eq!(compare(&guest, (two, 0), Some((one, 0)), at), at);
        assert_eq!(compare(&guest, (one, 0), Some((one, 0)), 600_000), 600_000);
        assert!(compare(&guest, (one, 0), Some((one, 8)), 600_000) < 8);
    }
}

#[test]
fn past_its_end_a_file_is_zero() {
    let directory = tempfile::tempdir().unwrap();
    let mut bytes = pattern(5000, 2);
    std::fs::write(directory.path().join("short"), &bytes).unwrap();
    bytes.resize(400_000, 0);
    bytes[399_990] = 9;
    std::fs::write(directory.path().join("long"), &bytes).unwrap();
    let files = files();
    let [short, long] = ["short", "long"].map(|name| source(&files, &directory.path().join(name)).slot);
    let guest = Guest::new(files);
    assert_eq!(compare(&guest, (short, 0), Some((long, 0)), 1 << 20), 399_990);
    assert_eq!(compare(&guest, (long, 5000), None, 1 << 20), 394_990);
    assert_eq!(compare(&guest, (short, 5000), None, 64 << 20), 64 << 20);
    assert_eq!(
        compare(&guest, (short, 1 << 40), Some((long, 1 << 41)), 1 << 20),
        1 << 20
    );
    assert_eq!(compare(&guest, (short, 0), None, 0), 0);
}

#[test]
fn storage_is_what_the_filesystem_says() {
    use std::os::unix::fs::MetadataExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("in");
    std::fs::write(&path, pattern(100_000, 3)).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len(1 << 30).unwrap();
    file.sync_all().unwrap();
    let files = files();
    let slot = source(&files, &path).slot;
    let guest = Guest::new(files);
    let found = guest.ask(request(Op::ALLOCATED, slot, 0, 0)).unwrap().value;
    assert_eq!(found, path.metadata().unwrap().blocks() * 512);
    assert!(found < 1 << 20);
}
