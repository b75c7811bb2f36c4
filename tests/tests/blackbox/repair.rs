//! `check -r`: what it repairs, says and leaves is what the installed qemu-img does, byte for byte.

use std::fs;

use instar_tests::compare::{checks_clean, checks_clean_as, same_bytes};
use instar_tests::craft::{COMPRESSED, COPIED, Crafted, field};
use instar_tests::holder::Holder;
use instar_tests::ledger::deviates;
use instar_tests::seal::Edited;
use instar_tests::variant::io;
use instar_tests::{Bench, Outcome, both_sandboxes, formats};

use crate::tables::{CLUSTER, OFFSET, Tables, image, said, with_snapshots};

/// Runs both programs on copies of `image` with the same name. Afterwards `theirs` and `ours` are what they left.
#[track_caller]
fn both(bench: &Bench, words: &[&str]) -> [Outcome; 2] {
    let path = |name| bench.path(name);
    fs::copy(path("image"), path("damaged")).unwrap();
    let theirs = bench.qemu(words);
    fs::rename(path("image"), path("theirs")).unwrap();
    fs::copy(path("damaged"), path("image")).unwrap();
    let ours = bench.instar(words);
    fs::rename(path("image"), path("ours")).unwrap();
    fs::rename(path("damaged"), path("image")).unwrap();
    ours.is_civil();
    [theirs, ours]
}

/// The bytes of the disk in `image`, if qemu-img reads all of it.
fn disk(bench: &Bench, image: &str) -> Option<Vec<u8>> {
    let read = bench.qemu(["convert", "-f", "qcow2", "-O", "raw", image, "disk.raw"]);
    (read.code() == Some(0)).then(|| fs::read(bench.path("disk.raw")).unwrap())
}

/// What qemu-img finds in `image`, without its name.
fn checked(bench: &Bench, image: &str) -> (Option<i32>, String, String) {
    let (code, text, errors) = said(&bench.qemu(["check", image]));
    (code, text, errors.replace(image, "image"))
}

/// Both repair `image` alike, and say the same; gives what qemu-img said of each mode.
#[track_caller]
fn alike(bench: &Bench, what: &str) -> [Outcome; 2] {
    let before = disk(bench, "image");
    ["leaks", "all"].map(|mode| {
        for more in [["--output=json"].as_slice(), &[]] {
            let words = [&["check", "-r", mode, "image"], more].concat();
            let [theirs, ours] = both(bench, &words);
            let what = format!("{what}: {}", words.join(" "));
            assert_eq!(said(&theirs), said(&ours), "{what}");
            let [left, right] = ["theirs", "ours"].map(|image| checked(bench, image));
            assert_eq!(left, right, "{what}, and check afterwards");
            if before.is_some() {
                assert!(disk(bench, "ours") == before, "{what}: another disk");
            }
            if more.is_empty() {
                return theirs;
            }
        }
        unreachable!()
    })
}

/// The same, and both modes end with these codes.
#[track_caller]
fn repairs(bench: &Bench, codes: [i32; 2], what: &str) {
    let outcomes = alike(bench, what);
    let found = outcomes.each_ref().map(Outcome::code);
    assert_eq!(found, codes.map(Some), "{what} is not what the test means to show: {outcomes:?}");
}

/// Sets the refcount of a cluster where it has so many bits.
fn set_count(tables: &Tables, bits: u64, cluster: u64, value: u64) {
    let block = tables.0.get(tables.refcount_table());
    let at = block + cluster * bits / 8;
    if bits >= 8 {
        tables.0.bytes(at, &value.to_be_bytes()[8 - bits as usize / 8..]);
    } else {
        let shift = cluster * bits % 8;
        let mask = (1_u64 << bits) - 1;
        let old = tables.0.get(at) >> 56;
        tables.0.byte(at, ((old & !(mask << shift)) | (value << shift)) as u8);
    }
}

both_sandboxes!(
    repair_leaves_sound_images_alone,
    repair_corrects_refcounts,
    repair_frees_leaked_clusters,
    repair_corrects_copied_flags,
    repair_names_broken_l1_entries,
    repair_names_broken_l2_entries,
    repair_names_broken_subclusters,
    repair_rebuilds_refcount_structures,
    repair_rebuilds_what_qemu_img_does_not,
    repair_destroys_nothing_that_it_cannot_count,
    repair_says_what_a_refcount_cannot_say,
    repair_corrects_refcounts_of_every_width,
    repair_keeps_snapshots_beside_bitmaps,
    repair_replays_the_log_of_a_vhdx_as_qemu_img_does,
    repair_corrects_snapshot_tables,
    repair_counts_bitmaps_and_drops_stale_ones,
    repair_clears_the_marks,
    repair_looks_at_data_files,
    repair_of_other_formats_is_that_of_qemu_img,
    repair_takes_the_options_that_qemu_img_takes,
    repair_of_an_image_in_use_is_refused,
    repair_needs_the_layers_below_as_check_does,
    changing_a_dirty_image_repairs_it_first,
    committing_into_a_dirty_base_repairs_it_first,
);

