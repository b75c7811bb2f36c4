//! QED images.

use std::fs;

use instar_tests::disk::{self, Piece};
use instar_tests::ledger::deviates;
use instar_tests::seal::Edited;
use instar_tests::{Bench, both_sandboxes};

use super::{MIB, made, only_we_read, only_we_refuse};

const CLUSTER: u64 = 1 << 16;
const L1: u64 = CLUSTER;

/// The first L2 table, and what it begins with.
fn first_table(image: &Edited) -> (u64, u64) {
    let word = |at| u64::from_le_bytes(image.get(at, 8).try_into().unwrap());
    let table = word(L1);
    (table, word(table))
}

/// `image` as qemu-img would make it with tables of one cluster, if it read such images: a disk with one cluster of data.
fn small_tables(bench: &Bench) {
    let options = "cluster_size=4k,table_size=1";
    bench.qemu(["create", "-q", "-f", "qed", "-o", options, "image", "1M"]).succeeds();
    let image = Edited::open(&bench.path("image"));
    let data = disk::pattern(8192, 4096, 5);
    image
        .put(4096, &8192_u64.to_le_bytes())
        .put(8192, &[0; 4096])
        .put(8192 + 16, &12288_u64.to_le_bytes())
        .put(12288, &data);
    disk::make(&bench.path("expected"), MIB, &[Piece::Data(8192, 4096, 5)]);
}

both_sandboxes!(
    tables_of_one_cluster_are_read,
    tables_of_one_cluster_are_not_made,
    a_sound_image_has_no_leaks_however_large_it_is,
    a_cluster_past_the_end_of_the_file_is_refused,
    an_image_that_uses_a_cluster_twice_is_not_written_to,
);

fn tables_of_one_cluster_are_read(bench: &Bench) {
    small_tables(bench);
    only_we_read(bench, "qed-small-tables", "qed", "expected");
}

fn tables_of_one_cluster_are_not_made(bench: &Bench) {
    let words = |image| ["create", "-q", "-f", "qed", "-o", "table_size=1", image, "1M"];
    let theirs = bench.qemu(words("theirs"));
    let ours = bench.instar(words("ours"));
    assert_eq!(bench.qemu(["info", "theirs"]).code(), Some(1));
    ours.fails_with("use 2, 4, 8 or 16");
    deviates("qed-small-tables-made", &theirs.code(), &ours.code());
}

fn a_sound_image_has_no_leaks_however_large_it_is(bench: &Bench) {
    fs::write(bench.path("disk.raw"), disk::pattern(0, 20 << 20, 3)).unwrap();
    let options = "cluster_size=4k";
    bench.qemu(["convert", "-f", "raw", "-O", "qed", "-o", options, "disk.raw", "image"]).succeeds();
    let theirs = bench.qemu(["check", "image"]);
    let ours = bench.instar(["check", "image"]);
    assert!(ours.succeeds().text().contains("No errors"), "{ours}");
    deviates("qed-false-leaks", &theirs.code(), &ours.code());
}

fn a_cluster_past_the_end_of_the_file_is_refused(bench: &Bench) {
    made(bench, "qed", "");
    let image = Edited::open(&bench.path("image"));
    image.length(image.end() - CLUSTER);
    only_we_refuse(bench, "qed-run-past-end", "qed", "Invalid argument");
}

fn an_image_that_uses_a_cluster_twice_is_not_written_to(bench: &Bench) {
    made(bench, "qed", "");
    let image = Edited::open(&bench.path("image"));
    let (table, first) = first_table(&image);
    image.put(table + 8 * 5, &first.to_le_bytes());
    fs::copy(bench.path("image"), bench.path("ours")).unwrap();
    let words = |image| ["convert", "-n", "-f", "raw", "-O", "qed", "disk.raw", image];
    let theirs = bench.qemu(words("image"));
    let ours = bench.instar(words("ours"));
    ours.fails_with("used more than once");
    deviates("qed-shared-clusters", &theirs.code(), &ours.code());
}
