//! The suite of every format, on VHDXs.
#![allow(
    clippy::single_range_in_vec_init,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure is a test failure"
)]

mod build;

use std::ops::Range;

use build::{BAT, ByHand, Change, DATA, LOG, METADATA, entry, log};
use instar_testkit::Bench;
use instar_testkit::conformance::{
    Format, Sound, Sum, covers_the_disk, survives_changes, survives_cuts, survives_failures,
    takes_changed_images,
};
use instar_testkit::oracle::{qemu, text};
use instar_testkit::pattern::MIB;

/// `open` reads identifier, headers, regions, metadata, a locator, a mebibyte of BAT in pages of 32 KiB and, in a dirty image, its
/// log of 1 MiB in pieces of 64 KiB; `map` two pages of the BAT, a piece of a bitmap, extents.
const FORMAT: Format = Format {
    open: instar_vhdx::open,
    open_requests: 5 + 2 + 8 + 1 + 32 + 16,
    map_requests: 4,
    bytes: 2 << 20,
    heap: 96 << 10,
};

const KIB: u64 = 1 << 10;

fn crc(bytes: &[u8]) -> [u8; 4] {
    instar_vhdx::crc32c(bytes).to_le_bytes()
}

fn sealed(of: Range<u64>) -> Sum {
    Sum {
        at: of.start + 4,
        of,
        value: crc,
    }
}

/// Where an image has what, with its BAT and its metadata here.
fn structures(name: &str, image: std::path::PathBuf, bat: u64, metadata: u64, entries: u64) -> Sound {
    let length = image.metadata().unwrap().len();
    Sound {
        name: name.to_owned(),
        image,
        fields: vec![0..8, 128 * KIB..128 * KIB + 80, 192 * KIB..192 * KIB + 80],
        tables: vec![
            64 * KIB..64 * KIB + 80,
            256 * KIB..256 * KIB + 80,
            metadata..metadata + 32 + 32 * 6,
            metadata + 64 * KIB..metadata + 64 * KIB + 40,
            bat..bat + 8 * entries,
        ],
        edges: [1, 2, 3, 4]
            .iter()
            .map(|n| n * 64 * KIB)
            .chain([MIB, bat, metadata, metadata + 64 * KIB, length - MIB])
            .collect(),
        metadata: vec![
            0..1024,
            64 * KIB..70 * KIB,
            128 * KIB..134 * KIB,
            192 * KIB..196 * KIB,
            252 * KIB..256 * KIB,
            bat..bat + 8192,
            metadata..metadata + 8192,
            metadata + 60 * KIB..metadata + 68 * KIB,
            length - 4096..length,
        ],
        // What is left of the last sector counts as all of it.
        least: length - 511,
        sums: vec![
            sealed(64 * KIB..68 * KIB),
            sealed(128 * KIB..132 * KIB),
            sealed(192 * KIB..256 * KIB),
            sealed(256 * KIB..320 * KIB),
        ],
        ..Sound::default()
    }
}

fn by_hand(dir: &Bench, name: &str, disk: &ByHand<'_>) -> Sound {
    let image = dir.path(&format!("{name}.vhdx"));
    std::fs::write(&image, disk.build()).unwrap();
    structures(name, image, BAT, METADATA, 4)
}

fn dynamic(dir: &Bench) -> Sound {
    by_hand(dir, "dynamic", &ByHand::default())
}

fn large_sectors(dir: &Bench) -> Sound {
    let disk = ByHand {
        sector_size: 4096,
        ..ByHand::default()
    };
    by_hand(dir, "sectors of 4096 bytes", &disk)
}

fn differencing(dir: &Bench) -> Sound {
    let disk = ByHand {
        bat: &[(0, 7, 1), (1, 0, 0), (2, 6, 0), (4096, 6, 2)],
        bitmap: (0..1_u32 << 20)
            .map(|at| if at / 40 % 2 == 0 { 0xff } else { 0 })
            .collect(),
        parent: Some(&[("relative_path", "p.vhdx"), ("parent_linkage", "{1}")]),
        ..ByHand::default()
    };
    let mut sound = by_hand(dir, "differencing", &disk);
    sound.tables = vec![
        METADATA + 32 + 32 * 5..METADATA + 32 + 32 * 6,
        METADATA + 64 * KIB + 40..METADATA + 64 * KIB + 160,
        BAT..BAT + 24,
        BAT + 8 * 4096..BAT + 8 * 4097,
    ];
    sound
}

