//! The suite of every format, on QED images.
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

/// `open` reads the header and the name in it; `map` a page of L1 and one of an L2 table.
const FORMAT: Format = Format {
    open: instar_qed::open,
    open_requests: 2,
    map_requests: 2,
    bytes: 64 << 10,
    heap: 100 << 10,
};

/// An image that qemu-img made: data, zeros, nothing. With `below`, it names a layer.
fn sound(dir: &Bench, options: &str, size: u64, below: bool) -> Sound {
    let raw = dir.raw("disk.raw", size, &[(0, 4096), (2 * MIB, MIB), (size - 512, 512)]);
    let name = format!("{options} {size} {below}");
    let image = dir.path(&format!("{name}.qed"));
    qemu(&[
        "convert",
        "-f",
        "raw",
        "-O",
        "qed",
        "-o",
        options,
        text(&raw),
        text(&image),
    ]);
    if below {
        dir.raw("below", size, &[]);
        qemu(&["rebase", "-u", "-b", "below", "-F", "raw", text(&image)]);
    }
    let bytes = std::fs::read(&image).unwrap();
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let l1 = word(40);
    let table = word(usize::try_from(l1).unwrap());
    let end = bytes.len() as u64;
    Sound {
        name,
        image,
        fields: vec![0..64],
        edges: vec![l1, table, end],
        metadata: vec![0..l1 + 2048, table..table + 2048],
        least: l1 + 1,
        tables: vec![l1..l1 + 16, table..table + 64],
        ..Sound::default()
    }
}

fn images(dir: &Bench) -> Vec<Sound> {
    vec![
        sound(dir, "table_size=4", 4 * MIB + 512, false),
        sound(dir, "table_size=2,cluster_size=4096", 4 * MIB, false),
        sound(dir, "table_size=4", 4 * MIB + 512, true),
        sound(dir, "table_size=2,cluster_size=4096", 300 * MIB, false),
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
        assert!(tally.refused > 4, "{}: {tally:?}", sound.name);
    }
}

#[test]
fn an_image_changed_anywhere_is_refused_or_read() {
    let dir = Bench::new();
    let mut tally = Tally::default();
    for sound in images(&dir) {
        tally += survives_changes(&FORMAT, &sound);
    }
    assert!(tally.read > 500 && tally.refused > 500, "{tally:?}");
}

#[test]
fn an_image_that_is_written_to_is_incomplete_until_it_is_complete() {
    let dir = Bench::new();
    for sound in images(&dir).iter().take(3) {
        assert!(survives_failures(&FORMAT, instar_qed::existing, sound) > 6);
    }
}

#[test]
fn a_changed_image_is_written_to_or_refused() {
    let dir = Bench::new();
    let small = sound(&dir, "table_size=2,cluster_size=4096", 2 * MIB + 512, false);
    let tally = takes_changed_images(instar_qed::existing, &small);
    assert!(tally.read > 20 && tally.refused > 20, "{tally:?}");
}
