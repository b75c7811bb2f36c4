//! The suite of every format, on VMDKs of every kind.
#![allow(
    clippy::single_range_in_vec_init,
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::cast_possible_truncation,
    reason = "test support outside test functions: a failure is a test failure"
)]

mod common;

use common::build::{Hosted, Places, cowd, descriptor, se_sparse};
use common::{Bench, GRAIN, disk};
use instar_testkit::conformance::{
    Format, Sound, Tally, covers_the_disk, survives_changes, survives_cuts, survives_failures,
    takes_changed_images,
};

/// `open` reads headers, descriptors, footers and extents' headers, a text of at most 1 MiB; `map` pages of directory and table, and the marker of a grain.
const FORMAT: Format = Format {
    open: instar_vmdk::open,
    open_requests: 8,
    map_requests: 8,
    bytes: (1 << 20) + (64 << 10),
    heap: 1536 << 10,
};

const HEADER: u64 = 80;

fn wide(places: &[usize]) -> Vec<u64> {
    places.iter().map(|place| *place as u64).collect()
}

/// The directory, the first entries of each table, and the heads of marked grains.
fn tables(places: &Places, entry: u64, grain_head: u64) -> Vec<std::ops::Range<u64>> {
    let directory = places.directory as u64;
    let mut ranges = vec![directory..directory + entry * places.tables.len() as u64];
    ranges.extend(wide(&places.tables).iter().map(|at| *at..at + 6 * entry));
    if grain_head > 0 {
        ranges.extend(wide(&places.grains).iter().take(2).map(|at| *at..at + grain_head));
    }
    ranges
}

fn edges(places: &Places) -> Vec<u64> {
    let mut edges = wide(&places.grains);
    edges.extend(wide(&places.tables));
    edges.push(places.directory as u64);
    edges
}

/// One file that has everything.
fn hosted(bench: &Bench, name: &str, hosted: &Hosted) -> Sound {
    let (file, places) = hosted.build(&disk(5 * GRAIN + 512));
    let length = file.len() as u64;
    let image = bench.put(&format!("{name}.vmdk"), &file);
    let mut fields = vec![0..HEADER];
    if hosted.footer {
        fields.push(length - 1024..length - 1024 + HEADER);
    }
    let marked = hosted.packing == common::build::Packing::Marked;
    let mut tables = tables(&places, 4, if marked { 16 } else { 0 });
    if hosted.footer {
        // The markers before and behind the footer.
        tables.extend([length - 1536..length - 1520, length - 512..length - 496]);
    }
    tables.push(512..512 + 160);
    Sound {
        name: name.to_owned(),
        image,
        fields,
        tables,
        edges: edges(&places),
        metadata: vec![0..65536, length - 8192..length],
        // Behind the directory there is nothing but padding, or the footer and a sector of zeros.
        least: if hosted.footer {
            length - 511
        } else {
            (places.directory + 4 * places.tables.len()) as u64
        },
        ..Sound::default()
    }
}

/// An extent that ESX made, and its descriptor.
fn esx(bench: &Bench, name: &str, kind: &str, file: &[u8], sound: Sound) -> Sound {
    let extent = format!("{name}-extent");
    let victim = Some(bench.put(&extent, file));
    let sectors = disk(5 * GRAIN + 512).len() / 512;
    let text = descriptor(name, &format!("RW {sectors} {kind} \"{extent}\""));
    Sound {
        name: name.to_owned(),
        image: bench.put(&format!("{name}.vmdk"), text.as_bytes()),
        victim,
        metadata: vec![0..8192],
        ..sound
    }
}

fn esx_sparse(bench: &Bench) -> Sound {
    let (file, places) = cowd(&disk(5 * GRAIN + 512), 16);
    let sound = Sound {
        fields: vec![0..32],
        tables: tables(&places, 4, 0),
        edges: edges(&places),
        ..Sound::default()
    };
    esx(bench, "vmfsSparse", "VMFSSPARSE", &file, sound)
}

