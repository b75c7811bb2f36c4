//! B5, C1 to C4, D1: headers and tables that lie.

use std::time::Duration;

use instar_tests::compare::{allocated, same_bytes};
use instar_tests::craft::{COMPRESSED, COPIED, Crafted, EXTENSION_FEATURES, field};
use instar_tests::{Bench, both_sandboxes};

use crate::{refused, run, run_within};

const CLUSTER: u64 = 65536;

fn image(bench: &Bench) -> Crafted {
    Crafted::image(bench, "image", "4M", "", 3 * CLUSTER)
}

/// Field, bytes of it, and values that no sound image has there.
const LIES: &[(&str, u64, u32, &[u64])] = &[
    ("magic", field::MAGIC, 4, &[0, 0x5146_4900]),
    ("version", field::VERSION, 4, &[0, 1, 4, 0xffff_ffff]),
    ("cluster bits", field::CLUSTER_BITS, 4, &[0, 8, 22, 31, 32, 63, 64, 0xffff_ffff]),
    ("crypt method", field::CRYPT_METHOD, 4, &[3, 0xffff_ffff]),
    ("L1 size", field::L1_SIZE, 4, &[0x1000_0000, 0x7fff_ffff, 0xffff_ffff]),
    (
        "L1 offset",
        field::L1_TABLE_OFFSET,
        8,
        &[1, 511, 1 << 63, u64::MAX, u64::MAX - 511, 0x7fff_ffff_ffff_fe00],
    ),
    ("refcount table offset", field::REFCOUNT_TABLE_OFFSET, 8, &[1, u64::MAX, 0x7fff_ffff_ffff_0001]),
    ("snapshots", field::NB_SNAPSHOTS, 4, &[0x7fff_ffff, 0xffff_ffff]),
    ("header length", field::HEADER_LENGTH, 4, &[0, 71, 103, 0xffff_fff8, 0x0001_0001]),
    ("refcount order", field::REFCOUNT_ORDER, 4, &[7, 64, 0xffff_ffff]),
    ("backing file size", field::BACKING_FILE_SIZE, 4, &[1024, 0xffff_ffff]),
    ("compression type", field::COMPRESSION_TYPE, 1, &[2, 255]),
];

both_sandboxes!(
    b5_unknown_incompatible_features_are_refused_by_name,
    b5_unknown_compatible_features_are_accepted,
    b5_a_version_2_image_has_no_version_3_fields,
    d1_lying_headers_are_refused,
    c1_a_small_file_that_claims_eight_exbibytes,
    c1_a_small_file_that_claims_much_costs_no_disk,
    c2_an_l1_table_beyond_the_end_of_the_file,
    c2_a_refcount_table_that_is_far_too_large,
    c2_very_many_snapshots,
    c2_snapshots_by_the_thousand_in_a_large_file,
    c3_all_l1_entries_share_one_l2_table,
    c4_every_entry_points_at_one_compressed_cluster,
    d1_entries_that_point_outside_or_between,
    d1_images_cut_off_anywhere,
    encrypted_images_are_refused_with_a_message,
    images_that_are_marked_corrupt_can_be_read,
);

fn b5_unknown_incompatible_features_are_refused_by_name(bench: &Bench) {
    let image = image(bench);
    let mut name = [0; 48];
    name[1] = 5;
    name[2..14].copy_from_slice(b"time travel\0");
    image.extensions(&[(EXTENSION_FEATURES, &name)]).u64(field::INCOMPATIBLE_FEATURES, 1 << 5);
    bench
        .qemu(["convert", "-O", "raw", "image", "x"])
        .fails_with("Unsupported qcow2 feature(s): time travel");
    refused(bench, "image", "Unsupported qcow2 feature(s): time travel");
    image.u64(field::INCOMPATIBLE_FEATURES, 1 << 63);
    refused(bench, "image", "Unsupported qcow2 feature(s)");
}

fn b5_unknown_compatible_features_are_accepted(bench: &Bench) {
    image(bench).u64(field::COMPATIBLE_FEATURES, u64::MAX).u64(field::AUTOCLEAR_FEATURES, u64::MAX << 8);
    run(bench, &["convert", "-O", "raw", "image", "ours"]).succeeds();
    bench.qemu(["convert", "-U", "-O", "raw", "image", "theirs"]).succeeds();
    same_bytes(bench, "theirs", "ours", "compatible features");
}

