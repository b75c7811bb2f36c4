//! The suite of every format, on sparse images of Apple, and what is read of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::single_range_in_vec_init,
    reason = "a failure is a test failure"
)]

use instar_disk::fault::asif as faults;
use instar_testkit::Bench;
use instar_testkit::conformance::{Format, Sound, Tally, covers_the_disk, survives_changes, survives_cuts};
use instar_testkit::image::{read_all, walk};
use instar_testkit::lay::asif as lay;
use instar_testkit::pattern::{assert_same, pattern};

/// `open` reads the header and two numbers; `map` a page of the directory, two of a table, and bits.
const FORMAT: Format = Format {
    open: instar_asif::open,
    open_requests: 3,
    map_requests: 4,
    bytes: 140 << 10,
    heap: 400 << 10,
};

/// Small chunks, so that a small disk has several tables.
const SMALL: lay::Layout = lay::Layout {
    sector: 512,
    chunk: 32 << 10,
    ..lay::USUAL
};

const LAYOUTS: [(&str, lay::Layout); 5] = [
    ("usual", lay::USUAL),
    ("small", SMALL),
    (
        "second",
        lay::Layout {
            second: true,
            ..SMALL
        },
    ),
    (
        "whole",
        lay::Layout {
            parts: false,
            ..SMALL
        },
    ),
    (
        "large sectors",
        lay::Layout {
            sector: 4096,
            ..lay::USUAL
        },
    ),
];

/// Pattern, with holes inside chunks and of several chunks.
fn disk(size: usize) -> Vec<u8> {
    let mut bytes = pattern(0, size as u64);
    for hole in [4096..20_480, 70_000 / 512 * 512..1_400_832, 2_097_152..2_101_248] {
        bytes[hole].fill(0);
    }
    bytes
}

fn sound(dir: &Bench, name: &str, layout: lay::Layout) -> Sound {
    let bytes = lay::image(&disk(3 << 20), layout);
    let image = dir.path(name);
    std::fs::write(&image, &bytes).unwrap();
    let word = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
    let directory = word(if layout.second { 24 } else { 16 });
    let table = word(usize::try_from(directory).unwrap() + 8) * layout.chunk;
    Sound {
        name: name.to_owned(),
        image,
        fields: vec![0..12, 16..32, 48..70],
        edges: (0..bytes.len() as u64)
            .step_by(usize::try_from(layout.chunk).unwrap())
            .collect(),
        metadata: vec![0..1024],
        least: directory + 16,
        tables: vec![directory..directory + 16, table..table + 64],
        ..Sound::default()
    }
}

#[test]
fn disks_are_read_as_they_were_laid_out() {
    let dir = Bench::new();
    for (name, layout) in LAYOUTS {
        let size = if layout.chunk < 1 << 20 {
            100 << 20
        } else {
            5 << 20
        };
        let disk = disk(size);
        let image = dir.path(name);
        std::fs::write(&image, lay::image(&disk, layout)).unwrap();
        assert_same(&read_all(instar_asif::open, &image).unwrap(), &disk, name);
    }
}

#[test]
fn the_map_covers_every_disk() {
    let dir = Bench::new();
    for (name, layout) in LAYOUTS {
        covers_the_disk(&FORMAT, &sound(&dir, name, layout));
    }
}

#[test]
fn an_image_cut_off_anywhere_is_refused_or_read() {
    let dir = Bench::new();
    for (name, layout) in LAYOUTS {
        let tally = survives_cuts(&FORMAT, &sound(&dir, name, layout));
        assert!(tally.refused > 2, "{name}: {tally:?}");
    }
}

#[test]
fn an_image_changed_anywhere_is_refused_or_read() {
    let dir = Bench::new();
    let mut tally = Tally::default();
    for (name, layout) in [("small", SMALL), ("usual", lay::USUAL)] {
        tally += survives_changes(&FORMAT, &sound(&dir, name, layout));
    }
    assert!(tally.read > 200 && tally.refused > 200, "{tally:?}");
}

#[test]
fn what_nobody_has_seen_is_refused() {
    let dir = Bench::new();
    let sound = sound(&dir, "small", SMALL);
    let bytes = std::fs::read(&sound.image).unwrap();
    let table = usize::try_from(sound.tables[1].start).unwrap();
    let first = u64::from_be_bytes(bytes[table..table + 8].try_into().unwrap());
    let lies: [(usize, Vec<u8>, _); 10] = [
        (0, vec![0], faults::MAGIC),
        (7, vec![2], faults::VERSION),
        (11, vec![8], faults::VERSION),
        (64, vec![0x7f], faults::CHUNK_SIZE),
        (64, vec![0, 0, 1, 0], faults::CHUNK_SIZE),
        (68, vec![0, 0], faults::SECTOR_SIZE),
        (48, vec![0x7f], faults::SIZE),
        (
            table,
            (2 << 62 | first & !(3 << 62)).to_be_bytes().to_vec(),
            faults::ENTRY,
        ),
        (table, (first & !(3 << 62)).to_be_bytes().to_vec(), faults::ENTRY),
        (table, (first | 1 << 55).to_be_bytes().to_vec(), faults::ENTRY),
    ];
    for (at, value, fault) in lies {
        let mut lie = bytes.clone();
        lie[at..at + value.len()].copy_from_slice(&value);
        let found = walk(instar_asif::open, &sound.image, &lie, 3, 4).unwrap_err();
        assert_eq!(found.code, fault, "{at}: {value:?}");
    }
}
