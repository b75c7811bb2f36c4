//! Images in every variant that qemu-img can make of the usual disk, and chains of them.
//!
//! A variant is made in an empty bench and read by the words it gives: usually `["image"]`.

mod read_only;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use crate::Bench;
use crate::disk::{self, Piece, USUAL_BYTES};
pub use read_only::{BEYOND, BY_NAME, READ_ONLY, UNKNOWN};

mod foreign;

pub use foreign::FOREIGN;
use foreign::{
    chain_compressed_qcow, chain_over_qcow, chain_over_qed, chain_qcow, chain_qed, chain_qed_small,
};

/// One way an image can be.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// Said when it goes wrong.
    pub name: &'static str,
    pub make: Make,
    /// How it is named to a verb that reads it: options and operands.
    pub source: &'static [&'static str],
}

/// How a variant is made.
#[derive(Clone, Copy, Debug)]
pub enum Make {
    /// `qemu-img convert` of the usual disk with these words.
    Convert(&'static [&'static str]),
    /// By a program of its own.
    By(fn(&Bench)),
}

impl Variant {
    /// Makes the image in `bench`.
    ///
    /// # Panics
    ///
    /// If qemu-img refuses to.
    pub fn make(&self, bench: &Bench) {
        match self.make {
            Make::Convert(words) => {
                disk::usual(&bench.path("disk.raw"));
                let all = ["convert", "-f", "raw"].iter().chain(words).chain(&["disk.raw", "image"]);
                bench.qemu(all).succeeds();
            }
            Make::By(make) => make(bench),
        }
    }
}

