//! qcow2 images, and the names that any image may hold.

use std::fs;

use instar_tests::craft::{Crafted, field};
use instar_tests::disk::{self, Piece};
use instar_tests::ledger::{self, deviates};
use instar_tests::{Bench, Outcome, Reference, both_sandboxes, reference};

use super::{MIB, convert, made, only_we_read, only_we_refuse};

/// Header extension: bitmaps.
const BITMAPS: u32 = 0x2385_2875;

/// The same as `made`, with a snapshot and a bitmap.
fn image(bench: &Bench) -> Crafted {
    made(bench, "qcow2", "");
    bench.qemu(["bitmap", "--add", "image", "changes"]).succeeds();
    bench.qemu(["snapshot", "-c", "first", "image"]).succeeds();
    Crafted::open(&bench.path("image"))
}

both_sandboxes!(
    refcounts_do_not_matter_for_reading,
    a_snapshot_that_fails_leaks_nothing,
    a_conversion_does_not_keep_a_data_file,
    data_is_read_beside_a_damaged_bitmap_directory,
    data_is_read_beside_a_damaged_snapshot_table,
    snapshots_that_the_file_does_not_have_are_not_shown,
    a_backing_file_elsewhere_is_refused,
    names_that_lead_to_protocols_are_refused,
    a_failed_conversion_leaves_nothing,
);

fn a_conversion_does_not_keep_a_data_file(bench: &Bench) {
    let Some(newest) = Reference::of("11.1") else {
        return ledger::skip("qemu-img 11.1 cannot be started, so what only it creates was not shown");
    };
    fs::write(bench.path("disk.raw"), disk::pattern(0, MIB, 4)).unwrap();
    fs::write(bench.path("data"), disk::pattern(0, MIB, 5)).unwrap();
    let words = [
        "convert",
        "-f",
        "raw",
        "-O",
        "qcow2",
        "-o",
        "data_file=data,data_file_raw=on,keep_data_file=on",
        "disk.raw",
        "image",
    ];
    let ours = Outcome::of(bench.command(words).env(reference::VARIABLE, "11.1"));
    ours.fails_with("'keep_data_file=on' is only for 'create'");
    assert_eq!(bench.names(), ["data", "disk.raw"]);
    assert!(fs::read(bench.path("data")).unwrap() == disk::pattern(0, MIB, 5));
    let theirs = Outcome::of(newest.program("qemu-img").current_dir(bench.directory()).args(words));
    deviates("keep-data-file", &theirs.code(), &ours.code());
    // What keeps an image keeps no data file that is copied to.
    let words = [&["convert", "--replace"], &words[1..]].concat();
    let ours = Outcome::of(bench.command(words).env(reference::VARIABLE, "11.1"));
    ours.fails_with("'keep_data_file=on' is only for 'create'");
}

fn data_is_read_beside_a_damaged_bitmap_directory(bench: &Bench) {
    let image = image(bench);
    let header = fs::read(bench.path("image")).unwrap();
    let at = header.windows(4).position(|word| word == BITMAPS.to_be_bytes()).unwrap() as u64;
    let directory = image.get(at + 24);
    image.u64(directory, u64::MAX);
    only_we_read(bench, "qcow2-damaged-bitmaps", "qcow2", "disk.raw");
}

fn data_is_read_beside_a_damaged_snapshot_table(bench: &Bench) {
    let image = image(bench);
    let table = image.get(field::SNAPSHOTS_OFFSET);
    image.bytes(table + 36, &u32::MAX.to_be_bytes());
    only_we_read(bench, "qcow2-damaged-snapshots", "qcow2", "disk.raw");
}

fn snapshots_that_the_file_does_not_have_are_not_shown(bench: &Bench) {
    let image = image(bench);
    image.u64(field::SNAPSHOTS_OFFSET, image.end().next_multiple_of(65536) + 65536);
    let [theirs, ours] = [bench.qemu(["info", "image"]), bench.instar(["info", "image"])];
    assert_eq!(theirs.code(), Some(0), "{theirs}");
    ours.fails_with("snapshot");
    deviates("qcow2-snapshots-past-end", &theirs.code(), &ours.code());
}

