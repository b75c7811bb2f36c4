//! `checksum`: the result matches the specification for any format. An independent program computes it, too.

use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use instar_tests::compare::same_disk_space;
use instar_tests::disk;
use instar_tests::{Bench, both_sandboxes, ledger, variant};

/// The specification in another language, as docs/verbs/checksum.md has it. Of files with the same bytes one is given to the program.
fn by_python(bench: &Bench, file: &str) -> Option<String> {
    static KNOWN: Mutex<Vec<(Vec<u8>, Option<String>)>> = Mutex::new(Vec::new());
    let bytes = std::fs::read(bench.path(file)).unwrap();
    let mut known = KNOWN.lock().unwrap();
    if let Some((_, sum)) = known.iter().find(|(old, _)| *old == bytes) {
        return sum.clone();
    }
    let sum = run_python(bench, file);
    known.push((bytes, sum.clone()));
    sum
}

fn run_python(bench: &Bench, file: &str) -> Option<String> {
    let page = include_str!("../../../docs/verbs/checksum.md");
    let (_, program) = page.split_once("```python\n").unwrap();
    let (program, _) = program.split_once("```").unwrap();
    let outcome = Command::new("python3").args(["-c", program]).arg(bench.path(file)).output();
    let Ok(outcome) = outcome else {
        ledger::skip("python3 is not installed: no second program computes checksums");
        return None;
    };
    assert!(outcome.status.success(), "{outcome:?}");
    Some(String::from_utf8(outcome.stdout).unwrap().trim().to_owned())
}

/// The checksum of an image, without its name.
fn checksum(bench: &Bench, words: &[&str]) -> String {
    let outcome = bench.instar(["checksum"].iter().chain(words));
    outcome.succeeds().text().split_once("  ").unwrap().0.to_owned()
}

both_sandboxes!(
    checksum_matches_its_specification,
    checksum_is_the_same_in_any_format,
    checksum_of_a_chain_is_that_of_the_disk_it_shows,
    checksum_prints_json_on_request,
    checksum_of_an_empty_petabyte_takes_no_time,
    convert_checksum_is_that_of_the_target,
    convert_checksum_changes_no_byte_of_the_target,
    convert_checksum_of_an_overlay_includes_the_layers_below,
    convert_checksum_in_place_is_that_of_the_source,
    convert_checksum_covers_several_sources_and_snapshots,
    convert_checksum_of_a_salvaged_source_is_that_of_the_target,
    convert_checksum_of_a_sparse_disk_costs_only_its_data,
    a_failed_conversion_prints_no_checksum,
);

fn checksum_matches_its_specification(bench: &Bench) {
    for (size, pieces) in [
        (0, &[][..]),
        (512, &[disk::Piece::Data(0, 512, 1)]),
        (65536, &[disk::Piece::Data(0, 65536, 1)]),
        (65536 + 512, &[]),
        (
            300 * 65536 + 1024,
            &[
                disk::Piece::Data(70_000, 90_000, 2),
                disk::Piece::Zeros(1 << 20, 1 << 20),
                disk::Piece::Data(299 * 65536 + 1, 66_000, 3),
            ],
        ),
        (257 * 65536, &[]),
        (256 * 65536, &[disk::Piece::Data(256 * 65536 - 1, 1, 4)]),
    ] {
        disk::make(&bench.path("disk.raw"), size, pieces);
        if let Some(expected) = by_python(bench, "disk.raw") {
            for lanes in ["1", "2", "16"] {
                assert_eq!(
                    checksum(bench, &["-a", "sha256", "-f", "raw", "-m", lanes, "disk.raw"]),
                    expected,
                    "{size}"
                );
            }
        }
    }
}

fn checksum_is_the_same_in_any_format(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    let expected = checksum(bench, &["-f", "raw", "disk.raw"]);
    assert!(expected.starts_with("blake3-tree:") && expected.len() == 12 + 64, "{expected}");
    for words in [
        &["-O", "qcow2"][..],
        &["-O", "qcow2", "-c"],
        &["-O", "vmdk"],
        &["-O", "vmdk", "-o", "subformat=streamOptimized"],
        &["-O", "vdi"],
        &["-O", "vhdx"],
        &["-O", "vpc", "-o", "force_size=on"],
        &["-O", "raw"],
    ] {
        let all = ["convert", "--checksum", "-f", "raw"].iter().chain(words).chain(&["disk.raw", "out"]);
        let line = bench.instar(all).succeeds().text();
        assert_eq!(line, format!("{expected}  out\n"), "{words:?}");
        assert_eq!(checksum(bench, &["-f", words[1], "out"]), expected, "{words:?}");
    }
}

