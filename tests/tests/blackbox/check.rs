//! `check`: what it finds, counts and returns is what the installed qemu-img does, byte for byte.

use std::fs;

use instar_tests::craft::{COMPRESSED, COPIED, Crafted, field};
use instar_tests::ledger::deviates;
use instar_tests::variant::{self, Variant, io};
use instar_tests::{Bench, Outcome, both_sandboxes};

use crate::tables::{CLUSTER, OFFSET, Tables, image, said, with_snapshots};

#[track_caller]
fn same(bench: &Bench, words: &[&str], what: &str) -> Outcome {
    let theirs = bench.qemu(words);
    let ours = bench.instar(words);
    if instar_tests::reference::lacks_option(&theirs, &ours) {
        return theirs;
    }
    assert_eq!(said(&theirs), said(&ours), "{what}: {}", words.join(" "));
    ours.is_civil();
    theirs
}

/// Both agree on `image`, for people and as JSON; gives qemu-img's answer.
#[track_caller]
fn agree(bench: &Bench, image: &str, what: &str) -> Outcome {
    for words in [
        ["check", "--output=json", image].as_slice(),
        &["check", "-q", image],
        &["check", image, "--output", "json", "-U"],
    ] {
        same(bench, words, what);
    }
    same(bench, &["check", image], what)
}

/// Both agree that `image` is `code`.
#[track_caller]
fn finds(bench: &Bench, code: i32, what: &str) {
    let theirs = agree(bench, "image", what);
    assert_eq!(theirs.code(), Some(code), "{what} is not what the test means to show: {theirs}");
}

/// Sound images of each variant.
#[track_caller]
fn sound(bench: &Bench, variants: &[Variant]) {
    assert!(!variants.is_empty());
    for variant in variants {
        let bench = &Bench::new(bench.sandbox());
        variant.make(bench);
        agree(bench, "image", variant.name);
    }
}

/// A new image of another format, and what qemu-io writes into it.
fn foreign(bench: &Bench, format: &str, size: &str, commands: &[&str]) {
    let mut words = vec!["create", "-q", "-f", format];
    if format == "vhdx" {
        words.extend(["-o", "block_size=1M"]);
    }
    bench.qemu(words.into_iter().chain(["image", size])).succeeds();
    let commands = commands.iter().flat_map(|command| ["-c", command]);
    bench.qemu_io(["-f", format, "image"].into_iter().chain(commands)).succeeds();
}

both_sandboxes!(
    check_finds_nothing_in_any_sound_layout,
    check_finds_nothing_in_any_kind_of_cluster,
    check_opens_the_layers_below,
    checks_images_in_every_state,
    checks_snapshots,
    checks_other_formats,
    checks_bitmaps,
    checks_images_without_data,
    check_takes_the_options_of_qemu_img,
    check_needs_the_backing_file,
    check_finds_wrong_refcounts,
    check_finds_leaked_clusters,
    check_finds_wrong_copied_flags,
    check_finds_broken_l1_entries,
    check_finds_broken_l2_entries,
    check_finds_broken_subclusters,
    check_finds_broken_refcount_structures,
    check_finds_more_references_than_a_refcount_can_hold,
    check_finds_broken_snapshots,
    check_finds_broken_bitmaps,
    check_reports_broken_headers_as_qemu_img_does,
    checks_truncated_images,
    checks_data_files,
    check_finds_broken_vdi_maps,
    check_finds_broken_vhdx_tables,
    check_finds_broken_vmdk_tables,
);

fn check_finds_nothing_in_any_sound_layout(bench: &Bench) {
    sound(bench, variant::LAYOUTS);
}

fn check_finds_nothing_in_any_kind_of_cluster(bench: &Bench) {
    sound(bench, variant::CLUSTERS);
}

fn check_opens_the_layers_below(bench: &Bench) {
    sound(bench, variant::CHAINS);
}

fn checks_images_in_every_state(bench: &Bench) {
    sound(bench, variant::STATES);
}

fn checks_snapshots(bench: &Bench) {
    sound(bench, variant::SNAPSHOTS);
    with_snapshots(bench);
    finds(bench, 0, "two snapshots");
    bench.qemu(["snapshot", "-d", "first", "image"]).succeeds();
    finds(bench, 0, "the first one deleted");
}

