//! Options that only the newest release of qemu-img has, beside it. Every profile takes them.

use std::fs;
use std::process::Command;

use instar_tests::compare::same_bytes;
use instar_tests::disk::{self, Piece};
use instar_tests::sealed::{OPTIONS, SECRET};
use instar_tests::{Bench, Outcome, Reference, both_sandboxes, ledger, reference};

/// The newest release, and a command of ours that stands in for it.
struct Pair<'a> {
    bench: &'a Bench,
    newest: &'static Reference,
}

impl<'a> Pair<'a> {
    fn new(bench: &'a Bench) -> Option<Self> {
        let newest = Reference::of("11.1");
        if newest.is_none() {
            ledger::skip(
                "qemu-img 11.1 cannot be started, so the options that only it has were not compared",
            );
        }
        Some(Self {
            bench,
            newest: newest?,
        })
    }

    fn theirs(&self, words: &[&str]) -> Outcome {
        let mut command: Command = self.newest.program("qemu-img");
        Outcome::of(command.current_dir(self.bench.directory()).env("LC_ALL", "C").args(words))
    }

    fn ours(&self, words: &[&str]) -> Outcome {
        Outcome::of(self.bench.command(words).env(reference::VARIABLE, "11.1"))
    }

    #[track_caller]
    fn agree(&self, words: &[&str]) {
        let (theirs, ours) = (self.theirs(words), self.ours(words));
        assert_eq!(theirs.code(), ours.code(), "{theirs}{ours}");
        assert_eq!(theirs.text(), ours.text(), "{words:?}");
        assert_eq!(theirs.message(), ours.message(), "{words:?}");
        ledger::compared(words[0], &self.newest.series);
    }
}

