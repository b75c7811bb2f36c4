//! Formats that are read and never written: every verb that reads beside qemu-img, and every refusal in its words.

use std::fs;

use instar_tests::compare::{agree, same_bytes, same_outcome};
use instar_tests::disk;
use instar_tests::seal::Edited;
use instar_tests::variant::{self, Variant};
use instar_tests::{Bench, both_sandboxes};

/// The name of a variant begins with its format.
fn format_of(variant: &Variant) -> &'static str {
    variant.name.split(',').next().unwrap()
}

/// The words of a line about a variant.
fn words(line: &str, variant: &Variant) -> Vec<String> {
    let line = line.replace("FORMAT", format_of(variant)).replace("IMAGE", variant.source[0]);
    line.split(' ')
        .map(|word| {
            if word == "''" {
                String::new()
            } else {
                word.to_owned()
            }
        })
        .collect()
}

/// Both programs print the same and end alike.
#[track_caller]
fn same(bench: &Bench, line: &str, variant: &Variant) {
    let words = words(line, variant);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    same_outcome(bench, &words, variant.name);
}

/// Calls `body` with each variant, made in a directory of its own.
fn each(bench: &Bench, body: impl Fn(&Bench, &Variant)) {
    for variant in variant::READ_ONLY.iter().chain(variant::BY_NAME) {
        let bench = &Bench::new(bench.sandbox());
        variant.make(bench);
        body(bench, variant);
    }
}

/// Every way of opening an image to write to it.
const WRITING: &[&str] = &[
    "resize IMAGE 1M",
    "resize --shrink IMAGE 1M",
    "resize IMAGE +1M",
    "rebase -u -b disk.raw -F raw IMAGE",
    "rebase -b disk.raw -F raw IMAGE",
    "rebase -u -b '' IMAGE",
    "commit IMAGE",
    "snapshot -c name IMAGE",
    "snapshot -a name IMAGE",
    "snapshot -d name IMAGE",
    "bitmap --add IMAGE name",
    "bitmap --remove IMAGE name",
    "bench -w -c 1 IMAGE",
    "check -r all IMAGE",
    "check -r leaks IMAGE",
    "amend -o size=1M IMAGE",
    "convert -n -O FORMAT disk.raw IMAGE",
    "resize -f FORMAT IMAGE 1M",
    "commit -f FORMAT IMAGE",
    "snapshot -c name -U IMAGE",
    "convert -l name -O raw IMAGE out",
    "convert -n -O FORMAT disk.raw nothing",
];

/// Every way of making one.
const MAKING: &[&str] = &[
    "create -f FORMAT out 1M",
    "create -f FORMAT -o help",
    "create -f FORMAT -o size=1M out",
    "convert -O FORMAT disk.raw out",
    "convert -c -O FORMAT disk.raw out",
    "convert -O FORMAT -o help",
    "dd if=disk.raw of=out -O FORMAT",
    "measure -O FORMAT disk.raw",
    "measure -O FORMAT --size 1M",
    "amend -f FORMAT -o help",
];

both_sandboxes!(
    reads_every_layout,
    describes_every_layout,
    looks_at_every_layout_as_the_reference_does,
    reads_windows_by_dd,
    checksums_are_those_of_the_disk,
    every_way_of_writing_is_refused_in_the_words_of_the_reference,
    a_layer_above_is_written_to_and_reads_through,
    a_signature_with_another_content_is_unsafe,
    nothing_is_committed_into_one,
);

fn reads_every_layout(bench: &Bench) {
    each(bench, |bench, variant| {
        for target in ["raw", "qcow2"] {
            for (program, image) in [(true, "theirs"), (false, "ours")] {
                let words = words(&format!("convert -O {target} IMAGE {image}"), variant);
                let outcome = if program {
                    bench.qemu(words)
                } else {
                    bench.instar(words)
                };
                assert_eq!(outcome.code(), Some(0), "{}: {outcome}", variant.name);
                bench.qemu(["convert", "-f", target, "-O", "raw", image, &format!("{image}.raw")]).succeeds();
            }
            same_bytes(bench, "theirs.raw", "ours.raw", variant.name);
        }
        same(bench, "compare -F raw IMAGE disk.raw", variant);
    });
}

fn describes_every_layout(bench: &Bench) {
    each(bench, |bench, variant| {
        for line in [
            "info IMAGE",
            "info --output=json IMAGE",
            "info -f FORMAT IMAGE",
            "info --backing-chain --output=json IMAGE",
        ] {
            let words = words(line, variant);
            agree(bench, &words.iter().map(String::as_str).collect::<Vec<_>>(), variant.name);
        }
    });
}

