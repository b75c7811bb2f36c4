//! The suite of every format, on VHDs.
#![allow(
    clippy::single_range_in_vec_init,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure is a test failure"
)]

mod build;

use build::{ByHand, dynamic};
use instar_testkit::Bench;
use instar_testkit::conformance::{
    Format, Sound, Sum, Tally, covers_the_disk, survives_changes, survives_cuts, survives_failures,
    takes_changed_images,
};
use instar_testkit::oracle::{qemu, text};
use instar_testkit::pattern::MIB;

/// `open` reads two headers, a locator, a mebibyte of table in pages of 32 KiB; `map` a page of the table, a piece of a bitmap.
const FORMAT: Format = Format {
    open: instar_vhd::open,
    open_requests: 3 + 32,
    map_requests: 2,
    bytes: 1 << 20,
    heap: 40 << 10,
};

/// The ones' complement of the sum of all bytes.
fn sum(bytes: &[u8]) -> [u8; 4] {
    (!bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>()).to_be_bytes()
}

/// Where a dynamic or differencing disk of `blocks` has what.
fn structures(sound: Sound, table: u64, blocks: u64) -> Sound {
    let length = sound.image.metadata().unwrap().len();
    let entries = table..table + 4 * blocks;
    let data = entries.end.next_multiple_of(512);
    Sound {
        fields: vec![0..88, 512..600, length - 512..length - 424],
        edges: vec![512, 1536, table, entries.end, data, data + 512, length - 512],
        metadata: vec![0..data + 2048, length - 2048..length],
        // Only the footer at the end, of which there is a copy in front, may be missing.
        least: length - 1024,
        tables: vec![entries],
        sums: vec![
            Sum {
                of: 0..512,
                at: 64,
                value: sum,
            },
            Sum {
                of: 512..1536,
                at: 512 + 36,
                value: sum,
            },
        ],
        ..sound
    }
}

fn by_hand(dir: &Bench, disk_type: u32) -> Sound {
    let bytes = dynamic(&ByHand {
        size: 6 * 4096 - 512,
        block_size: 4096,
        blocks: &[Some(2), None, Some(0), None, Some(1), Some(3)],
        bitmap: &|_| 0xa5,
        disk_type,
        parent: (disk_type == 4).then_some("p.vhd"),
    });
    let image = dir.path(&format!("{disk_type}.vhd"));
    std::fs::write(&image, &bytes).unwrap();
    let name = format!("by hand, type {disk_type}");
    let mut sound = structures(
        Sound {
            name,
            image,
            ..Sound::default()
        },
        2048,
        6,
    );
    if disk_type == 4 {
        // The locator, and the name that it leads to.
        sound.fields.push(512 + 576..512 + 600);
        sound.tables.push(1536..1546);
        sound.tables.push(2560..2568);
    }
    sound
}

fn by_qemu(dir: &Bench, options: &str) -> Sound {
    let raw = dir.raw(
        "disk.raw",
        7 * MIB,
        &[(0, 4096), (3 * MIB, MIB), (7 * MIB - 512, 512)],
    );
    let image = dir.path(&format!("{options}.vhd"));
    qemu(&[
        "convert",
        "-f",
        "raw",
        "-O",
        "vpc",
        "-o",
        options,
        text(&raw),
        text(&image),
    ]);
    let sound = Sound {
        name: options.to_owned(),
        image,
        ..Sound::default()
    };
    if options != "subformat=fixed" {
        return structures(sound, 1536, 4);
    }
    let length = sound.image.metadata().unwrap().len();
    let footer = length - 512;
    Sound {
        fields: vec![footer..footer + 88],
        edges: vec![footer],
        metadata: vec![0..4096, footer - 2048..length],
        // The footer's padding may be cut off by no more than is read as zeros.
        least: footer,
        sums: vec![Sum {
            of: footer..length,
            at: footer + 64,
            value: sum,
        }],
        ..sound
    }
}

fn images(dir: &Bench) -> Vec<Sound> {
    vec![
        by_hand(dir, 3),
        by_hand(dir, 4),
        by_qemu(dir, "subformat=dynamic"),
        by_qemu(dir, "subformat=fixed"),
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
    let mut tally = Tally::default();
    for sound in images(&dir) {
        tally += survives_cuts(&FORMAT, &sound);
    }
    assert!(tally.read > 0 && tally.refused > 50, "{tally:?}");
}

#[test]
fn an_image_changed_anywhere_is_refused_or_read() {
    let dir = Bench::new();
    for sound in images(&dir) {
        let tally = survives_changes(&FORMAT, &sound);
        assert!(
            tally.read > 200 && tally.refused > 200,
            "{}: {tally:?}",
            sound.name
        );
    }
}

#[test]
fn an_image_that_is_written_to_is_incomplete_until_it_is_complete() {
    let dir = Bench::new();
    for sound in [
        by_hand(&dir, 3),
        by_qemu(&dir, "subformat=dynamic"),
        by_qemu(&dir, "subformat=fixed"),
    ] {
        assert!(survives_failures(&FORMAT, instar_vhd::existing, &sound) > 6);
    }
}

#[test]
fn a_changed_image_is_written_to_or_refused() {
    let dir = Bench::new();
    let tally = takes_changed_images(instar_vhd::existing, &by_hand(&dir, 3));
    assert!(tally.read > 50 && tally.refused > 50, "{tally:?}");
}
