//! The contract of `dd` beyond the rows of the matrix, checked against the installed qemu-img.

use std::fs;

use instar_tests::compare::{allocated, same_bytes};
use instar_tests::disk::{self, Piece, USUAL_BYTES};
use instar_tests::ledger::{self, deviates};
use instar_tests::{Bench, Outcome, Reference, both_sandboxes, reference, variant};

/// Windows on a disk of [`USUAL_BYTES`]: what is asked, and how many bytes come of it.
const WINDOWS: &[(&str, u64)] = &[
    ("", USUAL_BYTES),
    ("bs=512", USUAL_BYTES),
    ("bs=1M skip=1", USUAL_BYTES - (1 << 20)),
    ("bs=64k skip=2 count=4", 2 << 16),
    ("bs=1k skip=5 count=7", 2048),
    ("bs=1k skip=5 count=3", 0),
    ("bs=1k skip=5 count=5", 0),
    ("bs=1000 skip=3", USUAL_BYTES - 3000),
    ("bs=7777 skip=11", USUAL_BYTES - 11 * 7777),
    ("bs=1M count=1000", USUAL_BYTES),
    ("bs=1M skip=4", 512),
    ("bs=100 count=77 skip=5", 7200),
    ("bs=3 count=1000 skip=1", 2997),
    ("bs=1 count=513", 513),
    ("bs=511 count=3", 1533),
    ("count=0", 0),
    ("skip=8193", 0),
    ("bs=2147483647", USUAL_BYTES),
    ("bs=2147483647 count=9223372036854775807", USUAL_BYTES),
    ("bs=0x400 skip=0x2 count=8", 6 << 10),
    ("bs=1.5k skip=1", USUAL_BYTES - 1536),
    ("count=4 bs=1k skip=1 bs=2k", 6 << 10),
];

/// Words that both programs must refuse, and what is wrong with them.
const REJECTED: &[(&str, &str)] = &[
    ("an unknown operand", "if=image of=out conv=sparse"),
    ("a bare word", "if=image of=out sync"),
    ("a block size of nothing", "if=image of=out bs=0"),
    ("a block size of 2 GiB", "if=image of=out bs=2147483648"),
    ("no source", "of=out bs=512"),
    ("no target", "if=image bs=512"),
    ("an unknown format", "-O nonsense if=image of=out"),
    ("a negative count", "if=image of=out count=-1"),
    ("a block size that is no number", "if=image of=out bs=many"),
    ("a source that is not there", "if=absent of=out"),
    ("an unknown option", "--nonsense if=image of=out"),
];

fn dd(run: impl Fn(&[&str]) -> Outcome, words: &str) -> Outcome {
    let all: Vec<&str> = std::iter::once("dd").chain(words.split_whitespace()).collect();
    run(&all)
}

fn both(bench: &Bench, words: &str, what: &str) -> [Outcome; 2] {
    let theirs = dd(|all| bench.qemu(all), &format!("{words} of=theirs"));
    let ours = dd(|all| bench.instar(all), &format!("{words} of=ours"));
    assert_eq!(theirs.code(), ours.code(), "{what}: {words}\n{theirs}{ours}");
    [theirs, ours]
}

fn windows(bench: &Bench, what: &str, options: &str) {
    for (window, length) in WINDOWS {
        let [theirs, ours] = both(bench, &format!("{options} if=image {window}"), what);
        assert_eq!(ours.code(), Some(0), "{what}: {ours}");
        assert_eq!(theirs.message(), ours.message(), "{what}: {window}");
        let found = bench.path("theirs").metadata().unwrap().len();
        assert_eq!(found, length.next_multiple_of(512), "{what}: the expectation is wrong for {window}");
        same_bytes(bench, "theirs", "ours", &format!("{what}: {window}"));
        for name in ["theirs", "ours"] {
            fs::remove_file(bench.path(name)).unwrap();
        }
    }
}

