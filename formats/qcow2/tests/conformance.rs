//! The suite of every format, on qcow2 images of every kind.
#![allow(
    clippy::single_range_in_vec_init,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests"
)]

mod support;

use std::ops::Range;

use instar_disk::{File, Opened, Result};
use instar_qcow2::OpenOptions;
use instar_testkit::conformance::{Format, Sound, covers_the_disk, survives_changes, survives_cuts};
use support::{Bench, MIB};

/// `open` reads the first cluster and, asked for them, snapshots and bitmaps; `map` pieces of the L1 table and of L2 tables.
const FORMAT: Format = Format {
    open,
    open_requests: 64,
    map_requests: 8 + 128,
    bytes: MIB,
    heap: 2 << 20,
};

fn open<'h>(file: File<'h>) -> Result<Opened<'h>> {
    instar_qcow2::open(file, OpenOptions { info_only: false })
}

fn be(bytes: &[u8], at: u64) -> u64 {
    let at = at as usize;
    u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// The header, its extensions, entries of the L1 table, of the first L2 table, and of the snapshot table.
fn sound(bench: &Bench, name: &str) -> Sound {
    let bytes = bench.bytes(name);
    let length = bytes.len() as u64;
    let cluster = 1 << bytes[23];
    let l1 = be(&bytes, 40);
    let l2 = be(&bytes, l1) & 0x00ff_ffff_ffff_fe00;
    let first = cluster.min(640);
    let mut tables: Vec<Range<u64>> = vec![112..first, l1..l1 + 16, l2..l2 + 48];
    let snapshots = be(&bytes, 64);
    if bytes[63] > 0 {
        tables.push(snapshots..snapshots + 64);
    }
    let tables = tables
        .into_iter()
        .map(|range| range.start..range.end.min(length))
        .collect();
    Sound {
        name: name.to_owned(),
        image: bench.path(name),
        fields: vec![0..112],
        tables,
        edges: vec![
            72,
            104,
            112,
            cluster,
            l1,
            l1 + 8,
            l2,
            l2 + cluster,
            be(&bytes, 48),
            snapshots,
        ],
        metadata: vec![
            0..(8 * cluster).min(length).min(128 << 10),
            l1..l1 + 1024,
            l2..l2 + 4096,
        ],
        // What the file lacks reads as zeros, but for the header and for snapshots.
        least: if bytes[7] == 2 { 24 } else { 104 },
        ..Sound::default()
    }
}

const VARIANTS: [(&str, &str); 8] = [
    ("usual", ""),
    ("version 2", "-o compat=0.10"),
    ("extended L2", "-o extended_l2=on"),
    ("clusters of 512 bytes", "-o cluster_size=512"),
    ("clusters of 2 MiB", "-o cluster_size=2M"),
    ("deflate", "-c"),
    ("zstd", "-c -o compression_type=zstd"),
    ("preallocated", "-o preallocation=metadata"),
];

fn images(bench: &Bench) -> Vec<Sound> {
    bench.pattern("source.raw", 3 * MIB + 512);
    let made = VARIANTS.map(|(name, options)| {
        let image = name.replace(' ', "-");
        bench.qemu_img(&format!("convert -f raw -O qcow2 {options} source.raw {image}"));
        sound(bench, &image)
    });
    bench.qemu_img("create -q -f qcow2 -b usual -F qcow2 overlay 4M");
    bench.qemu_io("overlay", &["write -P 3 64k 100k", "write -z 1M 128k"]);
    bench.qemu_img("snapshot -c first overlay");
    bench.qemu_img("bitmap --add overlay changes");
    bench.qemu_io("overlay", &["write -P 4 96k 100k"]);
    made.into_iter().chain([sound(bench, "overlay")]).collect()
}

#[test]
fn the_map_covers_every_disk() {
    let bench = Bench::new();
    for sound in images(&bench) {
        covers_the_disk(&FORMAT, &sound);
    }
}

#[test]
fn an_image_cut_off_anywhere_is_refused_or_read() {
    let bench = Bench::new();
    for sound in images(&bench) {
        let tally = survives_cuts(&FORMAT, &sound);
        assert!(tally.read > 0 && tally.refused > 10, "{}: {tally:?}", sound.name);
    }
}

#[test]
fn an_image_changed_anywhere_is_refused_or_read() {
    let bench = Bench::new();
    for sound in images(&bench) {
        let tally = survives_changes(&FORMAT, &sound);
        assert!(
            tally.read > 500 && tally.refused > 300,
            "{}: {tally:?}",
            sound.name
        );
    }
}