fn b5_a_version_2_image_has_no_version_3_fields(bench: &Bench) {
    let image = Crafted::image(bench, "image", "4M", "compat=0.10", CLUSTER);
    let mut sound = vec![0; 40];
    std::os::unix::fs::FileExt::read_exact_at(
        &std::fs::File::open(bench.path("image")).unwrap(),
        &mut sound,
        72,
    )
    .unwrap();
    // Where version 3 has its features, version 2 has extensions: unknown ones are skipped.
    image.u32(72, 0x1234_5678).u32(76, 8).u64(80, u64::MAX).u64(88, 0).u64(96, 0);
    bench.qemu(["convert", "-O", "raw", "image", "theirs"]).succeeds();
    run(bench, &["convert", "-O", "raw", "image", "ours"]).succeeds();
    same_bytes(bench, "theirs", "ours", "version 2");
}

fn d1_lying_headers_are_refused(bench: &Bench) {
    for (what, offset, bytes, values) in LIES {
        for value in *values {
            let crafted = image(bench);
            match bytes {
                1 => crafted
                    .u32(field::HEADER_LENGTH, 112)
                    .u64(field::INCOMPATIBLE_FEATURES, 8)
                    .byte(*offset, *value as u8),
                4 => crafted.u32(*offset, u32::try_from(*value).unwrap()),
                _ => crafted.u64(*offset, *value),
            };
            if *offset == field::BACKING_FILE_SIZE {
                crafted.u64(field::BACKING_FILE_OFFSET, 0x1000);
            }
            let theirs = bench.qemu(["convert", "-f", "qcow2", "-O", "raw", "image", "theirs"]);
            for words in [
                ["convert", "-f", "qcow2", "-O", "raw", "image", "ours"].as_slice(),
                &["info", "-f", "qcow2", "image"],
                &["info", "image"],
            ] {
                let ours = run(bench, words);
                if words[0] == "convert" && theirs.code() != Some(0) {
                    assert_eq!(
                        ours.code(),
                        Some(1),
                        "{what} = {value:#x}: qemu-img refuses it\n{theirs}{ours}"
                    );
                }
                if words[0] == "convert" && (theirs.code(), ours.code()) == (Some(0), Some(0)) {
                    same_bytes(bench, "theirs", "ours", what);
                }
            }
            for name in ["theirs", "ours"] {
                let _ = std::fs::remove_file(bench.path(name));
            }
        }
    }
}

fn c1_a_small_file_that_claims_eight_exbibytes(bench: &Bench) {
    let image = image(bench);
    for size in [u64::MAX, 1 << 63, (1 << 63) - 512, 1 << 62, 1 << 61] {
        image.u64(field::SIZE, size);
        for words in [
            ["convert", "-O", "raw", "image", "out"].as_slice(),
            &["convert", "-O", "qcow2", "image", "out"],
            &["dd", "if=image", "of=out"],
        ] {
            run(bench, words).fails();
            assert!(!bench.path("out").exists(), "{size}");
        }
        run(bench, &["info", "image"]);
    }
}

fn c1_a_small_file_that_claims_much_costs_no_disk(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "qcow2", "image", "8T"]).succeeds();
    let outcome = run(bench, &["convert", "-O", "raw", "image", "out"]);
    if outcome.code() == Some(0) {
        assert!(allocated(&bench.path("out")) < 1 << 20);
    }
    run(bench, &["convert", "--untrusted", "-O", "raw", "image", "untrusted"]);
    run(bench, &["convert", "-O", "qcow2", "image", "out.qcow2"]).succeeds();
    assert!(allocated(&bench.path("out.qcow2")) < 32 << 20);
}

fn c2_an_l1_table_beyond_the_end_of_the_file(bench: &Bench) {
    let image = image(bench);
    image.u32(field::L1_SIZE, 4 << 20).u64(field::SIZE, 1 << 51);
    run(bench, &["convert", "-O", "raw", "image", "out"]).fails();
    assert!(!bench.path("out").exists());
    image.u64(field::SIZE, 4 << 20).u32(field::L1_SIZE, 1).u64(field::L1_TABLE_OFFSET, 1 << 40);
    let theirs = bench.qemu(["convert", "-O", "raw", "image", "theirs"]);
    let ours = run(bench, &["convert", "-O", "raw", "image", "out"]);
    assert_eq!(theirs.code(), ours.code(), "{theirs}{ours}");
}

