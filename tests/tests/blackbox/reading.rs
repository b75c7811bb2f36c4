//! Reading: images that qemu-img made in every variant, converted to raw, compared byte for byte.

use std::fs::{self, File};

use instar_tests::compare::same_bytes;
use instar_tests::disk::{self, USUAL_BYTES};
use instar_tests::variant::{self, Variant};
use instar_tests::{Bench, both_sandboxes};

/// Converts each variant with both programs.
fn all(bench: &Bench, variants: &[Variant]) {
    assert!(!variants.is_empty());
    for variant in variants {
        let bench = &Bench::new(bench.sandbox());
        variant.make(bench);
        for format in ["raw", "qcow2"] {
            let words = |target| {
                ["convert", "-O", format].into_iter().chain(variant.source.iter().copied()).chain([target])
            };
            bench.qemu(words("theirs")).succeeds();
            let ours = bench.instar(words("ours"));
            assert_eq!(ours.code(), Some(0), "{}: {ours}", variant.name);
            ours.succeeds();
            if format == "raw" {
                same_bytes(bench, "theirs", "ours", variant.name);
            } else {
                let outcome = bench.qemu(["compare", "-s", "-f", "qcow2", "-F", "qcow2", "theirs", "ours"]);
                assert!(outcome.code().is_some_and(|code| code <= 1), "{}: {outcome}", variant.name);
                assert_eq!(bench.qemu(["compare", "theirs", "ours"]).code(), Some(0), "{}", variant.name);
                instar_tests::compare::checks_clean(bench, "ours", variant.name);
            }
        }
    }
}

both_sandboxes!(
    reads_every_layout,
    reads_every_kind_of_cluster,
    reads_chains,
    reads_images_in_every_state,
    reads_internal_snapshots,
    reads_raw_files_of_any_length,
    snapshots_differ_from_the_active_state,
    puts_several_sources_one_after_the_other,
    reads_backing_files_only_where_allowed,
    a_source_that_is_changed_by_another_process_is_locked_unless_shared,
    salvages_what_can_be_read,
);

fn reads_every_layout(bench: &Bench) {
    all(bench, variant::LAYOUTS);
}

fn reads_every_kind_of_cluster(bench: &Bench) {
    all(bench, variant::CLUSTERS);
}

fn reads_chains(bench: &Bench) {
    all(bench, variant::CHAINS);
}

fn reads_images_in_every_state(bench: &Bench) {
    all(bench, variant::STATES);
}

fn reads_internal_snapshots(bench: &Bench) {
    all(bench, variant::SNAPSHOTS);
}

fn reads_raw_files_of_any_length(bench: &Bench) {
    all(bench, variant::RAW);
}

fn snapshots_differ_from_the_active_state(bench: &Bench) {
    variant::SNAPSHOTS[0].make(bench);
    for (target, words) in
        [("active", vec![]), ("first", vec!["-l", "first"]), ("second", vec!["-l", "second"])]
    {
        let all = ["convert", "-O", "raw"].into_iter().chain(words).chain(["image", target]);
        bench.instar(all).succeeds();
    }
    let read = |name| fs::read(bench.path(name)).unwrap();
    assert!(
        read("active") != read("first")
            && read("first") != read("second")
            && read("active") != read("second")
    );
}

fn puts_several_sources_one_after_the_other(bench: &Bench) {
    disk::usual(&bench.path("one.raw"));
    disk::make(&bench.path("two.raw"), USUAL_BYTES, &disk::usual_pieces(2));
    bench.qemu(["convert", "-f", "raw", "-O", "qcow2", "two.raw", "two.qcow2"]).succeeds();
    fs::write(bench.path("odd"), disk::pattern(0, 1000, 3)).unwrap();
    let words = |target| ["convert", "-O", "raw", "one.raw", "two.qcow2", "odd", "one.raw", target];
    bench.qemu(words("theirs")).succeeds();
    bench.instar(words("ours")).succeeds();
    same_bytes(bench, "theirs", "ours", "four sources");
}

fn reads_backing_files_only_where_allowed(bench: &Bench) {
    fs::create_dir_all(bench.path("elsewhere")).unwrap();
    fs::create_dir_all(bench.path("here")).unwrap();
    disk::usual(&bench.path("elsewhere/base.raw"));
    bench
        .qemu(["create", "-q", "-f", "qcow2", "-b", "../elsewhere/base.raw", "-F", "raw", "here/image"])
        .succeeds();
    bench.instar(["convert", "-O", "raw", "here/image", "out"]).fails_with("--allow-dir");
    assert!(!bench.path("out").exists());
    bench.instar(["convert", "--allow-dir", "elsewhere", "-O", "raw", "here/image", "out"]).succeeds();
    same_bytes(bench, "elsewhere/base.raw", "out", "allowed directory");
    bench
        .instar(["convert", "--untrusted", "--allow-dir", "elsewhere", "-O", "raw", "here/image", "no"])
        .fails_with("--untrusted");
}

fn a_source_that_is_changed_by_another_process_is_locked_unless_shared(bench: &Bench) {
    let source = instar_tests::craft::Crafted::image(bench, "image", "4M", "", 65536);
    drop(source);
    let mut writer = std::process::Command::new("qemu-io");
    writer.current_dir(bench.directory()).args(["-f", "qcow2", "-c", "sleep 4000", "image"]);
    let mut writer = instar_tests::Running::start(&mut writer);
    instar_tests::wait::until_locked(&bench.path("image"), 1);
    let theirs = bench.qemu(["convert", "-O", "raw", "image", "theirs"]);
    let ours = bench.instar(["convert", "-O", "raw", "image", "ours"]);
    let shared = bench.instar(["convert", "-U", "-O", "raw", "image", "ours"]);
    assert!(writer.runs(), "the other process ended too early");
    writer.signal("KILL");
    assert_eq!(theirs.code(), Some(1), "{theirs}");
    ours.fails_with("Failed to get shared \"write\" lock");
    shared.succeeds();
}

fn salvages_what_can_be_read(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    bench.qemu(["convert", "-f", "raw", "-O", "qcow2", "-c", "disk.raw", "image"]).succeeds();
    damage_compressed_data(bench);
    bench.instar(["convert", "-O", "raw", "image", "out"]).fails();
    assert!(!bench.path("out").exists());
    let theirs = bench.qemu(["convert", "--salvage", "-O", "raw", "image", "theirs"]);
    let ours = bench.instar(["convert", "--salvage", "-O", "raw", "image", "ours"]);
    assert_eq!((theirs.code(), ours.code()), (Some(0), Some(0)), "{theirs}{ours}");
    assert!(ours.errors().contains("error while reading"), "{ours}");
    same_bytes(bench, "theirs", "ours", "salvaged");
}

/// Overwrites the compressed data of the cluster at 128 KiB.
fn damage_compressed_data(bench: &Bench) {
    let image = instar_tests::craft::Crafted::open(&bench.path("image"));
    let table = image.get(image.get(40)) & 0x00ff_ffff_ffff_fe00;
    let entry = image.get(table + 2 * 8);
    assert_ne!(entry & instar_tests::craft::COMPRESSED, 0, "the cluster is not compressed");
    let offset = entry & ((1 << 54) - 1);
    image.bytes(offset, &[0xff; 64]);
    drop(File::open(bench.path("image")));
}