fn repair_leaves_sound_images_alone(bench: &Bench) {
    with_snapshots(bench);
    repairs(bench, [0, 0], "two snapshots");
    let before = fs::read(bench.path("image")).unwrap();
    assert!(fs::read(bench.path("ours")).unwrap() == before, "it was written to");
    image(bench, "compat=0.10");
    repairs(bench, [0, 0], "version 2");
}

fn repair_corrects_refcounts(bench: &Bench) {
    let at = |tables: &Tables, cluster| tables.0.get(tables.entry(cluster)) & OFFSET;
    let tables = image(bench, "");
    tables.count(at(&tables, 1), 0);
    repairs(bench, [1, 0], "not counted");
    let tables = image(bench, "");
    tables.count(at(&tables, 2), 2);
    tables.count(at(&tables, 0), 0xffff);
    repairs(bench, [0, 0], "too high");
    let tables = image(bench, "");
    tables.0.u64(tables.entry(1), tables.0.get(tables.entry(3)));
    repairs(bench, [2, 0], "one cluster twice");
    let tables = image(bench, "");
    tables.count(0, 2);
    repairs(bench, [0, 0], "the header in use twice");
    let tables = image(bench, "");
    for cluster in 0..12 {
        tables.count(cluster * CLUSTER, (cluster % 4) as u16);
    }
    repairs(bench, [1, 0], "many at once");
    let tables = with_snapshots(bench);
    for cluster in 4..9 {
        tables.count(cluster * CLUSTER, 1);
    }
    repairs(bench, [2, 0], "shared clusters counted once");
}

fn repair_frees_leaked_clusters(bench: &Bench) {
    let tables = image(bench, "");
    let end = tables.0.end().next_multiple_of(CLUSTER);
    tables.0.length(end + 4 * CLUSTER);
    tables.count(end + CLUSTER, 1);
    tables.count(end + 3 * CLUSTER, 5);
    repairs(bench, [0, 0], "behind the end");
    let tables = image(bench, "");
    tables.0.u64(tables.entry(1), 0).u64(tables.entry(3), 0);
    repairs(bench, [0, 0], "entries cleared");
    use std::os::unix::fs::MetadataExt;
    let [theirs, ours] = ["theirs", "ours"].map(|image| fs::metadata(bench.path(image)).unwrap().blocks());
    assert!(ours <= theirs, "the space of freed clusters was not given back: {ours} blocks, {theirs}");
    let tables = image(bench, "");
    tables.0.u64(tables.l1(), 0);
    repairs(bench, [0, 0], "a whole table cleared");
    let tables = with_snapshots(bench);
    tables.0.u32(field::NB_SNAPSHOTS, 0);
    repairs(bench, [0, 0], "snapshots forgotten");
}

fn repair_corrects_copied_flags(bench: &Bench) {
    let flip = |tables: &Tables, place: u64| {
        let value = tables.0.get(place) ^ COPIED;
        tables.0.u64(place, value);
    };
    let tables = image(bench, "");
    flip(&tables, tables.entry(0));
    flip(&tables, tables.entry(17));
    repairs(bench, [0, 0], "data clusters without it");
    let tables = image(bench, "");
    flip(&tables, tables.l1());
    repairs(bench, [0, 0], "a table without it");
    let tables = with_snapshots(bench);
    flip(&tables, tables.entry(17));
    repairs(bench, [0, 0], "a shared cluster with it");
    let tables = with_snapshots(bench);
    let snapshot = tables.0.get(tables.0.get(tables.snapshots())) & OFFSET;
    flip(&tables, snapshot + 17 * 8);
    repairs(bench, [0, 0], "in a snapshot, where it counts for nothing");
    let tables = image(bench, "");
    flip(&tables, tables.entry(48));
    repairs(bench, [2, 2], "a compressed cluster with it");
    let tables = image(bench, "extended_l2=on");
    flip(&tables, tables.l2());
    repairs(bench, [0, 0], "subclusters without it");
    let tables = image(bench, "");
    flip(&tables, tables.entry(0));
    tables.count(tables.0.get(tables.entry(3)) & OFFSET, 0);
    repairs(bench, [1, 0], "beside a wrong refcount");
}

