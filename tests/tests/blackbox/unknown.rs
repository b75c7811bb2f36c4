//! Formats that qemu-img does not know: what every verb reads of them is the disk that they were laid out from.
//!
//! No program here writes them, so the fixtures come from the specification; where another program reads them, it is asked, too.

use std::fs;
use std::process::Command;

use instar_testkit::lay::zst;
use instar_testkit::packed;
use instar_tests::compare::{qemu_reads, same_bytes};
use instar_tests::disk::{self, USUAL_BYTES};
use instar_tests::ledger::{self, deviates};
use instar_tests::variant::{self, Variant};
use instar_tests::{Bench, Outcome, both_sandboxes};
use serde_json::Value;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The name of a variant begins with its format.
fn format_of(variant: &Variant) -> &'static str {
    variant.name.split(',').next().unwrap()
}

/// Calls `body` with each variant, made in a directory of its own.
fn each(bench: &Bench, body: impl Fn(&Bench, &Variant)) {
    for variant in variant::UNKNOWN {
        let bench = &Bench::new(bench.sandbox());
        variant.make(bench);
        body(bench, variant);
    }
}

fn json(outcome: &Outcome) -> Value {
    serde_json::from_slice(&outcome.succeeds().stdout).unwrap()
}

both_sandboxes!(
    every_disk_is_read_as_it_was_laid_out,
    windows_and_checksums_are_those_of_the_disk,
    they_are_described_by_their_own_name,
    the_map_tells_where_the_bytes_of_the_disk_are,
    a_measured_size_is_enough,
    a_layer_above_reads_through,
    nothing_is_written_to_one_and_none_is_made,
    who_names_raw_gets_raw,
    other_readers_see_the_same_disk,
    zstd_without_a_seek_table_is_not_this_format,
    seekable_zstd_of_another_writer_is_read,
);

fn every_disk_is_read_as_it_was_laid_out(bench: &Bench) {
    each(bench, |bench, variant| {
        for words in [&["convert", "-O", "raw"][..], &["convert", "-f", format_of(variant), "-O", "raw"]] {
            bench.instar(words.iter().chain(&["image", "ours"])).succeeds();
            same_bytes(bench, "disk.raw", "ours", variant.name);
        }
        bench.instar(["convert", "-O", "qcow2", "image", "ours.qcow2"]).succeeds();
        qemu_reads(bench, "ours.qcow2", "disk.raw", variant.name);
        bench.instar(["compare", "-F", "raw", "image", "disk.raw"]).succeeds();
        bench.instar(["bench", "-c", "3", "image"]).succeeds();
    });
}

fn windows_and_checksums_are_those_of_the_disk(bench: &Bench) {
    each(bench, |bench, variant| {
        for window in ["bs=64k", "bs=1000 count=77 skip=20", "bs=1M skip=3"] {
            let line = |source: &str, target: &str| {
                let line = format!("dd if={source} of={target} -O raw {window}");
                line.split(' ').map(str::to_owned).collect::<Vec<_>>()
            };
            bench.qemu(line("disk.raw", "theirs")).succeeds();
            bench.instar(line("image", "ours")).succeeds();
            same_bytes(bench, "theirs", "ours", &format!("{}, {window}", variant.name));
        }
        let sum = |words: &[&str]| {
            let outcome = bench.instar(["checksum"].iter().chain(words));
            outcome.succeeds().text().split_whitespace().next().unwrap().to_owned()
        };
        assert_eq!(sum(&["image"]), sum(&["-f", "raw", "disk.raw"]), "{}", variant.name);
    });
}

fn they_are_described_by_their_own_name(bench: &Bench) {
    each(bench, |bench, variant| {
        let format = format_of(variant);
        let [theirs, ours] = [
            bench.qemu(["info", "--output=json", "image"]),
            bench.instar(["info", "--output=json", "image"]),
        ]
        .map(|outcome| json(&outcome));
        assert_eq!(theirs["format"], "raw", "{}", variant.name);
        assert_eq!(ours["format"], format, "{}", variant.name);
        assert_eq!(ours["virtual-size"], USUAL_BYTES, "{}", variant.name);
        match format {
            "asif" => deviates("asif", &theirs["format"], &ours["format"]),
            "ova" => deviates("ova", &theirs["format"], &ours["format"]),
            _ => deviates("zst", &theirs["format"], &ours["format"]),
        }
        let human = bench.instar(["info", "-f", format, "image"]);
        let lines = format!("image: image\nfile format: {format}\nvirtual size: ");
        assert!(human.succeeds().text().starts_with(&lines), "{human}");
        let check = bench.instar(["check", "image"]);
        assert_eq!(check.code(), Some(63), "{check}");
        assert!(check.errors().contains("This image format does not support checks"), "{check}");
    });
}

