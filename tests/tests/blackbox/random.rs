//! Random conversions: images, chains and options drawn at random, each identified by its number. The same seed gives
//! the same bytes, whatever the number of lanes and the sandbox.

use std::fs;
use std::process::Command;

use instar_tests::compare::same_bytes;
use instar_tests::disk::mix;
use instar_tests::variant::io;
use instar_tests::{Bench, Dice, Sandbox, both_sandboxes, formats, ledger};

/// Cases for each sandbox; `INSTAR_TEST_RANDOM_CASES` asks for more.
const CASES: u64 = 24;

const CLUSTERS: &[&str] = &["512", "4k", "64k", "256k", "2M"];

/// Makes a chain of images and gives its top and the format of that.
fn source(bench: &Bench, dice: &mut Dice) -> (String, &'static str) {
    let format = dice.of(&[
        "raw",
        "qcow2",
        "qcow2",
        "qcow2",
        "vmdk",
        "vdi",
        "vpc",
        "vhdx",
        "qed",
        "qcow",
        "parallels",
    ]);
    let depth = if format == "qcow2" { dice.below(3) } else { 0 };
    let mut below: Option<(String, &str)> = None;
    for layer in 0..=depth {
        let name = format!("layer{layer}");
        let format = if layer == depth {
            format
        } else {
            dice.of(&["raw", "qcow2"])
        };
        // Layers over others must be able to have some.
        let format = if below.is_some() && format == "raw" {
            "qcow2"
        } else {
            format
        };
        let size = format!("{}", 512 * (1 + dice.below(24 << 11)));
        let mut words = vec!["create", "-q", "-f", format];
        let cluster = format!("cluster_size={}", dice.of(CLUSTERS));
        if format == "qcow2" {
            words.extend(["-o", &cluster]);
            if dice.below(4) == 0 && cluster.ends_with(['M', '4', '6']) {
                words.extend(["-o", "extended_l2=on"]);
            }
        }
        if let Some((name, format)) = &below {
            words.extend(["-b", name, "-F", format]);
        }
        words.extend([name.as_str(), &size]);
        let made = bench.qemu(&words);
        assert_eq!(made.code(), Some(0), "{made}");
        scribble(bench, dice, &name, format);
        below = Some((name, format));
    }
    let (name, format) = below.unwrap();
    let format = formats::WRITTEN.iter().find(|known| **known == format).unwrap();
    (name, format)
}

/// Writes here and there: data, zeros, holes.
fn scribble(bench: &Bench, dice: &mut Dice, name: &str, format: &str) {
    let outcome = bench.qemu(["info", "-f", format, "--output=json", name]);
    let info: serde_json::Value = serde_json::from_slice(&outcome.succeeds().stdout).unwrap();
    let size = info["virtual-size"].as_u64().unwrap();
    for _ in 0..1 + dice.below(8) {
        let start = dice.below(size / 512) * 512;
        let scale = dice.below(9);
        let length = (512 * (1 + dice.below(4 << scale))).min(size - start);
        let what = match dice.below(4) {
            0 => "-z".to_owned(),
            1 => "-P 0".to_owned(),
            _ => format!("-P {}", 1 + dice.below(255)),
        };
        if format == "qcow2" {
            io(bench, name, &[&format!("write {what} {start} {length}")]);
        } else {
            bench.qemu_io(["-f", format, "-c", &format!("write {what} {start} {length}"), name]).succeeds();
        }
    }
}

/// Options for a target of some format.
fn target(dice: &mut Dice) -> (&'static str, Vec<String>) {
    let format = dice.of(&[
        "raw",
        "raw",
        "qcow2",
        "qcow2",
        "qcow2",
        "vmdk",
        "vdi",
        "vpc",
        "vhdx",
        "qed",
        "qcow",
        "parallels",
    ]);
    let mut words = vec!["-O".to_owned(), format.to_owned()];
    match format {
        "qcow2" => {
            words.extend(["-o".to_owned(), format!("cluster_size={}", dice.of(CLUSTERS))]);
            match dice.below(4) {
                0 => words.push("-c".to_owned()),
                1 => words.extend(["-c".to_owned(), "-o".to_owned(), "compression_type=zstd".to_owned()]),
                2 => words.extend([
                    "-o".to_owned(),
                    format!("preallocation={}", dice.of(&["off", "metadata", "falloc"])),
                ]),
                _ => {}
            }
        }
        "vmdk" => {
            let layout =
                dice.of(&["monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse", "streamOptimized"]);
            words.extend(["-o".to_owned(), format!("subformat={layout}")]);
        }
        "vpc" => words.extend(["-o".to_owned(), "force_size=on".to_owned()]),
        "qcow" if dice.below(2) == 0 => words.push("-c".to_owned()),
        _ => {}
    }
    if !words.iter().any(|word| word == "-c") {
        words.extend(["-S".to_owned(), dice.of(&["0", "512", "4k", "64k", "1M"]).to_owned()]);
    }
    words.extend(["-m".to_owned(), (1 + dice.below(16)).to_string()]);
    (format, words)
}

