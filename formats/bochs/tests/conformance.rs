//! The suite of every format, on growing redologs.
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
use instar_testkit::lay::bochs as lay;
use instar_testkit::pattern::pattern;

/// `open` reads the header; `map` a page of the catalog and a bitmap.
const FORMAT: Format = Format {
    open: instar_bochs::open,
    open_requests: 1,
    map_requests: 2,
    bytes: 64 << 10,
    heap: 64 << 10,
};

fn sound(dir: &Bench, name: &str, layout: lay::Layout) -> Sound {
    let mut disk = pattern(0, 300_000);
    disk.truncate(300_000 / 512 * 512);
    for hole in [4096..8192, 70_000..140_000, 262_144..262_656] {
        disk[hole].fill(0);
    }
    let bytes = lay::image(&disk, layout);
    let image = dir.path(name);
    std::fs::write(&image, &bytes).unwrap();
    let entries = disk.len().div_ceil(layout.extent as usize) as u64 + u64::from(layout.spare);
    let catalog = u64::from(layout.header)..u64::from(layout.header) + 4 * entries;
    let each = u64::from(layout.bitmap.next_multiple_of(512) + layout.extent);
    let data = catalog.end..bytes.len() as u64;
    Sound {
        name: name.to_owned(),
        image,
        fields: vec![0..24, 32..40, 48..56, 64..96],
        edges: data.clone().step_by(each as usize).collect(),
        metadata: vec![0..data.start + 2048],
        least: data.start,
        tables: vec![catalog, data.start..data.start + 16],
        ..Sound::default()
    }
}

fn images(dir: &Bench) -> Vec<Sound> {
    vec![
        sound(dir, "usual", lay::USUAL),
        sound(
            dir,
            "old",
            lay::Layout {
                version: 0x10000,
                backwards: true,
                ..lay::USUAL
            },
        ),
        sound(
            dir,
            "sectors",
            lay::Layout {
                extent: 512,
                bitmap: 1,
                ..lay::USUAL
            },
        ),
        sound(
            dir,
            "apart",
            lay::Layout {
                extent: 4096,
                bitmap: 513,
                header: 2048,
                ..lay::USUAL
            },
        ),
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
        assert!(tally.refused > 10, "{}: {tally:?}", sound.name);
    }
}

#[test]
fn an_image_changed_anywhere_is_refused_or_read() {
    let dir = Bench::new();
    let mut tally = Tally::default();
    for sound in images(&dir).iter().take(2) {
        tally += survives_changes(&FORMAT, sound);
    }
    assert!(tally.read > 300 && tally.refused > 300, "{tally:?}");
}
