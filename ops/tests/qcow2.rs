//! qcow2 images as qemu-img writes them, through the verbs, natively.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a failure is a test failure"
)]

mod common;

use std::fmt::Write;
use std::fs;
use std::path::Path;

use common::{conversion, pattern, run, source};
use instar_abi::Report;
use instar_abi::job::{Compare, Map, Verb};
use instar_abi::report::{Compared, MapRun};
use instar_testkit::Native;
use instar_testkit::oracle::qemu_in;

/// A disk with data, holes, and zeros in data.
fn disk() -> Vec<u8> {
    let mut bytes = pattern(6 << 20);
    bytes[700_000..2_500_000].fill(0);
    bytes[4 << 20..(4 << 20) + 65536].fill(0);
    bytes.truncate((6 << 20) - 3 * 512);
    bytes
}

const VARIANTS: [&[&str]; 8] = [
    &[],
    &["-o", "compat=0.10"],
    &["-o", "cluster_size=512"],
    &["-o", "cluster_size=2M"],
    &["-c"],
    &["-c", "-o", "compression_type=zstd"],
    &["-c", "-o", "cluster_size=4k"],
    &["-o", "extended_l2=on,cluster_size=64k"],
];

fn make(dir: &Path, options: &[&str], name: &str) {
    let arguments = [
        &["convert", "-f", "raw", "-O", "qcow2"],
        options,
        &["disk.raw", name],
    ]
    .concat();
    qemu_in(dir, &arguments);
}

#[test]
fn every_variant_converts_to_the_bytes_it_was_made_of() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = disk();
    fs::write(dir.path().join("disk.raw"), &bytes).unwrap();
    for options in VARIANTS {
        make(dir.path(), options, "a.qcow2");
        for lanes in [1, 3] {
            let native = Native::new(lanes);
            let files = [
                native.source(dir.path().join("a.qcow2")),
                native.target(dir.path().join("b.raw")),
            ];
            let report = run(&native, &files, Verb::Convert(conversion(&files)));
            assert!(matches!(report, Report::Done(_)), "{options:?}: {report:?}");
            assert!(
                fs::read(dir.path().join("b.raw")).unwrap() == bytes,
                "{options:?} {lanes}"
            );
        }
    }
}

#[test]
fn a_chain_shows_the_view_of_its_top() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("disk.raw"), disk()).unwrap();
    make(dir.path(), &[], "base.qcow2");
    qemu_in(
        dir.path(),
        &[
            "create",
            "-q",
            "-f",
            "qcow2",
            "-F",
            "qcow2",
            "-b",
            "base.qcow2",
            "mid.qcow2",
            "4M",
        ],
    );
    qemu_in(
        dir.path(),
        &[
            "create",
            "-q",
            "-f",
            "qcow2",
            "-F",
            "qcow2",
            "-b",
            "mid.qcow2",
            "top.qcow2",
            "8M",
        ],
    );
    let native = Native::new(2);
    let files = [
        native.source(dir.path().join("top.qcow2")),
        native.target(dir.path().join("b.raw")),
    ];
    let report = run(&native, &files, Verb::Convert(conversion(&files)));
    assert!(matches!(report, Report::Done(_)), "{report:?}");
    qemu_in(dir.path(), &["convert", "-O", "raw", "top.qcow2", "c.raw"]);
    assert!(fs::read(dir.path().join("b.raw")).unwrap() == fs::read(dir.path().join("c.raw")).unwrap());
}

/// The map as qemu-img prints it.
fn json(runs: &[MapRun]) -> String {
    let mut text = String::from("[");
    for (index, run) in runs.iter().enumerate() {
        let MapRun {
            start,
            length,
            depth,
            present,
            zero,
            data,
            compressed,
            place,
        } = run;
        let separator = if index == 0 { "" } else { ",\n" };
        write!(text, "{separator}{{ \"start\": {start}, \"length\": {length}, \"depth\": {depth}, \"present\": {present}, \"zero\": {zero}, \"data\": {data}, \"compressed\": {compressed}").unwrap();
        if let Some((_, offset)) = place {
            write!(text, ", \"offset\": {offset}").unwrap();
        }
        text.push('}');
    }
    text + "]\n"
}