/// A log of one entry that writes the BAT's first sector, which is lost, and zeros.
fn dirty(dir: &Bench) -> Sound {
    let mut bytes = ByHand::default().build();
    let at = usize::try_from(BAT).unwrap();
    let table = bytes[at..at + 4096].to_vec();
    bytes[at..at + 4096].fill(0);
    let end = bytes.len() as u64;
    let changes = [Change::Data(BAT, table), Change::Zero(DATA, 4096)];
    log(&mut bytes, 0, &entry(1, 0, end, end, &changes));
    let image = dir.path("dirty.vhdx");
    std::fs::write(&image, bytes).unwrap();
    let sound = structures("dirty", image, BAT, METADATA, 4);
    Sound {
        fields: vec![LOG..LOG + 32],
        tables: vec![
            LOG + 32..LOG + 128,
            LOG + 4096..LOG + 4112,
            LOG + 8188..LOG + 8192,
        ],
        metadata: vec![LOG..LOG + 16 * KIB],
        sums: vec![sealed(LOG..LOG + 8192)],
        ..sound
    }
}

fn by_qemu(dir: &Bench, options: &str) -> Sound {
    let raw = dir.raw(
        "disk.raw",
        7 * MIB,
        &[(0, 4096), (3 * MIB, MIB), (7 * MIB - 512, 512)],
    );
    let image = dir.path(&format!("{options}.vhdx"));
    qemu(&[
        "convert",
        "-f",
        "raw",
        "-O",
        "vhdx",
        "-o",
        options,
        text(&raw),
        text(&image),
    ]);
    structures(options, image, BAT, METADATA, 7)
}

type Make = fn(&Bench) -> Sound;

const IMAGES: [Make; 6] = [
    dynamic,
    large_sectors,
    differencing,
    dirty,
    |dir| by_qemu(dir, "subformat=dynamic,block_size=1M"),
    |dir| by_qemu(dir, "subformat=fixed,block_size=1M,block_state_zero=off"),
];

#[test]
fn the_map_covers_every_disk() {
    let dir = Bench::new();
    for make in IMAGES {
        covers_the_disk(&FORMAT, &make(&dir));
    }
}

#[test]
fn an_image_cut_off_before_its_last_sector_is_refused() {
    let dir = Bench::new();
    for make in IMAGES {
        let sound = make(&dir);
        let tally = survives_cuts(&FORMAT, &sound);
        assert!(tally.read <= 1 && tally.refused > 50, "{}: {tally:?}", sound.name);
    }
}

fn changed(make: Make) {
    let dir = Bench::new();
    let sound = make(&dir);
    let tally = survives_changes(&FORMAT, &sound);
    assert!(
        tally.read > 100 && tally.refused > 100,
        "{}: {tally:?}",
        sound.name
    );
}

#[test]
fn a_dynamic_disk_changed_anywhere_is_refused_or_read() {
    changed(dynamic);
}

#[test]
fn a_differencing_disk_changed_anywhere_is_refused_or_read() {
    changed(differencing);
}

#[test]
fn a_dirty_disk_changed_anywhere_is_refused_or_read() {
    changed(dirty);
}

fn existing<'h>(
    file: instar_disk::File<'h>,
    size: u64,
) -> instar_disk::Result<Box<dyn instar_disk::Target + 'h>> {
    let seed = instar_disk::job::Seed {
        random: [7; 32],
        unix_seconds: 1,
    };
    instar_vhdx::existing(file, size, &seed)
}

#[test]
fn an_image_that_is_written_to_is_incomplete_until_it_is_complete() {
    let dir = Bench::new();
    for make in [IMAGES[0], IMAGES[1], IMAGES[4], IMAGES[5]] {
        assert!(survives_failures(&FORMAT, existing, &make(&dir)) > 6);
    }
}

#[test]
fn a_changed_image_is_written_to_or_refused() {
    let dir = Bench::new();
    let mut sound = dynamic(&dir);
    sound.fields = vec![128 * KIB + 8..128 * KIB + 80, 192 * KIB + 32..192 * KIB + 48];
    sound.tables = vec![METADATA + 64 * KIB..METADATA + 64 * KIB + 16, BAT..BAT + 32];
    let tally = takes_changed_images(existing, &sound);
    assert!(tally.read > 50 && tally.refused > 50, "{tally:?}");
}

#[test]
fn overlays_and_dirty_images_are_not_written_to() {
    let dir = Bench::new();
    for make in [differencing, dirty] {
        let host = instar_testkit::Native::new(1);
        let facts = host.existing(make(&dir).image);
        let refused = existing(instar_disk::File::new(&host, facts), 0).err().unwrap();
        assert_eq!(refused.code, instar_disk::fault::core::UNSUPPORTED);
    }
}