fn c2_a_refcount_table_that_is_far_too_large(bench: &Bench) {
    let image = image(bench);
    bench.qemu(["convert", "-O", "raw", "image", "sound"]).succeeds();
    for clusters in [0x7fff_ffff, 0xffff_ffff, 129] {
        image.u32(field::REFCOUNT_TABLE_CLUSTERS, clusters);
        // Reading needs no refcounts, so both to read and to refuse is right.
        if run(bench, &["convert", "-O", "raw", "image", "ours"]).code() == Some(0) {
            same_bytes(bench, "sound", "ours", "refcounts");
        }
        run(bench, &["info", "image"]);
    }
}

fn c2_very_many_snapshots(bench: &Bench) {
    let image = image(bench);
    for (count, offset) in [(65535, 0x5_0000), (65536, 0x5_0000), (65535, 1 << 40), (1, !7), (3, 0x5_0000)] {
        image.u32(field::NB_SNAPSHOTS, count).u64(field::SNAPSHOTS_OFFSET, offset);
        run(bench, &["convert", "-O", "raw", "image", "out"]);
        run(bench, &["info", "image"]);
        run(bench, &["convert", "-l", "1", "-O", "raw", "image", "snapshot"]).fails();
        let _ = std::fs::remove_file(bench.path("out"));
    }
}

fn c2_snapshots_by_the_thousand_in_a_large_file(bench: &Bench) {
    let image = image(bench);
    let start = image.end().next_multiple_of(CLUSTER);
    // 65,535 entries of 1104 bytes: 70 MB, of which only the claimed lengths are there.
    let count = 65_535_u32;
    image.length(start + u64::from(count) * 1104);
    for number in 0..64 {
        image
            .bytes(start + number * 1104 + 12, &[0x03, 0xff, 0, 0])
            .bytes(start + number * 1104 + 36, &[0, 0, 4, 0]);
    }
    image.u32(field::NB_SNAPSHOTS, count).u64(field::SNAPSHOTS_OFFSET, start);
    run(bench, &["info", "image"]);
    run(bench, &["convert", "-O", "raw", "image", "out"]);
}

fn c3_all_l1_entries_share_one_l2_table(bench: &Bench) {
    let image = image(bench);
    let (entries, l1) = (8192_u32, image.end().next_multiple_of(CLUSTER));
    let l2 = image.get(image.get(field::L1_TABLE_OFFSET).wrapping_add(0)) & 0x00ff_ffff_ffff_fe00;
    let data = image.get(l2) & 0x00ff_ffff_ffff_fe00;
    for entry in 0..u64::from(entries) {
        image.u64(l1 + entry * 8, l2 | COPIED);
        image.u64(l2 + entry * 8, data | COPIED);
    }
    image
        .u64(field::L1_TABLE_OFFSET, l1)
        .u32(field::L1_SIZE, entries)
        .u64(field::SIZE, u64::from(entries) << 29);
    assert!(image.end() < 2 << 20, "the file is small");
    // 4 TiB of "data" in less than 2 MiB: refused, or stopped, long before it is written.
    run_within(bench, Duration::from_secs(20), &["convert", "--untrusted", "-O", "raw", "image", "out"])
        .fails();
    assert!(!bench.path("out").exists());
    run_within(bench, Duration::from_secs(20), &["convert", "--untrusted", "-O", "qcow2", "image", "out"])
        .fails();
    run_within(bench, Duration::from_secs(20), &["convert", "--timeout", "2", "-O", "raw", "image", "out"])
        .fails();
    assert!(!bench.path("out").exists());
}

fn c4_every_entry_points_at_one_compressed_cluster(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "qcow2", "image", "256G"]).succeeds();
    std::fs::write(bench.path("piece"), vec![b'A'; 65536]).unwrap();
    instar_tests::variant::io(bench, "image", &["write -c -s piece 0 64k"]);
    let image = Crafted::open(&bench.path("image"));
    let l1 = image.get(field::L1_TABLE_OFFSET);
    let l2 = image.get(l1) & 0x00ff_ffff_ffff_fe00;
    let packed = image.get(l2);
    assert_ne!(packed & COMPRESSED, 0);
    for entry in 0..8192 {
        image.u64(l2 + entry * 8, packed);
    }
    for entry in 0..512 {
        image.u64(l1 + entry * 8, l2);
    }
    assert!(image.end() < 1 << 20, "the file is small");
    for words in [
        ["convert", "--untrusted", "-O", "raw", "image", "out"].as_slice(),
        &["convert", "--untrusted", "-c", "-O", "qcow2", "image", "out"],
    ] {
        run_within(bench, Duration::from_secs(45), words).fails();
        assert!(!bench.path("out").exists());
    }
}