fn checksum_of_a_chain_is_that_of_the_disk_it_shows(bench: &Bench) {
    for chain in variant::CHAINS {
        let bench = &Bench::new(bench.sandbox());
        chain.make(bench);
        let words: Vec<&str> =
            ["convert", "-O", "raw"].iter().chain(chain.source).chain(&["whole.raw"]).copied().collect();
        bench.qemu(&words).succeeds();
        assert_eq!(
            checksum(bench, chain.source),
            checksum(bench, &["-f", "raw", "whole.raw"]),
            "{}",
            chain.name
        );
    }
}

fn checksum_prints_json_on_request(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    let outcome = bench.instar(["checksum", "--output=json", "-f", "raw", "disk.raw"]);
    let json: serde_json::Value = serde_json::from_slice(&outcome.succeeds().stdout).unwrap();
    assert_eq!(json["virtual-size"], disk::USUAL_BYTES);
    assert_eq!(json["algorithm"], "blake3-tree");
    assert_eq!(json["filename"], "disk.raw");
    assert_eq!(json["checksum"].as_str().unwrap().len(), 64);
    bench.instar(["checksum", "-a", "md5", "disk.raw"]).fails_with("use blake3 or sha256");
    bench.instar(["convert", "--checksum=md5", "disk.raw", "out"]).fails_with("use blake3 or sha256");
}

fn checksum_of_an_empty_petabyte_takes_no_time(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "qcow2", "-o", "cluster_size=2M", "image", "1P"]).succeeds();
    bench.instar(["checksum", "image"]).succeeds().within(Duration::from_secs(5));
}

/// Whatever the target, and wherever leaves end.
fn convert_checksum_is_that_of_the_target(bench: &Bench) {
    for size in [512, 65536, 3 * 65536 + 512, (5 << 20) + 1536] {
        let mut pieces = vec![disk::Piece::Data(0, 512, 1), disk::Piece::Data(size - 512, 512, 1)];
        if size > 1 << 20 {
            pieces.extend([
                disk::Piece::Data(70_144, 300_032, 2),
                disk::Piece::Zeros(1 << 20, 1 << 20),
                disk::Piece::Text(3 << 20, 66_048),
            ]);
        }
        disk::make(&bench.path("disk.raw"), size, &pieces);
        bench
            .qemu([
                "convert",
                "-f",
                "raw",
                "-O",
                "qcow2",
                "-c",
                "-o",
                "cluster_size=4k",
                "disk.raw",
                "packed",
            ])
            .succeeds();
        bench
            .qemu(["convert", "-f", "raw", "-O", "qcow2", "-o", "cluster_size=512", "disk.raw", "fine"])
            .succeeds();
        for (format, source) in [("raw", "disk.raw"), ("qcow2", "packed"), ("qcow2", "fine")] {
            for words in bench.share(TARGETS) {
                converts(bench, format, words, &[source]);
            }
        }
    }
}

/// It changes nothing about the target.
fn convert_checksum_changes_no_byte_of_the_target(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    bench
        .qemu(["convert", "-f", "raw", "-O", "qcow2", "-o", "cluster_size=4k", "disk.raw", "image"])
        .succeeds();
    for words in [
        &["-O", "raw"][..],
        &["-O", "raw", "-S", "96k"],
        &["-O", "raw", "-S", "0"],
        &["-O", "qcow2"],
        &["-O", "qcow2", "-S", "3M", "-o", "cluster_size=4k"],
        &["-O", "qcow2", "-c"],
    ] {
        bench.instar(["convert"].iter().chain(words).chain(&["image", "without"])).succeeds();
        bench.instar(["convert", "--checksum"].iter().chain(words).chain(&["image", "with"])).succeeds();
        assert!(
            std::fs::read(bench.path("with")).unwrap() == std::fs::read(bench.path("without")).unwrap(),
            "{words:?}"
        );
        same_disk_space(bench, words[1], "without", "with", &format!("{words:?}"));
    }
}