/// An image of each layout whose limits differ.
fn gallery(pair: &Pair<'_>) -> Vec<&'static str> {
    let images = [
        ("raw", "", "raw"),
        ("qcow2", "", "qcow2"),
        ("qcow2", "cluster_size=128k,extended_l2=on", "extended"),
        ("vmdk", "", "sparse"),
        ("vmdk", "subformat=monolithicFlat", "flat"),
        ("vmdk", "subformat=twoGbMaxExtentSparse", "pieces"),
        ("vmdk", "subformat=streamOptimized", "stream"),
        ("vdi", "", "vdi"),
        ("qed", "", "qed"),
        ("qcow", "", "qcow"),
        ("parallels", "", "parallels"),
        ("qed", "cluster_size=4M,table_size=2", "large"),
        ("vpc", "", "vpc"),
        ("vhdx", "", "vhdx"),
    ];
    for (format, options, name) in images {
        let mut words = vec!["create", "-q", "-f", format];
        if !options.is_empty() {
            words.extend(["-o", options]);
        }
        pair.theirs(&[&words[..], &[name, "10M"]].concat()).succeeds();
    }
    pair.theirs(&["create", "-q", "-f", "qcow2", "-b", "qcow2", "-F", "qcow2", "overlay"]).succeeds();
    pair.theirs(&["snapshot", "-c", "old", "overlay"]).succeeds();
    images.iter().map(|(_, _, name)| *name).chain(["overlay"]).collect()
}

both_sandboxes!(
    limits_of_every_layout_are_those_that_qemu_img_works_out,
    wrong_cache_modes_of_info_are_refused_where_qemu_img_refuses_them,
    new_letters_of_old_options_mean_the_same,
    a_new_image_keeps_the_data_file_that_exists,
    a_luks_header_of_its_own_holds_no_data,
);

fn limits_of_every_layout_are_those_that_qemu_img_works_out(bench: &Bench) {
    // Direct I/O in memory is aligned to pages, on a disk to its sectors.
    limits_of_every_layout(bench);
    limits_of_every_layout(&bench.on_disk());
}

fn limits_of_every_layout(bench: &Bench) {
    let Some(pair) = Pair::new(bench) else { return };
    for image in gallery(&pair) {
        for output in ["--output=human", "--output=json"] {
            for cache in ["writeback", "none"] {
                pair.agree(&["info", "--limits", "-t", cache, output, image]);
            }
        }
    }
    for output in ["--output=human", "--output=json"] {
        pair.agree(&["info", "--limits", "--backing-chain", output, "overlay"]);
        pair.agree(&["info", "--limits", "-f", "raw", output, "raw"]);
        pair.agree(&["info", "--limits", "-f", "file", output, "raw"]);
        let part = "driver=raw,offset=512,size=512,file.driver=file,file.filename=raw";
        pair.agree(&["info", "--limits", "--image-opts", output, part]);
    }
}

fn wrong_cache_modes_of_info_are_refused_where_qemu_img_refuses_them(bench: &Bench) {
    let Some(pair) = Pair::new(bench) else { return };
    gallery(&pair);
    for words in [
        ["info", "-t", "nonsense", "raw"].as_slice(),
        &["info", "-t", "nonsense"],
        &["info", "-t", "unsafe", "absent"],
        &["info", "--cache", "nonsense", "raw"],
        &["info", "-t", "nonsense", "--output=nonsense", "raw"],
    ] {
        pair.agree(words);
    }
}

fn new_letters_of_old_options_mean_the_same(bench: &Bench) {
    let Some(pair) = Pair::new(bench) else { return };
    disk::make(&bench.path("base.raw"), 4 << 20, &[Piece::Data(0, 1 << 20, 3)]);
    disk::make(&bench.path("disk.raw"), 4 << 20, &[Piece::Data(0, 2 << 20, 3)]);
    pair.agree(&["measure", "-O", "qcow2", "-s", "1G"]);
    pair.agree(&["measure", "-O", "qcow2", "-s", "1G", "--output=json"]);
    pair.agree(&["measure", "-s", "nonsense"]);
    pair.agree(&["create", "-f", "qcow2", "-b", "base.raw", "-B", "raw", "ours"]);
    pair.agree(&["create", "-f", "qcow2", "-b", "base.raw", "-B", "nonsense", "ours"]);
    let words =
        |target| ["convert", "-f", "raw", "-O", "qcow2", "-b", "base.raw", "-F", "raw", "disk.raw", target];
    pair.theirs(&words("theirs")).succeeds();
    pair.ours(&words("ours")).succeeds();
    for target in ["theirs", "ours"] {
        pair.theirs(&["convert", "-O", "raw", target, &format!("{target}.raw")]).succeeds();
    }
    same_bytes(bench, "disk.raw", "ours.raw", "ours");
    same_bytes(bench, "theirs.raw", "ours.raw", "both");
    // They collide with nothing, so every profile takes them.
    for profile in reference::PROFILES {
        let words = ["measure", "--qemu-version", profile, "-O", "qcow2", "-s", "1G"];
        bench.instar(words).succeeds();
        bench.instar(["info", "--qemu-version", profile, "--limits", "-t", "none", "base.raw"]).succeeds();
    }
}

fn a_new_image_keeps_the_data_file_that_exists(bench: &Bench) {
    let Some(pair) = Pair::new(bench) else { return };
    let before = disk::pattern(0, 1_000_000, 5);
    for (options, size) in [
        ("data_file=data,data_file_raw=on,keep_data_file=on", "2M"),
        ("data_file=data,data_file_raw=on,keep_data_file=on", "512k"),
        ("data_file=data,keep_data_file=on,preallocation=metadata", "1M"),
        ("data_file=data,keep_data_file=on,extended_l2=on,cluster_size=16k,preallocation=metadata", "1M"),
        ("data_file=data,keep_data_file=on", "1M"),
        ("data_file=absent,data_file_raw=on,keep_data_file=on", "1M"),
        ("keep_data_file=on", "1M"),
        ("keep_data_file=on,preallocation=falloc", "1M"),
        ("data_file=data,data_file_raw=on,keep_data_file=on,preallocation=falloc", "1M"),
        ("data_file=data,data_file_raw=on,keep_data_file=on,preallocation=full", "1M"),
        ("data_file=data,data_file_raw=on,keep_data_file=on,compat=0.10", "1M"),
        ("data_file=data,keep_data_file=on,compat=0.10", "1M"),
    ] {
        let words = ["create", "-f", "qcow2", "-o", options, "image", size];
        let run = |program: &dyn Fn(&[&str]) -> Outcome| {
            fs::write(bench.path("data"), &before).unwrap();
            let _ = fs::remove_file(bench.path("image"));
            let outcome = program(&words);
            let map = pair.theirs(&["convert", "-O", "raw", "image", "disk.raw"]).code() == Some(0);
            let shown = map.then(|| fs::read(bench.path("disk.raw")).unwrap());
            let checked = pair.theirs(&["check", "image"]).text();
            (
                (outcome.code(), outcome.text(), outcome.message()),
                fs::read(bench.path("data")).unwrap(),
                shown,
                checked,
            )
        };
        let theirs = run(&|words| pair.theirs(words));
        let ours = run(&|words| pair.ours(words));
        assert_eq!(theirs.0, ours.0, "{options}, {size}");
        assert!(theirs == ours, "{options}, {size}");
        assert!(ours.1.starts_with(&before), "{options}, {size}");
    }
    ledger::compared("create", &pair.newest.series);
}

fn a_luks_header_of_its_own_holds_no_data(bench: &Bench) {
    let Some(pair) = Pair::new(bench) else { return };
    disk::usual(&bench.path("raw"));
    let options: &str = &format!("{OPTIONS},detached-header=on");
    let make = |name| ["create", "-q", "-f", "luks", "--object", SECRET, "-o", options, name, "4M"];
    pair.theirs(&make("theirs")).succeeds();
    pair.ours(&make("ours")).succeeds();
    let length = |name| fs::metadata(bench.path(name)).unwrap().len();
    assert_eq!(length("theirs"), length("ours"));
    let read = |header: &str| {
        fs::write(bench.path("data"), vec![0xa7; 4 << 20]).unwrap();
        let nodes = format!(
            "driver=luks,key-secret=s,header.driver=file,header.filename={header},file.driver=file,file.filename=data"
        );
        pair.theirs(&["convert", "--object", SECRET, "--image-opts", &nodes, "-O", "raw", "out"]).succeeds();
        fs::read(bench.path("out")).unwrap().len()
    };
    assert_eq!(read("theirs"), read("ours"), "the header opens a disk that is elsewhere");
    let convert =
        |name| ["convert", "--object", SECRET, "-f", "raw", "-O", "luks", "-o", options, "raw", name];
    let (theirs, ours) = (pair.theirs(&convert("their-disk")), pair.ours(&convert("our-disk")));
    theirs.fails_with("LUKS payload is overlapping with the header");
    ours.fails_with("LUKS payload is overlapping with the header");
    assert!(!bench.path("our-disk").exists());
}
