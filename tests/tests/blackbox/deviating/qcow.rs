//! qcow images of version 1.

use std::fs;

use instar_tests::ledger::deviates;
use instar_tests::seal::Edited;
use instar_tests::{Bench, both_sandboxes};

use super::{made, only_we_refuse};

/// The first L2 table, and what it begins with.
fn first_table(image: &Edited) -> (u64, u64) {
    let word = |at| u64::from_be_bytes(image.get(at, 8).try_into().unwrap());
    let table = word(48);
    (table, word(table))
}

both_sandboxes!(
    a_cluster_or_table_outside_the_file_is_refused,
    a_comparison_with_a_damaged_image_ends_at_the_damage,
    an_image_that_uses_a_cluster_twice_is_not_written_to,
    a_disk_that_is_too_large_is_not_made,
    compressing_into_a_new_image_succeeds,
    compressing_into_an_existing_image_is_refused,
);

fn a_cluster_or_table_outside_the_file_is_refused(bench: &Bench) {
    for is_table in [true, false] {
        made(bench, "qcow", "nocow=off");
        let image = Edited::open(&bench.path("image"));
        let (table, _) = first_table(&image);
        let at = if is_table { 48 } else { table };
        image.put(at, &(1_u64 << 30).to_be_bytes());
        only_we_refuse(bench, "qcow-outside", "qcow", "outside the file");
    }
}

fn a_comparison_with_a_damaged_image_ends_at_the_damage(bench: &Bench) {
    made(bench, "qcow", "nocow=off");
    let image = Edited::open(&bench.path("image"));
    let (table, _) = first_table(&image);
    // A compressed cluster far behind the end.
    image.put(table + 8, &(1 << 63 | 1_u64 << 30).to_be_bytes());
    let words = ["compare", "-f", "qcow", "-F", "raw", "image", "disk.raw"];
    let (theirs, ours) = (bench.qemu(words), bench.instar(words));
    assert_eq!((theirs.code(), ours.code()), (Some(4), Some(3)), "{theirs}{ours}");
    deviates("compare-damaged", &theirs.code(), &ours.code());
}

fn an_image_that_uses_a_cluster_twice_is_not_written_to(bench: &Bench) {
    made(bench, "qcow", "nocow=off");
    let image = Edited::open(&bench.path("image"));
    let (table, first) = first_table(&image);
    image.put(table + 8 * 500, &first.to_be_bytes());
    fs::copy(bench.path("image"), bench.path("ours")).unwrap();
    let words = |image| ["convert", "-n", "-f", "raw", "-O", "qcow", "disk.raw", image];
    let theirs = bench.qemu(words("image"));
    let ours = bench.instar(words("ours"));
    ours.fails_with("used more than once");
    deviates("qcow-shared-clusters", &theirs.code(), &ours.code());
}

fn a_disk_that_is_too_large_is_not_made(bench: &Bench) {
    let words = |image| ["create", "-q", "-f", "qcow", image, "128P"];
    let theirs = bench.qemu(words("theirs"));
    let ours = bench.instar(words("ours"));
    bench.qemu(["info", "theirs"]).fails_with("Image too large");
    ours.fails_with("Image too large");
    assert!(!bench.path("ours").exists());
    deviates("qcow-too-large", &theirs.code(), &ours.code());
}

fn compressing_into_a_new_image_succeeds(bench: &Bench) {
    made(bench, "raw", "nocow=off");
    let words = |image| ["convert", "-c", "-f", "raw", "-O", "qcow", "disk.raw", image];
    let theirs = bench.qemu(words("theirs"));
    let ours = bench.instar(words("ours"));
    ours.succeeds();
    for image in ["theirs", "ours"] {
        bench.qemu(["compare", "-f", "raw", "-F", "qcow", "disk.raw", image]).succeeds();
    }
    deviates("qcow-compressed-code", &theirs.code(), &ours.code());
}

fn compressing_into_an_existing_image_is_refused(bench: &Bench) {
    // Text, which can be compressed, where data is.
    made(bench, "qcow", "nocow=off");
    fs::write(bench.path("new.raw"), instar_tests::disk::text(0, 6 << 20)).unwrap();
    fs::copy(bench.path("image"), bench.path("ours")).unwrap();
    let words = |image| ["convert", "-n", "-c", "-f", "raw", "-O", "qcow", "new.raw", image];
    bench.qemu(words("image"));
    let is_right =
        |image| bench.qemu(["compare", "-f", "raw", "-F", "qcow", "new.raw", image]).code() == Some(0);
    let before = fs::read(bench.path("ours")).unwrap();
    bench.instar(words("ours")).fails_with("ompression not supported");
    let kept = fs::read(bench.path("ours")).unwrap() == before;
    deviates("qcow-compressed-in-place", &is_right("image"), &kept);
}