fn checks_other_formats(bench: &Bench) {
    sound(bench, variant::RAW);
    sound(bench, variant::FOREIGN);
    sound(bench, variant::READ_ONLY);
}

fn checks_bitmaps(bench: &Bench) {
    image(bench, "");
    for name in ["one", "two"] {
        bench.qemu(["bitmap", "--add", "image", name]).succeeds();
    }
    io(bench, "image", &["write -P 3 5M 1M"]);
    finds(bench, 0, "bitmaps");
}

fn checks_images_without_data(bench: &Bench) {
    for (options, size) in [
        ("", "0"),
        ("", "1T"),
        ("cluster_size=512", "1G"),
        ("preallocation=metadata", "1G"),
        ("extended_l2=on", "64M"),
        ("data_file=data,data_file_raw=on", "64M"),
    ] {
        Crafted::image(bench, "image", size, options, 0);
        finds(bench, 0, options);
        fs::remove_file(bench.path("image")).unwrap();
    }
}

fn check_takes_the_options_of_qemu_img(bench: &Bench) {
    image(bench, "");
    let image = "driver=qcow2,file.driver=file,file.filename=image";
    for words in [
        ["check", "-f", "qcow2", "image"].as_slice(),
        &["check", "--format=qcow2", "--force-share", "image"],
        &["check", "--image-opts", image],
        &["check", "--image-opts", image, "--output=json"],
        &["check", "-T", "none", "image"],
        &["check", "--cache", "unsafe", "image"],
        &["check", "--object", "secret,id=s,data=x", "image"],
        &["check", "-f", "raw", "image"],
        &["check", "-f", "raw", "image", "--output=json"],
        &["check", "-f", "file", "image"],
        &["check", "-f", "nonsense", "image"],
        &["check", "-q", "-U", "image", "--output", "json"],
        &["check", "absent"],
        &["check", "-T", "nonsense", "image"],
        &["check", "nonsense:image"],
    ] {
        same(bench, words, "options");
    }
    for words in [
        ["check"].as_slice(),
        &["check", "image", "image"],
        &["check", "--output=xml", "image"],
        &["check", "-r", "nothing", "image"],
        &["check", "--nonsense", "image"],
    ] {
        let theirs = bench.qemu(words);
        assert_eq!(theirs.code(), Some(1), "{theirs}");
        assert_eq!(theirs.message(), bench.instar(words).fails().message(), "{words:?}");
    }
}

fn check_needs_the_backing_file(bench: &Bench) {
    bench.qemu(["create", "-q", "-u", "-f", "qcow2", "-b", "absent", "-F", "raw", "image", "1M"]).succeeds();
    finds(bench, 1, "backing file");
}

fn check_finds_wrong_refcounts(bench: &Bench) {
    for (what, cluster, refcount, code) in
        [("too low", 1_u64, 0_u16, 2), ("too high", 2, 2, 2), ("far too high", 0, 0xffff, 2)]
    {
        let tables = image(bench, "");
        let data = tables.0.get(tables.entry(cluster)) & OFFSET;
        tables.count(data, refcount);
        finds(bench, code, what);
    }
    let tables = image(bench, "");
    tables.count(0, 2);
    finds(bench, 3, "the header in use twice");
    let tables = image(bench, "");
    for cluster in 30..50 {
        tables.count(tables.0.end().next_multiple_of(CLUSTER) - cluster / 10 * CLUSTER, 3);
    }
    finds(bench, 2, "many at once");
}

fn check_finds_leaked_clusters(bench: &Bench) {
    let tables = image(bench, "");
    let end = tables.0.end().next_multiple_of(CLUSTER);
    tables.0.length(end + 4 * CLUSTER);
    tables.count(end + CLUSTER, 1);
    tables.count(end + 3 * CLUSTER, 5);
    finds(bench, 3, "behind the end");
    let tables = image(bench, "");
    tables.0.u64(tables.entry(1), 0).u64(tables.entry(3), 0);
    finds(bench, 3, "entries cleared");
    let tables = image(bench, "");
    tables.0.u64(tables.l1(), 0);
    finds(bench, 3, "a whole table cleared");
}

