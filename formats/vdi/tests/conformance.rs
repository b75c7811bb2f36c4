//! The suite of every format, on VDIs.
#![allow(
    clippy::single_range_in_vec_init,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure is a test failure"
)]

use instar_testkit::Bench;
use instar_testkit::conformance::{
    Format, Sound, Tally, covers_the_disk, survives_changes, survives_cuts, survives_failures,
    takes_changed_images,
};
use instar_testkit::oracle::{qemu, text};
use instar_testkit::pattern::MIB;

/// `open` reads the header; `map` a page of the block map and, in a static image, extents.
const FORMAT: Format = Format {
    open: instar_vdi::open,
    open_requests: 1,
    map_requests: 2,
    bytes: 32 << 10,
    heap: 40 << 10,
};

/// An image that qemu-img made, or one with its places in another order.
fn sound(dir: &Bench, options: &str, size: u64, swapped: bool) -> Sound {
    let raw = dir.raw("disk.raw", size, &[(0, 4096), (2 * MIB, MIB), (size - 512, 512)]);
    let name = format!("{options} {size} {swapped}");
    let image = dir.path(&format!("{name}.vdi"));
    qemu(&[
        "convert",
        "-f",
        "raw",
        "-O",
        "vdi",
        "-o",
        options,
        text(&raw),
        text(&image),
    ]);
    let mut bytes = std::fs::read(&image).unwrap();
    if swapped {
        let (first, second) = bytes[512..].split_at_mut(8);
        first[..4].swap_with_slice(&mut second[..4]);
        std::fs::write(&image, &bytes).unwrap();
    }
    let blocks = size.div_ceil(MIB);
    let map = 512..512 + 4 * blocks;
    let data = map.end.next_multiple_of(512);
    Sound {
        name,
        image,
        fields: vec![0x40..0x50, 0x150..0x1d0],
        edges: (0..4).map(|place| data + place * MIB).chain([map.end]).collect(),
        metadata: vec![0..data + 2048],
        // Without its map a file is no image; without data it reads as zeros, as by qemu-img.
        least: map.end,
        tables: vec![map],
        ..Sound::default()
    }
}

fn images(dir: &Bench) -> Vec<Sound> {
    vec![
        sound(dir, "static=off", 4 * MIB + 512, false),
        sound(dir, "static=off", 4 * MIB + 512, true),
        sound(dir, "static=on", 4 * MIB, false),
        sound(dir, "static=off", 300 * MIB, false),
    ]
}

#[test]
fn the_map_covers_every_disk() {
    let dir = Bench::new();
    for sound in images(&dir) {
        covers_the_disk(&FORMAT, &sound);
    }
}

#[test]
fn an_image_cut_off_anywhere_is_refused_or_read() {
    let dir = Bench::new();
    for sound in images(&dir) {
        let tally = survives_cuts(&FORMAT, &sound);
        assert!(tally.read > 4 && tally.refused > 4, "{}: {tally:?}", sound.name);
    }
}

#[test]
fn an_image_changed_anywhere_is_refused_or_read() {
    let dir = Bench::new();
    let mut tally = Tally::default();
    for sound in images(&dir).iter().take(3) {
        tally += survives_changes(&FORMAT, sound);
    }
    assert!(tally.read > 2000 && tally.refused > 2000, "{tally:?}");
}

#[test]
fn an_image_that_is_written_to_is_incomplete_until_it_is_complete() {
    let dir = Bench::new();
    for sound in images(&dir).iter().take(3) {
        assert!(survives_failures(&FORMAT, instar_vdi::existing, sound) > 6);
    }
}

#[test]
fn a_changed_image_is_written_to_or_refused() {
    let dir = Bench::new();
    let mut small = sound(&dir, "static=off", 2 * MIB + 512, false);
    small.fields = vec![0x150..0x160, 0x168..0x188];
    let tally = takes_changed_images(instar_vdi::existing, &small);
    assert!(tally.read > 20 && tally.refused > 20, "{tally:?}");
}