/// What the layer below the target has is read, and only read.
fn convert_checksum_of_an_overlay_includes_the_layers_below(bench: &Bench) {
    for cluster in ["512", "64k", "2M"] {
        disk::usual(&bench.path("base.raw"));
        bench.qemu(["create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", "image"]).succeeds();
        variant::io(
            bench,
            "image",
            &["write -P 7 100k 3k", "write -z 1M 64k", "write -P 0 2M 4k", "write -P 9 4M 512"],
        );
        bench.qemu(["create", "-q", "-f", "qcow2", "-b", "image", "-F", "qcow2", "top", "6M"]).succeeds();
        variant::io(bench, "top", &["write -P 5 3M 100k", "write -P 6 5M 512"]);
        let options = format!("cluster_size={cluster}");
        for lanes in ["1", "8"] {
            let words = ["-O", "qcow2", "-o", &options, "-m", lanes, "-B", "image", "-F", "qcow2"];
            converts(bench, "qcow2", &words, &["top"]);
            let plain =
                ["convert"].iter().chain(&words).chain(&["top", "without"]).copied().collect::<Vec<_>>();
            bench.instar(&plain).succeeds();
            assert!(
                std::fs::read(bench.path("out")).unwrap() == std::fs::read(bench.path("without")).unwrap(),
                "{cluster} {lanes}"
            );
        }
    }
}

fn convert_checksum_in_place_is_that_of_the_source(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    let expected = checksum(bench, &["-f", "raw", "disk.raw"]);
    for (format, size) in
        [("raw", disk::USUAL_BYTES), ("qcow2", disk::USUAL_BYTES), ("raw", 6 << 20), ("qcow2", 6 << 20)]
    {
        bench.qemu(["create", "-q", "-f", format, "out", &size.to_string()]).succeeds();
        let line = bench
            .instar(["convert", "--checksum", "-n", "-f", "raw", "-O", format, "disk.raw", "out"])
            .succeeds()
            .text();
        assert_eq!(line, format!("{expected}  out\n"), "{format} {size}");
        if size == disk::USUAL_BYTES {
            assert_eq!(checksum(bench, &["-f", format, "out"]), expected);
        }
        // A target that is known to be zero shows zeros behind the source.
        bench.qemu(["create", "-q", "-f", format, "zero", &size.to_string()]).succeeds();
        let line = bench
            .instar([
                "convert",
                "--checksum",
                "-n",
                "--target-is-zero",
                "-f",
                "raw",
                "-O",
                format,
                "disk.raw",
                "zero",
            ])
            .succeeds()
            .text();
        assert_eq!(line, format!("{}  zero\n", checksum(bench, &["-f", format, "zero"])), "{format} {size}");
    }
}

fn convert_checksum_covers_several_sources_and_snapshots(bench: &Bench) {
    disk::usual(&bench.path("one.raw"));
    disk::make(&bench.path("two.raw"), 70_144, &[disk::Piece::Data(512, 1024, 3)]);
    for words in TARGETS {
        converts(bench, "raw", words, &["one.raw", "two.raw", "one.raw"]);
    }
    bench.qemu(["convert", "-f", "raw", "-O", "qcow2", "one.raw", "image"]).succeeds();
    bench.qemu(["snapshot", "-c", "before", "image"]).succeeds();
    variant::io(bench, "image", &["write -P 7 0 2M"]);
    let expected = checksum(bench, &["-f", "raw", "one.raw"]);
    let line = bench
        .instar(["convert", "--checksum", "-l", "before", "-O", "raw", "image", "out"])
        .succeeds()
        .text();
    assert_eq!(line, format!("{expected}  out\n"));
}

fn convert_checksum_of_a_salvaged_source_is_that_of_the_target(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    bench.qemu(["convert", "-f", "raw", "-O", "qcow2", "-c", "disk.raw", "image"]).succeeds();
    let image = instar_tests::craft::Crafted::open(&bench.path("image"));
    let table = image.get(image.get(40)) & 0x00ff_ffff_ffff_fe00;
    let place = image.get(table + 16) & ((1 << 54) - 1);
    image.bytes(place, &[0xff; 64]);
    for words in [&["-O", "raw"][..], &["-O", "qcow2"]] {
        let all = ["convert", "--salvage", "--checksum"].iter().chain(words).chain(&["image", "out"]);
        let outcome = bench.instar(all);
        assert_eq!(outcome.code(), Some(0), "{outcome}");
        assert!(outcome.errors().contains("error while reading"), "{outcome}");
        let sum = checksum(bench, &["-f", words[1], "out"]);
        assert_eq!(outcome.text(), format!("{sum}  out\n"));
        assert_ne!(sum, checksum(bench, &["-f", "raw", "disk.raw"]));
    }
}