fn check_finds_wrong_copied_flags(bench: &Bench) {
    let flip = |tables: &Tables, place: u64| {
        let value = tables.0.get(place) ^ COPIED;
        tables.0.u64(place, value);
    };
    let tables = image(bench, "");
    flip(&tables, tables.entry(0));
    flip(&tables, tables.entry(17));
    finds(bench, 2, "data clusters without it");
    let tables = image(bench, "");
    flip(&tables, tables.l1());
    finds(bench, 2, "a table without it");
    let tables = with_snapshots(bench);
    flip(&tables, tables.entry(17));
    finds(bench, 2, "a shared cluster with it");
    let tables = image(bench, "");
    flip(&tables, tables.entry(48));
    finds(bench, 2, "a compressed cluster with it");
    let tables = image(bench, "extended_l2=on");
    flip(&tables, tables.l2());
    finds(bench, 2, "subclusters without it");
}

fn check_finds_broken_l1_entries(bench: &Bench) {
    for (what, change) in [
        ("unaligned", 0x200_u64),
        ("reserved bits", 1),
        ("high reserved bits", 1 << 56),
        ("past the end", 1 << 40),
    ] {
        let tables = image(bench, "");
        tables.0.u64(tables.l1(), tables.0.get(tables.l1()) ^ change);
        finds(bench, 2, what);
    }
    for (what, value) in [
        ("the header", COPIED),
        ("the refcount table", COPIED | CLUSTER),
        ("itself", COPIED | (3 * CLUSTER)),
        ("nonsense", u64::MAX),
    ] {
        let tables = image(bench, "");
        tables.0.u64(tables.l1(), value);
        finds(bench, 2, what);
    }
}

fn check_finds_broken_l2_entries(bench: &Bench) {
    let sound = image(bench, "");
    let other = sound.0.get(sound.entry(3));
    let end = sound.0.end().next_multiple_of(CLUSTER);
    for (what, value) in [
        ("unaligned", COPIED | (end + 512)),
        ("unaligned zeros", COPIED | (end + 512) | 1),
        ("reserved bits", other | 0x1fe),
        ("high reserved bits", other | (0x3f << 56)),
        ("past the end", COPIED | (end + 9 * CLUSTER)),
        ("far past the end", COPIED | (1 << 50)),
        ("just past the end", COPIED | end),
        ("another entry's cluster", other),
        ("the header", COPIED | 1),
        ("the L1 table", COPIED | sound.l1()),
        ("its own table", COPIED | sound.l2()),
        ("the refcount block", COPIED | (2 * CLUSTER)),
        ("compressed past the end", COMPRESSED | (1 << 30)),
        ("compressed, nonsense", COMPRESSED | 0x3fff_ffff_ffff_ffff),
        ("compressed in the header", COMPRESSED | 17),
        ("compressed over the end", COMPRESSED | (0x7f << 54) | (end - 512)),
        ("nothing but the flag", COPIED),
        ("zeros in a place", other | 1),
    ] {
        let tables = image(bench, "");
        tables.0.u64(tables.entry(1), value);
        let theirs = agree(bench, "image", what);
        assert_ne!(theirs.code(), Some(0), "{what}: {theirs}");
        drop(tables);
        // The same in version 2, where nothing is different.
        let tables = image(bench, "compat=0.10");
        tables.0.u64(tables.entry(1), value);
        agree(bench, "image", what);
    }
}

fn check_finds_broken_subclusters(bench: &Bench) {
    for (what, value, bits) in [
        ("zero and allocated", None, 0x0000_0001_0000_0001_u64),
        ("allocated without a cluster", Some(0), 0xffff),
        ("compressed with bits", Some(COMPRESSED | CLUSTER), 1),
        ("unaligned, nothing allocated", Some(COPIED | 0x60200), 0),
        ("unaligned, allocated", Some(COPIED | 0x60200), 1),
        ("bit 0, which means nothing here", Some(1), 0),
    ] {
        let tables = image(bench, "extended_l2=on");
        let place = tables.l2() + 16;
        tables.0.u64(place, value.unwrap_or_else(|| tables.0.get(place))).u64(place + 8, bits);
        agree(bench, "image", what);
    }
}

