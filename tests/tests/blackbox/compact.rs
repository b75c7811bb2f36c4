//! `compact`: the file gets smaller, and what each release of qemu-img finds in it stays what it was.

use std::fs;
use std::time::Duration;

use instar_tests::compare::{checks_clean, qemu_info};
use instar_tests::craft::Crafted;
use instar_tests::holder::Holder;
use instar_tests::sealed::{self, METHODS, words};
use instar_tests::{Bench, Outcome, Reference, both_sandboxes, disk, formats, variant};

both_sandboxes!(
    a_file_with_free_places_gets_smaller_and_is_the_same_disk_for_each_release,
    layers_and_bitmaps_stay_what_they_are,
    encrypted_data_is_moved_with_its_key_and_not_without,
    what_was_done_is_said_to_people_and_programs,
    what_cannot_be_compacted_is_refused_and_stays_as_it_is,
    an_image_in_use_is_left_alone_by_compact,
    a_kill_at_any_moment_leaves_the_disk_and_at_worst_leaks,
);

const LAYOUTS: &[&str] = &[
    "cluster_size=512",
    "cluster_size=512,compat=0.10",
    "cluster_size=4k,refcount_bits=1",
    "cluster_size=4k,refcount_bits=64",
    "cluster_size=64k",
    "cluster_size=64k,compat=0.10",
    "cluster_size=64k,compression_type=zstd",
    "cluster_size=64k,extended_l2=on",
    "cluster_size=2M",
];

/// An image with snapshots, if its counts have room for them, and free places where others were.
fn holed(bench: &Bench, layout: &str) {
    disk::usual(&bench.path("disk.raw"));
    let single = layout.ends_with("refcount_bits=1");
    bench.qemu(["convert", "-c", "-O", "qcow2", "-o", layout, "disk.raw", "image"]).succeeds();
    bench.qemu(["resize", "-q", "image", "20M"]).succeeds();
    variant::io(bench, "image", &["write -P 1 6M 5M", "write -P 2 12M 3M"]);
    if !single {
        bench.qemu(["snapshot", "-c", "kept", "image"]).succeeds();
        variant::io(bench, "image", &["write -P 3 7M 1M"]);
        bench.qemu(["snapshot", "-c", "gone", "image"]).succeeds();
    }
    variant::io(
        bench,
        "image",
        &["write -P 4 8M 1M", "write -P 5 16M 3M", "write -P 0 12M 2M", "discard 0 2M", "discard 8M 2M"],
    );
    if !single {
        bench.qemu(["snapshot", "-d", "gone", "image"]).succeeds();
    }
}

/// Keeps the disk and the snapshot of `image` as raw files.
fn keep(bench: &Bench, name: &str) {
    bench.qemu(["convert", "-O", "raw", "image", &format!("{name}.disk")]).succeeds();
    let words = ["convert", "-l", "kept", "-O", "raw", "image"];
    bench.qemu(words.iter().copied().chain([format!("{name}.kept").as_str()]));
}

#[track_caller]
fn same(bench: &Bench, what: &str) {
    for kind in ["disk", "kept"] {
        let [before, after] = ["before", "after"].map(|name| fs::read(bench.path(&format!("{name}.{kind}"))));
        assert_eq!(before.is_ok(), after.is_ok(), "{what}, {kind}");
        assert!(before.ok() == after.ok(), "{what}: another {kind}");
    }
}

fn length(bench: &Bench) -> u64 {
    fs::metadata(bench.path("image")).unwrap().len()
}

fn a_file_with_free_places_gets_smaller_and_is_the_same_disk_for_each_release(bench: &Bench) {
    for layout in bench.share(LAYOUTS) {
        for words in [&["compact", "image"][..], &["compact", "--no-trim", "image"]] {
            let bench = &Bench::new(bench.sandbox());
            holed(bench, layout);
            keep(bench, "before");
            let before = length(bench);
            bench.instar(words).succeeds();
            assert!(length(bench) < before, "{layout}: {} of {before} bytes", length(bench));
            checks_clean(bench, "image", layout);
            keep(bench, "after");
            same(bench, layout);
            for release in Reference::live() {
                for line in [
                    &["check", "image"][..],
                    &["compare", "-f", "raw", "-F", "qcow2", "before.disk", "image"],
                ] {
                    let mut command = release.program("qemu-img");
                    let outcome = Outcome::of(command.args(line).current_dir(bench.directory()));
                    assert_eq!(outcome.code(), Some(0), "{layout}, {release:?}: {outcome}");
                }
            }
            variant::io(bench, "image", &["write -P 9 1M 8M"]);
            checks_clean(bench, "image", layout);
        }
    }
}