const fn converted(name: &'static str, words: &'static [&'static str]) -> Variant {
    Variant {
        name,
        make: Make::Convert(words),
        source: &["image"],
    }
}

const fn made(name: &'static str, make: fn(&Bench), source: &'static [&'static str]) -> Variant {
    Variant {
        name,
        make: Make::By(make),
        source,
    }
}

/// qcow2 with each cluster size, version, refcount width and allocation.
pub const LAYOUTS: &[Variant] = &[
    converted("clusters of 512", &["-O", "qcow2", "-o", "cluster_size=512"]),
    converted("clusters of 1k", &["-O", "qcow2", "-o", "cluster_size=1k"]),
    converted("clusters of 2k", &["-O", "qcow2", "-o", "cluster_size=2k"]),
    converted("clusters of 4k", &["-O", "qcow2", "-o", "cluster_size=4k"]),
    converted("clusters of 8k", &["-O", "qcow2", "-o", "cluster_size=8k"]),
    converted("clusters of 16k", &["-O", "qcow2", "-o", "cluster_size=16k"]),
    converted("clusters of 32k", &["-O", "qcow2", "-o", "cluster_size=32k"]),
    converted("clusters of 64k", &["-O", "qcow2"]),
    converted("clusters of 128k", &["-O", "qcow2", "-o", "cluster_size=128k"]),
    converted("clusters of 256k", &["-O", "qcow2", "-o", "cluster_size=256k"]),
    converted("clusters of 512k", &["-O", "qcow2", "-o", "cluster_size=512k"]),
    converted("clusters of 1M", &["-O", "qcow2", "-o", "cluster_size=1M"]),
    converted("clusters of 2M", &["-O", "qcow2", "-o", "cluster_size=2M"]),
    converted("version 2", &["-O", "qcow2", "-o", "compat=0.10"]),
    converted("version 2, clusters of 512", &["-O", "qcow2", "-o", "compat=0.10,cluster_size=512"]),
    converted("version 2, clusters of 2M", &["-O", "qcow2", "-o", "compat=0.10,cluster_size=2M"]),
    converted("refcounts of 1 bit", &["-O", "qcow2", "-o", "refcount_bits=1"]),
    converted("refcounts of 2 bits", &["-O", "qcow2", "-o", "refcount_bits=2"]),
    converted("refcounts of 4 bits", &["-O", "qcow2", "-o", "refcount_bits=4"]),
    converted("refcounts of 8 bits", &["-O", "qcow2", "-o", "refcount_bits=8"]),
    converted("refcounts of 32 bits", &["-O", "qcow2", "-o", "refcount_bits=32"]),
    converted("refcounts of 64 bits", &["-O", "qcow2", "-o", "refcount_bits=64"]),
    converted("lazy refcounts", &["-O", "qcow2", "-o", "lazy_refcounts=on"]),
    converted("preallocated tables", &["-O", "qcow2", "-o", "preallocation=metadata"]),
    converted("preallocated by falloc", &["-O", "qcow2", "-o", "preallocation=falloc"]),
    converted("preallocated in full", &["-O", "qcow2", "-o", "preallocation=full"]),
    converted("everything written", &["-O", "qcow2", "-S", "0"]),
];

/// Compressed clusters and subclusters.
pub const CLUSTERS: &[Variant] = &[
    converted("zlib", &["-O", "qcow2", "-c"]),
    converted("zlib, version 2", &["-O", "qcow2", "-c", "-o", "compat=0.10"]),
    converted("zlib, clusters of 512", &["-O", "qcow2", "-c", "-o", "cluster_size=512"]),
    converted("zlib, clusters of 4k", &["-O", "qcow2", "-c", "-o", "cluster_size=4k"]),
    converted("zlib, clusters of 2M", &["-O", "qcow2", "-c", "-o", "cluster_size=2M"]),
    converted("zstd", &["-O", "qcow2", "-c", "-o", "compression_type=zstd"]),
    converted(
        "zstd, clusters of 512",
        &["-O", "qcow2", "-c", "-o", "compression_type=zstd,cluster_size=512"],
    ),
    converted("zstd, clusters of 2M", &["-O", "qcow2", "-c", "-o", "compression_type=zstd,cluster_size=2M"]),
    converted("subclusters", &["-O", "qcow2", "-o", "extended_l2=on"]),
    converted("subclusters of 512", &["-O", "qcow2", "-o", "extended_l2=on,cluster_size=16k"]),
    converted("subclusters of 64k", &["-O", "qcow2", "-o", "extended_l2=on,cluster_size=2M"]),
    converted("subclusters, compressed", &["-O", "qcow2", "-c", "-o", "extended_l2=on"]),
    made("every kind of cluster", every_kind, &["image"]),
    made("every kind of cluster, version 2", every_kind_version_2, &["image"]),
    made("every kind of subcluster", every_kind_of_subcluster, &["image"]),
];

/// Layers above each other.
pub const CHAINS: &[Variant] = &[
    made("qcow2 over raw, relative name", chain_relative, &["image"]),
    made("qcow2 over raw, absolute name", chain_absolute, &["image"]),
    made("qcow2 over qcow2, json name", chain_json, &["image"]),
    made("qcow2 over qcow2, file: name", chain_file_prefix, &["image"]),
    made("larger than the layer below", chain_larger, &["image"]),
    made("smaller than the layer below", chain_smaller, &["image"]),
    made("layer below ends inside a sector", chain_odd, &["image"]),
    made("four layers of different cluster sizes", chain_deep, &["image"]),
    made("subclusters over raw", chain_subclusters, &["image"]),
    made("compressed clusters over raw", chain_compressed, &["image"]),
    made("qed over raw", chain_qed, &["image"]),
    made("qed over qcow2, small clusters", chain_qed_small, &["image"]),
    made("qcow2 over qed", chain_over_qed, &["image"]),
    made("qcow2 over compressed qcow", chain_compressed_qcow, &["image"]),
    made("qcow over raw", chain_qcow, &["image"]),
    made("qcow2 over qcow over qcow2", chain_over_qcow, &["image"]),
];

/// Data files, snapshots, and images left in some state.
pub const STATES: &[Variant] = &[
    made("data file", data_file, &["image"]),
    made("raw data file", data_file_raw, &["image"]),
    made("with snapshots", snapshots, &["image"]),
    made("dirty", dirty, &["image"]),
    made("truncated inside its last cluster", truncated, &["image"]),
    made("empty", empty, &["image"]),
    made("size 0", nothing, &["image"]),
    made("with a bitmap", bitmap, &["image"]),
    made("odd number of sectors", odd_sectors, &["image"]),
];

/// Snapshots as the source.
pub const SNAPSHOTS: &[Variant] = &[
    made("snapshot by name", snapshots, &["-l", "second", "image"]),
    made("snapshot by ID", snapshots, &["-l", "1", "image"]),
    made("snapshot by exact name", snapshots, &["-l", "snapshot.name=first", "image"]),
    made("snapshot by exact ID", snapshots, &["-l", "snapshot.id=2", "image"]),
    made("snapshot by both", snapshots, &["-l", "snapshot.id=2,snapshot.name=second", "image"]),
];

pub const RAW: &[Variant] = &[
    made("raw", raw, &["image"]),
    made("raw, named", raw, &["-f", "raw", "image"]),
    made("raw of 1000 bytes", raw_odd, &["image"]),
    made("raw of one byte", raw_byte, &["image"]),
    made("raw of nothing", raw_empty, &["image"]),
    made("raw, all hole", raw_hole, &["image"]),
];

/// Writes the bytes of `piece` through qemu-io, after `words` such as `-c`.
fn write(bench: &Bench, image: &str, words: &str, offset: u64, length: u64, seed: u64) {
    let bytes = if words.contains("-c") {
        disk::text(offset, length)
    } else {
        disk::pattern(offset, length, seed)
    };
    fs::write(bench.path("piece"), bytes).unwrap();
    io(bench, image, &[&format!("write {words} -s piece {offset} {length}")]);
    fs::remove_file(bench.path("piece")).unwrap();
}

/// Runs qemu-io commands on a qcow2 image.
///
/// # Panics
///
/// If one fails.
pub fn io(bench: &Bench, image: &str, commands: &[&str]) {
    io_as(bench, "qcow2", image, commands);
}

/// The same for an image of another format.
pub fn io_as(bench: &Bench, format: &str, image: &str, commands: &[&str]) {
    let options = ["-f", format, "-d", "unmap"];
    let commands = commands.iter().flat_map(|words| ["-c", words]);
    let outcome = bench.qemu_io(options.into_iter().chain(commands).chain([image]));
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    assert!(!outcome.text().contains("failed"), "{outcome}");
}

fn create(bench: &Bench, words: &[&str]) {
    bench.qemu(["create", "-q", "-f", "qcow2"].iter().chain(words)).succeeds();
}

fn raw_base(bench: &Bench) {
    disk::usual(&bench.path("base.raw"));
}

/// Writes over parts of what [`raw_base`] holds: data, zeros, a discarded range.
fn overlay(bench: &Bench, image: &str, seed: u64) {
    write(bench, image, "", 2048, 8192, seed);
    write(bench, image, "", (1 << 20) + 5 * 512, 100 << 10, seed);
    io(bench, image, &["write -z 128k 64k", "write -z 2M 100k", "discard 3M 64k"]);
    write(bench, image, "", (3 << 20) + (400 << 10), 512, seed);
}

fn every_kind(bench: &Bench) {
    create(bench, &["image", "8M"]);
    fill_with_every_kind(bench);
    io(bench, "image", &["write -z 3M 64k", "write -z -u 4M 128k", "discard 512k 64k"]);
}

fn every_kind_version_2(bench: &Bench) {
    create(bench, &["-o", "compat=0.10", "image", "8M"]);
    fill_with_every_kind(bench);
    io(bench, "image", &["discard 512k 64k"]);
}

fn fill_with_every_kind(bench: &Bench) {
    write(bench, "image", "", 0, 200 << 10, 7);
    write(bench, "image", "-c", 256 << 10, 64 << 10, 7);
    write(bench, "image", "-c", 320 << 10, 64 << 10, 7);
    write(bench, "image", "", 512 << 10, 128 << 10, 7);
    write(bench, "image", "", 3 << 20, 64 << 10, 7);
    write(bench, "image", "", 4 << 20, 64 << 10, 7);
    write(bench, "image", "", (8 << 20) - 512, 512, 7);
}

fn every_kind_of_subcluster(bench: &Bench) {
    create(bench, &["-o", "extended_l2=on", "image", "4M"]);
    write(bench, "image", "", 0, 2048, 9);
    write(bench, "image", "", 6144, 4096, 9);
    write(bench, "image", "", 65536 + 1024, 512, 9);
    write(bench, "image", "", 1 << 20, 256 << 10, 9);
    write(bench, "image", "-c", 2 << 20, 64 << 10, 9);
    io(bench, "image", &["write -z 4k 2k", "write -z 1049k 3k", "write -z 1088k 64k", "discard 1156k 6k"]);
    write(bench, "image", "", (4 << 20) - 2048, 2048, 9);
}

fn chain_relative(bench: &Bench) {
    disk::usual(&bench.path("base.raw"));
    create(bench, &["-b", "./base.raw", "-F", "raw", "image"]);
    overlay(bench, "image", 2);
}

fn chain_absolute(bench: &Bench) {
    raw_base(bench);
    let base = bench.path("base.raw");
    create(bench, &["-b", base.to_str().unwrap(), "-F", "raw", "image"]);
    overlay(bench, "image", 2);
}

fn chain_json(bench: &Bench) {
    qcow2_base(bench);
    let name = r#"json:{"driver":"qcow2","file":{"driver":"file","filename":"base.qcow2"}}"#;
    create(bench, &["-b", name, "-F", "qcow2", "image"]);
    overlay(bench, "image", 3);
}

fn chain_file_prefix(bench: &Bench) {
    qcow2_base(bench);
    create(bench, &["-b", "file:base.qcow2", "-F", "qcow2", "image"]);
    overlay(bench, "image", 3);
}

fn qcow2_base(bench: &Bench) {
    raw_base(bench);
    bench.qemu(["convert", "-f", "raw", "-O", "qcow2", "-c", "base.raw", "base.qcow2"]).succeeds();
    fs::remove_file(bench.path("base.raw")).unwrap();
}

fn chain_larger(bench: &Bench) {
    raw_base(bench);
    create(bench, &["-b", "base.raw", "-F", "raw", "image", "6M"]);
    overlay(bench, "image", 4);
    write(bench, "image", "", 5 << 20, 64 << 10, 4);
}

fn chain_smaller(bench: &Bench) {
    raw_base(bench);
    create(bench, &["-b", "base.raw", "-F", "raw", "image", "3670016"]);
    overlay(bench, "image", 5);
}

fn chain_odd(bench: &Bench) {
    let base = bench.path("base.raw");
    disk::make(&base, (1 << 20) + 100, &[Piece::Data(0, (1 << 20) + 100, 6)]);
    create(bench, &["-b", "base.raw", "-F", "raw", "image", "2M"]);
    write(bench, "image", "", 4096, 512, 6);
}

fn chain_deep(bench: &Bench) {
    raw_base(bench);
    create(bench, &["-b", "base.raw", "-F", "raw", "-o", "cluster_size=4k", "one", "5M"]);
    overlay(bench, "one", 10);
    create(bench, &["-b", "one", "-F", "qcow2", "-o", "cluster_size=2M", "two", "4M"]);
    write(bench, "two", "", 2 << 20, 4096, 11);
    create(bench, &["-b", "two", "-F", "qcow2", "-o", "cluster_size=512", "three", "6M"]);
    overlay(bench, "three", 12);
    create(bench, &["-b", "three", "-F", "qcow2", "-o", "extended_l2=on", "image"]);
    write(bench, "image", "", 70_000 / 512 * 512, 2048, 13);
}

fn chain_subclusters(bench: &Bench) {
    raw_base(bench);
    create(bench, &["-b", "base.raw", "-F", "raw", "-o", "extended_l2=on", "image"]);
    overlay(bench, "image", 14);
    io(bench, "image", &["write -z 1100k 2k", "discard 1110k 10k"]);
}

fn chain_compressed(bench: &Bench) {
    raw_base(bench);
    create(bench, &["-b", "base.raw", "-F", "raw", "image"]);
    write(bench, "image", "-c", 1 << 20, 128 << 10, 15);
    write(bench, "image", "", 3 << 20, 512, 15);
}

fn data_file(bench: &Bench) {
    create(bench, &["-o", "data_file=image.data", "image", "4M"]);
    overlay(bench, "image", 16);
}

fn data_file_raw(bench: &Bench) {
    create(bench, &["-o", "data_file=image.data,data_file_raw=on", "image", "4M"]);
    overlay(bench, "image", 17);
}

/// Two snapshots, and data written before, between and after them.
fn snapshots(bench: &Bench) {
    create(bench, &["image", "4M"]);
    write(bench, "image", "", 0, 300 << 10, 18);
    bench.qemu(["snapshot", "-c", "first", "image"]).succeeds();
    write(bench, "image", "", 128 << 10, 256 << 10, 19);
    io(bench, "image", &["write -z 0 64k"]);
    bench.qemu(["snapshot", "-c", "second", "image"]).succeeds();
    write(bench, "image", "", 1 << 20, 64 << 10, 20);
    io(bench, "image", &["discard 192k 64k"]);
}

/// Lazy refcounts, and the writer died.
fn dirty(bench: &Bench) {
    create(bench, &["-o", "lazy_refcounts=on", "image", "4M"]);
    fs::write(bench.path("piece"), disk::pattern(0, 300 << 10, 21)).unwrap();
    bench.qemu_io(["-f", "qcow2", "-c", "write -s piece 0 300k", "-c", "flush", "-c", "sigraise 9", "image"]);
    fs::remove_file(bench.path("piece")).unwrap();
    assert_eq!(crate::compare::qemu_info(bench, "image")["dirty-flag"], true);
}

/// The end of the last data cluster is missing: it reads as zeros.
fn truncated(bench: &Bench) {
    create(bench, &["image", "4M"]);
    write(bench, "image", "", 0, 128 << 10, 22);
    let file = File::options().write(true).open(bench.path("image")).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length - 10_000).unwrap();
}

fn empty(bench: &Bench) {
    create(bench, &["image", "1G"]);
}

fn nothing(bench: &Bench) {
    create(bench, &["image", "0"]);
}

fn bitmap(bench: &Bench) {
    create(bench, &["image", "4M"]);
    write(bench, "image", "", 0, 128 << 10, 23);
    bench.qemu(["bitmap", "--add", "image", "changes"]).succeeds();
    bench.qemu(["bitmap", "--add", "--disable", "-g", "4096", "image", "second"]).succeeds();
}

fn odd_sectors(bench: &Bench) {
    create(bench, &["image", "1234944"]);
    write(bench, "image", "", 1_234_944 - 3072, 3072, 24);
}

fn raw(bench: &Bench) {
    disk::make(&bench.path("image"), USUAL_BYTES, &disk::usual_pieces(25));
}

fn raw_odd(bench: &Bench) {
    disk::make(&bench.path("image"), 1000, &[Piece::Data(0, 1000, 26)]);
}

fn raw_byte(bench: &Bench) {
    File::create(bench.path("image")).unwrap().write_all_at(b"x", 0).unwrap();
}

fn raw_empty(bench: &Bench) {
    File::create(bench.path("image")).unwrap();
}

fn raw_hole(bench: &Bench) {
    File::create(bench.path("image")).unwrap().set_len(256 << 20).unwrap();
}
