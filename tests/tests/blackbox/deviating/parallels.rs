//! Parallels disks.

use std::fs;

use instar_tests::disk::{self, Piece};
use instar_tests::ledger::{self, deviates};
use instar_tests::seal::Edited;
use instar_tests::{Bench, Outcome, Reference, both_sandboxes};

use super::{made, only_we_refuse};

both_sandboxes!(
    a_cluster_outside_the_file_is_refused,
    what_the_file_has_of_its_last_cluster_is_read,
    a_check_of_an_image_that_was_cut_off_ends,
    a_damaged_image_is_not_written_to,
    an_image_that_was_written_to_has_no_extension,
    an_image_that_nothing_opens_is_not_made,
    clusters_of_an_odd_size_begin_where_both_agree,
);

fn a_cluster_outside_the_file_is_refused(bench: &Bench) {
    made(bench, "parallels", "cluster_size=64k");
    Edited::open(&bench.path("image")).put(64, &[0, 1, 0, 0]);
    only_we_refuse(bench, "parallels-outside", "parallels", "outside the file");
}

fn what_the_file_has_of_its_last_cluster_is_read(bench: &Bench) {
    let Some(newest) = Reference::of("11.1") else {
        return ledger::skip("qemu-img 11.1 cannot be started, so what only it reads as zeros was not shown");
    };
    disk::make(&bench.path("disk.raw"), 300 << 10, &[Piece::Data(200 << 10, 4096, 1)]);
    bench.qemu(["convert", "-f", "raw", "-O", "parallels", "disk.raw", "image"]).succeeds();
    // The only cluster has a mebibyte, the disk 300 KiB of it.
    let image = Edited::open(&bench.path("image"));
    image.length(image.end() - (20 << 10) - 7);
    let words = ["compare", "-f", "parallels", "-F", "raw", "image", "disk.raw"];
    let ours = bench.instar(words);
    assert_eq!((ours.code(), bench.qemu(words).code()), (Some(0), Some(0)), "{ours}");
    let theirs = Outcome::of(newest.program("qemu-img").current_dir(bench.directory()).args(words));
    deviates("parallels-cut-short", &theirs.code(), &ours.code());
}

fn a_check_of_an_image_that_was_cut_off_ends(bench: &Bench) {
    made(bench, "parallels", "cluster_size=64k");
    let image = Edited::open(&bench.path("image"));
    image.length(image.end() - (2 << 16));
    let theirs = bench.qemu(["check", "image"]);
    let ours = bench.instar(["check", "image"]);
    assert!(ours.errors().contains("is outside image"), "{ours}");
    deviates("parallels-check-ends", &theirs.code(), &ours.code());
}

fn a_damaged_image_is_not_written_to(bench: &Bench) {
    made(bench, "parallels", "cluster_size=64k");
    Edited::open(&bench.path("image")).put(68, &[1, 0, 0, 0]);
    fs::copy(bench.path("image"), bench.path("ours")).unwrap();
    let words = |image| ["convert", "-n", "-f", "raw", "-O", "parallels", "disk.raw", image];
    let theirs = bench.qemu(words("image"));
    let ours = bench.instar(words("ours"));
    ours.fails_with("check -r all");
    deviates("parallels-damaged-target", &theirs.code(), &ours.code());
}

fn an_image_that_was_written_to_has_no_extension(bench: &Bench) {
    made(bench, "parallels", "cluster_size=64k");
    let image = Edited::open(&bench.path("image"));
    let end = image.end();
    image
        .put(end, &0xab23_4cef_23dc_ea87_u64.to_le_bytes())
        .length(end + 65536)
        .put(56, &(end / 512).to_le_bytes());
    fs::copy(bench.path("image"), bench.path("ours")).unwrap();
    let words = |image| ["convert", "-n", "-f", "raw", "-O", "parallels", "disk.raw", image];
    assert_eq!(bench.qemu(words("image")).code(), Some(0));
    bench.instar(words("ours")).succeeds();
    let read = |image| bench.qemu(["info", "-f", "parallels", image]).code();
    deviates("parallels-extension-dropped", &read("image"), &read("ours"));
}

fn an_image_that_nothing_opens_is_not_made(bench: &Bench) {
    // Clusters of two gigabytes: the file is as long, and empty.
    let words = |image| ["create", "-q", "-f", "parallels", "-o", "cluster_size=2147483136", image, "1M"];
    let theirs = bench.qemu(words("theirs"));
    let ours = bench.instar(words("ours"));
    bench.qemu(["info", "theirs"]).fails_with("Too big cluster");
    ours.fails_with("Too big cluster");
    assert!(!bench.path("ours").exists());
    deviates("parallels-too-large", &theirs.code(), &ours.code());
}

fn clusters_of_an_odd_size_begin_where_both_agree(bench: &Bench) {
    let words = |image| ["create", "-q", "-f", "parallels", "-o", "cluster_size=32256", image, "6M"];
    bench.qemu(words("theirs")).succeeds();
    bench.instar(words("ours")).succeeds();
    bench.instar(["check", "theirs"]).succeeds();
    bench.instar(["check", "ours"]).succeeds();
    let check = |image| bench.qemu(["check", image]).code();
    deviates("parallels-odd-clusters", &check("theirs"), &check("ours"));
}
