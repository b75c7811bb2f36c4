//! `measure`: the numbers of the installed qemu-img for raw, qcow2 and luks, and for the other formats what a conversion gives.

use std::fs;

use instar_tests::disk::{self, Piece};
use instar_tests::variant::{self, Variant};
use instar_tests::{Bench, both_sandboxes, ledger};

/// `-O` and `-o` for which both programs have an answer.
const TARGETS: &[&[&str]] = &[
    &["-O", "raw"],
    &["-O", "qcow2"],
    &["-O", "qcow2", "-o", "cluster_size=512"],
    &["-O", "qcow2", "-o", "cluster_size=4k,refcount_bits=1"],
    &["-O", "qcow2", "-o", "cluster_size=2M"],
    &["-O", "qcow2", "-o", "extended_l2=on,cluster_size=16k"],
    &["-O", "qcow2", "-o", "compat=0.10"],
    &["-O", "qcow2", "-o", "preallocation=full"],
    &["-O", "qcow2", "-o", "preallocation=metadata,refcount_bits=64"],
    &["-O", "qcow2", "-o", "backing_file=x,backing_fmt=raw"],
];

/// With encryption, where the reference tool derives a key before it answers: seconds each.
const ENCRYPTED: &[&[&str]] = &[
    &[
        "-O",
        "qcow2",
        "--object",
        "secret,id=s,data=x",
        "-o",
        "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10",
    ],
    &["-O", "luks", "--object", "secret,id=s,data=x", "-o", "key-secret=s"],
    &[
        "-O",
        "luks",
        "--object",
        "secret,id=s,data=x",
        "-o",
        "key-secret=s,iter-time=10,cipher-alg=serpent-128,cipher-mode=cbc",
    ],
];

/// `-O` and `-o` which only we can measure, and how many bytes we may be off: an incompressible grain is taken for granted.
const BEYOND: &[&[&str]] = &[
    &["-O", "vmdk"],
    &["-O", "vmdk", "-o", "zeroed_grain=on"],
    &["-O", "vmdk", "-o", "subformat=monolithicFlat"],
    &["-O", "vmdk", "-o", "subformat=twoGbMaxExtentSparse"],
    &["-O", "vmdk", "-o", "subformat=twoGbMaxExtentFlat"],
    &["-O", "vpc"],
    &["-O", "vpc", "-o", "force_size"],
    &["-O", "vpc", "-o", "subformat=fixed"],
    &["-O", "vhdx"],
    &["-O", "vhdx", "-o", "block_size=1M,log_size=2M"],
    &["-O", "vhdx", "-o", "subformat=fixed"],
    &["-O", "vdi"],
    &["-O", "vdi", "-o", "static=on"],
    &["-O", "qed"],
    &["-O", "qcow"],
    &["-O", "parallels"],
];

/// Asks both programs for each target, for people and for programs.
fn all(bench: &Bench, variants: &[Variant]) {
    let mut asked = 0;
    for variant in variants {
        let bench = &Bench::new(bench.sandbox());
        variant.make(bench);
        for target in TARGETS {
            for output in [&[][..], &["--output=json"]] {
                let words: Vec<&str> =
                    ["measure"].iter().chain(*target).chain(output).chain(variant.source).copied().collect();
                let [theirs, ours] = [bench.qemu(&words), bench.instar(&words)];
                assert_eq!(theirs.code(), ours.code(), "{}: {theirs}{ours}", variant.name);
                assert_eq!(theirs.text(), ours.text(), "{}: {theirs}{ours}", variant.name);
                asked += 1;
            }
        }
    }
    eprintln!("{asked} measurements agree");
}

fn required(bench: &Bench, words: &[&str]) -> (u64, u64) {
    let outcome = bench.instar(words);
    let value: serde_json::Value = serde_json::from_slice(&outcome.succeeds().stdout).unwrap();
    let number = |key: &str| value[key].as_u64().unwrap();
    (number("required"), number("fully-allocated"))
}

