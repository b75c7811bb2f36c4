//! The suite of every format, on qcow images of version 1.
#![allow(
    clippy::single_range_in_vec_init,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure is a test failure"
)]

use instar_disk::{File, Opened, Result};
use instar_testkit::Bench;
use instar_testkit::conformance::{
    Format, Sound, Tally, covers_the_disk, survives_changes, survives_cuts, survives_failures,
    takes_changed_images,
};
use instar_testkit::oracle::{qemu, qemu_io, run, text};
use instar_testkit::pattern::MIB;

/// `open` reads the header and the name; `map` a page of L1 and one of an L2 table.
const FORMAT: Format = Format {
    open,
    open_requests: 2,
    map_requests: 2,
    bytes: 64 << 10,
    heap: 100 << 10,
};

fn open<'h>(file: File<'h>) -> Result<Opened<'h>> {
    instar_qcow::open(file, false)
}

/// An image that qemu-img made: data and nothing. `with`: compressed, or over a layer.
fn sound(dir: &Bench, with: &str, size: u64) -> Sound {
    let raw = dir.path("disk.raw");
    let mut bytes = vec![0; usize::try_from(size).unwrap()];
    for (number, byte) in (0_u8..=255).cycle().zip(&mut bytes[..20_000]) {
        *byte = number / 3;
    }
    bytes[1 << 20..(1 << 20) + 300_000].fill(7);
    std::fs::write(&raw, bytes).unwrap();
    let name = format!("{with} {size}");
    let image = dir.path(&format!("{name}.qcow"));
    match with {
        "plain" => {
            qemu(&["convert", "-f", "raw", "-O", "qcow", text(&raw), text(&image)]);
        }
        // qemu-img returns 1 when it has written such an image.
        "compressed" => {
            let _ = run(&[
                "convert",
                "-c",
                "-f",
                "raw",
                "-O",
                "qcow",
                text(&raw),
                text(&image),
            ]);
        }
        _ => {
            let below = dir.path("disk.raw");
            qemu(&[
                "create",
                "-q",
                "-f",
                "qcow",
                "-b",
                text(&below),
                "-F",
                "raw",
                text(&image),
            ]);
            qemu_io("qcow", &image, "write -P 3 0 20000");
        }
    }
    let bytes = std::fs::read(&image).unwrap();
    let word = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
    let l1 = word(40);
    let table = word(usize::try_from(l1).unwrap());
    Sound {
        name,
        image,
        fields: vec![0..48],
        edges: vec![48, l1, table, bytes.len() as u64],
        metadata: vec![0..l1 + 512, table..table + 2048],
        least: l1 + 1,
        tables: vec![l1..l1 + 16, table..table + 64],
        ..Sound::default()
    }
}

fn images(dir: &Bench) -> Vec<Sound> {
    vec![
        sound(dir, "plain", 4 * MIB + 512),
        sound(dir, "compressed", 4 * MIB),
        sound(dir, "over", 4 * MIB + 512),
        sound(dir, "plain", 300 * MIB),
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
        assert!(survives_failures(&FORMAT, instar_qcow::existing, sound) > 6);
    }
}

#[test]
fn a_changed_image_is_written_to_or_refused() {
    let dir = Bench::new();
    for with in ["plain", "compressed"] {
        let small = sound(&dir, with, 2 * MIB + 512);
        let tally = takes_changed_images(instar_qcow::existing, &small);
        assert!(tally.read > 20 && tally.refused > 20, "{tally:?}");
    }
}
