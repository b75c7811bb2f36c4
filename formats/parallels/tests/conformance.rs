//! The suite of every format, on Parallels disks.
#![allow(
    clippy::single_range_in_vec_init,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure is a test failure"
)]

mod common;

use instar_testkit::Bench;
use instar_testkit::conformance::{
    Format, Sound, Tally, covers_the_disk, survives_changes, survives_cuts, survives_failures,
    takes_changed_images,
};
use instar_testkit::oracle::{qemu, text};
use instar_testkit::pattern::MIB;

/// `open` reads the header and the extension; `map` a page of the BAT.
const FORMAT: Format = Format {
    open: instar_parallels::open,
    open_requests: 5,
    map_requests: 1,
    bytes: 66 << 10,
    heap: 200 << 10,
};

/// Of an extension, `open` reads a cluster, which the header may claim to be large.
const EXTENDED: Format = Format {
    open_requests: 2100,
    bytes: 65 << 20,
    ..FORMAT
};

const fn format(sound: &Sound) -> &'static Format {
    match sound.fields.len() {
        1 => &FORMAT,
        _ => &EXTENDED,
    }
}

/// An image that qemu-img made: data and nothing. `with`: options of qemu-img, or what was changed.
fn sound(dir: &Bench, with: &str, size: u64) -> Sound {
    let raw = dir.raw("disk.raw", size, &[(0, 4096), (2 * MIB, MIB), (size - 512, 512)]);
    let name = format!("{with} {size}");
    let image = dir.path(&format!("{name}.hds"));
    let options = if with.contains('=') {
        with
    } else {
        "cluster_size=64k"
    };
    qemu(&[
        "convert",
        "-f",
        "raw",
        "-O",
        "parallels",
        "-o",
        options,
        text(&raw),
        text(&image),
    ]);
    let mut bytes = std::fs::read(&image).unwrap();
    let mut fields = vec![0..64];
    match with {
        "old" => common::make_old(&mut bytes),
        "extended" => {
            let at = bytes.len() as u64;
            common::extend(&mut bytes, &[common::bitmap(size / 512, 128, &[0])]);
            fields.push(at..at + 128);
        }
        _ => {}
    }
    std::fs::write(&image, &bytes).unwrap();
    let entries = u64::from(u32::from_le_bytes(bytes[32..36].try_into().unwrap()));
    let data = u64::from(u32::from_le_bytes(bytes[48..52].try_into().unwrap())) * 512;
    Sound {
        name,
        image,
        fields,
        edges: vec![64, 64 + 4 * entries, data, bytes.len() as u64],
        metadata: vec![0..data.min(4096)],
        least: 64 + 4 * entries,
        tables: vec![64..64 + 40.min(4 * entries)],
        ..Sound::default()
    }
}

fn images(dir: &Bench) -> Vec<Sound> {
    vec![
        sound(dir, "cluster_size=1M", 4 * MIB + 512),
        sound(dir, "cluster_size=49152", 4 * MIB),
        sound(dir, "old", 4 * MIB + 512),
        sound(dir, "extended", 4 * MIB),
        sound(dir, "cluster_size=512", 8 * MIB),
    ]
}

#[test]
fn the_map_covers_every_disk() {
    let dir = Bench::new();
    for sound in images(&dir) {
        covers_the_disk(format(&sound), &sound);
    }
}

#[test]
fn an_image_cut_off_anywhere_is_refused_or_read() {
    let dir = Bench::new();
    for sound in images(&dir) {
        let tally = survives_cuts(format(&sound), &sound);
        assert!(tally.refused > 2, "{}: {tally:?}", sound.name);
    }
}

#[test]
fn an_image_changed_anywhere_is_refused_or_read() {
    let dir = Bench::new();
    let mut tally = Tally::default();
    for sound in images(&dir) {
        tally += survives_changes(format(&sound), &sound);
    }
    assert!(tally.read > 500 && tally.refused > 500, "{tally:?}");
}

#[test]
fn an_image_that_is_written_to_is_incomplete_until_it_is_complete() {
    let dir = Bench::new();
    for sound in images(&dir).iter().take(3) {
        assert!(survives_failures(&FORMAT, instar_parallels::existing, sound) > 4);
    }
}

#[test]
fn a_changed_image_is_written_to_or_refused() {
    let dir = Bench::new();
    for with in ["cluster_size=64k", "old"] {
        let small = sound(&dir, with, 2 * MIB + 512);
        let tally = takes_changed_images(instar_parallels::existing, &small);
        assert!(tally.read > 20 && tally.refused > 20, "{tally:?}");
    }
}
