//! `-S`: the same places are allocated as by qemu-img, for minimum runs that are powers of two and others, and for any
//! layout of the source and any cluster size of the target.

use std::fs;
use std::os::unix::fs::FileExt;

use instar_tests::compare::{allocated_ranges, same_bytes, same_disk_space};
use instar_tests::disk::pattern;
use instar_tests::variant::io;
use instar_tests::{Bench, Dice, both_sandboxes};

const SECTOR: u64 = 512;
/// In sectors: around pages, clusters and qemu-img's buffer.
const RUNS: &[u64] =
    &[1, 2, 3, 7, 8, 9, 16, 20, 24, 25, 40, 64, 100, 128, 190, 192, 200, 256, 1000, 2048, 3000, 4096, 6000];
const SIZES: &[&str] = &["512", "1k", "4k", "5k", "12k", "64k", "96k", "1M", "3M", "16M"];
const CLUSTERS: &[&str] = &["512", "4k", "64k", "2M"];

/// A disk of runs of data, of zeros and of holes, each of any number of sectors. Gives its size.
fn scatter(bench: &Bench, name: &str, dice: &mut Dice) -> u64 {
    let size = SECTOR * (1 + dice.below(16_000));
    let file = fs::File::create(bench.path(name)).unwrap();
    file.set_len(size).unwrap();
    let mut at = 0;
    while at < size {
        let length = (dice.of(RUNS) * SECTOR).min(size - at);
        match dice.below(20) {
            0..9 => file.write_all_at(&pattern(at, length, 1), at).unwrap(),
            9..18 => file.write_all_at(&vec![0; length as usize], at).unwrap(),
            _ => {}
        }
        at += length;
    }
    size
}

/// Converts with both programs, for each `-S` in turn into another kind of target, and compares bytes and allocation.
fn agree(bench: &Bench, dice: &mut Dice, words: &[&str], what: &str) {
    for sparse in SIZES {
        let (format, cluster) = match dice.below(3) {
            0 => ("raw", None),
            _ => ("qcow2", Some(dice.of(CLUSTERS))),
        };
        let options = cluster.map(|cluster| format!("cluster_size={cluster}"));
        let lanes = dice.of(&["1", "2", "8"]);
        let mut all = vec!["convert", "-S", sparse, "-m", lanes, "-O", format];
        if let Some(options) = &options {
            all.extend(["-o", options]);
        }
        all.extend(words);
        let which = format!("{what} {all:?}");
        bench.qemu(all.iter().chain(&["theirs"])).succeeds();
        bench.instar(all.iter().chain(&["ours"])).succeeds();
        same_disk_space(bench, format, "theirs", "ours", &which);
        for image in ["theirs", "ours"] {
            bench.qemu(["convert", "-f", format, "-O", "raw", image, &format!("{image}.raw")]).succeeds();
        }
        same_bytes(bench, "theirs.raw", "ours.raw", &which);
    }
}

both_sandboxes!(
    leaves_out_zeros_of_raw_images,
    leaves_out_zeros_of_qcow2_images,
    leaves_out_zeros_of_compressed_images,
    leaves_out_zeros_of_chains,
    leaves_out_zeros_of_several_images,
    leaves_out_zero_clusters_when_compressing,
    leaves_out_zeros_when_writing_in_place,
);

fn leaves_out_zeros_of_raw_images(bench: &Bench) {
    for seed in 0..6 {
        let mut dice = Dice::new(seed);
        scatter(bench, "disk.raw", &mut dice);
        agree(bench, &mut dice, &["-f", "raw", "disk.raw"], &format!("seed {seed}"));
    }
}

fn leaves_out_zeros_of_qcow2_images(bench: &Bench) {
    for seed in 100..104 {
        let mut dice = Dice::new(seed);
        scatter(bench, "disk.raw", &mut dice);
        let options = format!("cluster_size={}", dice.of(CLUSTERS));
        bench
            .qemu(["convert", "-S", "64k", "-f", "raw", "-O", "qcow2", "-o", &options, "disk.raw", "image"])
            .succeeds();
        agree(bench, &mut dice, &["-f", "qcow2", "image"], &format!("seed {seed} {options}"));
    }
}

