//! `compare`: words and exit codes are those of the installed qemu-img, for every pair of formats.

use std::fs;
use std::time::Duration;

use instar_tests::compare::same_outcome;
use instar_tests::disk::{self, Piece, USUAL_BYTES};
use instar_tests::seal::Edited;
use instar_tests::variant::{self, Make, Variant};
use instar_tests::{Bench, both_sandboxes};

/// Images that are made of the disk in one command.
fn converted() -> impl Iterator<Item = (&'static Variant, &'static [&'static str])> {
    let all = [variant::LAYOUTS, variant::CLUSTERS, variant::FOREIGN];
    all.into_iter().flatten().filter_map(|variant| match variant.make {
        Make::Convert(words) => Some((variant, words)),
        Make::By(_) => None,
    })
}

/// The same disk, and the same but for one byte, in every format.
fn each_against(bench: &Bench, other: &str) {
    let mut compared = 0;
    disk::usual(&bench.path("disk.raw"));
    disk::usual(&bench.path("other.raw"));
    let change = [Piece::Data((3 << 20) + 12_345, 1, 77)];
    disk::write(&std::fs::File::options().write(true).open(bench.path("other.raw")).unwrap(), &change);
    let [reference, changed] = ["reference", "changed"].map(|name| {
        let from = if name == "reference" {
            "disk.raw"
        } else {
            "other.raw"
        };
        bench.qemu(["convert", "-f", "raw", "-O", other, from, name]).succeeds();
        name
    });
    for (variant, words) in bench.share(converted()) {
        let convert = ["convert", "-f", "raw"].iter().chain(words).chain(&["disk.raw", "image"]);
        bench.qemu(convert).succeeds();
        for words in [
            ["compare", "image", reference].as_slice(),
            &["compare", changed, "image"],
            &["compare", "-s", "image", reference],
            &["compare", "-q", "image", changed],
        ] {
            same_outcome(bench, words, variant.name);
            compared += 1;
        }
        for name in bench.names().iter().filter(|name| name.starts_with("image")) {
            std::fs::remove_file(bench.path(name)).unwrap();
        }
    }
    eprintln!("{compared} comparisons with {other}");
}

both_sandboxes!(
    compares_every_format_with_raw,
    compares_every_format_with_qcow2,
    compares_every_format_with_vmdk,
    compares_every_format_with_vhdx,
    compares_every_format_with_vdi,
    compares_every_format_with_vpc,
    compares_chains_with_the_disks_they_show,
    compare_names_the_first_difference_wherever_it_is,
    an_image_that_is_longer_by_zeros_is_the_same,
    files_that_end_inside_a_sector_are_compared_to_their_last_byte,
    compare_takes_the_options_of_qemu_img,
    large_equal_images_are_compared_in_time,
    what_comes_before_damage_is_compared_first,
);

fn compares_every_format_with_raw(bench: &Bench) {
    each_against(bench, "raw");
}

fn compares_every_format_with_qcow2(bench: &Bench) {
    each_against(bench, "qcow2");
}

fn compares_every_format_with_vmdk(bench: &Bench) {
    each_against(bench, "vmdk");
}

fn compares_every_format_with_vhdx(bench: &Bench) {
    each_against(bench, "vhdx");
}

fn compares_every_format_with_vdi(bench: &Bench) {
    each_against(bench, "vdi");
}

fn compares_every_format_with_vpc(bench: &Bench) {
    each_against(bench, "vpc");
}

fn compares_chains_with_the_disks_they_show(bench: &Bench) {
    for chain in variant::CHAINS {
        let bench = &Bench::new(bench.sandbox());
        chain.make(bench);
        bench.qemu(["convert", "-O", "raw", "image", "flat"]).succeeds();
        for words in [
            ["compare", "image", "flat"].as_slice(),
            &["compare", "-s", "flat", "image"],
            &["compare", "image", "image"],
            &["compare", "-s", "image", "image"],
        ] {
            same_outcome(bench, words, chain.name);
        }
    }
}

fn compare_names_the_first_difference_wherever_it_is(bench: &Bench) {
    let sector = |at: u64| at / 512 * 512;
    disk::usual(&bench.path("disk.raw"));
    for at in [0, 1, 511, 512, 4095, 4096, 70_000, (1 << 20) - 1, 1 << 20, (2 << 20) + 7, USUAL_BYTES - 1] {
        std::fs::copy(bench.path("disk.raw"), bench.path("other.raw")).unwrap();
        let other = std::fs::File::options().write(true).open(bench.path("other.raw")).unwrap();
        disk::write(&other, &[Piece::Data(at, 1, 99)]);
        bench.qemu(["convert", "-c", "-O", "qcow2", "other.raw", "other"]).succeeds();
        for image in ["other.raw", "other"] {
            let ours = same_outcome(bench, &["compare", "disk.raw", image], "one byte");
            assert_eq!(ours.text(), format!("Content mismatch at offset {}!\n", sector(at)));
            assert_eq!(ours.code(), Some(1));
        }
    }
}

fn an_image_that_is_longer_by_zeros_is_the_same(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    std::fs::copy(bench.path("disk.raw"), bench.path("long.raw")).unwrap();
    let long = std::fs::File::options().write(true).open(bench.path("long.raw")).unwrap();
    long.set_len(40 << 20).unwrap();
    bench.qemu(["convert", "-O", "qcow2", "-S", "0", "long.raw", "long"]).succeeds();
    for words in [
        ["compare", "disk.raw", "long.raw"].as_slice(),
        &["compare", "long", "disk.raw"],
        &["compare", "-s", "disk.raw", "long.raw"],
        &["compare", "-q", "disk.raw", "long.raw"],
        &["compare", "-q", "-s", "long", "disk.raw"],
    ] {
        same_outcome(bench, words, "zeros behind");
    }
    disk::write(&long, &[Piece::Data((39 << 20) + 700, 1, 5)]);
    for words in [
        ["compare", "disk.raw", "long.raw"].as_slice(),
        &["compare", "long.raw", "disk.raw"],
        &["compare", "-q", "long.raw", "disk.raw"],
    ] {
        same_outcome(bench, words, "not only zeros behind");
    }
}

fn files_that_end_inside_a_sector_are_compared_to_their_last_byte(bench: &Bench) {
    for length in [1, 511, 513, 1000, 4097] {
        std::fs::write(bench.path("short.raw"), disk::pattern(0, length, 1)).unwrap();
        std::fs::write(bench.path("long.raw"), disk::pattern(0, 8192, 1)).unwrap();
        std::fs::write(bench.path("other.raw"), disk::pattern(0, length, 2)).unwrap();
        bench.qemu(["convert", "-O", "qcow2", "long.raw", "long"]).succeeds();
        for pair in [
            ["short.raw", "long.raw"],
            ["long.raw", "short.raw"],
            ["short.raw", "other.raw"],
            ["long", "short.raw"],
            ["short.raw", "short.raw"],
        ] {
            same_outcome(bench, &["compare", pair[0], pair[1]], "odd length");
        }
    }
}

fn compare_takes_the_options_of_qemu_img(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    bench.qemu(["convert", "-O", "qcow2", "disk.raw", "image"]).succeeds();
    for words in [
        ["compare", "-f", "raw", "-F", "qcow2", "disk.raw", "image"].as_slice(),
        &["compare", "--a-format=raw", "--b-format=qcow2", "disk.raw", "image"],
        &["compare", "--left-format=raw", "--right-format=qcow2", "disk.raw", "image"],
        &["compare", "-f", "qcow2", "disk.raw", "image"],
        &["compare", "-f", "raw", "-F", "raw", "disk.raw", "image"],
        &["compare", "-T", "none", "disk.raw", "image"],
        &["compare", "-T", "writeback", "disk.raw", "image"],
        &["compare", "-T", "nonsense", "disk.raw", "image"],
        &["compare", "--image-opts", "driver=raw,file.filename=disk.raw", "driver=qcow2,file.filename=image"],
        &["compare", "-U", "disk.raw", "image"],
        &["compare", "disk.raw", "absent"],
        &["compare", "absent", "disk.raw"],
        &["compare", "-q", "absent", "disk.raw"],
    ] {
        same_outcome(bench, words, "options");
    }
    let shown = bench.instar(["compare", "-p", "disk.raw", "image"]);
    let text = shown.succeeds().text();
    assert!(text.starts_with("    (0.00/100%)\r"), "{text:?}");
    assert!(text.contains("    (100.00/100%)\rImages are identical.\n"), "{text:?}");
}

fn large_equal_images_are_compared_in_time(bench: &Bench) {
    let size = 300 << 20;
    disk::make(
        &bench.path("disk.raw"),
        size,
        &[Piece::Data(5 << 20, 40 << 20, 3), Piece::Data(200 << 20, 30 << 20, 4)],
    );
    bench.qemu(["convert", "-O", "qcow2", "disk.raw", "image"]).succeeds();
    bench.qemu(["convert", "-O", "qcow2", "-c", "disk.raw", "packed"]).succeeds();
    for image in ["image", "packed"] {
        same_outcome(bench, &["compare", "disk.raw", image], image).within(Duration::from_secs(30));
    }
}

/// The exit code is that of what comes first: a difference, a cluster that cannot be read, an entry that leads nowhere.
fn what_comes_before_damage_is_compared_first(bench: &Bench) {
    let content = disk::text(5, 1 << 20);
    fs::write(bench.path("same.raw"), &content).unwrap();
    let mut other = content;
    other[50 * 4096] ^= 1;
    fs::write(bench.path("other.raw"), other).unwrap();
    let options = ["-f", "raw", "-O", "qcow2", "-o", "cluster_size=4k"];
    for (compress, unreadable, nowhere) in [
        (false, None, Some(200)),
        (true, None, Some(200)),
        (true, Some(200), None),
        (true, Some(100), Some(200)),
        (true, Some(200), Some(100)),
    ] {
        let what = format!("compressed: {compress}, {unreadable:?}, {nowhere:?}");
        let flag: &[&str] = if compress { &["-c"] } else { &[] };
        let words = ["convert"].iter().chain(&options).chain(flag).chain(&["same.raw", "image"]);
        bench.qemu(words).succeeds();
        let image = Edited::open(&bench.path("image"));
        let number = |at: u64| u64::from_be_bytes(*image.get(at, 8).first_chunk().unwrap());
        let table = number(number(40)) & !(1 << 63);
        if let Some(cluster) = unreadable {
            let stream = number(table + cluster * 8) & ((1 << 58) - 1);
            image.put(stream + 5, &[0xff; 40]);
        }
        if let Some(cluster) = nowhere {
            // Not on the bound of a cluster.
            image.put(table + cluster * 8, &(1_u64 << 63 | 9 << 16 | 512).to_be_bytes());
        }
        let first = unreadable.unwrap_or(u64::MAX).min(nowhere.unwrap_or(u64::MAX));
        for (with, expected) in
            [("same.raw", if unreadable == Some(first) { 4 } else { 3 }), ("other.raw", 1)]
        {
            let words = ["compare", "-f", "qcow2", "-F", "raw", "image", with];
            let (theirs, ours) = (bench.qemu(words), bench.instar(words));
            assert_eq!(theirs.code(), Some(expected), "{what}, {with}: {theirs}");
            assert_eq!((ours.code(), ours.text()), (theirs.code(), theirs.text()), "{what}, {with}: {ours}");
        }
    }
}