fn repair_names_broken_l1_entries(bench: &Bench) {
    for (what, change) in
        [("reserved bits", 1_u64), ("high reserved bits", 1 << 56), ("past the end", 1 << 40)]
    {
        let tables = image(bench, "");
        tables.0.u64(tables.l1(), tables.0.get(tables.l1()) ^ change);
        alike(bench, what);
    }
    let tables = image(bench, "");
    tables.0.u64(tables.l1() + 8, u64::MAX);
    alike(bench, "nonsense");
}

fn repair_names_broken_l2_entries(bench: &Bench) {
    let sound = image(bench, "");
    let other = sound.0.get(sound.entry(3));
    let end = sound.0.end().next_multiple_of(CLUSTER);
    for (what, value) in bench.share([
        ("unaligned", COPIED | (end + 512)),
        ("unaligned zeros", COPIED | (end + 512) | 1),
        ("reserved bits", other | 0x1fe),
        ("high reserved bits", other | (0x3f << 56)),
        ("past the end", COPIED | (end + 9 * CLUSTER)),
        ("far past the end", COPIED | (1 << 50)),
        ("just past the end", COPIED | end),
        ("another entry's cluster", other),
        ("the header", COPIED | 1),
        ("the refcount block", COPIED | (2 * CLUSTER)),
        ("compressed past the end", COMPRESSED | (1 << 30)),
        ("compressed, nonsense", COMPRESSED | 0x3fff_ffff_ffff_ffff),
        ("compressed in the header", COMPRESSED | 17),
        ("compressed over the end", COMPRESSED | (0x7f << 54) | (end - 512)),
        ("nothing but the flag", COPIED),
        ("zeros in a place", other | 1),
    ]) {
        let tables = image(bench, "");
        tables.0.u64(tables.entry(1), value);
        alike(bench, what);
        let tables = image(bench, "compat=0.10");
        tables.0.u64(tables.entry(1), value);
        alike(bench, &format!("{what}, version 2"));
    }
    let tables = with_snapshots(bench);
    let snapshot = tables.0.get(tables.0.get(tables.snapshots())) & OFFSET;
    tables.0.u64(snapshot + 8, COPIED | (end + 512) | 1);
    repairs(bench, [2, 0], "unaligned zeros in a snapshot");
}

fn repair_names_broken_subclusters(bench: &Bench) {
    for (what, value, bits) in [
        ("zero and allocated", None, 0x0000_0001_0000_0001_u64),
        ("allocated without a cluster", Some(0), 0xffff),
        ("compressed with bits", Some(COMPRESSED | CLUSTER), 1),
        ("unaligned, nothing allocated", Some(COPIED | 0x60200), 0),
        ("unaligned, zeros", Some(COPIED | 0x60200), 0x0000_ffff_0000_0000),
        ("unaligned, allocated", Some(COPIED | 0x60200), 1),
        ("bit 0, which means nothing here", Some(1), 0),
    ] {
        let tables = image(bench, "extended_l2=on");
        let place = tables.l2() + 16;
        tables.0.u64(place, value.unwrap_or_else(|| tables.0.get(place))).u64(place + 8, bits);
        alike(bench, what);
    }
}

fn repair_rebuilds_refcount_structures(bench: &Bench) {
    let tables = image(bench, "");
    tables.0.u64(tables.refcount_table(), 0);
    repairs(bench, [1, 0], "no block");
    let tables = image(bench, "");
    tables.0.u64(tables.refcount_table() + 8, 2 * CLUSTER);
    repairs(bench, [1, 0], "a block twice");
    let tables = image(bench, "");
    tables.0.u64(tables.refcount_table() + 8, tables.l1());
    repairs(bench, [1, 0], "a block in the L1 table");
    let tables = image(bench, "");
    tables.0.u64(tables.refcount_table() + 8, 3);
    repairs(bench, [1, 0], "reserved bits in an entry for nothing");
    for value in [CLUSTER, 0x1000 * CLUSTER] {
        let tables = image(bench, "");
        tables.0.u64(tables.refcount_table() + 8, value + 512);
        repairs(bench, [1, 0], "a misaligned block for nothing");
    }
    for options in [
        "refcount_bits=1",
        "refcount_bits=8",
        "refcount_bits=64",
        "cluster_size=512",
        "cluster_size=2M",
        "compat=0.10,cluster_size=4k",
    ] {
        Crafted::image(bench, "image", "16M", options, 5 * CLUSTER);
        let crafted = Crafted::open(&bench.path("image"));
        crafted.u64(crafted.get(field::REFCOUNT_TABLE_OFFSET), 0);
        repairs(bench, [1, 0], &format!("no block, {options}"));
    }
    image(bench, "").0.u32(field::REFCOUNT_TABLE_CLUSTERS, 0);
    repairs(bench, [1, 0], "no table at all");
    image(bench, "").0.u64(field::REFCOUNT_TABLE_OFFSET, 1 << 40);
    repairs(bench, [1, 0], "the table past the end");
    let tables = with_snapshots(bench);
    tables.0.u64(tables.refcount_table(), 0);
    repairs(bench, [1, 0], "no block, snapshots");
    let ours = fs::read(bench.path("ours")).unwrap();
    assert!(ours == fs::read(bench.path("theirs")).unwrap(), "the new structure is elsewhere");
}