both_sandboxes!(any_conversion_gives_the_disk_that_qemu_img_reads,);

fn any_conversion_gives_the_disk_that_qemu_img_reads(bench: &Bench) {
    let cases = std::env::var("INSTAR_TEST_RANDOM_CASES").map_or(CASES, |text| text.parse().unwrap());
    let salt = if bench.sandbox() == Sandbox::Kvm {
        0
    } else {
        1 << 32
    };
    for case in 0..cases {
        let bench = &Bench::new(bench.sandbox());
        let mut dice = Dice::new(case + salt);
        let (top, from) = source(bench, &mut dice);
        let (to, options) = target(&mut dice);
        let what = format!("case {case}: {from} to {options:?}");
        let mut words = vec!["convert", "-f", from];
        words.extend(options.iter().map(String::as_str));
        words.extend([top.as_str(), "out"]);
        bench.instar(&words).succeeds();
        let outcome = bench.qemu(["compare", "-f", from, "-F", to, &top, "out"]);
        assert_eq!(outcome.code(), Some(0), "{what}: {outcome}");
        if ["qcow2", "vdi", "vhdx", "qed", "parallels"].contains(&to) {
            let outcome = bench.qemu(["check", "-f", to, "out"]);
            assert_eq!(outcome.code(), Some(0), "{what}: {outcome}");
        }
    }
}

/// Output formats in which lanes could matter.
const LAYOUTS: &[&[&str]] = &[
    &["-O", "raw"],
    &["-O", "qcow2"],
    &["-O", "qcow2", "-c"],
    &["-O", "qcow2", "-c", "-o", "compression_type=zstd"],
    &["-O", "qcow2", "-o", "cluster_size=4k,extended_l2=off"],
    &["-O", "vmdk"],
    &["-O", "vmdk", "-o", "subformat=streamOptimized"],
    &["-O", "vpc"],
    &["-O", "vhdx"],
    &["-O", "vdi"],
    &["-O", "qed"],
    &["-O", "qcow"],
    &["-O", "parallels"],
    &["-O", "qcow", "-c"],
];

#[test]
fn the_same_seed_gives_the_same_bytes_with_any_number_of_lanes_both_sandboxes() {
    let bench = Bench::new(Sandbox::Process);
    let mut pieces = Vec::new();
    for index in 0..40_u64 {
        let (at, length) = (index * 700_001, 1 + mix(index) % 300_000);
        pieces.push(match index % 3 {
            0 => instar_tests::disk::Piece::Text(at, length),
            1 => instar_tests::disk::Piece::Data(at, length, index),
            _ => instar_tests::disk::Piece::Zeros(at, length),
        });
    }
    instar_tests::disk::make(&bench.path("disk.raw"), 30 << 20, &pieces);
    let kvm = fs::File::options().read(true).write(true).open("/dev/kvm").is_ok();
    if !kvm {
        ledger::skip("/dev/kvm cannot be opened");
    }
    for layout in LAYOUTS {
        let run = |sandbox: &str, lanes: &str, name: &str| {
            let mut command = Command::new(instar_tests::instar_path());
            command.current_dir(bench.directory()).env("INSTAR_SEED", "a seed");
            command.args(["convert", "--sandbox", sandbox, "-f", "raw", "-m", lanes]).args(*layout);
            // A descriptor names its own file.
            instar_tests::Outcome::of(command.args(["disk.raw", "out"])).succeeds();
            fs::rename(bench.path("out"), bench.path(name)).unwrap();
        };
        run("process", "1", "first");
        for lanes in ["2", "3", "7", "16"] {
            for sandbox in ["process", "kvm"].into_iter().take(1 + usize::from(kvm)) {
                run(sandbox, lanes, "again");
                same_bytes(&bench, "first", "again", &format!("{layout:?}, {lanes} lanes, {sandbox}"));
                fs::remove_file(bench.path("again")).unwrap();
            }
        }
        fs::remove_file(bench.path("first")).unwrap();
    }
}