fn check_finds_broken_refcount_structures(bench: &Bench) {
    for (what, value, code) in [
        ("no block", 0_u64, 2),
        ("unaligned", 2 * CLUSTER + 512, 1),
        ("reserved bits", 2 * CLUSTER + 1, 2),
        ("past the end", 1 << 40, 2),
        ("where no file reaches", 1 << 63, 1),
        ("the header", COPIED, 1),
        ("the L1 table", 3 * CLUSTER, 2),
    ] {
        let tables = image(bench, "");
        tables.0.u64(tables.refcount_table(), value);
        finds(bench, code, what);
    }
    let tables = image(bench, "");
    tables.0.u64(tables.refcount_table() + 8, 2 * CLUSTER);
    finds(bench, 2, "a block twice");
    let tables = image(bench, "");
    tables.0.u64(tables.refcount_table() + 16, 1 << 40).u64(tables.refcount_table() + 24, 3);
    finds(bench, 2, "blocks for what is not there");
    image(bench, "").0.u32(field::REFCOUNT_TABLE_CLUSTERS, 0);
    finds(bench, 2, "no table at all");
    image(bench, "").0.u64(field::REFCOUNT_TABLE_OFFSET, 1 << 40);
    finds(bench, 2, "the table past the end");
}

fn check_finds_more_references_than_a_refcount_can_hold(bench: &Bench) {
    for bits in ["1", "2", "4"] {
        let tables = image(bench, &format!("refcount_bits={bits}"));
        let value = tables.0.get(tables.entry(0));
        for cluster in 1..30 {
            tables.0.u64(tables.entry(cluster), value);
        }
        finds(bench, 2, bits);
    }
    let tables = image(bench, "refcount_bits=1");
    tables.0.u64(tables.refcount_table() + 8, 2 * CLUSTER);
    finds(bench, 2, "a refcount block twice");
}

fn check_finds_broken_snapshots(bench: &Bench) {
    let sound = with_snapshots(bench);
    let end = sound.0.end().next_multiple_of(CLUSTER);
    drop(sound);
    for (what, field, bytes, value, code) in bench.share([
        ("L1 table unaligned", 0, 8, 0x12200_u64, 2),
        ("L1 table past the end", 0, 8, end + (1 << 40), 2),
        ("L1 table in the header", 0, 8, 0, 2),
        ("L1 table too large", 8, 4, 0x7fff_ffff, 2),
        ("L1 table empty", 8, 4, 0, 3),
        ("L1 table larger", 8, 4, 900, 0),
        ("name longer", 14, 2, 200, 2),
        ("too little extra data", 36, 4, 8, 1),
        ("no extra data", 36, 4, 0, 1),
        ("too much extra data", 36, 4, 2000, 1),
    ]) {
        let tables = with_snapshots(bench);
        let place = tables.snapshots() + field;
        if bytes == 8 {
            tables.0.u64(place, value);
        } else {
            let value = value.to_be_bytes();
            tables.0.bytes(place, &value[8 - bytes..]);
        }
        let theirs = agree(bench, "image", what);
        assert!(theirs.code() == Some(code) || code == 2 || code == 0, "{what}: {theirs}");
    }
    for (what, count, offset) in [
        ("more than there are", 3, None),
        ("very many", 65536, None),
        ("too many", 70_000, None),
        ("unaligned", 2, Some(0x200)),
        ("past the end", 2, Some(1_u64 << 40)),
        ("nowhere", 1, Some(0x7fff_ffff_ffff_0000)),
        ("where no file reaches", 2, Some(0x7fff_ffff_c000_0000)),
    ] {
        let tables = with_snapshots(bench);
        tables.0.u32(field::NB_SNAPSHOTS, count);
        if let Some(offset) = offset {
            tables.0.u64(field::SNAPSHOTS_OFFSET, offset);
        }
        agree(bench, "image", what);
    }
    let words = [
        "create",
        "-q",
        "-f",
        "qcow2",
        "--object",
        "secret,id=s,data=abc",
        "-o",
        "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10",
        "encrypted",
        "1M",
    ];
    bench.qemu(words).succeeds();
    let (theirs, ours) = (bench.qemu(["check", "encrypted"]), bench.instar(["check", "encrypted"]));
    deviates("check-encrypted", &theirs.code(), &ours.code());
    assert!(ours.succeeds().text().starts_with("No errors were found"), "{ours}");
    let tables = with_snapshots(bench);
    tables.0.u64(tables.snapshots(), 0xffff_ffff_ffff_0000);
    let (theirs, ours) = (bench.qemu(["check", "image"]), bench.instar(["check", "image"]));
    deviates("check-goes-on", &theirs.code(), &ours.code());
    assert_eq!(ours.code(), Some(2), "{ours}");
    let tables = with_snapshots(bench);
    let l1 = tables.0.get(tables.snapshots());
    let l2 = tables.0.get(l1) & OFFSET;
    tables.0.u64(l2 + 8, COPIED | (1 << 45)).u64(l2 + 24, 0);
    finds(bench, 2, "a snapshot's own table");
}