fn repair_rebuilds_what_qemu_img_does_not(bench: &Bench) {
    let tables = image(bench, "");
    let length = tables.0.end();
    tables.0.u64(tables.refcount_table() + 8, length.next_multiple_of(CLUSTER) + 64 * CLUSTER);
    let [theirs, ours] = both(bench, &["check", "-r", "all", "image"]);
    assert_eq!(ours.code(), Some(0), "{ours}");
    let lengths = ["theirs", "ours"].map(|image| fs::metadata(bench.path(image)).unwrap().len());
    deviates("check-repair-outside", &lengths[0], &lengths[1]);
    assert!(lengths[1] <= length + 3 * CLUSTER, "{lengths:?}");
    assert_eq!(theirs.code(), ours.code());
    checks_clean(bench, "ours", "a wild pointer");
    for (what, value) in [("misaligned", 2 * CLUSTER + 512), ("reserved bits", 2 * CLUSTER + 1)] {
        let tables = image(bench, "");
        let before = disk(bench, "image");
        tables.0.u64(tables.refcount_table(), value);
        let [theirs, ours] = both(bench, &["check", "-r", "all", "image"]);
        deviates("check-repair-misaligned", &theirs.code(), &ours.code());
        assert_eq!(ours.code(), Some(0), "{what}: {ours}");
        assert!(ours.text().contains("Double checking the fixed image now..."), "{what}: {ours}");
        checks_clean(bench, "ours", what);
        assert!(disk(bench, "ours") == before, "{what}: another disk");
    }
}

fn repair_destroys_nothing_that_it_cannot_count(bench: &Bench) {
    // Two clusters of L1 table, and the file ends in the first.
    bench.qemu(["create", "-q", "-f", "qcow2", "-o", "cluster_size=512", "image", "20M"]).succeeds();
    io(bench, "image", &["write -P 5 0 20M"]);
    let crafted = Crafted::open(&bench.path("image"));
    let table = crafted.get(field::L1_TABLE_OFFSET);
    let entries = fs::read(bench.path("image")).unwrap()[table as usize..][..1024].to_vec();
    let end = crafted.end().next_multiple_of(512);
    crafted.bytes(end, &entries).u64(field::L1_TABLE_OFFSET, end);
    let before = fs::read(bench.path("image")).unwrap();
    for mode in ["leaks", "all"] {
        let [theirs, ours] = both(bench, &["check", "-r", mode, "image"]);
        deviates("check-repair-cut", &theirs.code(), &ours.code());
        ours.fails_with("a table continues past the end of the file");
        assert!(fs::read(bench.path("ours")).unwrap() == before, "something was written");
    }
    // A table in the place of data, whose bytes look like wrong flags.
    let tables = image(bench, "");
    let data = tables.0.get(tables.entry(1)) & OFFSET;
    tables.0.u64(data, 3 * CLUSTER).u64(tables.l1(), tables.0.get(tables.l1())).u32(field::L1_SIZE, 2);
    tables.0.u64(tables.l1() + 8, COPIED | data);
    let [_, ours] = both(bench, &["check", "-r", "all", "image"]);
    let contents = ["theirs", "ours"]
        .map(|image| fs::read(bench.path(image)).unwrap()[data as usize..][..CLUSTER as usize].to_vec());
    deviates("check-repair-shared", &contents[0], &contents[1]);
    assert_eq!(ours.code(), Some(2), "{ours}");
    let image_bytes = fs::read(bench.path("image")).unwrap();
    assert!(image_bytes[data as usize..][..CLUSTER as usize] == contents[1], "data was changed");
}

fn repair_says_what_a_refcount_cannot_say(bench: &Bench) {
    for bits in ["1", "2", "4"] {
        let tables = image(bench, &format!("refcount_bits={bits}"));
        let value = tables.0.get(tables.entry(0));
        for cluster in 1..30 {
            tables.0.u64(tables.entry(cluster), value);
        }
        alike(bench, bits);
    }
}