fn d1_entries_that_point_outside_or_between(bench: &Bench) {
    let sound = image(bench);
    let l1 = sound.get(field::L1_TABLE_OFFSET);
    let l2 = sound.get(l1) & 0x00ff_ffff_ffff_fe00;
    drop(sound);
    for (what, place) in [("L1", l1), ("L2", l2)] {
        for value in [
            1,
            512,
            513,
            CLUSTER - 1,
            CLUSTER / 2,
            1 << 40,
            (1 << 40) | 512,
            COPIED | 0x00ff_ffff_ffff_fe00,
            COPIED | (1 << 55),
            u64::MAX,
            COMPRESSED,
            COMPRESSED | u64::MAX >> 2,
            COMPRESSED | (1 << 40),
            COMPRESSED | 0x3fff_ffff_ffff_ffff,
            COPIED | COMPRESSED | 0x1234,
            l1 | COPIED,
            COPIED,
        ] {
            let crafted = image(bench);
            crafted.u64(place, value);
            let theirs = bench.qemu(["convert", "-O", "raw", "image", "theirs"]);
            let ours = run(bench, &["convert", "-O", "raw", "image", "ours"]);
            if theirs.code() == Some(1) {
                assert_eq!(ours.code(), Some(1), "{what} entry {value:#x}: qemu-img refuses it\n{theirs}");
            }
            if (theirs.code(), ours.code()) == (Some(0), Some(0)) {
                same_bytes(bench, "theirs", "ours", &format!("{what} entry {value:#x}"));
            }
            for name in ["theirs", "ours"] {
                let _ = std::fs::remove_file(bench.path(name));
            }
        }
    }
}

fn d1_images_cut_off_anywhere(bench: &Bench) {
    let whole = image(bench).end();
    for length in [
        0,
        1,
        3,
        4,
        8,
        71,
        72,
        103,
        104,
        111,
        112,
        500,
        511,
        512,
        4096,
        65535,
        65536,
        131_072,
        196_608,
        200_000,
        262_144,
        300_000,
        whole - 65536,
        whole - 1,
    ] {
        image(bench).length(length);
        let theirs = bench.qemu(["convert", "-f", "qcow2", "-O", "raw", "image", "theirs"]);
        let ours = run(bench, &["convert", "-f", "qcow2", "-O", "raw", "image", "ours"]);
        if (theirs.code(), ours.code()) == (Some(0), Some(0)) {
            same_bytes(bench, "theirs", "ours", &format!("cut at {length}"));
        }
        if theirs.code() == Some(1) {
            assert_eq!(ours.code(), Some(1), "cut at {length}: {theirs}{ours}");
        }
        run(bench, &["info", "image"]);
        run(bench, &["info", "-f", "qcow2", "image"]);
    }
}

fn encrypted_images_are_refused_with_a_message(bench: &Bench) {
    image(bench).u32(field::CRYPT_METHOD, 1);
    refused(bench, "image", "'encrypt.key-secret' is required");
    bench
        .qemu([
            "create",
            "-q",
            "-f",
            "qcow2",
            "--object",
            "secret,id=s,data=x",
            "-o",
            "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10",
            "luks",
            "1M",
        ])
        .succeeds();
    refused(bench, "luks", "'encrypt.key-secret' is required");
    let human = run(bench, &["info", "luks"]);
    assert!(human.succeeds().text().contains("encrypted: yes"), "{human}");
}

fn images_that_are_marked_corrupt_can_be_read(bench: &Bench) {
    image(bench).u64(field::INCOMPATIBLE_FEATURES, 2);
    let theirs = bench.qemu(["convert", "-O", "raw", "image", "theirs"]);
    let ours = run(bench, &["convert", "-O", "raw", "image", "ours"]);
    assert_eq!(theirs.code(), ours.code(), "{theirs}{ours}");
    same_bytes(bench, "theirs", "ours", "corrupt bit");
}