fn layers_and_bitmaps_stay_what_they_are(bench: &Bench) {
    for layout in bench.share(["cluster_size=4k", "cluster_size=64k,extended_l2=on", "compat=0.10"]) {
        let bench = &Bench::new(bench.sandbox());
        disk::usual(&bench.path("below.raw"));
        bench
            .qemu(["create", "-q", "-f", "qcow2", "-o", layout, "-b", "below.raw", "-F", "raw", "image"])
            .succeeds();
        variant::io(bench, "image", &["write -P 0 0 1M", "write -P 3 1M 2M"]);
        let marked = !layout.starts_with("compat");
        if marked {
            bench.qemu(["bitmap", "--add", "-g", "512", "image", "spots"]).succeeds();
        }
        variant::io(bench, "image", &["write -P 4 2M 1M", "discard 1M 1M"]);
        keep(bench, "before");
        let info = qemu_info(bench, "image");
        if marked {
            bench.qemu(["bitmap", "--add", "image", "merged"]).succeeds();
            bench.qemu(["create", "-q", "-f", "qcow2", "spots", "5M"]).succeeds();
        }
        bench.instar(["compact", "image"]).succeeds();
        checks_clean(bench, "image", layout);
        keep(bench, "after");
        same(bench, layout);
        let now = qemu_info(bench, "image");
        assert_eq!(now["backing-filename"], info["backing-filename"], "{layout}");
        if marked {
            let bitmaps = now["format-specific"]["data"]["bitmaps"].as_array().unwrap().len();
            assert_eq!(bitmaps, 2, "{layout}");
            bench.qemu(["bitmap", "--merge", "spots", "image", "merged"]).succeeds();
        }
    }
}

fn encrypted_data_is_moved_with_its_key_and_not_without(bench: &Bench) {
    for (method, mark) in METHODS {
        for layout in ["cluster_size=64k", "cluster_size=512"] {
            let what = format!("{method},{layout}");
            let bench = &Bench::new(bench.sandbox());
            sealed::qcow2(bench, &what);
            let line = |line: &str| words(&line.replace("$I", &format!("$S --image-opts {mark}image")));
            bench.qemu(line("snapshot -c kept $I")).succeeds();
            sealed::io(
                bench,
                mark,
                &["write -P 7 1M 512k", "write -P 0 2M 256k", "write -P 8 3M 512k", "discard 1M 300k"],
            );
            bench.qemu(line("convert $I -O raw before.disk")).succeeds();
            bench.qemu(line("convert -l kept $I -O raw before.kept")).succeeds();
            let (bytes, before) = (fs::read(bench.path("image")).unwrap(), length(bench));
            bench.instar(["compact", "image"]).fails_with("encrypt");
            assert!(fs::read(bench.path("image")).unwrap() == bytes, "{what}");
            bench.instar(line("compact $I")).succeeds();
            assert!(length(bench) < before, "{what}");
            let checked = bench.qemu(line("check $I"));
            assert!(checked.stderr.is_empty(), "{what}: {checked}");
            checked.succeeds();
            bench.qemu(line("convert $I -O raw after.disk")).succeeds();
            bench.qemu(line("convert -l kept $I -O raw after.kept")).succeeds();
            same(bench, &what);
        }
    }
}

fn what_was_done_is_said_to_people_and_programs(bench: &Bench) {
    let make = || {
        fs::write(bench.path("disk.raw"), disk::pattern(0, 4 << 20, 1)).unwrap();
        bench.qemu(["convert", "-O", "qcow2", "disk.raw", "image"]).succeeds();
        variant::io(bench, "image", &["write -P 0 2M 64k", "discard 0 1M"]);
    };
    make();
    let before = length(bench);
    let outcome = bench.instar(["compact", "--output=json", "image"]);
    let value: serde_json::Value = serde_json::from_slice(&outcome.succeeds().stdout).unwrap();
    assert_eq!(value["filename"], "image");
    assert_eq!(value["zero-clusters"], 1);
    assert_eq!(value["size-before"], before);
    assert_eq!(value["size-after"], length(bench));
    // 17 clusters are free, in the first half of the file, and as many move there.
    assert_eq!(before - length(bench), 17 << 16);
    assert_eq!(value["moved-bytes"], 17 << 16);
    make();
    let text = bench.instar(["compact", "image"]).succeeds().text();
    assert_eq!(
        text,
        "1 cluster of zeros given up.\n1.06 MiB moved.\nThe file had 4.31 MiB and has 3.25 MiB now.\n"
    );
    let text = bench.instar(["compact", "image"]).succeeds().text();
    assert_eq!(text, "The file has 3.25 MiB, as before.\n");
    make();
    let text = bench.instar(["compact", "--trim", "image"]).succeeds().text();
    assert!(text.starts_with("1 cluster of zeros given up.\n"), "{text}");
    assert!(bench.instar(["compact", "-q", "image"]).succeeds().text().is_empty());
    make();
    let text = bench.instar(["compact", "-p", "image"]).succeeds().text();
    assert!(text.contains("(0.00/100%)") && text.contains("(100.00/100%)"), "{text}");
}