fn the_map_tells_where_the_bytes_of_the_disk_are(bench: &Bench) {
    each(bench, |bench, variant| {
        let [disk, image] = ["disk.raw", "image"].map(|name| fs::read(bench.path(name)).unwrap());
        let map = json(&bench.instar(["map", "--output=json", "image"]));
        let mut end = 0;
        for extent in map.as_array().unwrap() {
            let [start, length] = ["start", "length"].map(|key| extent[key].as_u64().unwrap() as usize);
            assert_eq!(start, end, "{}: {extent}", variant.name);
            end += length;
            let bytes = &disk[start..end];
            if extent["zero"].as_bool().unwrap() {
                assert!(bytes.iter().all(|byte| *byte == 0), "{}: {extent}", variant.name);
            } else if let Some(at) = extent["offset"].as_u64() {
                assert!(image[at as usize..].starts_with(bytes), "{}: {extent}", variant.name);
            } else {
                assert_eq!(extent["compressed"], true, "{}: {extent}", variant.name);
            }
        }
        assert_eq!(end as u64, USUAL_BYTES, "{}", variant.name);
        bench.instar(["map", "image"]);
    });
}

fn a_measured_size_is_enough(bench: &Bench) {
    each(bench, |bench, variant| {
        let measured = json(&bench.instar(["measure", "--output=json", "-O", "qcow2", "image"]));
        let theirs = json(&bench.qemu(["measure", "--output=json", "-f", "raw", "-O", "qcow2", "disk.raw"]));
        assert_eq!(measured["fully-allocated"], theirs["fully-allocated"], "{}", variant.name);
        bench.instar(["convert", "-O", "qcow2", "image", "ours"]).succeeds();
        let length = fs::metadata(bench.path("ours")).unwrap().len();
        let required = measured["required"].as_u64().unwrap();
        assert!(length <= required, "{}: {length} bytes where {required} were measured", variant.name);
    });
}

fn a_layer_above_reads_through(bench: &Bench) {
    each(bench, |bench, variant| {
        bench
            .instar(["create", "-q", "-f", "qcow2", "-b", "image", "-F", format_of(variant), "over"])
            .succeeds();
        bench.instar(["compare", "-F", "raw", "over", "disk.raw"]).succeeds();
        bench.instar(["commit", "over"]).fails();
        bench.instar(["rebase", "-b", "disk.raw", "-F", "raw", "over"]).succeeds();
        bench.qemu(["compare", "-F", "raw", "over", "disk.raw"]).succeeds();
    });
}

fn nothing_is_written_to_one_and_none_is_made(bench: &Bench) {
    each(bench, |bench, variant| {
        let format = format_of(variant);
        let before = fs::read(bench.path("image")).unwrap();
        for line in [
            "resize --shrink image 1M",
            "snapshot -c name image",
            "bitmap --add image name",
            "check -r all image",
            "amend -o size=1M image",
            "rebase -u -b disk.raw -F raw image",
            "bench -w -c 1 image",
            &format!("convert -n -O {format} disk.raw image"),
            &format!("convert -O {format} disk.raw out"),
            &format!("create -f {format} out 1M"),
            &format!("dd if=disk.raw of=out -O {format}"),
            &format!("measure -O {format} disk.raw"),
        ] {
            bench.instar(line.split(' ')).fails();
            assert!(!bench.path("out").exists(), "{line}");
        }
        assert_eq!(fs::read(bench.path("image")).unwrap(), before, "{}", variant.name);
    });
}

/// What a guest writes at the start of its disk decides nothing where the caller says what the disk is.
fn who_names_raw_gets_raw(bench: &Bench) {
    each(bench, |bench, variant| {
        bench.qemu(["convert", "-f", "raw", "-O", "raw", "image", "theirs"]).succeeds();
        bench.instar(["convert", "-f", "raw", "-O", "raw", "image", "ours"]).succeeds();
        same_bytes(bench, "theirs", "ours", variant.name);
        let outcome = bench.instar(["info", "--safety", "-f", "raw", "image"]);
        assert_eq!(outcome.code(), Some(1), "{outcome}");
        let words = format!("carries the signature of {}", format_of(variant));
        assert!(outcome.text().contains(&words), "{outcome}");
    });
}

