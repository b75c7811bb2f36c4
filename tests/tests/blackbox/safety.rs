//! `info --safety`: a verdict for each known risk, and an exit code to gate an upload on.

use instar_tests::craft::{Crafted, field};
use instar_tests::disk;
use instar_tests::variant;
use instar_tests::{Bench, both_sandboxes};
use serde_json::Value;

/// Verdicts by name, and whether all is well; people and programs are told the same.
#[track_caller]
fn verdicts(bench: &Bench, words: &[&str]) -> (bool, Value) {
    let all = ["info", "--safety", "--output=json"].iter().chain(words);
    let outcome = bench.instar(all);
    assert!(outcome.stderr.is_empty(), "{outcome}");
    let value: Value = serde_json::from_slice(&outcome.stdout).unwrap();
    let safe = value["safe"].as_bool().unwrap();
    assert_eq!(outcome.code(), Some(i32::from(!safe)), "{outcome}");
    assert_eq!(value["checks"].as_array().map(Vec::len), Some(12), "{outcome}");
    let human = bench.instar(["info", "--safety"].iter().chain(words));
    assert_eq!(human.code(), outcome.code(), "{human}");
    let line = if safe {
        "\nverdict: safe\n"
    } else {
        "\nverdict: unsafe\n"
    };
    assert!(human.text().contains(line), "{human}");
    (safe, value)
}

