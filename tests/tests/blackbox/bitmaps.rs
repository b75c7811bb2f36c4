//! `convert --bitmaps`: persistent bitmaps arrive bit by bit.

use std::fs;
use std::time::Duration;

use instar_tests::compare::{checks_clean, qemu_info};
use instar_tests::craft::Crafted;
use instar_tests::disk;
use instar_tests::variant::io;
use instar_tests::{Bench, in_both_sandboxes};

/// One bitmap as it stands in a file: name, flags, log2 of its granularity, bits.
type Stored = (String, u32, u8, Vec<u8>);

fn number<const N: usize>(bytes: &[u8], at: u64) -> u64 {
    bytes[usize::try_from(at).unwrap()..][..N]
        .iter()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// The bitmaps of a qcow2 image, read by hand from the file.
fn bitmaps(bench: &Bench, name: &str) -> Vec<Stored> {
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
    assert_eq!(
        number::<8>(&bytes, 88) & 1,
        1,
        "{name}: the bitmaps count as stale"
    );
    let mut all = Vec::new();
    for _ in 0..count {
        let table = number::<8>(&bytes, entry);
        let mut bits = Vec::new();
        for index in 0..number::<4>(&bytes, entry + 8) {
            let place = number::<8>(&bytes, table + 8 * index);
            match place {
                0 | 1 => bits.extend(std::iter::repeat_n(
                    if place == 0 { 0 } else { 0xff },
                    cluster as usize,
                )),
                _ => bits.extend_from_slice(&bytes[place as usize..][..cluster as usize]),
            }
        }
        // Tables end on clusters, whose sizes may differ.
        bits.truncate(
            bits.iter()
                .rposition(|byte| *byte != 0)
                .map_or(0, |last| last + 1),
        );
        let (granularity, length) = (bytes[entry as usize + 17], number::<2>(&bytes, entry + 18));
        let name = String::from_utf8(bytes[entry as usize + 24..][..length as usize].to_vec()).unwrap();
        all.push((name, number::<4>(&bytes, entry + 12) as u32, granularity, bits));
        entry += (24 + length).next_multiple_of(8);
    }
    all
}

/// An image with bitmaps of several granularities, some of which record writes.
fn source(bench: &Bench, options: &str) {
    bench
        .qemu(["create", "-q", "-f", "qcow2", "-o", options, "image", "200000K"])
        .succeeds();
    for words in [
        &["b0"][..],
        &["-g", "512", "fine"],
        &["-g", "1M", "coarse"],
        &["--disable", "idle"],
        &["a name with spaces, and a comma"],
    ] {
        let (name, flags) = words.split_last().unwrap();
        bench
            .qemu(["bitmap", "--add"].iter().chain(flags).chain(&["image", name]))
            .succeeds();
    }
    fs::write(bench.path("piece"), disk::pattern(0, 1 << 20, 3)).unwrap();
    io(
        bench,
        "image",
        &[
            "write -s piece 0 1M",
            "write -P 7 70001K 3k",
            "write -P 8 199999K 1k",
            "write -z 150M 10M",
        ],
    );
}

/// The image, and where the directory entry of its bitmap at `index` stands.
fn entry(bench: &Bench, index: usize) -> (Crafted, u64) {
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

in_both_sandboxes! {
    fn every_bit_arrives(bench) {
        for options in ["cluster_size=64k", "cluster_size=4k", "cluster_size=2M", "extended_l2=on"] {
            let bench = &Bench::new(bench.sandbox());
            source(bench, options);
            for target in [&[][..], &["-o", "cluster_size=4k"], &["-o", "cluster_size=512"], &["-c"], &["-o", "preallocation=metadata"], &["-o", "extended_l2=on"]] {
                let words = |to| ["convert", "--bitmaps", "-O", "qcow2"].into_iter().chain(target.iter().copied()).chain(["image", to]);
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

    fn a_bitmap_that_was_not_saved_cleanly_is_refused_or_skipped(bench) {
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

    fn what_cannot_have_bitmaps_is_told_so_in_qemu_img_s_words(bench) {
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

    fn bits_that_come_of_nothing_are_refused(bench) {
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
        outcome.fails_with("again and again").within(Duration::from_secs(20));
        assert!(!bench.path("out").exists());
    }

    fn an_image_without_bitmaps_has_none_afterwards(bench) {
        bench.qemu(["create", "-q", "-f", "qcow2", "image", "1M"]).succeeds();
        bench.instar(["convert", "--bitmaps", "-O", "qcow2", "image", "out"]).succeeds();
        assert!(bitmaps(bench, "out").is_empty());
    }
}