fn repair_corrects_refcounts_of_every_width(bench: &Bench) {
    for version in ["", ",lazy_refcounts=on"] {
        for bits in bench.share([1, 2, 4, 8, 32, 64_u64]) {
            let options = format!("refcount_bits={bits}{version}");
            let most = u64::MAX >> (64 - bits);
            let data = |tables: &Tables, cluster| (tables.0.get(tables.entry(cluster)) & OFFSET) / CLUSTER;
            let tables = image(bench, &options);
            let end = tables.0.end().next_multiple_of(CLUSTER);
            tables.0.length(end + 4 * CLUSTER);
            set_count(&tables, bits, end / CLUSTER + 1, 1);
            set_count(&tables, bits, end / CLUSTER + 3, most);
            repairs(bench, [0, 0], &format!("{options}: leaks"));
            let tables = image(bench, &options);
            set_count(&tables, bits, data(&tables, 1), 0);
            repairs(bench, [1, 0], &format!("{options}: not counted"));
            let tables = image(bench, &options);
            for cluster in 0..4 {
                set_count(&tables, bits, data(&tables, cluster), most - most / 2 * (cluster % 2));
            }
            repairs(bench, [0, 0], &format!("{options}: too high"));
            if bits > 1 {
                let tables = image(bench, &options);
                tables.0.u64(tables.entry(1), tables.0.get(tables.entry(3)));
                repairs(bench, [2, 0], &format!("{options}: one cluster twice"));
                bench.qemu(["check", "ours"]).succeeds();
            }
        }
    }
}

/// qemu-img counts the snapshots' clusters as leaks and then loses them. It may not be let near such an image.
fn repair_keeps_snapshots_beside_bitmaps(bench: &Bench) {
    for leak in [false, true] {
        let tables = with_snapshots(bench);
        bench.qemu(["bitmap", "--add", "image", "one"]).succeeds();
        io(bench, "image", &["write -P 3 5M 1M"]);
        if leak {
            let end = tables.0.end().next_multiple_of(CLUSTER);
            tables.0.length(end + CLUSTER);
            tables.count(end, 1);
        }
        let state = |image: &str| {
            bench.qemu(["convert", "-l", "first", "-O", "raw", image, "state.raw"]);
            fs::read(bench.path("state.raw")).unwrap_or_default()
        };
        let before = (disk(bench, "image"), state("image"), bench.qemu(["snapshot", "-l", "image"]).text());
        for mode in ["leaks", "all"] {
            let [theirs, ours] = both(bench, &["check", "-r", mode, "image"]);
            assert_eq!((theirs.code(), ours.code()), (Some(0), Some(0)), "{theirs}{ours}");
            assert_eq!(ours.text().contains("1 leaked clusters"), leak, "{ours}");
            assert!(
                (disk(bench, "ours"), state("ours"), bench.qemu(["snapshot", "-l", "ours"]).text()) == before,
                "{mode}"
            );
            let lists = ["theirs", "ours"].map(|image| bench.qemu(["snapshot", "-l", image]).text());
            deviates("check-repair-snapshots", &lists[0], &lists[1]);
            checks_clean(bench, "ours", mode);
            assert!(bench.qemu(["info", "ours"]).text().contains("name: one"), "the bitmap is lost");
        }
    }
}

fn repair_replays_the_log_of_a_vhdx_as_qemu_img_does(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "vhdx", "-o", "block_size=1M", "image", "8M"]).succeeds();
    bench.qemu_io(["-f", "vhdx", "-c", "write -P 7 0 1M", "image"]).succeeds();
    let edited = Edited::open(&bench.path("image"));
    let end = edited.end();
    let place = end - (1 << 20);
    assert_eq!(edited.get(place, 512), [7; 512], "the block is the last");
    let guid = [9; 16];
    let header = edited.get(65536, 80);
    let log = u64::from_le_bytes(header[72..80].try_into().unwrap());
    // An entry that makes zeros of two sectors of the block.
    let mut entry = vec![0; 4096];
    entry[..4].copy_from_slice(b"loge");
    entry[8..12].copy_from_slice(&4096_u32.to_le_bytes());
    entry[16..24].copy_from_slice(&1_u64.to_le_bytes());
    entry[24..28].copy_from_slice(&1_u32.to_le_bytes());
    entry[32..48].copy_from_slice(&guid);
    entry[48..56].copy_from_slice(&end.to_le_bytes());
    entry[56..64].copy_from_slice(&end.to_le_bytes());
    entry[64..68].copy_from_slice(b"zero");
    entry[72..80].copy_from_slice(&8192_u64.to_le_bytes());
    entry[80..88].copy_from_slice(&(place + 4096).to_le_bytes());
    entry[88..96].copy_from_slice(&1_u64.to_le_bytes());
    edited.put(log, &entry).seal_vhdx(log, 4096);
    for header in [65536, 131_072] {
        edited.put(header + 48, &guid).seal_vhdx(header, 4096);
    }
    let dirty = bench.qemu(["check", "-f", "vhdx", "image"]);
    assert!(dirty.errors().contains("log that needs to be replayed"), "{dirty}");
    for mode in ["leaks", "all"] {
        for more in [[].as_slice(), &["--output=json"], &["-q"]] {
            let [theirs, ours] = both(bench, &[&["check", "-r", mode, "image"], more].concat());
            assert_eq!(said(&theirs), said(&ours), "{mode} {more:?}");
            for image in ["theirs", "ours"] {
                bench.qemu(["convert", "-f", "vhdx", "-O", "raw", image, &format!("{image}.raw")]).succeeds();
            }
            same_bytes(bench, "theirs.raw", "ours.raw", mode);
            let bytes = fs::read(bench.path("ours.raw")).unwrap();
            assert!(
                bytes[4095..12289].iter().eq([7].iter().chain(&[0; 8192]).chain(&[7])),
                "the log was not replayed"
            );
            checks_clean_as(bench, "vhdx", "ours", mode);
        }
    }
}