/// A terabyte with a few bytes in it costs those.
fn convert_checksum_of_a_sparse_disk_costs_only_its_data(bench: &Bench) {
    disk::make(
        &bench.path("disk.raw"),
        1 << 40,
        &[disk::Piece::Data(5 << 30, 70_000, 1), disk::Piece::Data((1 << 40) - 512, 512, 2)],
    );
    bench.qemu(["create", "-q", "-f", "qcow2", "-b", "disk.raw", "-F", "raw", "top"]).succeeds();
    variant::io(bench, "top", &["write -P 7 900G 64k"]);
    let expected = checksum(bench, &["-f", "raw", "disk.raw"]);
    for words in [
        &["-f", "raw", "-O", "raw", "disk.raw"][..],
        &["-f", "raw", "-O", "raw", "-S", "96k", "disk.raw"],
        &["-f", "raw", "-O", "qcow2", "disk.raw"],
        &["-f", "raw", "-O", "qcow2", "-c", "disk.raw"],
    ] {
        let outcome = bench.instar(["convert", "--checksum"].iter().chain(words).chain(&["out"]));
        assert_eq!(outcome.succeeds().text(), format!("{expected}  out\n"), "{words:?}");
        outcome.within(Duration::from_secs(5));
    }
    let layer = ["convert", "--checksum", "-O", "qcow2", "-B", "disk.raw", "-F", "raw", "top", "out"];
    let outcome = bench.instar(layer);
    let sum = checksum(bench, &["-f", "qcow2", "top"]);
    assert_eq!(outcome.succeeds().text(), format!("{sum}  out\n"));
    outcome.within(Duration::from_secs(5));
}

/// What cannot be read ends the conversion, in every lane.
fn a_failed_conversion_prints_no_checksum(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    bench.qemu(["convert", "-f", "raw", "-O", "qcow2", "-c", "disk.raw", "image"]).succeeds();
    let image = instar_tests::craft::Crafted::open(&bench.path("image"));
    let table = image.get(image.get(40)) & 0x00ff_ffff_ffff_fe00;
    // The cluster at 128 KiB is damaged.
    let place = image.get(table + 16) & ((1 << 54) - 1);
    image.bytes(place, &[0xff; 64]);
    for words in [&["-O", "raw"][..], &["-O", "raw", "-S", "3M"], &["-O", "qcow2"], &["-O", "qcow2", "-c"]] {
        for lanes in ["1", "8"] {
            let outcome = bench
                .instar(["convert", "--checksum", "-m", lanes].iter().chain(words).chain(&["image", "out"]));
            outcome.fails().within(Duration::from_secs(10));
            assert_eq!(outcome.text(), "");
            assert!(!bench.path("out").exists());
        }
    }
}

const TARGETS: &[&[&str]] = &[
    &["-O", "raw"],
    &["-O", "raw", "-S", "0"],
    &["-O", "raw", "-S", "12k"],
    &["-O", "raw", "-C"],
    &["-O", "qcow2"],
    &["-O", "qcow2", "-o", "cluster_size=512"],
    &["-O", "qcow2", "-o", "cluster_size=2M", "-S", "3M"],
    &["-O", "qcow2", "-c"],
    &["-O", "qcow2", "-c", "-o", "compression_type=zstd,cluster_size=4k"],
    &["-O", "vmdk"],
    &["-O", "vmdk", "-o", "subformat=streamOptimized"],
    &["-O", "vmdk", "-o", "subformat=monolithicFlat"],
    &["-O", "vdi"],
    &["-O", "qed"],
    &["-O", "qcow"],
    &["-O", "parallels"],
    &["-O", "vhdx"],
    &["-O", "vpc"],
    &["-O", "vpc", "-o", "subformat=fixed"],
];

/// Converts, and compares what is printed with what `checksum` and the other program say of the target.
#[track_caller]
fn converts(bench: &Bench, format: &str, words: &[&str], sources: &[&str]) {
    let what = format!("{words:?} {sources:?}");
    let first = ["convert", "--checksum=sha256", "-f", format];
    let all = first.iter().chain(words).chain(sources).chain(&["out"]);
    let line = bench.instar(all).succeeds().text();
    let sum = checksum(bench, &["-a", "sha256", "-f", words[1], "out"]);
    assert_eq!(line, format!("{sum}  out\n"), "{what}");
    bench.qemu(["convert", "-f", words[1], "-O", "raw", "out", "plain.raw"]).succeeds();
    if let Some(expected) = by_python(bench, "plain.raw") {
        assert_eq!(sum, expected, "{what}");
    }
}