both_sandboxes!(
    copies_every_window_of_raw,
    copies_every_window_of_qcow2,
    copies_every_window_of_compressed_qcow2,
    copies_windows_of_a_chain_whose_composed_view_differs_from_each_layer,
    refuses_what_qemu_img_refuses,
    writes_raw_whatever_the_source_is,
    writes_qcow2_when_told_to,
    skipping_past_the_end_warns_and_writes_nothing,
    splits_an_operand_at_its_first_equals_sign,
    the_last_of_an_operand_wins,
    takes_options_after_operands,
    reads_a_qcow2_as_raw_when_told_to,
    replaces_an_existing_target,
    what_only_an_old_release_takes_is_refused_or_read_as_by_the_newer_ones,
    leaves_holes_where_the_source_has_them,
);

fn copies_every_window_of_raw(bench: &Bench) {
    disk::usual(&bench.path("image"));
    windows(bench, "raw", "-f raw");
}

fn copies_every_window_of_qcow2(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    bench.qemu(["convert", "-f", "raw", "-O", "qcow2", "disk.raw", "image"]).succeeds();
    windows(bench, "qcow2", "");
}

fn copies_every_window_of_compressed_qcow2(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    bench.qemu(["convert", "-f", "raw", "-O", "qcow2", "-c", "disk.raw", "image"]).succeeds();
    windows(bench, "compressed qcow2", "-f qcow2");
}

fn copies_windows_of_a_chain_whose_composed_view_differs_from_each_layer(bench: &Bench) {
    for chain in bench.share(variant::CHAINS) {
        let bench = &Bench::new(bench.sandbox());
        chain.make(bench);
        for window in ["", "bs=65536 skip=2 count=40", "bs=777 skip=3 count=4000", "bs=1M skip=1"] {
            let [_, ours] = both(bench, &format!("if=image {window}"), chain.name);
            ours.succeeds();
            same_bytes(bench, "theirs", "ours", &format!("{}: {window}", chain.name));
        }
        for layer in bench.names().iter().filter(|name| name.starts_with("base")) {
            let format = if layer.ends_with("qcow2") { "qcow2" } else { "raw" };
            let outcome = bench.qemu(["compare", "-f", "raw", "-F", format, "ours", layer]);
            assert_eq!(outcome.code(), Some(1), "{}: the view is that of {layer}", chain.name);
        }
    }
}

fn refuses_what_qemu_img_refuses(bench: &Bench) {
    disk::usual(&bench.path("image"));
    for (what, words) in REJECTED {
        let theirs = dd(|all| bench.qemu(all), words);
        let ours = dd(|all| bench.instar(all), words);
        assert_eq!(theirs.code(), Some(1), "{what}: {theirs}");
        ours.fails();
        assert!(!bench.path("out").exists(), "{what}: a target was made");
        assert_eq!(theirs.message(), ours.message(), "{what}");
    }
}

fn writes_raw_whatever_the_source_is(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    bench.qemu(["convert", "-f", "raw", "-O", "qcow2", "disk.raw", "image"]).succeeds();
    bench.instar(["dd", "if=image", "of=out"]).succeeds();
    let info = bench.qemu(["info", "out"]);
    assert!(info.succeeds().text().contains("file format: raw"), "{info}");
    same_bytes(bench, "disk.raw", "out", "whole disk");
}

fn writes_qcow2_when_told_to(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    for window in
        ["", "bs=64k skip=2 count=9", "bs=1000 skip=1 count=77", "bs=100 count=77 skip=5", "count=0"]
    {
        both(bench, &format!("-f raw -O qcow2 if=disk.raw {window}"), "raw to qcow2")[1].succeeds();
        let [theirs, ours] = ["theirs", "ours"].map(|image| instar_tests::compare::qemu_info(bench, image));
        assert_eq!(theirs["virtual-size"], ours["virtual-size"], "{window}");
        assert_eq!(ours["format"], "qcow2", "{window}");
        assert_eq!(bench.qemu(["compare", "theirs", "ours"]).code(), Some(0), "{window}");
        instar_tests::compare::checks_clean(bench, "ours", window);
    }
}