fn leaves_out_zeros_of_compressed_images(bench: &Bench) {
    for seed in 200..204 {
        let mut dice = Dice::new(seed);
        scatter(bench, "disk.raw", &mut dice);
        let options = format!("cluster_size={}", dice.of(&["4k", "64k", "2M"]));
        bench
            .qemu(["convert", "-c", "-f", "raw", "-O", "qcow2", "-o", &options, "disk.raw", "image"])
            .succeeds();
        agree(bench, &mut dice, &["-f", "qcow2", "image"], &format!("seed {seed} {options}"));
    }
}

fn leaves_out_zeros_of_chains(bench: &Bench) {
    for seed in 300..305 {
        let mut dice = Dice::new(seed);
        let size = scatter(bench, "disk.raw", &mut dice);
        let options = format!("cluster_size={}", dice.of(CLUSTERS));
        bench
            .qemu(["create", "-q", "-f", "qcow2", "-o", &options, "-b", "disk.raw", "-F", "raw", "image"])
            .succeeds();
        for _ in 0..dice.below(20) {
            let at = dice.below(size / SECTOR) * SECTOR;
            let length = (dice.of(RUNS) * SECTOR).min(size - at);
            let how = dice.of(&["-z", "-P 0", "-P 7", "-P 8"]);
            io(bench, "image", &[&format!("write {how} {at} {length}")]);
        }
        agree(bench, &mut dice, &["-f", "qcow2", "image"], &format!("seed {seed} {options}"));
    }
}

fn leaves_out_zeros_of_several_images(bench: &Bench) {
    for seed in 400..403 {
        let mut dice = Dice::new(seed);
        scatter(bench, "one.raw", &mut dice);
        scatter(bench, "two.raw", &mut dice);
        agree(bench, &mut dice, &["-f", "raw", "one.raw", "two.raw"], &format!("seed {seed}"));
    }
}

/// A cluster is zero or it is not.
fn leaves_out_zero_clusters_when_compressing(bench: &Bench) {
    let mut dice = Dice::new(500);
    scatter(bench, "disk.raw", &mut dice);
    for cluster in CLUSTERS {
        for sparse in ["512", "12k", "1M"] {
            let options = format!("cluster_size={cluster}");
            let words = |target| {
                [
                    "convert", "-c", "-S", sparse, "-f", "raw", "-O", "qcow2", "-o", &options, "disk.raw",
                    target,
                ]
            };
            bench.qemu(words("theirs")).succeeds();
            bench.instar(words("ours")).succeeds();
            same_disk_space(bench, "qcow2", "theirs", "ours", &format!("{sparse} {cluster}"));
        }
    }
}

fn leaves_out_zeros_when_writing_in_place(bench: &Bench) {
    for seed in 600..603 {
        let mut dice = Dice::new(seed);
        scatter(bench, "disk.raw", &mut dice);
        let size = fs::metadata(bench.path("disk.raw")).unwrap().len();
        fs::write(bench.path("old.raw"), pattern(0, size, 9)).unwrap();
        for sparse in SIZES {
            let format = dice.of(&["raw", "qcow2"]);
            for target in ["theirs", "ours"] {
                bench.qemu(["convert", "-f", "raw", "-O", format, "old.raw", target]).succeeds();
            }
            let words =
                |target| ["convert", "-n", "-S", sparse, "-f", "raw", "-O", format, "disk.raw", target];
            bench.qemu(words("theirs")).succeeds();
            bench.instar(words("ours")).succeeds();
            let which = format!("seed {seed} {sparse} {format}");
            if format == "raw" {
                same_disk_space(bench, format, "theirs", "ours", &which);
            }
            let theirs = allocated_ranges(bench, format, "theirs");
            for (start, length) in allocated_ranges(bench, format, "ours") {
                let within = |(from, bytes): &(u64, u64)| *from <= start && start + length <= from + bytes;
                assert!(theirs.iter().any(within), "{which}: {start} {length}");
            }
            bench.qemu(["compare", "-f", "raw", "-F", format, "disk.raw", "ours"]).succeeds();
        }
    }
}