/// The disk as a program that shares no code with us reads it.
fn opinion(bench: &Bench, format: &str) -> Result<&'static str, &'static str> {
    let python = format!("{ROOT}/target/second-opinion/bin/python");
    let script = format!("{ROOT}/tests/second_opinion/dissect.py");
    let (name, mut command, remedy) = match format {
        "asif" => {
            let mut command = Command::new(python);
            command.args(["-I", &script, format, "image", "opinion"]).env("PYTHONDONTWRITEBYTECODE", "1");
            ("dissect", command, "no dissect: ./test puts it into target/second-opinion")
        }
        // The archive by tar, the disk by qemu-img.
        "ova" => {
            let mut command = Command::new("sh");
            let pieces = "for piece in $(tar -tf image | grep '^disk\\.' | sort); do tar -xOf image \"$piece\"; done >inner";
            command.args(["-c", &format!("{pieces} && qemu-img convert -O raw inner opinion")]);
            ("tar and qemu-img", command, "no tar")
        }
        "zst" => {
            let mut command = Command::new("zstd");
            command.args(["-q", "-d", "-f", "--memory=2048MiB", "-o", "opinion", "image"]);
            ("zstd", command, "no zstd: install the package zstd")
        }
        _ => unreachable!("{format}"),
    };
    match command.current_dir(bench.directory()).output() {
        Ok(output) if output.status.success() => Ok(name),
        Ok(output) if !String::from_utf8_lossy(&output.stderr).contains("No module named") => {
            panic!("{name}: {}", String::from_utf8_lossy(&output.stderr))
        }
        _ => Err(remedy),
    }
}

fn other_readers_see_the_same_disk(bench: &Bench) {
    each(bench, |bench, variant| match opinion(bench, format_of(variant)) {
        Ok(name) => {
            // dissect gives the disk in whole chunks.
            let [disk, opinion] = ["disk.raw", "opinion"].map(|name| fs::read(bench.path(name)).unwrap());
            assert!(opinion[..disk.len()] == disk[..], "{}: {name} reads another disk", variant.name);
            ledger::opinion(name, variant.name);
        }
        Err(remedy) => ledger::skip(remedy),
    });
}

/// A disk may begin with four bytes by chance; only both ends together say what it is.
fn zstd_without_a_seek_table_is_not_this_format(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    let disk = fs::read(bench.path("disk.raw")).unwrap();
    let stream = packed("zstd", &["-q", "-c"], &disk);
    let frames = zst::frames(&disk, 1 << 20, &[]);
    // A table of other frames, of fewer, and of none; and a disk that ends like one and begins otherwise.
    let mut moved = zst::file(&frames, true);
    moved.splice(0..0, [0; 512]);
    let mut cut = zst::file(&frames, true);
    cut.pop();
    for (what, bytes) in [("stream", stream), ("moved", moved), ("cut", cut)] {
        fs::write(bench.path("image"), bytes).unwrap();
        // As qemu-img reads it, where that is asked for, or where it does not begin as zstd does.
        let format: &[&str] = if what == "moved" { &[] } else { &["-f", "raw"] };
        let words = [&["convert"], format, &["-O", "raw", "image"]].concat();
        bench.qemu([&words[..], &["theirs"]].concat()).succeeds();
        bench.instar([&words[..], &["ours"]].concat()).succeeds();
        same_bytes(bench, "theirs", "ours", what);
        let unpacked = bench.instar(["convert", "-O", "raw", "image", "ours"]);
        match what {
            "stream" => {
                unpacked.succeeds();
                same_bytes(bench, "disk.raw", "ours", what);
            }
            // The table is a frame, which ends early.
            "cut" => {
                unpacked.fails_with("it is incomplete");
            }
            _ => {
                unpacked.succeeds();
            }
        }
        let named = bench.instar(["convert", "-f", "zst", "-O", "raw", "image", "out"]);
        match what {
            "moved" => named.fails_with("Image not in zst format"),
            _ => named.fails_with("no seek table at its end").fails_with("leave out -f zst"),
        };
        if what != "moved" {
            let outcome = bench.instar(["info", "--safety", "image"]);
            assert_eq!(outcome.code(), Some(1), "{what}: {outcome}");
            assert!(outcome.text().contains("zst"), "{what}: {outcome}");
        }
    }
}

fn seekable_zstd_of_another_writer_is_read(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    let script = "import pyzstd\nwith pyzstd.SeekableZstdFile('image', 'w', max_frame_content_size=300000) as image:\n    image.write(open('disk.raw', 'rb').read())";
    let python = format!("{ROOT}/target/second-opinion/bin/python");
    let written = Command::new(python).args(["-I", "-c", script]).current_dir(bench.directory()).output();
    if !written.is_ok_and(|output| output.status.success()) {
        ledger::skip("no seekable zstd by pyzstd: ./test puts it into target/second-opinion");
        return;
    }
    let info = json(&bench.instar(["info", "--output=json", "image"]));
    assert_eq!((&info["format"], &info["virtual-size"]), (&"zst".into(), &USUAL_BYTES.into()), "{info}");
    bench.instar(["convert", "-O", "raw", "image", "ours"]).succeeds();
    same_bytes(bench, "disk.raw", "ours", "pyzstd");
    let window = ["bs=1000", "skip=299", "count=302"];
    bench.qemu(["dd", "-f", "raw", "if=disk.raw", "of=theirs"].iter().chain(&window)).succeeds();
    bench.instar(["dd", "if=image", "of=window"].iter().chain(&window)).succeeds();
    same_bytes(bench, "theirs", "window", "pyzstd");
}
