//! `convert --bitmaps`: persistent bitmaps arrive bit by bit.

use std::fs;
use std::time::Duration;

use instar_tests::compare::{checks_clean, qemu_info};
use instar_tests::craft::Crafted;
use instar_tests::disk;
use instar_tests::variant::io;
use instar_tests::{Bench, both_sandboxes};

/// One bitmap as it stands in a file: name, flags, log2 of its granularity, bits.
pub(crate) type Stored = (String, u32, u8, Vec<u8>);

pub(crate) fn number<const N: usize>(bytes: &[u8], at: u64) -> u64 {
    bytes[usize::try_from(at).unwrap()..][..N].iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// The bitmaps of a qcow2 image, read by hand from the file.
pub(crate) fn bitmaps(bench: &Bench, name: &str) -> Vec<Stored> {
    let bytes = fs::read(bench.path(name)).unwrap();
    let cluster = 1_u64 << number::<4>(&bytes, 20);
    let mut at = number::<4>(&bytes, 100);
    let (count, mut entry) = loop {
        match (number::<4>(&bytes, at), number::<4>(&bytes, at + 4)) {
            (0, _) => return Vec::new(),
            (0x2385_2875, _) => break (number::<4>(&bytes, at + 8), number::<8>(&bytes, at + 24)),
            (_, length) => at += 8 + length.next_multiple_of(8),
        }
    };
    assert_eq!(number::<8>(&bytes, 88) & 1, 1, "{name}: the bitmaps count as stale");
    let mut all = Vec::new();
    for _ in 0..count {
        let table = number::<8>(&bytes, entry);
        let mut bits = Vec::new();
        for index in 0..number::<4>(&bytes, entry + 8) {
            let place = number::<8>(&bytes, table + 8 * index);
            match place {
                0 | 1 => {
                    bits.extend(std::iter::repeat_n(if place == 0 { 0 } else { 0xff }, cluster as usize))
                }
                _ => bits.extend_from_slice(&bytes[place as usize..][..cluster as usize]),
            }
        }
        // Tables end on clusters, whose sizes may differ.
        bits.truncate(bits.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
        let (granularity, length) = (bytes[entry as usize + 17], number::<2>(&bytes, entry + 18));
        let name = String::from_utf8(bytes[entry as usize + 24..][..length as usize].to_vec()).unwrap();
        all.push((name, number::<4>(&bytes, entry + 12) as u32, granularity, bits));
        entry += (24 + length).next_multiple_of(8);
    }
    all
}

/// An image with bitmaps of several granularities, some of which record writes.
fn source(bench: &Bench, options: &str) {
    bench.qemu(["create", "-q", "-f", "qcow2", "-o", options, "image", "200000K"]).succeeds();
    for words in [
        &["b0"][..],
        &["-g", "512", "fine"],
        &["-g", "1M", "coarse"],
        &["--disable", "idle"],
        &["a name with spaces, and a comma"],
    ] {
        let (name, flags) = words.split_last().unwrap();
        bench.qemu(["bitmap", "--add"].iter().chain(flags).chain(&["image", name])).succeeds();
    }
    fs::write(bench.path("piece"), disk::pattern(0, 1 << 20, 3)).unwrap();
    io(
        bench,
        "image",
        &["write -s piece 0 1M", "write -P 7 70001K 3k", "write -P 8 199999K 1k", "write -z 150M 10M"],
    );
}

/// The image, and where the directory entry of its bitmap at `index` stands.
pub(crate) fn entry(bench: &Bench, index: usize) -> (Crafted, u64) {
    let image = Crafted::open(&bench.path("image"));
    let mut at = number::<4>(&fs::read(bench.path("image")).unwrap(), 100);
    while image.get(at) >> 32 != 0x2385_2875 {
        at += 8 + (image.get(at) & 0xffff_ffff).next_multiple_of(8);
    }
    let mut entry = image.get(at + 24);
    for _ in 0..index {
        entry += (24 + (image.get(entry + 16) >> 32 & 0xffff)).next_multiple_of(8);
    }
    (image, entry)
}

/// An image of 8 MiB with bitmaps that record, one that does not, and bits in all of them.
fn tracked(bench: &Bench, name: &str, options: &str) {
    bench.qemu(["create", "-q", "-f", "qcow2", "-o", options, name, "8M"]).succeeds();
    for words in [
        ["--add", name, "b0"].as_slice(),
        &["--add", "-g", "512", name, "fine"],
        &["--add", "-g", "1M", name, "coarse"],
        &["--add", name, "idle"],
    ] {
        bench.qemu(["bitmap"].iter().chain(words)).succeeds();
    }
    io(bench, name, &["write -P 1 5M 70k", "write -P 2 7M 1k"]);
    bench.qemu(["bitmap", "--disable", name, "idle"]).succeeds();
    bench.qemu(["bitmap", "--add", "-g", "4k", name, "later"]).succeeds();
}

/// Every bit of `some` is set in `more`.
fn covers(more: &[u8], some: &[u8]) -> bool {
    let at = |index: usize| more.get(index).copied().unwrap_or(0);
    some.iter().enumerate().all(|(index, byte)| at(index) & byte == *byte)
}

both_sandboxes!(
    bitmaps_are_copied_to_the_last_bit,
    a_bitmap_that_was_not_saved_cleanly_is_refused_or_skipped,
    what_bench_writes_is_recorded,
    formats_without_bitmaps_are_refused_in_qemu_imgs_words,
    bitmap_bits_that_the_file_does_not_store_are_refused,
    an_image_without_bitmaps_has_none_afterwards,
    bitmaps_of_an_existing_image_record_what_is_written,
    a_bitmap_whose_table_is_shared_is_not_written_to,
    bitmaps_join_those_of_an_existing_image,
    bitmaps_that_cannot_join_leave_the_target_as_it_is,
);

fn bitmaps_are_copied_to_the_last_bit(bench: &Bench) {
    for options in ["cluster_size=64k", "cluster_size=4k", "cluster_size=2M", "extended_l2=on"] {
        let bench = &Bench::new(bench.sandbox());
        source(bench, options);
        for target in [
            &[][..],
            &["-o", "cluster_size=4k"],
            &["-o", "cluster_size=512"],
            &["-c"],
            &["-o", "preallocation=metadata"],
            &["-o", "extended_l2=on"],
        ] {
            let words = |to| {
                ["convert", "--bitmaps", "-O", "qcow2"]
                    .into_iter()
                    .chain(target.iter().copied())
                    .chain(["image", to])
            };
            bench.qemu(words("theirs")).succeeds();
            bench.instar(words("ours")).succeeds();
            let (theirs, ours) = (bitmaps(bench, "theirs"), bitmaps(bench, "ours"));
            assert_eq!(ours.len(), 5, "{options} {target:?}");
            assert!(ours.iter().filter(|bitmap| !bitmap.3.is_empty()).count() >= 3);
            assert!(theirs == ours, "{options} {target:?}:\n{theirs:?}\n{ours:?}");
            let key = |name| qemu_info(bench, name)["format-specific"]["data"]["bitmaps"].clone();
            assert_eq!(key("theirs"), key("ours"), "{options} {target:?}");
            checks_clean(bench, "ours", options);
            assert_eq!(bench.qemu(["compare", "image", "ours"]).code(), Some(0), "{options} {target:?}");
        }
    }
}

fn a_bitmap_that_was_not_saved_cleanly_is_refused_or_skipped(bench: &Bench) {
    source(bench, "cluster_size=64k");
    let (image, entry) = entry(bench, 1);
    // The flag is the lowest bit of the four bytes behind the table's size.
    image.bytes(entry + 8, &(image.get(entry + 8) | 1).to_be_bytes());
    let words = ["convert", "--bitmaps", "-O", "qcow2", "image", "out"];
    let (theirs, ours) = (bench.qemu(words), bench.instar(words));
    assert_eq!(theirs.code(), Some(1), "{theirs}");
    ours.fails_with("Cannot copy inconsistent bitmap 'fine'");
    assert_eq!(theirs.errors().replace("qemu-img", "instar"), ours.errors().replace("qemu-img", "instar"));
    assert!(!bench.path("out").exists());
    let words = |to| ["convert", "--bitmaps", "--skip-broken-bitmaps", "-O", "qcow2", "image", to];
    let (theirs, ours) = (bench.qemu(words("theirs")), bench.instar(words("ours")));
    assert_eq!((theirs.code(), ours.code()), (Some(0), Some(0)), "{theirs}{ours}");
    assert_eq!(theirs.message(), ours.message());
    assert_eq!(bitmaps(bench, "ours").len(), 4);
    assert!(bitmaps(bench, "theirs") == bitmaps(bench, "ours"));
    checks_clean(bench, "ours", "skipped");
}

/// In bits of clusters and larger, just what was written; in finer ones, all of it.
fn what_bench_writes_is_recorded(bench: &Bench) {
    for options in ["cluster_size=64k", "cluster_size=4k", "cluster_size=2M"] {
        for name in ["theirs", "ours"] {
            tracked(bench, name, options);
        }
        let words = |image| ["bench", "-w", "-f", "qcow2", "-c", "20", "-s", "3000", "-S", "1300000", image];
        bench.qemu(words("theirs")).succeeds();
        bench.instar(words("ours")).succeeds();
        checks_clean(bench, "ours", options);
        for (theirs, ours) in bitmaps(bench, "theirs").into_iter().zip(bitmaps(bench, "ours")) {
            assert_eq!((&theirs.0, theirs.1, theirs.2), (&ours.0, ours.1, ours.2), "{options}");
            if theirs.0 == "coarse" || theirs.0 == "idle" || options == "cluster_size=4k" && theirs.2 >= 12 {
                assert!(theirs.3 == ours.3, "{options}: {}", theirs.0);
            }
            assert!(covers(&ours.3, &theirs.3), "{options}: {}", theirs.0);
        }
        for name in ["theirs", "ours"] {
            fs::remove_file(bench.path(name)).unwrap();
        }
    }
}

fn formats_without_bitmaps_are_refused_in_qemu_imgs_words(bench: &Bench) {
    source(bench, "cluster_size=64k");
    disk::usual(&bench.path("disk.raw"));
    bench.qemu(["create", "-q", "-f", "qcow2", "-o", "compat=0.10", "old", "1M"]).succeeds();
    for words in [
        &["--bitmaps", "-O", "raw", "image", "out"][..],
        &["--bitmaps", "-O", "vdi", "image", "out"],
        &["--bitmaps", "-f", "raw", "-O", "qcow2", "disk.raw", "out"],
        &["--bitmaps", "-O", "qcow2", "old", "out"],
        &["--bitmaps", "-O", "qcow2", "image", "image", "out"],
        &["--bitmaps", "-O", "qcow2", "-o", "compat=0.10", "image", "out"],
        &["--skip-broken-bitmaps", "-O", "qcow2", "image", "out"],
    ] {
        let all = || ["convert"].iter().chain(words);
        let (theirs, ours) = (bench.qemu(all()), bench.instar(all()));
        assert_eq!(theirs.code(), Some(1), "{theirs}");
        ours.fails();
        assert_eq!(theirs.message(), ours.message(), "{words:?}");
        let _ = fs::remove_file(bench.path("out"));
    }
}

fn bitmap_bits_that_the_file_does_not_store_are_refused(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "qcow2", "image", "1T"]).succeeds();
    for name in ["a", "b", "c", "d"] {
        bench.qemu(["bitmap", "--add", "-g", "4k", "image", name]).succeeds();
    }
    for index in 0..4 {
        let (image, entry) = entry(bench, index);
        let (table, entries) = (image.get(entry), image.get(entry + 8) >> 32);
        assert_eq!(entries, 512);
        // Each says that all bits of a cluster are set.
        image.bytes(table, &1_u64.to_be_bytes().repeat(512));
    }
    let outcome = bench.instar(["convert", "--bitmaps", "-O", "qcow2", "image", "out"]);
    outcome.fails_with("over and over").within(Duration::from_secs(20));
    assert!(!bench.path("out").exists());
}

