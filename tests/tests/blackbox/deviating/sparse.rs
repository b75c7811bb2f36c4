//! `-S`.

use std::fs;
use std::os::unix::fs::FileExt;

use instar_tests::compare::{allocated_ranges, same_bytes};
use instar_tests::disk::pattern;
use instar_tests::ledger::deviates;
use instar_tests::variant::io;
use instar_tests::{Bench, both_sandboxes};

use super::{MIB, convert};

both_sandboxes!(known_zeros_are_left_out_however_short, a_layer_has_no_clusters_of_zeros,);

/// A block of a VHDX that has nothing, between two that have.
fn known_zeros_are_left_out_however_short(bench: &Bench) {
    let file = fs::File::create(bench.path("disk.raw")).unwrap();
    file.set_len(3 * MIB).unwrap();
    for at in [0, 2 * MIB] {
        file.write_all_at(&pattern(at, MIB, 1), at).unwrap();
    }
    bench
        .qemu(["convert", "-f", "raw", "-O", "vhdx", "-o", "block_size=1M", "disk.raw", "image"])
        .succeeds();
    let ranges = |target: &str| allocated_ranges(bench, "raw", target);
    let words = |target| ["convert", "-S", "3M", "-f", "vhdx", "-O", "raw", "image", target];
    bench.qemu(words("theirs")).succeeds();
    bench.instar(words("ours")).succeeds();
    same_bytes(bench, "disk.raw", "ours", "known zeros");
    same_bytes(bench, "theirs", "ours", "known zeros");
    assert_eq!(ranges("ours"), [(0, MIB), (2 * MIB, MIB)]);
    deviates("sparse-known-zeros", &ranges("theirs"), &ranges("ours"));
    let [theirs, ours] = convert(bench, "vhdx");
    theirs.succeeds();
    ours.succeeds();
    assert_eq!(ranges("theirs"), ranges("ours"), "but for a large -S they agree");
}

/// Zeros written over a part of what is a cluster of the target.
fn a_layer_has_no_clusters_of_zeros(bench: &Bench) {
    fs::write(bench.path("base.raw"), pattern(0, 256 << 10, 1)).unwrap();
    bench
        .qemu([
            "create",
            "-q",
            "-f",
            "qcow2",
            "-o",
            "cluster_size=4k",
            "-b",
            "base.raw",
            "-F",
            "raw",
            "image",
        ])
        .succeeds();
    io(bench, "image", &["write -z 64k 32k", "write -z 96k 32k", "write -P 0 100k 4k"]);
    let words =
        |target| ["convert", "-f", "qcow2", "-O", "qcow2", "-B", "base.raw", "-F", "raw", "image", target];
    bench.qemu(words("theirs")).succeeds();
    bench.instar(words("ours")).succeeds();
    for target in ["image", "theirs", "ours"] {
        bench.qemu(["convert", "-f", "qcow2", "-O", "raw", target, &format!("{target}.raw")]).succeeds();
    }
    same_bytes(bench, "image.raw", "ours.raw", "a layer");
    let ranges = |target: &str| allocated_ranges(bench, "qcow2", target);
    assert!(!ranges("ours").iter().any(|(start, _)| *start == 64 << 10));
    deviates("sparse-layers", &ranges("theirs"), &ranges("ours"));
}
