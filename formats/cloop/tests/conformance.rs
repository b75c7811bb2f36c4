//! The suite of every format, on compressed loop devices.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::single_range_in_vec_init,
    reason = "a failure is a test failure"
)]

use instar_testkit::Bench;
use instar_testkit::conformance::{Format, Sound, Tally, covers_the_disk, survives_changes, survives_cuts};
use instar_testkit::lay::cloop as lay;
use instar_testkit::pattern::pattern;

/// `open` reads the header and, of small images, all offsets at once; `map` up to two pages of them.
const FORMAT: Format = Format {
    open: instar_cloop::open,
    open_requests: 2,
    map_requests: 2,
    bytes: 2 << 20,
    heap: 2 << 20,
};

fn sound(dir: &Bench, block_size: u32, blocks: u32) -> Sound {
    let disk = pattern(0, u64::from(block_size) * u64::from(blocks));
    let image = dir.path(&format!("{block_size} {blocks}"));
    let bytes = lay::image(&disk, block_size);
    std::fs::write(&image, &bytes).unwrap();
    let offsets = 136..136 + 8 * (u64::from(blocks) + 1);
    Sound {
        name: format!("{blocks} blocks of {block_size}"),
        image,
        fields: vec![128..136],
        edges: vec![offsets.start, offsets.end],
        metadata: vec![0..offsets.end + 2048],
        // Cut inside the number of blocks, it has none, as for qemu-img.
        least: 130,
        tables: vec![offsets.start..offsets.end.min(400)],
        ..Sound::default()
    }
}

#[test]
fn the_map_covers_every_disk() {
    let dir = Bench::new();
    for (block_size, blocks) in [(512, 9000), (65536, 5), (3 << 19, 2)] {
        covers_the_disk(&FORMAT, &sound(&dir, block_size, blocks));
    }
}

#[test]
fn an_image_cut_off_anywhere_is_refused_or_read() {
    let dir = Bench::new();
    for (block_size, blocks) in [(512, 30), (65536, 5)] {
        let tally = survives_cuts(&FORMAT, &sound(&dir, block_size, blocks));
        assert!(tally.refused > 10, "{tally:?}");
    }
}

#[test]
fn an_image_changed_anywhere_is_refused_or_read() {
    let dir = Bench::new();
    let mut tally = Tally::default();
    for (block_size, blocks) in [(512, 30), (65536, 5)] {
        tally += survives_changes(&FORMAT, &sound(&dir, block_size, blocks));
    }
    assert!(tally.read > 50 && tally.refused > 50, "{tally:?}");
}