fn space_efficient(bench: &Bench) -> Sound {
    let (file, places) = se_sparse(&disk(5 * GRAIN + 512), Some(1));
    let sound = Sound {
        fields: vec![0..208, 512..512 + 40],
        tables: tables(&places, 8, 0),
        edges: edges(&places),
        ..Sound::default()
    };
    esx(bench, "seSparse", "SESPARSE", &file, sound)
}

/// What qemu-img makes: the descriptor suffers.
fn by_qemu(bench: &Bench, subformat: &str) -> Sound {
    bench.put("in.raw", &disk(5 * GRAIN + 512));
    let name = format!("{subformat}.vmdk");
    let option = format!("subformat={subformat}");
    bench.qemu(&[
        "convert", "-f", "raw", "-O", "vmdk", "-o", &option, "in.raw", &name,
    ]);
    let text = bench.bytes(&name).len() as u64;
    let embedded = !subformat.starts_with("two") && !subformat.ends_with("Flat");
    Sound {
        name: subformat.to_owned(),
        image: bench.path(&name),
        tables: vec![if embedded { 512..832 } else { 0..text }],
        metadata: vec![0..text.min(65536)],
        ..Sound::default()
    }
}

fn built(bench: &Bench) -> Vec<Sound> {
    let front = Hosted {
        footer: false,
        ..Hosted::stream()
    };
    let small = Hosted {
        grain_sectors: 8,
        entries: 4,
        ..Hosted::default()
    };
    vec![
        hosted(bench, "sparse", &Hosted::default()),
        hosted(bench, "small grains", &small),
        hosted(bench, "stream", &Hosted::stream()),
        hosted(bench, "stream without footer", &front),
        esx_sparse(bench),
        space_efficient(bench),
    ]
}

fn made(bench: &Bench) -> Vec<Sound> {
    [
        "monolithicSparse",
        "monolithicFlat",
        "twoGbMaxExtentSparse",
        "twoGbMaxExtentFlat",
        "streamOptimized",
    ]
    .map(|subformat| by_qemu(bench, subformat))
    .into()
}

#[test]
fn the_map_covers_every_disk() {
    let bench = Bench::new();
    for sound in built(&bench).iter().chain(&made(&bench)) {
        covers_the_disk(&FORMAT, sound);
    }
}

#[test]
fn an_image_cut_off_anywhere_is_refused_or_read() {
    let bench = Bench::new();
    for sound in built(&bench).iter().chain(&made(&bench)) {
        let tally = survives_cuts(&FORMAT, sound);
        assert!(tally.refused > 10, "{}: {tally:?}", sound.name);
    }
}

#[test]
fn an_extent_changed_anywhere_is_refused_or_read() {
    let bench = Bench::new();
    for sound in built(&bench) {
        let tally = survives_changes(&FORMAT, &sound);
        assert!(
            tally.read > 50 && tally.refused > 200,
            "{}: {tally:?}",
            sound.name
        );
    }
}

#[test]
fn a_descriptor_changed_anywhere_is_refused_or_read() {
    let bench = Bench::new();
    let mut tally = Tally::default();
    for sound in made(&bench) {
        tally += survives_changes(&FORMAT, &sound);
    }
    assert!(tally.read > 500 && tally.refused > 500, "{tally:?}");
}

fn existing<'h>(
    file: instar_disk::File<'h>,
    size: u64,
) -> instar_disk::Result<Box<dyn instar_disk::Target + 'h>> {
    let seed = instar_disk::job::Seed {
        random: [7; 32],
        unix_seconds: 1,
    };
    instar_vmdk::existing(file, &[], size, &seed)
}

#[test]
fn an_image_that_is_written_to_is_incomplete_until_it_is_complete() {
    let bench = Bench::new();
    for sound in [
        hosted(&bench, "sparse", &Hosted::default()),
        by_qemu(&bench, "monolithicSparse"),
    ] {
        assert!(survives_failures(&FORMAT, existing, &sound) > 6);
    }
}

#[test]
fn a_changed_image_is_written_to_or_refused() {
    let bench = Bench::new();
    let sound = hosted(&bench, "sparse", &Hosted::default());
    let tally = takes_changed_images(existing, &sound);
    assert!(tally.read > 50 && tally.refused > 50, "{tally:?}");
}