fn looks_at_every_layout_as_the_reference_does(bench: &Bench) {
    each(bench, |bench, variant| {
        bench.qemu(words("create -q -f qcow2 -b IMAGE -F FORMAT over", variant)).succeeds();
        for line in [
            "compare -s -F raw IMAGE disk.raw",
            "compare IMAGE over",
            "compare -s over IMAGE",
            "check -f FORMAT IMAGE",
            "check --output=json IMAGE",
            "measure -O raw IMAGE",
            "measure -O qcow2 IMAGE",
            "measure --output=json -O qcow2 -o cluster_size=4k over",
            "map IMAGE",
            "map --output=json IMAGE",
            "map over",
            "map --output=json over",
            "map --output=json -s 100k -l 1M IMAGE",
            "snapshot -l IMAGE",
            "bench -c 3 -f FORMAT IMAGE",
        ] {
            if line.starts_with("bench") {
                bench.instar(words(line, variant)).succeeds();
            } else {
                same(bench, line, variant);
            }
        }
    });
}

fn reads_windows_by_dd(bench: &Bench) {
    each(bench, |bench, variant| {
        for window in ["bs=64k", "bs=1000 count=77 skip=20", "bs=1M skip=3"] {
            let line = |target: &str| words(&format!("dd if=IMAGE of={target} -O raw {window}"), variant);
            bench.qemu(line("theirs")).succeeds();
            bench.instar(line("ours")).succeeds();
            same_bytes(bench, "theirs", "ours", &format!("{}, {window}", variant.name));
        }
    });
}

fn checksums_are_those_of_the_disk(bench: &Bench) {
    each(bench, |bench, variant| {
        let sum = |line: &str| {
            let outcome = bench.instar(words(line, variant));
            outcome.succeeds().text().split_whitespace().next().unwrap().to_owned()
        };
        bench.qemu(words("convert -O raw IMAGE theirs", variant)).succeeds();
        assert_eq!(sum("checksum IMAGE"), sum("checksum -f raw theirs"), "{}", variant.name);
    });
}

fn every_way_of_writing_is_refused_in_the_words_of_the_reference(bench: &Bench) {
    each(bench, |bench, variant| {
        let before = fs::read(bench.path(variant.source[0])).unwrap();
        for line in bench.share(WRITING.iter().chain(MAKING)) {
            same(bench, line, variant);
            assert!(!bench.path("out").exists(), "{line}");
        }
        assert_eq!(fs::read(bench.path(variant.source[0])).unwrap(), before, "{}", variant.name);
    });
}

fn a_layer_above_is_written_to_and_reads_through(bench: &Bench) {
    each(bench, |bench, variant| {
        for over in ["theirs", "ours"] {
            bench.qemu(words(&format!("create -q -f qcow2 -b IMAGE -F FORMAT {over}"), variant)).succeeds();
            variant::io(bench, over, &["write -P 7 100k 70k", "write -z 1M 64k"]);
        }
        bench.qemu(["convert", "-O", "raw", "theirs", "theirs.raw"]).succeeds();
        bench.instar(["convert", "-O", "raw", "ours", "ours.raw"]).succeeds();
        same_bytes(bench, "theirs.raw", "ours.raw", variant.name);
        disk::usual(&bench.path("base"));
        bench.qemu(["rebase", "-b", "base", "-F", "raw", "theirs"]).succeeds();
        bench.instar(["rebase", "-b", "base", "-F", "raw", "ours"]).succeeds();
        bench.qemu(["compare", "theirs", "ours"]).succeeds();
    });
}

fn a_signature_with_another_content_is_unsafe(bench: &Bench) {
    variant::READ_ONLY[0].make(bench);
    let image = Edited::open(&bench.path("image"));
    let is_unsafe = |line: &str, words: &str| {
        let outcome = bench.instar(line.split(' '));
        assert_ne!(outcome.code(), Some(0), "{line}: {outcome}");
        assert!(outcome.text().contains(words), "{line}: {outcome}");
    };
    is_unsafe("info --safety -f raw image", "carries the signature of bochs");
    // A partition from sector 1 on.
    image.put(446, &[0x80, 0, 0, 0, 0x83, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0]).put(510, &[0x55, 0xaa]);
    is_unsafe("info --safety image", "a disk with partitions");
    // A redolog that lies above another disk is none of ours, and looks like a raw disk.
    image.put(48, b"Undoable");
    is_unsafe("info --safety image", "bochs");
    same_outcome(bench, &["info", "-f", "bochs", "image"], "undoable");
    agree(bench, &["info", "image"], "undoable");
}

/// The base cannot be written to. The reference stumbles over its own second attempt at opening it.
fn nothing_is_committed_into_one(bench: &Bench) {
    each(bench, |bench, variant| {
        bench.qemu(words("create -q -f qcow2 -b IMAGE -F FORMAT over", variant)).succeeds();
        variant::io(bench, "over", &["write -P 7 100k 70k"]);
        let [theirs, ours] = [bench.qemu(["commit", "over"]), bench.instar(["commit", "over"])];
        assert_eq!((theirs.code(), ours.code()), (Some(1), Some(1)), "{}: {theirs}{ours}", variant.name);
    });
}
