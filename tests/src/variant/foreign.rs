//! Formats other than raw and qcow2.

use std::fs;

use super::{Variant, converted, create, io_as, overlay, qcow2_base, raw_base};
use crate::{Bench, disk};

/// What other products write, in every layout of theirs that qemu-img can make.
pub const FOREIGN: &[Variant] = &[
    converted("vmdk", &["-O", "vmdk"]),
    converted("vmdk, flat", &["-O", "vmdk", "-o", "subformat=monolithicFlat"]),
    converted("vmdk, split", &["-O", "vmdk", "-o", "subformat=twoGbMaxExtentSparse"]),
    converted("vmdk, split and flat", &["-O", "vmdk", "-o", "subformat=twoGbMaxExtentFlat"]),
    converted("vmdk, stream", &["-O", "vmdk", "-o", "subformat=streamOptimized"]),
    converted("vmdk, zeroed grains", &["-O", "vmdk", "-o", "zeroed_grain=on"]),
    converted("vmdk for ESX", &["-O", "vmdk", "-o", "adapter_type=lsilogic,hwversion=13,toolsversion=11269"]),
    converted("vpc", &["-O", "vpc"]),
    converted("vpc, fixed", &["-O", "vpc", "-o", "subformat=fixed"]),
    converted("vpc of the exact size", &["-O", "vpc", "-o", "force_size=on"]),
    converted("vpc, fixed, of the exact size", &["-O", "vpc", "-o", "subformat=fixed,force_size=on"]),
    converted("vhdx", &["-O", "vhdx"]),
    converted("vhdx, fixed", &["-O", "vhdx", "-o", "subformat=fixed"]),
    converted("vhdx, blocks of 1M", &["-O", "vhdx", "-o", "block_size=1M"]),
    converted("vhdx, log of 4M", &["-O", "vhdx", "-o", "log_size=4M,block_state_zero=off"]),
    converted("vdi", &["-O", "vdi"]),
    converted("vdi, static", &["-O", "vdi", "-o", "static=on"]),
    converted("parallels", &["-O", "parallels"]),
    converted("parallels, everything written", &["-O", "parallels", "-S", "0"]),
    converted("parallels, clusters of 96 sectors", &["-O", "parallels", "-o", "cluster_size=49152"]),
    converted("qcow", &["-O", "qcow"]),
    converted("qcow, everything written", &["-O", "qcow", "-S", "0"]),
    converted("qed", &["-O", "qed"]),
    converted("qed, everything written", &["-O", "qed", "-S", "0"]),
    converted("qed, clusters of 4k", &["-O", "qed", "-o", "cluster_size=4k,table_size=2"]),
    converted("qed, clusters of 1M", &["-O", "qed", "-o", "cluster_size=1M,table_size=16"]),
];

/// qemu-img returns 1 when it has written a compressed image of this format.
pub(super) fn chain_compressed_qcow(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    let made = bench.qemu(["convert", "-c", "-f", "raw", "-O", "qcow", "disk.raw", "base.qcow"]);
    assert_eq!((made.code(), made.message()), (Some(1), String::new()));
    create(bench, &["-b", "base.qcow", "-F", "qcow", "image"]);
    overlay(bench, "image", 28);
}

/// A QED image over `base`, with data, zeros, and both in one cluster.
fn qed_over(bench: &Bench, image: &str, base: [&str; 2], options: &str) {
    let [below, format] = base;
    let words = ["create", "-q", "-f", "qed", "-o", options, "-b", below, "-F", format, image, "5M"];
    bench.qemu(words).succeeds();
    fs::write(bench.path("piece"), disk::pattern(0, 100 << 10, 27)).unwrap();
    io_as(
        bench,
        "qed",
        image,
        &[
            "write -s piece 2048 8192",
            "write -s piece 1030k 100k",
            "write -z 128k 64k",
            "write -z 2M 1M",
            "write -s piece 2200k 512",
            "write -s piece 4600k 30k",
        ],
    );
    fs::remove_file(bench.path("piece")).unwrap();
}

pub(super) fn chain_qed(bench: &Bench) {
    raw_base(bench);
    qed_over(bench, "image", ["base.raw", "raw"], "table_size=8");
}

pub(super) fn chain_qed_small(bench: &Bench) {
    qcow2_base(bench);
    let options = "cluster_size=4k,table_size=2";
    qed_over(bench, "image", ["base.qcow2", "qcow2"], options);
}

pub(super) fn chain_over_qed(bench: &Bench) {
    raw_base(bench);
    qed_over(bench, "base.qed", ["base.raw", "raw"], "cluster_size=16k");
    create(bench, &["-b", "base.qed", "-F", "qed", "image"]);
    overlay(bench, "image", 28);
}

/// A qcow image over `base`, with data, compressed data, and zeros that are written down.
fn qcow_over(bench: &Bench, image: &str, base: [&str; 2]) {
    let [below, format] = base;
    bench.qemu(["create", "-q", "-f", "qcow", "-b", below, "-F", format, image, "5M"]).succeeds();
    fs::write(bench.path("piece"), disk::pattern(0, 100 << 10, 27)).unwrap();
    let compressed =
        (0..40).map(|number| format!("write -c -P {} {} 512", number + 1, 512 * (5000 + number)));
    let mut commands = vec![
        "write -s piece 2048 8192".to_owned(),
        "write -s piece 1030k 100k".to_owned(),
        "write -z 128k 64k".to_owned(),
        "write -s piece 4600k 30k".to_owned(),
    ];
    commands.extend(compressed);
    let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
    io_as(bench, "qcow", image, &commands);
    fs::remove_file(bench.path("piece")).unwrap();
}

pub(super) fn chain_qcow(bench: &Bench) {
    raw_base(bench);
    qcow_over(bench, "image", ["base.raw", "raw"]);
}

pub(super) fn chain_over_qcow(bench: &Bench) {
    qcow2_base(bench);
    qcow_over(bench, "base.qcow", ["base.qcow2", "qcow2"]);
    create(bench, &["-b", "base.qcow", "-F", "qcow", "image"]);
    overlay(bench, "image", 28);
}