fn repair_corrects_snapshot_tables(bench: &Bench) {
    let sound = with_snapshots(bench);
    let end = sound.0.end().next_multiple_of(CLUSTER);
    drop(sound);
    for (what, field, bytes, value) in bench.share([
        ("L1 table unaligned", 0, 8, 0x12200_u64),
        ("L1 table past the end", 0, 8, end + (1 << 40)),
        ("L1 table too large", 8, 4, 0x7fff_ffff),
        ("L1 table empty", 8, 4, 0),
        ("name longer", 14, 2, 200),
        ("too little extra data", 36, 4, 8),
        ("no extra data", 36, 4, 0),
        ("too much extra data", 36, 4, 2000),
    ]) {
        let tables = with_snapshots(bench);
        // The second entry: what would follow it is nothing.
        let place = tables.snapshots() + 72 + field;
        if bytes == 8 {
            tables.0.u64(place, value);
        } else {
            let value = value.to_be_bytes();
            tables.0.bytes(place, &value[8 - bytes..]);
        }
        alike(bench, what);
    }
    // Version 2 does not demand extra data, which would be said of each.
    for (what, count) in bench.share([("more than there are", 3), ("too many", 70_000)]) {
        let tables = image(bench, "compat=0.10");
        bench.qemu(["snapshot", "-c", "one", "image"]).succeeds();
        let entry = fs::read(bench.path("image")).unwrap()[tables.snapshots() as usize..][..68].to_vec();
        let end = tables.0.end().next_multiple_of(CLUSTER);
        tables.0.bytes(end, &entry).length(end + 70_000 * 40 + CLUSTER);
        tables.0.u64(field::SNAPSHOTS_OFFSET, end).u32(field::NB_SNAPSHOTS, count);
        // The reference takes seconds for so many.
        let [theirs, ours] = both(bench, &["check", "-r", "all", "image"]);
        assert_eq!(said(&theirs), said(&ours), "{what}");
        assert_eq!(checked(bench, "theirs"), checked(bench, "ours"), "{what}");
    }
    with_snapshots(bench).0.u64(field::SNAPSHOTS_OFFSET, 0x200);
    repairs(bench, [1, 1], "a misaligned table");
    // What is written anew is what qemu-img writes.
    let tables = with_snapshots(bench);
    let table = tables.snapshots();
    let entry = fs::read(bench.path("image")).unwrap()[table as usize..][..144].to_vec();
    tables.0.bytes(table + 36, &[0; 4]).bytes(table + 40, &entry[64..]);
    repairs(bench, [2, 0], "an entry of version 2");
    let lists = ["theirs", "ours"].map(|image| bench.qemu(["snapshot", "-l", image]).text());
    assert_eq!(lists[0], lists[1]);
    let copies = ["theirs", "ours"].map(|image| {
        let crafted = Crafted::open(&bench.path(image));
        let table = crafted.get(field::SNAPSHOTS_OFFSET) as usize;
        fs::read(bench.path(image)).unwrap()[table..][..136].to_vec()
    });
    assert_eq!(copies[0], copies[1], "the new table");
}

fn repair_counts_bitmaps_and_drops_stale_ones(bench: &Bench) {
    let bitmaps = || {
        let tables = image(bench, "");
        bench.qemu(["bitmap", "--add", "image", "one"]).succeeds();
        io(bench, "image", &["write -P 3 5M 1M"]);
        tables
    };
    let tables = bitmaps();
    tables.0.u64(tables.entry(1), 0);
    let [theirs, ours] = both(bench, &["check", "-r", "all", "image"]);
    assert_eq!(said(&theirs), said(&ours));
    assert!(bench.qemu(["info", "ours"]).text().contains("one"), "the bitmap is lost");
    checks_clean(bench, "ours", "a bitmap");
    let tables = bitmaps();
    tables.0.u64(field::AUTOCLEAR_FEATURES, 0);
    for mode in ["leaks", "all"] {
        let [theirs, ours] = both(bench, &["check", "-r", mode, "image"]);
        assert_eq!((theirs.code(), theirs.text()), (Some(0), ours.text()));
        // qemu-img does not end the line of its hint.
        let hint = "to fix.";
        assert_eq!(said(&theirs).2.replacen(hint, &format!("{hint}\n"), 1), said(&ours).2);
        // Nothing is left of them, not even a warning.
        checks_clean(bench, "ours", "stale bitmaps");
    }
}