fn check_finds_broken_bitmaps(bench: &Bench) {
    let bitmaps = || {
        let tables = image(bench, "");
        bench.qemu(["bitmap", "--add", "image", "one"]).succeeds();
        io(bench, "image", &["write -P 3 5M 1M"]);
        bench.qemu(["bitmap", "--add", "image", "two"]).succeeds();
        let bytes = fs::read(bench.path("image")).unwrap();
        let magic = 0x2385_2875_u32.to_be_bytes();
        let found = bytes[..4096].windows(4).position(|word| word == magic).unwrap() as u64;
        let directory = tables.0.get(found + 24);
        (tables, found, directory)
    };
    bitmaps();
    finds(bench, 0, "sound");
    for (what, value) in [
        ("table unaligned", 0x200_u64),
        ("table past the end", 1 << 40),
        ("table nowhere", 0xf000_0000_0000_0000),
    ] {
        let (tables, _, directory) = bitmaps();
        tables.0.u64(directory, value);
        agree(bench, "image", what);
    }
    for in_use in [false, true] {
        for (what, value) in [
            ("cluster unaligned", 0x1_0200_u64),
            ("reserved bits", 2),
            ("cluster and ones", CLUSTER | 1),
            ("cluster past the end", 1 << 40),
            ("a cluster that is in use", CLUSTER),
        ] {
            let (tables, _, directory) = bitmaps();
            let table = tables.0.get(directory);
            tables.0.u64(table, value);
            if in_use {
                tables.0.u32(directory + 12, 1);
            }
            let theirs = agree(bench, "image", what);
            assert_ne!(theirs.code(), Some(0), "{what}: {theirs}");
        }
    }
    let (tables, found, _) = bitmaps();
    tables.0.u64(found + 16, 1 << 20);
    agree(bench, "image", "directory too long");
    let (tables, _, _) = bitmaps();
    tables.0.u64(field::AUTOCLEAR_FEATURES, 0);
    // qemu-img does not end the line of its hint.
    let (theirs, ours) = (bench.qemu(["check", "image"]), bench.instar(["check", "image"]));
    assert_eq!((theirs.code(), theirs.text()), (Some(3), ours.text()));
    deviates("check-hint-ends-its-line", &said(&theirs).2, &said(&ours).2);
    let hint = "to fix.";
    assert_eq!(said(&theirs).2.replacen(hint, &format!("{hint}\n"), 1), said(&ours).2);
}

fn check_reports_broken_headers_as_qemu_img_does(bench: &Bench) {
    for (what, offset, bytes, values) in [
        ("incompatible features", field::INCOMPATIBLE_FEATURES, 8, &[1_u64, 2, 3, 1 << 20][..]),
        ("version", field::VERSION, 4, &[2, 4]),
        ("cluster bits", field::CLUSTER_BITS, 4, &[8, 15, 17, 22]),
        ("L1 size", field::L1_SIZE, 4, &[0, 3, 40, 0xffff_ffff]),
        ("L1 offset", field::L1_TABLE_OFFSET, 8, &[0, 0x200, 1 << 40, 1 << 62]),
        ("refcount order", field::REFCOUNT_ORDER, 4, &[3, 5, 6, 7]),
        ("refcount table clusters", field::REFCOUNT_TABLE_CLUSTERS, 4, &[2, 9, 200]),
        ("size", field::SIZE, 8, &[0, 1000, 1 << 40]),
    ] {
        for value in values {
            let tables = image(bench, "");
            if bytes == 4 {
                tables.0.u32(offset, *value as u32);
            } else {
                tables.0.u64(offset, *value);
            }
            agree(bench, "image", &format!("{what} {value:#x}"));
        }
    }
}