fn what_cannot_be_compacted_is_refused_and_stays_as_it_is(bench: &Bench) {
    for format in formats::beside("qcow2") {
        bench.qemu(["create", "-q", "-f", format, format, "1M"]).succeeds();
        let outcome = bench.instar(["compact", "-f", format, format]);
        outcome.fails_with(&format!(
            "Could not compact '{format}': Format driver '{format}' does not support compacting; only qcow2 images can be compacted"
        ));
    }
    bench.qemu(["create", "-q", "-f", "qcow2", "-o", "data_file=data", "apart", "1M"]).succeeds();
    bench.instar(["compact", "apart"]).fails_with("keeps its data in another file");
    bench.instar(["compact", "--trim", "--no-trim", "apart"]).fails_with("use one of them");
    bench.instar(["compact", "gone"]).fails_with("No such file or directory");
    // The first cluster of the disk is the cluster of the second, too.
    let image = Crafted::image(bench, "image", "1M", "", 200_000);
    let l1 = image.get(40);
    let l2 = image.get(l1) & 0x00ff_ffff_ffff_fe00;
    let second = image.get(l2 + 8);
    image.u64(l2, second);
    let before = fs::read(bench.path("image")).unwrap();
    bench.instar(["compact", "image"]).fails_with("the image has errors (");
    // A table of the disk is a cluster of it, and counted twice.
    let block = image.get(image.get(48));
    let count = block + (l2 >> 16) * 2;
    let counts = image.get(count & !7);
    let shift = 48 - (count & 7) * 8;
    image.u64(count & !7, counts & !(0xffff << shift) | 2 << shift);
    image.u64(l2, l2);
    image.u64(l1, l2);
    let doubled = fs::read(bench.path("image")).unwrap();
    assert!(doubled != before);
    let overlap = format!("Could not compact 'image': the cluster at offset {l2} is used by a table and by");
    bench.instar(["compact", "image"]).fails_with(&overlap);
    assert!(fs::read(bench.path("image")).unwrap() == doubled);
}

fn an_image_in_use_is_left_alone_by_compact(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "qcow2", "image", "1M"]).succeeds();
    let holder = Holder::of(bench, "qcow2", "image");
    let before = fs::read(bench.path("image")).unwrap();
    bench.instar(["compact", "image"]).fails_with("Is another process using the image");
    assert!(fs::read(bench.path("image")).unwrap() == before);
    drop(holder);
    bench.instar(["compact", "image"]).succeeds();
}

fn a_kill_at_any_moment_leaves_the_disk_and_at_worst_leaks(bench: &Bench) {
    fs::write(bench.path("disk.raw"), disk::pattern(0, 48 << 20, 1)).unwrap();
    bench.qemu(["convert", "-O", "qcow2", "-o", "cluster_size=4k", "disk.raw", "fresh"]).succeeds();
    bench.qemu(["snapshot", "-c", "kept", "fresh"]).succeeds();
    variant::io(bench, "fresh", &["write -P 7 1M 20M", "write -P 0 40M 2M", "discard 1M 18M"]);
    fs::copy(bench.path("fresh"), bench.path("image")).unwrap();
    keep(bench, "before");
    for delay in [2_u64, 10, 20, 35, 60, 90, 130, 200, 300] {
        fs::copy(bench.path("fresh"), bench.path("image")).unwrap();
        let running = bench.start(["compact", "image"]);
        std::thread::sleep(Duration::from_millis(delay));
        running.signal("KILL");
        running.finish();
        bench.wait_for_lock("qcow2", "image");
        keep(bench, "after");
        same(bench, "killed");
        let code = bench.qemu(["check", "-f", "qcow2", "image"]).code();
        assert!(matches!(code, Some(0 | 3)), "check gives {code:?}");
        // What was begun can be begun anew.
        bench.instar(["compact", "image"]).succeeds();
        checks_clean(bench, "image", "done after a kill");
        keep(bench, "after");
        same(bench, "done after a kill");
    }
}