fn repair_clears_the_marks(bench: &Bench) {
    for (what, bits) in [("dirty", 1), ("corrupt", 2), ("both", 3)] {
        image(bench, "").0.u64(field::INCOMPATIBLE_FEATURES, bits);
        repairs(bench, [0, 0], what);
        let left = Crafted::open(&bench.path("ours")).get(field::INCOMPATIBLE_FEATURES);
        assert_eq!(left, 0, "{what}");
        let tables = image(bench, "");
        tables.0.u64(field::INCOMPATIBLE_FEATURES, bits);
        tables.0.u64(tables.entry(1), COPIED | 0x60200);
        repairs(bench, [2, 2], what);
        let features = ["theirs", "ours"]
            .map(|image| Crafted::open(&bench.path(image)).get(field::INCOMPATIBLE_FEATURES));
        assert_eq!(features[0], features[1], "{what}, and an entry that stays wrong");
    }
    let tables = with_snapshots(bench);
    tables.0.u64(field::INCOMPATIBLE_FEATURES, 1);
    tables.count(tables.0.get(tables.entry(17)) & OFFSET, 1);
    let [theirs, ours] = both(bench, &["check", "-r", "leaks", "image"]);
    assert_eq!(said(&theirs), said(&ours));
    let features =
        ["theirs", "ours"].map(|image| Crafted::open(&bench.path(image)).get(field::INCOMPATIBLE_FEATURES));
    deviates("check-repair-dirty", &features[0], &features[1]);
    assert_eq!(features[1], 1);
}

fn repair_looks_at_data_files(bench: &Bench) {
    let made = |bench: &Bench| {
        let crafted = Crafted::image(bench, "image", "4M", "data_file=data", 0);
        io(bench, "image", &["write -P 1 0 1M", "write -z 2M 128k"]);
        Tables(crafted)
    };
    made(bench);
    repairs(bench, [0, 0], "sound");
    for (what, change) in [("flag cleared", COPIED), ("compressed", COMPRESSED), ("unaligned", 512)] {
        let tables = made(bench);
        tables.0.u64(tables.entry(2), tables.0.get(tables.entry(2)) ^ change);
        alike(bench, what);
    }
    let tables = made(bench);
    tables.0.u64(tables.refcount_table(), 0);
    repairs(bench, [1, 0], "no refcounts");
    fs::remove_file(bench.path("data")).unwrap();
    repairs(bench, [1, 1], "without the data file");
}

fn repair_of_other_formats_is_that_of_qemu_img(bench: &Bench) {
    for format in formats::beside("qcow2") {
        bench.qemu(["create", "-q", "-f", format, "image", "8M"]).succeeds();
        for words in [
            ["check", "-r", "all", "image"].as_slice(),
            &["check", "-r", "leaks", "-f", format, "image"],
            &["check", "-r", "all", "-q", "--output=json", "image"],
        ] {
            let [theirs, ours] = both(bench, words);
            assert_eq!(said(&theirs), said(&ours), "{format}: {words:?}");
            same_bytes(bench, "image", "ours", format);
        }
        fs::remove_file(bench.path("image")).unwrap();
    }
}

fn repair_takes_the_options_that_qemu_img_takes(bench: &Bench) {
    let list = "driver=qcow2,file.driver=file,file.filename=image";
    for words in [
        ["check", "-r", "all", "image"].as_slice(),
        &["check", "-q", "-r", "all", "image"],
        &["check", "-q", "-r", "leaks", "--output=json", "image"],
        &["check", "--repair=all", "-f", "qcow2", "image"],
        &["check", "--repair", "leaks", "image", "--output", "json"],
        &["check", "-r", "leaks", "-r", "all", "image"],
        &["check", "-r", "all", "--image-opts", list],
        &["check", "-r", "all", "-T", "none", "image"],
        &["check", "-r", "all", "-T", "directsync", "image"],
        &["check", "-r", "all", "-T", "unsafe", "image"],
        &["check", "-r", "all", "--object", "secret,id=s,data=x", "image"],
        &["check", "-r", "all", "-f", "raw", "image"],
        &["check", "-U", "-r", "all", "image"],
        &["check", "-r", "leaks", "--image-opts", "-U", list],
        &["check", "-r", "all", "--image-opts", &format!("{list},read-only=on")],
        &["check", "-r", "all", "absent"],
        &["check", "-r", "all", "-T", "nonsense", "image"],
    ] {
        let tables = image(bench, "");
        tables.0.u64(tables.entry(1), 0);
        let [theirs, ours] = both(bench, words);
        assert_eq!(said(&theirs), said(&ours), "{words:?}");
        assert_eq!(checked(bench, "theirs"), checked(bench, "ours"), "{words:?}");
    }
    for words in [
        ["check", "-r", "nothing", "image"].as_slice(),
        &["check", "-r"],
        &["check", "-r", "all"],
        &["check", "-r", "all", "image", "image"],
        &["check", "-r", "", "image"],
    ] {
        let theirs = bench.qemu(words);
        assert_eq!(theirs.code(), Some(1), "{theirs}");
        assert_eq!(theirs.message(), bench.instar(words).fails().message(), "{words:?}");
    }
}