fn map(dir: &Path, name: &str) -> String {
    let native = Native::new(1);
    let files = [native.source(dir.join(name))];
    let job = Map {
        source: source(files[0].slot),
        start: 0,
        length: None,
        placed_only: false,
    };
    let report = run(&native, &files, Verb::Map(job));
    assert!(matches!(report, Report::Done(_)), "{report:?}");
    let runs = native.reports().into_iter().filter_map(|report| match report {
        Report::Map(runs) => Some(runs),
        _ => None,
    });
    json(&runs.flatten().collect::<Vec<_>>())
}

#[test]
fn maps_are_those_of_qemu_img() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("disk.raw"), &disk()[..(6 << 20) - 3 * 512 - 100]).unwrap();
    // With subclusters qemu-img also tells where an unallocated subcluster would stand; the map here does not yet.
    for options in VARIANTS
        .into_iter()
        .filter(|options| !options.concat().contains("extended_l2"))
    {
        make(dir.path(), options, "a.qcow2");
        let oracle = qemu_in(dir.path(), &["map", "--output", "json", "a.qcow2"]);
        assert_eq!(map(dir.path(), "a.qcow2"), oracle, "{options:?}");
    }
    make(dir.path(), &[], "base.qcow2");
    qemu_in(
        dir.path(),
        &[
            "create",
            "-q",
            "-f",
            "qcow2",
            "-F",
            "qcow2",
            "-b",
            "base.qcow2",
            "mid.qcow2",
            "4M",
        ],
    );
    qemu_in(
        dir.path(),
        &[
            "create",
            "-q",
            "-f",
            "qcow2",
            "-F",
            "qcow2",
            "-b",
            "mid.qcow2",
            "top.qcow2",
            "8M",
        ],
    );
    qemu_in(
        dir.path(),
        &["convert", "-f", "raw", "-O", "raw", "disk.raw", "sparse.raw"],
    );
    for name in ["base.qcow2", "mid.qcow2", "top.qcow2", "disk.raw", "sparse.raw"] {
        let oracle = qemu_in(dir.path(), &["map", "--output", "json", name]);
        assert_eq!(map(dir.path(), name), oracle, "{name}");
    }
}

fn compare(dir: &Path, left: &str, right: &str) -> Option<Compared> {
    let native = Native::new(2);
    let files = [native.source(dir.join(left)), native.source(dir.join(right))];
    let job = Compare {
        left: source(files[0].slot),
        right: source(files[1].slot),
        strict: false,
    };
    let report = run(&native, &files, Verb::Compare(job));
    assert!(matches!(report, Report::Done(_)), "{report:?}");
    native
        .reports()
        .into_iter()
        .rev()
        .find_map(|report| match report {
            Report::Compared(found) => Some(found),
            _ => None,
        })
}

#[test]
fn compare_finds_the_first_sector_that_differs() {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = disk();
    fs::write(dir.path().join("disk.raw"), &bytes).unwrap();
    for options in VARIANTS {
        make(dir.path(), options, "a.qcow2");
        assert_eq!(
            compare(dir.path(), "a.qcow2", "disk.raw"),
            Some(Compared::Identical),
            "{options:?}"
        );
    }
    for at in [5 << 20, 2_000_000, 513, 0] {
        bytes[at] ^= 0x80;
        fs::write(dir.path().join("other.raw"), &bytes).unwrap();
        let expected = Some(Compared::Content(at as u64 / 512 * 512));
        assert_eq!(compare(dir.path(), "a.qcow2", "other.raw"), expected);
        assert_eq!(compare(dir.path(), "other.raw", "disk.raw"), expected);
    }
}