fn skipping_past_the_end_warns_and_writes_nothing(bench: &Bench) {
    disk::usual(&bench.path("image"));
    let [theirs, ours] = both(bench, "-f raw if=image skip=100000", "past the end");
    assert_eq!(ours.code(), Some(0), "{ours}");
    assert!(ours.errors().contains("cannot skip to specified offset"), "{ours}");
    assert_eq!(theirs.message(), ours.message());
    assert_eq!(bench.path("ours").metadata().unwrap().len(), 0);
}

fn splits_an_operand_at_its_first_equals_sign(bench: &Bench) {
    disk::usual(&bench.path("a=b"));
    both(bench, "-f raw if=a=b", "name with =")[1].succeeds();
    same_bytes(bench, "theirs", "ours", "name with =");
}

fn the_last_of_an_operand_wins(bench: &Bench) {
    disk::usual(&bench.path("image"));
    bench.instar(["dd", "-f", "raw", "if=absent", "of=not-this", "if=image", "of=out"]).succeeds();
    same_bytes(bench, "image", "out", "last one wins");
    assert_eq!(bench.names(), ["image", "out"]);
}

fn takes_options_after_operands(bench: &Bench) {
    disk::usual(&bench.path("image"));
    bench.instar(["dd", "if=image", "of=out", "-f", "raw", "-O", "raw"]).succeeds();
    same_bytes(bench, "image", "out", "options last");
}

fn reads_a_qcow2_as_raw_when_told_to(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    bench.qemu(["convert", "-f", "raw", "-O", "qcow2", "disk.raw", "image"]).succeeds();
    both(bench, "-f raw if=image", "forced raw")[1].succeeds();
    same_bytes(bench, "theirs", "ours", "forced raw");
}

fn replaces_an_existing_target(bench: &Bench) {
    disk::usual(&bench.path("image"));
    fs::write(bench.path("out"), disk::pattern(0, 6 << 20, 99)).unwrap();
    bench.instar(["dd", "-f", "raw", "if=image", "of=out"]).succeeds();
    same_bytes(bench, "image", "out", "existing target");
}

fn what_only_an_old_release_takes_is_refused_or_read_as_by_the_newer_ones(bench: &Bench) {
    let Some(old) = Reference::of("7.2") else {
        return ledger::skip("qemu-img 7.2 cannot be started, so what only it takes was not shown");
    };
    disk::usual(&bench.path("image"));
    let messages = |words: &str| {
        let line = |target: &str| -> Vec<String> {
            format!("dd {words} of={target}").split(' ').map(str::to_owned).collect()
        };
        let theirs = Outcome::of(old.program("qemu-img").current_dir(bench.directory()).args(line("theirs")));
        let ours = Outcome::of(bench.command(line("ours")).env(reference::VARIABLE, "7.2"));
        (theirs.message(), ours.fails().message())
    };
    let (theirs, ours) = messages("if=image bs=0x4k");
    deviates("hexadecimal-suffix", &theirs, &ours);
    let (theirs, ours) = messages("--o raw if=image");
    deviates("option-names", &theirs, &ours);
}

fn leaves_holes_where_the_source_has_them(bench: &Bench) {
    disk::make(&bench.path("image"), 64 << 20, &[Piece::Data(32 << 20, 65536, 3)]);
    both(bench, "-f raw if=image bs=1M", "holes");
    same_bytes(bench, "theirs", "ours", "holes");
    let [theirs, ours] = ["theirs", "ours"].map(|name| allocated(&bench.path(name)));
    assert!(ours <= 1 << 20, "{ours} bytes are allocated");
    deviates("dd-keeps-holes", &(theirs > 60 << 20), &(ours > 60 << 20));
}