fn a_backing_file_elsewhere_is_refused(bench: &Bench) {
    fs::create_dir(bench.path("elsewhere")).unwrap();
    fs::create_dir(bench.path("here")).unwrap();
    disk::make(&bench.path("elsewhere/base"), MIB, &[Piece::Data(0, MIB, 1)]);
    bench
        .qemu(["create", "-q", "-f", "qcow2", "-b", "../elsewhere/base", "-F", "raw", "here/image"])
        .succeeds();
    fs::rename(bench.path("here/image"), bench.path("image")).unwrap();
    // From here the name leads out of the directory, and to the file all the same.
    let name = format!("{}/elsewhere/base", bench.directory().display());
    Crafted::open(&bench.path("image")).backing(name.as_bytes());
    fs::rename(bench.path("image"), bench.path("here/image")).unwrap();
    let words = |target| ["convert", "-O", "raw", "here/image", target];
    let [theirs, ours] = [bench.qemu(words("theirs")), bench.instar(words("ours"))];
    theirs.succeeds();
    ours.fails_with("--allow-dir");
    deviates("names-elsewhere", &theirs.code(), &ours.code());
    let allowed = format!("--allow-dir={}", bench.path("elsewhere").display());
    bench.instar(["convert", &allowed, "-O", "raw", "here/image", "ours"]).succeeds();
}

fn names_that_lead_to_protocols_are_refused(bench: &Bench) {
    fs::write(bench.path("base"), disk::pattern(0, MIB, 1)).unwrap();
    Crafted::image(bench, "image", "1M", "", 0)
        .backing(b"json:{\"driver\":\"raw\",\"file\":{\"driver\":\"null-co\",\"size\":1048576}}");
    only_we_refuse(bench, "names-of-protocols", "qcow2", "null-co");
}

fn a_failed_conversion_leaves_nothing(bench: &Bench) {
    disk::make(&bench.path("disk.raw"), 16 * MIB, &[Piece::Text(0, 16 * MIB)]);
    bench.qemu(["convert", "-c", "-f", "raw", "-O", "qcow2", "disk.raw", "image"]).succeeds();
    let image = Crafted::open(&bench.path("image"));
    let table = image.get(image.get(field::L1_TABLE_OFFSET)) & 0x00ff_ffff_ffff_fe00;
    image.bytes(image.get(table + 255 * 8) & ((1 << 54) - 1), &[0xff; 32]);
    let [theirs, ours] = convert(bench, "qcow2");
    assert_eq!((theirs.code(), ours.code()), (Some(1), Some(1)), "{theirs}{ours}");
    deviates("complete-or-absent", &bench.path("theirs").exists(), &bench.path("ours").exists());
}

fn refcounts_do_not_matter_for_reading(bench: &Bench) {
    made(bench, "qcow2", "");
    let image = Crafted::open(&bench.path("image"));
    let table = image.get(field::REFCOUNT_TABLE_OFFSET);
    image.u64(table, image.get(table) | 0x200);
    let words = ["map", "-f", "qcow2", "image"];
    let (theirs, ours) = (bench.qemu(words), bench.instar(words));
    assert_eq!(theirs.text(), ours.succeeds().text());
    assert!(theirs.errors().contains("Refblock offset"), "{theirs}");
    deviates("reads-no-refcounts", &theirs.errors(), &ours.errors());
}

fn a_snapshot_that_fails_leaks_nothing(bench: &Bench) {
    for name in ["theirs", "ours"] {
        bench.qemu(["create", "-q", "-f", "qcow2", "-o", "refcount_bits=1", name, "1M"]).succeeds();
        instar_tests::variant::io(bench, name, &["write -P 1 64k 64k"]);
    }
    let words = |image| ["snapshot", "-c", "first", image];
    let (theirs, ours) = (bench.qemu(words("theirs")), bench.instar(words("ours")));
    assert_eq!(theirs.fails().message(), ours.fails().message());
    let [theirs, ours] = ["theirs", "ours"].map(|image| bench.qemu(["check", image]).code());
    assert_eq!(ours, Some(0));
    deviates("failed-leaves-no-leaks", &theirs, &ours);
}