fn repair_of_an_image_in_use_is_refused(bench: &Bench) {
    let tables = image(bench, "");
    tables.0.u64(tables.entry(1), 0);
    drop(tables);
    let holder = Holder::of(bench, "qcow2", "image");
    let before = fs::read(bench.path("image")).unwrap();
    let words = ["check", "-r", "all", "image"];
    let ours = bench.instar(words);
    assert_eq!(said(&bench.qemu(words)), said(&ours));
    ours.fails_with("Is another process using the image");
    assert!(fs::read(bench.path("image")).unwrap() == before);
    drop(holder);
    assert_eq!(bench.instar(words).code(), Some(0));
    checks_clean(bench, "image", "when nobody uses it any more");
}

fn repair_needs_the_layers_below_as_check_does(bench: &Bench) {
    bench.qemu(["create", "-q", "-u", "-f", "qcow2", "-b", "absent", "-F", "raw", "image", "1M"]).succeeds();
    repairs(bench, [1, 1], "backing file");
}

fn changing_a_dirty_image_repairs_it_first(bench: &Bench) {
    fs::write(bench.path("below.raw"), vec![3; 16 << 20]).unwrap();
    let dirty = |damage: &dyn Fn(&Tables)| {
        let tables = with_snapshots(bench);
        damage(&tables);
        tables.0.u64(field::INCOMPATIBLE_FEATURES, 1);
    };
    for (what, damage) in [
        ("nothing else", &(|_: &Tables| {}) as &dyn Fn(&Tables)),
        ("leaks", &|tables: &Tables| {
            tables.0.u64(tables.entry(1), 0);
        }),
        ("refcounts too low", &|tables: &Tables| tables.count(tables.0.get(tables.entry(17)) & OFFSET, 1)),
        ("no refcounts", &|tables: &Tables| {
            tables.0.u64(tables.refcount_table(), 0);
        }),
    ] {
        for words in bench.share([
            ["snapshot", "-c", "new", "image"].as_slice(),
            &["snapshot", "-a", "first", "image"],
            &["snapshot", "-d", "second", "image"],
            &["amend", "-o", "lazy_refcounts=on", "image"],
            &["bitmap", "--add", "image", "new"],
            &["resize", "image", "24M"],
            &["rebase", "-u", "-b", "below.raw", "-F", "raw", "image"],
            &["rebase", "-b", "below.raw", "-F", "raw", "image"],
            &["convert", "-n", "-O", "qcow2", "below.raw", "image"],
        ]) {
            dirty(damage);
            let [theirs, ours] = both(bench, words);
            assert_eq!(said(&theirs), said(&ours), "{what}: {words:?}");
            assert_eq!(ours.code(), Some(0), "{what}: {words:?}: {ours}");
            checks_clean(bench, "ours", what);
            assert!(disk(bench, "ours") == disk(bench, "theirs"), "{what}: {words:?}");
        }
    }
}

fn committing_into_a_dirty_base_repairs_it_first(bench: &Bench) {
    let tables = image(bench, "");
    bench.qemu(["create", "-q", "-f", "qcow2", "-b", "image", "-F", "qcow2", "top"]).succeeds();
    io(bench, "top", &["write -P 6 3M 1M"]);
    tables.0.u64(tables.entry(1), 0).u64(field::INCOMPATIBLE_FEATURES, 1);
    let [theirs, ours] = both(bench, &["commit", "-d", "top"]);
    assert_eq!((theirs.code(), theirs.text()), (Some(0), ours.text()));
    assert_eq!(ours.code(), Some(0), "{ours}");
    deviates("check-repair-base", &theirs.errors(), &ours.errors());
    checks_clean(bench, "ours", "a base");
    assert!(disk(bench, "ours") == disk(bench, "theirs"));
}
