//! The suite of every format, on disks in seekable zstd.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::single_range_in_vec_init,
    reason = "a failure is a test failure"
)]

use instar_testkit::Bench;
use instar_testkit::conformance::{Format, Sound, Tally, covers_the_disk, survives_changes, survives_cuts};
use instar_testkit::lay::zst as lay;
use instar_testkit::pattern::pattern;

/// `open` reads the first bytes, both ends of the table, of small images all entries in two blocks, and the head of a frame that is skipped; `map` a block of them.
const FORMAT: Format = Format {
    open: instar_zst::open,
    open_requests: 6,
    map_requests: 1,
    bytes: 256 << 10,
    heap: 512 << 10,
};

fn sound(dir: &Bench, frame: usize, size: u64, checksums: bool) -> Sound {
    let mut frames = lay::frames(&pattern(0, size), frame, &["-1"]);
    frames.insert(1, lay::skipped(b"something else"));
    let bytes = lay::file(&frames, checksums);
    let end = bytes.len() as u64;
    let table = end - lay::table(&frames, checksums).len() as u64;
    let image = dir.path(&format!("{frame} {size} {checksums}"));
    std::fs::write(&image, bytes).unwrap();
    Sound {
        name: format!("{size} bytes in frames of {frame}, checksums: {checksums}"),
        image,
        fields: vec![0..4, table..table + 8, end - 9..end],
        edges: vec![table, table + 8, end - 9],
        metadata: vec![table..end],
        // Its end is what makes it one.
        least: end,
        tables: vec![table + 8..end - 9],
        ..Sound::default()
    }
}

#[test]
fn the_map_covers_every_disk() {
    let dir = Bench::new();
    for (frame, size, checksums) in [
        (512, 2_000_000, false),
        (65536, 300_000, true),
        (1 << 20, 3 << 20, true),
    ] {
        covers_the_disk(&FORMAT, &sound(&dir, frame, size, checksums));
    }
}

#[test]
fn an_image_cut_off_anywhere_is_refused() {
    let dir = Bench::new();
    for (frame, size, checksums) in [(4096, 100_000, false), (65536, 300_000, true)] {
        let tally = survives_cuts(&FORMAT, &sound(&dir, frame, size, checksums));
        assert!(tally.refused > 10, "{tally:?}");
    }
}

#[test]
fn an_image_changed_anywhere_is_refused_or_read() {
    let dir = Bench::new();
    let mut tally = Tally::default();
    for (frame, size, checksums) in [(4096, 100_000, false), (65536, 300_000, true)] {
        tally += survives_changes(&FORMAT, &sound(&dir, frame, size, checksums));
    }
    assert!(tally.refused > 50, "{tally:?}");
}