#[track_caller]
fn result(value: &Value, name: &str) -> String {
    let checks = value["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == name).unwrap();
    check["result"].as_str().unwrap().to_owned()
}

#[track_caller]
fn is_unsafe(bench: &Bench, words: &[&str], name: &str) {
    let (safe, value) = verdicts(bench, words);
    assert!(!safe, "{name}: {value}");
    assert_eq!(result(&value, name), "unsafe", "{value}");
}

both_sandboxes!(
    images_that_stand_alone_are_safe,
    images_that_name_other_files_are_unsafe,
    images_of_two_formats_are_unsafe,
    images_with_lying_tables_are_unsafe,
    images_that_use_the_same_bytes_twice_are_unsafe,
    dirty_corrupt_and_encrypted_images_get_a_note,
    an_image_that_cannot_be_opened_gets_an_error_and_no_verdict,
    names_in_verdicts_are_escaped,
);

fn images_that_stand_alone_are_safe(bench: &Bench) {
    let mut seen = 0;
    let all = [
        variant::LAYOUTS,
        variant::CLUSTERS,
        variant::FOREIGN,
        variant::READ_ONLY,
        variant::UNKNOWN,
        variant::RAW,
    ];
    for variant in all.into_iter().flatten() {
        let bench = &Bench::new(bench.sandbox());
        variant.make(bench);
        let alone = !variant.name.contains("split")
            && variant.name != "vmdk, flat"
            && !variant.name.contains("every kind");
        let (safe, value) = verdicts(bench, variant.source);
        if alone {
            assert!(safe, "{}: {value}", variant.name);
        }
        seen += 1;
    }
    eprintln!("{seen} images judged");
}

fn images_that_name_other_files_are_unsafe(bench: &Bench) {
    for chain in variant::CHAINS {
        let bench = &Bench::new(bench.sandbox());
        chain.make(bench);
        is_unsafe(bench, &["image"], "backing-file");
    }
    disk::usual(&bench.path("disk.raw"));
    bench.qemu(["convert", "-O", "qcow2", "-o", "data_file=data", "disk.raw", "image"]).succeeds();
    is_unsafe(bench, &["image"], "data-file");
    for subformat in ["monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat"] {
        let option = format!("subformat={subformat}");
        bench.qemu(["convert", "-O", "vmdk", "-o", &option, "disk.raw", "image.vmdk"]).succeeds();
        is_unsafe(bench, &["image.vmdk"], "extent-files");
    }
}

fn images_of_two_formats_are_unsafe(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    assert!(verdicts(bench, &["disk.raw"]).0);
    bench.qemu(["convert", "-O", "qcow2", "disk.raw", "image"]).succeeds();
    assert!(verdicts(bench, &["image"]).0);
    is_unsafe(bench, &["-f", "raw", "image"], "format");
    is_unsafe(bench, &["-f", "vmdk", "image"], "format");
    // A boot sector with a partition, where the header is not.
    let image = Crafted::open(&bench.path("image"));
    image
        .extensions(&[])
        .bytes(446, &[0; 64])
        .bytes(446, &[0x80, 1, 1, 0, 0x83, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0])
        .bytes(510, &[0x55, 0xaa]);
    is_unsafe(bench, &["image"], "format");
    image.bytes(446, &[0; 16]);
    assert!(verdicts(bench, &["image"]).0);
    image.bytes(32769, b"CD001");
    is_unsafe(bench, &["image"], "format");
    for (magic, name) in [(b"LUKS\xba\xbe".as_slice(), "luks"), (b"WithoutFreeSpace", "parallels")] {
        std::fs::write(bench.path(name), [magic, &[0; 4096]].concat()).unwrap();
        is_unsafe(bench, &[name], "format");
    }
    bench.qemu(["convert", "-O", "vpc", "-o", "subformat=fixed", "disk.raw", "fixed.vhd"]).succeeds();
    let (safe, value) = verdicts(bench, &["fixed.vhd"]);
    assert!(safe && result(&value, "format") == "note", "{value}");
    // Told what it is, we find nothing wrong with it, whatever the disk in it begins with; but a disk may begin like another image.
    let image = Crafted::open(&bench.path("disk.raw"));
    let fixed = |name: &str, expected: bool, level: &str| {
        bench
            .qemu(["convert", "-f", "raw", "-O", "vpc", "-o", "subformat=fixed", "disk.raw", name])
            .succeeds();
        let (safe, value) = verdicts(bench, &["-f", "vpc", name]);
        assert!(safe == expected && result(&value, "format") == level, "{value}");
    };
    fixed("plain.vhd", true, "note");
    image.bytes(446, &[0x80, 1, 1, 0, 0x83, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0]).bytes(510, &[0x55, 0xaa]);
    fixed("bootable.vhd", true, "note");
    image.bytes(0, b"QFI\xfb\0\0\0\x03");
    fixed("nested.vhd", false, "unsafe");
}

fn images_with_lying_tables_are_unsafe(bench: &Bench) {
    let fresh = || Crafted::image(bench, "image", "4M", "", 65536);
    fresh().u64(field::INCOMPATIBLE_FEATURES, 1 << 9);
    is_unsafe(bench, &["image"], "unknown-features");
    fresh().u32(field::VERSION, 7);
    is_unsafe(bench, &["image"], "structure");
    fresh().u32(field::L1_SIZE, 1 << 20);
    is_unsafe(bench, &["image"], "table-sizes");
    fresh().u32(field::REFCOUNT_TABLE_CLUSTERS, 100);
    is_unsafe(bench, &["image"], "table-sizes");
    fresh().u32(field::NB_SNAPSHOTS, 60_000).u64(field::SNAPSHOTS_OFFSET, 65536);
    is_unsafe(bench, &["image"], "table-sizes");
    let image = fresh();
    let l2 = image.get(image.get(field::L1_TABLE_OFFSET)) & 0x00ff_ffff_ffff_fe00;
    image.u64(l2, 0x8000_0000_0000_0600);
    is_unsafe(bench, &["image"], "structure");
    bench.qemu(["create", "-q", "-f", "qcow2", "image", "20T"]).succeeds();
    is_unsafe(bench, &["image"], "virtual-size");
    assert!(verdicts(bench, &["--max-size", "32T", "image"]).0);
    std::fs::write(bench.path("image"), b"QFI\xfb\0\0\0\x03").unwrap();
    is_unsafe(bench, &["image"], "structure");
}

fn images_that_use_the_same_bytes_twice_are_unsafe(bench: &Bench) {
    let image = Crafted::image(bench, "image", "512M", "", 65536);
    let l2 = image.get(image.get(field::L1_TABLE_OFFSET)) & 0x00ff_ffff_ffff_fe00;
    let first = image.get(l2);
    for entry in 0..8192 {
        image.u64(l2 + entry * 8, first);
    }
    is_unsafe(bench, &["image"], "amplification");
}

fn dirty_corrupt_and_encrypted_images_get_a_note(bench: &Bench) {
    let image = Crafted::image(bench, "image", "4M", "", 65536);
    for (bits, name) in [(1, "dirty"), (2, "corrupt")] {
        image.u64(field::INCOMPATIBLE_FEATURES, bits);
        let (safe, value) = verdicts(bench, &["image"]);
        assert!(safe && result(&value, name) == "note", "{value}");
    }
    image.u64(field::INCOMPATIBLE_FEATURES, 0).u32(field::CRYPT_METHOD, 1);
    let (safe, value) = verdicts(bench, &["image"]);
    assert!(safe && result(&value, "encryption") == "note", "{value}");
    assert_eq!(result(&value, "amplification"), "not checked");
    let image = Crafted::image(bench, "image", "4M", "", 3 << 16);
    image.length(image.end() - (2 << 16));
    let (_, value) = verdicts(bench, &["image"]);
    assert_eq!(result(&value, "structure"), "note", "{value}");
}

fn an_image_that_cannot_be_opened_gets_an_error_and_no_verdict(bench: &Bench) {
    for words in [
        ["info", "--safety", "absent"].as_slice(),
        &["info", "--safety"],
        &["info", "--safety", "--backing-chain", "absent"],
    ] {
        let outcome = bench.instar(words);
        outcome.fails();
        assert!(outcome.stdout.is_empty(), "{outcome}");
    }
}

fn names_in_verdicts_are_escaped(bench: &Bench) {
    let image = Crafted::image(bench, "image", "4M", "", 0);
    image.backing(b"a\x1b[2J\nverdict: safe\n");
    let outcome = bench.instar(["info", "--safety", "image"]);
    assert_eq!(outcome.code(), Some(1));
    assert!(!outcome.stdout.contains(&0x1b), "{outcome}");
    assert_eq!(outcome.text().lines().filter(|line| line.starts_with("verdict: ")).count(), 1);
    is_unsafe(bench, &["image"], "backing-file");
}