/// Bytes of all files of an image that a conversion made.
fn converted(bench: &Bench, target: &[&str], source: &str) -> u64 {
    let directory = bench.path("out");
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir(&directory).unwrap();
    let operands = [source, "out/image"];
    bench.instar(["convert"].iter().chain(target).chain(&operands)).succeeds();
    let files = fs::read_dir(&directory).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

both_sandboxes!(
    measures_every_layout,
    measures_every_kind_of_cluster,
    measures_chains,
    measures_images_in_every_state,
    measures_snapshots,
    measures_raw_files,
    measures_other_formats,
    measures_new_images_of_any_size,
    measure_counts_bitmaps,
    a_conversion_gives_exactly_what_was_measured,
    measure_gives_an_upper_bound_for_compressed_streams,
    measure_ends_on_tables_that_repeat,
);

fn measures_every_layout(bench: &Bench) {
    all(bench, variant::LAYOUTS);
}

fn measures_every_kind_of_cluster(bench: &Bench) {
    all(bench, variant::CLUSTERS);
}

fn measures_chains(bench: &Bench) {
    all(bench, variant::CHAINS);
}

fn measures_images_in_every_state(bench: &Bench) {
    all(bench, variant::STATES);
}

fn measures_snapshots(bench: &Bench) {
    all(bench, variant::SNAPSHOTS);
}

fn measures_raw_files(bench: &Bench) {
    all(bench, variant::RAW);
}

fn measures_other_formats(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    let mut asked = 0;
    for words in BEYOND.iter().chain(&[&["-O", "vmdk", "-o", "subformat=streamOptimized"][..]]) {
        let made = ["convert", "-f", "raw"].iter().chain(*words).chain(&["disk.raw", "image"]);
        bench.qemu(made).succeeds();
        let format = words[1];
        for target in TARGETS {
            let all: Vec<&str> =
                ["measure", "-f", format].iter().chain(*target).chain(&["image"]).copied().collect();
            let [theirs, ours] = [bench.qemu(&all), bench.instar(&all)];
            assert_eq!(
                (theirs.code(), theirs.text()),
                (ours.code(), ours.text()),
                "{words:?}: {theirs}{ours}"
            );
            asked += 1;
        }
    }
    eprintln!("{asked} measurements agree");
}

fn measures_new_images_of_any_size(bench: &Bench) {
    let mut asked = 0;
    for target in bench.share(TARGETS) {
        for size in ["0", "1", "513", "1M", "5G", "1T", "30T", "3E", "9223372036854775807"] {
            let words: Vec<&str> =
                ["measure"].iter().chain(*target).chain(&["--size", size]).copied().collect();
            let [theirs, ours] = [bench.qemu(&words), bench.instar(&words)];
            assert_eq!((theirs.code(), theirs.text()), (ours.code(), ours.text()), "{theirs}{ours}");
            assert_eq!(theirs.message(), ours.message());
            asked += 1;
        }
    }
    for target in ENCRYPTED {
        let words: Vec<&str> =
            ["measure"].iter().chain(*target).chain(&["--size", "1073742337"]).copied().collect();
        let [theirs, ours] = [bench.qemu(&words), bench.instar(&words)];
        assert_eq!((theirs.code(), theirs.text()), (ours.code(), ours.text()), "{theirs}{ours}");
        asked += 1;
    }
    eprintln!("{asked} measurements agree");
}

fn measure_counts_bitmaps(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "qcow2", "image", "8G"]).succeeds();
    for (name, granularity) in [("one", "512"), ("another", "2M"), ("a third of them", "64k")] {
        bench.qemu(["bitmap", "--add", "-g", granularity, "image", name]).succeeds();
    }
    for target in TARGETS {
        let words: Vec<&str> = ["measure"].iter().chain(*target).chain(&["image"]).copied().collect();
        let [theirs, ours] = [bench.qemu(&words), bench.instar(&words)];
        assert_eq!((theirs.code(), theirs.text()), (ours.code(), ours.text()), "{theirs}{ours}");
    }
}

fn a_conversion_gives_exactly_what_was_measured(bench: &Bench) {
    // Data that does not compress and has no zeros that only reading would show; at odd places.
    disk::make(
        &bench.path("disk.raw"),
        40 << 20,
        &[
            Piece::Data(0, 4096, 1),
            Piece::Data((1 << 20) + 8192, 300 << 10, 2),
            Piece::Data(9 << 20, 5 << 20, 3),
            Piece::Data((40 << 20) - 4096, 4096, 4),
        ],
    );
    bench
        .instar(["convert", "-f", "raw", "-O", "qcow2", "-o", "cluster_size=4k", "disk.raw", "disk.qcow2"])
        .succeeds();
    fs::write(bench.path("full.raw"), disk::pattern(0, 40 << 20, 5)).unwrap();
    for target in BEYOND {
        let measure: Vec<&str> = ["measure", "--output=json"].iter().chain(*target).copied().collect();
        for source in ["disk.raw", "disk.qcow2", "full.raw"] {
            let words: Vec<&str> = measure.iter().chain(&[source]).copied().collect();
            let (measured, full) = required(bench, &words);
            let length = converted(bench, target, source);
            let named = if target.iter().any(|word| word.contains("twoGb") || word.contains("Flat")) {
                // The descriptor of an image in pieces repeats its name.
                64
            } else {
                0
            };
            assert!(
                length.abs_diff(measured) <= named,
                "{target:?} {source}: {length} bytes, {measured} measured"
            );
            if source == "full.raw" {
                assert_eq!(measured, full, "{target:?}");
            }
        }
        let theirs = bench.qemu(measure.iter().chain(&["disk.raw"]));
        let ours = bench.instar(measure.iter().chain(&["disk.raw"]));
        ledger::deviates("measure-every-format", &theirs.code(), &ours.code());
    }
}

fn measure_gives_an_upper_bound_for_compressed_streams(bench: &Bench) {
    fs::write(bench.path("full.raw"), disk::pattern(0, 8 << 20, 5)).unwrap();
    let target: &[&str] = &["-O", "vmdk", "-o", "subformat=streamOptimized"];
    let measure: Vec<&str> =
        ["measure", "--output=json"].iter().chain(target).chain(&["full.raw"]).copied().collect();
    let (measured, _) = required(bench, &measure);
    let length = converted(bench, target, "full.raw");
    assert!(length <= measured && measured <= length + length / 50, "{length} bytes, {measured} measured");
}

fn measure_ends_on_tables_that_repeat(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "qcow2", "image", "64T"]).succeeds();
    fs::write(bench.path("piece"), disk::pattern(0, 65536, 1)).unwrap();
    variant::io(bench, "image", &["write -s piece 0 64k"]);
    let image = instar_tests::craft::Crafted::open(&bench.path("image"));
    let l1 = image.get(instar_tests::craft::field::L1_TABLE_OFFSET);
    let l2 = image.get(l1);
    let entry = image.get(l2 & 0x00ff_ffff_ffff_fe00);
    image.bytes(l2 & 0x00ff_ffff_ffff_fe00, &entry.to_be_bytes().repeat(8192));
    image.bytes(l1, &l2.to_be_bytes().repeat(131_072));
    let outcome = bench.instar(["measure", "-O", "qcow2", "image"]);
    outcome.fails().within(std::time::Duration::from_secs(5));
}