fn an_image_without_bitmaps_has_none_afterwards(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "qcow2", "image", "1M"]).succeeds();
    bench.instar(["convert", "--bitmaps", "-O", "qcow2", "image", "out"]).succeeds();
    assert!(bitmaps(bench, "out").is_empty());
}

/// What is written into an existing image is marked in its bitmaps, as qemu-img marks it; those that do not record stay.
fn bitmaps_of_an_existing_image_record_what_is_written(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    // Whole clusters of every size.
    fs::File::options().write(true).open(bench.path("disk.raw")).unwrap().set_len(4 << 20).unwrap();
    for options in bench.share([
        "cluster_size=64k",
        "cluster_size=4k",
        "cluster_size=512",
        "cluster_size=2M",
        "extended_l2=on",
        "refcount_bits=1",
    ]) {
        for (more, exact) in [(&[][..], true), (&["-S", "0"], true), (&["--target-is-zero"], false)] {
            let all: Vec<Vec<Stored>> = ["theirs", "ours"]
                .map(|name| {
                    tracked(bench, name, options);
                    let words: Vec<&str> = ["convert", "-n", "-f", "raw", "-O", "qcow2"]
                        .iter()
                        .chain(more)
                        .chain(&["disk.raw", name])
                        .copied()
                        .collect();
                    if name == "ours" {
                        bench.instar(words)
                    } else {
                        bench.qemu(words)
                    }
                    .succeeds();
                    checks_clean(bench, name, options);
                    bitmaps(bench, name)
                })
                .into();
            assert_eq!(all[0].len(), 5);
            for (theirs, ours) in all[0].iter().zip(&all[1]) {
                let what = format!("{options} {more:?} {}", theirs.0);
                assert_eq!((&theirs.0, theirs.1, theirs.2), (&ours.0, ours.1, ours.2), "{what}");
                if exact || theirs.0 == "idle" {
                    assert!(theirs.3 == ours.3, "{what}: other bits");
                } else {
                    // Ours are of whole clusters.
                    assert!(covers(&ours.3, &theirs.3), "{what}: bits are missing");
                }
            }
            for name in ["theirs", "ours"] {
                bench.qemu(["convert", "-O", "raw", name, &format!("{name}.raw")]).succeeds();
            }
            instar_tests::compare::same_bytes(bench, "theirs.raw", "ours.raw", options);
        }
    }
    // Nothing is written where nothing is copied, and a second pass changes no bit.
    let before = bitmaps(bench, "ours");
    bench
        .instar(["convert", "-n", "--target-is-zero", "-f", "raw", "-O", "qcow2", "disk.raw", "ours"])
        .succeeds();
    assert_eq!(before, bitmaps(bench, "ours"));
}