fn checks_truncated_images(bench: &Bench) {
    let whole = image(bench, "").0.end();
    for length in
        [512, 65536, 65537, 131_072, 200_000, 300_000, whole / 2, whole - 70_000, whole - 512, whole - 1]
    {
        image(bench, "").0.length(length);
        agree(bench, "image", &format!("cut at {length}"));
    }
}

fn checks_data_files(bench: &Bench) {
    let made = |bench: &Bench| {
        let crafted = Crafted::image(bench, "image", "4M", "data_file=data", 0);
        io(bench, "image", &["write -P 1 0 1M", "write -z 2M 128k"]);
        Tables(crafted)
    };
    made(bench);
    finds(bench, 0, "sound");
    for (what, change) in [("flag cleared", COPIED), ("compressed", COMPRESSED), ("unaligned", 512)] {
        let tables = made(bench);
        tables.0.u64(tables.entry(2), tables.0.get(tables.entry(2)) ^ change);
        finds(bench, 2, what);
    }
    let tables = made(bench);
    tables.0.u32(field::NB_SNAPSHOTS, 1).u64(field::SNAPSHOTS_OFFSET, 10 * CLUSTER);
    agree(bench, "image", "a snapshot");
    fs::remove_file(bench.path("data")).unwrap();
    finds(bench, 1, "without the data file");
}

fn check_finds_broken_vdi_maps(bench: &Bench) {
    for (what, place, value, code) in [
        ("shared", 512_u64, 1_u32, 2),
        ("too large", 512, 64, 2),
        ("far too large", 512, 0xffff_fffd, 2),
        ("discarded", 512, 0xffff_fffe, 2),
        ("one more", 540, 40, 2),
        ("counted wrongly", 0x184, 9, 2),
        ("moved", 512, 63, 0),
    ] {
        foreign(bench, "vdi", "64M", &["write -P 1 0 3M"]);
        Crafted::open(&bench.path("image")).bytes(place, &value.to_le_bytes());
        finds(bench, code, what);
    }
}

fn check_finds_broken_vhdx_tables(bench: &Bench) {
    // Where qemu-img puts the table of a small image.
    let table = 2 << 20;
    for (what, entry, value, code) in [
        ("log", 3_u64, 0x10_0006_u64, 2),
        ("metadata", 3, 0x30_0006, 2),
        ("table", 3, 0x20_0006, 2),
        ("overflow", 3, 0xffff_ffff_fff0_0006, 2),
        ("large", 4, 0x7fff_ffff_fff0_0006, 2),
        ("end", 5, 0xa0_0006, 2),
        ("past the end", 63, 0xff0_0006, 2),
        ("header", 3, 6, 0),
        ("shared", 3, 0x90_0006, 0),
        ("undefined", 3, 1, 0),
        ("partly", 3, 0x90_0007, 0),
    ] {
        foreign(bench, "vhdx", "64M", &["write 0 1M", "write 10M 1M"]);
        Crafted::open(&bench.path("image")).bytes(table + entry * 8, &value.to_le_bytes());
        finds(bench, code, what);
    }
    bench
        .qemu(["create", "-q", "-f", "vhdx", "-o", "subformat=fixed,block_size=1M", "image", "8M"])
        .succeeds();
    let crafted = Crafted::open(&bench.path("image"));
    crafted.length(crafted.end() - (3 << 19));
    agree(bench, "image", "cut short");
}

fn check_finds_broken_vmdk_tables(bench: &Bench) {
    let grains = || {
        foreign(bench, "vmdk", "64M", &["write -P 1 0 3M"]);
        let bytes = fs::read(bench.path("image")).unwrap();
        let number = |at: usize| u64::from(u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()));
        // The directory's sector stands at byte 56; its first entry is the first table's sector.
        number(number(56) as usize * 512) * 512
    };
    for (what, entry, sector, code) in [
        ("past the end", 5_u64, 0x10_0000_u32, 1),
        ("far past the end", 0, u32::MAX, 1),
        ("shared", 3, 128, 0),
        ("none", 3, 0, 0),
    ] {
        let table = grains();
        Crafted::open(&bench.path("image")).bytes(table + entry * 4, &sector.to_le_bytes());
        finds(bench, code, what);
    }
    bench
        .qemu(["create", "-q", "-f", "vmdk", "-o", "subformat=monolithicFlat", "flat.vmdk", "1M"])
        .succeeds();
    agree(bench, "flat.vmdk", "flat");
}