fn a_bitmap_whose_table_is_shared_is_not_written_to(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    tracked(bench, "ours", "cluster_size=64k");
    let image = Crafted::open(&bench.path("ours"));
    let bytes = fs::read(bench.path("ours")).unwrap();
    // The directory's first table counted twice.
    let mut at = number::<4>(&bytes, 100);
    while number::<4>(&bytes, at) != 0x2385_2875 {
        at += 8 + number::<4>(&bytes, at + 4).next_multiple_of(8);
    }
    let table = number::<8>(&bytes, number::<8>(&bytes, at + 24));
    let block = image.get(image.get(48));
    image.bytes(block + 2 * (table >> 16), &[0, 2]);
    let outcome = bench.instar(["convert", "-n", "-f", "raw", "-O", "qcow2", "disk.raw", "ours"]);
    outcome.fails();
    assert_ne!(bench.qemu(["info", "-f", "qcow2", "ours"]).code(), Some(0), "taken for finished: {outcome}");
}

/// Bitmaps join those of an existing image, whatever its header has room for.
fn bitmaps_join_those_of_an_existing_image(bench: &Bench) {
    source(bench, "cluster_size=64k");
    disk::make(&bench.path("below.raw"), 200_000 << 10, &[disk::Piece::Data(0, 4096, 5)]);
    for (options, below, own) in [
        ("cluster_size=64k", None, false),
        ("cluster_size=64k", None, true),
        ("cluster_size=512", None, false),
        ("cluster_size=512", Some("below.raw"), true),
        ("cluster_size=2M,refcount_bits=64", Some("below.raw"), false),
        ("extended_l2=on,cluster_size=64k", Some("below.raw"), true),
    ] {
        let what = format!("{options} {below:?} {own}");
        let all = ["theirs", "ours"].map(|name| {
            let mut words = vec!["create", "-q", "-f", "qcow2", "-o", options];
            if let Some(below) = below {
                words.extend(["-b", below, "-F", "raw"]);
            }
            words.extend([name, "200000K"]);
            bench.qemu(words).succeeds();
            if own {
                bench.qemu(["bitmap", "--add", "-g", "32k", name, "own"]).succeeds();
                io(bench, name, &["write -P 1 5M 70k"]);
            }
            let words = ["convert", "-n", "--bitmaps", "-O", "qcow2", "image", name];
            if name == "ours" {
                bench.instar(words)
            } else {
                bench.qemu(words)
            }
            .succeeds();
            checks_clean(bench, name, &what);
            bench.qemu(["convert", "-O", "raw", name, &format!("{name}.raw")]).succeeds();
            let mut all = bitmaps(bench, name);
            all.sort();
            (all, qemu_info(bench, name)["full-backing-filename"].clone())
        });
        assert!(all[0].0.len() >= 3 + usize::from(own), "{what}");
        assert!(all[0] == all[1], "{what}: other bitmaps");
        instar_tests::compare::same_bytes(bench, "theirs.raw", "ours.raw", &what);
    }
}

fn bitmaps_that_cannot_join_leave_the_target_as_it_is(bench: &Bench) {
    source(bench, "cluster_size=64k");
    for size in ["200000K", "300000K"] {
        for name in ["theirs", "ours"] {
            bench.qemu(["create", "-q", "-f", "qcow2", name, size]).succeeds();
            if size == "200000K" {
                for bitmap in
                    qemu_info(bench, "image")["format-specific"]["data"]["bitmaps"].as_array().unwrap()
                {
                    bench.qemu(["bitmap", "--add", name, bitmap["name"].as_str().unwrap()]).succeeds();
                }
            }
        }
        let before = fs::read(bench.path("ours")).unwrap();
        let words = |name| ["convert", "-n", "--bitmaps", "-O", "qcow2", "image", name];
        let (theirs, ours) = (bench.qemu(words("theirs")), bench.instar(words("ours")));
        theirs.fails();
        ours.fails();
        let kind = if size == "200000K" {
            "Bitmap already exists"
        } else {
            "Bitmaps are of different sizes"
        };
        assert!(theirs.message().contains(kind) && ours.message().contains(kind), "{theirs}{ours}");
        assert!(fs::read(bench.path("ours")).unwrap() == before, "{size}: was written to");
    }
}
