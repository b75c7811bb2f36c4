//! C3 for every verb: images whose tables describe more than they have room for. Each verb stops after work in proportion to the
//! file, names the reason and the file, and leaves no target, with and without `--untrusted`.

use std::fs;
use std::time::Duration;

use instar_tests::compare::same_bytes;
use instar_tests::craft::{COPIED, Crafted, field};
use instar_tests::{Bench, Outcome, both_sandboxes};

const TIB: u64 = 1 << 40;
const SECTOR: u64 = 512;
/// What a verb may take, on a busy machine and without optimisation. Without an account it would be minutes to hours.
const BOUND: Duration = Duration::from_secs(15);
/// What `check` may take, which writes tens of thousands of findings first.
const CHECKED: Duration = Duration::from_secs(60);
/// What `map` may print of a file that has 17 MB at most.
const OUTPUT: usize = 64 << 20;

/// Verbs that walk through the whole of `image`, as words.
const WALKS: &[&[&str]] = &[
    &["convert", "-O", "raw", "image", "out"],
    &["convert", "-O", "qcow2", "image", "out"],
    &["convert", "-c", "-O", "qcow2", "image", "out"],
    &["convert", "--salvage", "-O", "raw", "image", "out"],
    &["dd", "if=image", "of=out"],
    &["checksum", "image"],
    &["measure", "-O", "qcow2", "image"],
    &["measure", "-O", "vmdk", "image"],
    &["map", "image"],
    &["map", "--output=json", "image"],
    &["compare", "image", "plain"],
    &["compare", "plain", "image"],
    &["compare", "-s", "image", "image"],
];

fn bounded(bench: &Bench, words: &[&str], policy: &[&str]) -> Outcome {
    let (verb, rest) = words.split_first().unwrap();
    let all: Vec<&str> = [*verb].iter().chain(policy).chain(rest).copied().collect();
    let outcome = Outcome::of(&mut bench.command_under(&["prlimit", "--as=268435456", "--core=0"], &all));
    outcome.is_civil().within(BOUND);
    assert!(outcome.stderr.len() < 8192, "{all:?}: too many words");
    assert!(outcome.stdout.len() < OUTPUT, "{all:?}: too much output");
    outcome
}

/// Each verb that walks through `image` ends with one of the messages of an account, and `info --safety` calls it unsafe. Without
/// `--untrusted` the bound on virtual size is wider, and nothing else changes.
fn each_verb_gives_up(bench: &Bench, untrusted: bool) {
    fs::File::create(bench.path("plain")).unwrap().set_len(1 << 30).unwrap();
    let policies: &[&[&str]] = if untrusted {
        &[&[], &["--untrusted"]]
    } else {
        &[&[]]
    };
    for policy in policies {
        for words in WALKS {
            let outcome = bounded(bench, words, policy);
            assert_ne!(outcome.code(), Some(0), "{words:?} {policy:?}");
            let errors = outcome.errors();
            let why = [
                "of the image's tables describe more than one part of the disk; the limit is ",
                "pieces of the disk, but it stores only ",
                "bytes of the image's tables were read, but it stores only ",
            ];
            // A filesystem or a format may have no room for so large a disk, whatever is in it.
            let too_large = ["File too large", "is larger than the format's limit"];
            if !untrusted && too_large.iter().any(|why| errors.contains(why)) {
                continue;
            }
            assert!(why.iter().any(|why| errors.contains(why)), "{words:?} {policy:?}: {errors}");
            assert!(errors.contains("--max-output"), "{words:?}: no remedy: {errors}");
            assert!(
                errors.contains("'image'") || errors.contains("for image"),
                "{words:?}: the file is not named: {errors}"
            );
            assert!(!bench.path("out").exists(), "{words:?} left a target");
        }
        let outcome = bounded(bench, &["info", "--safety", "image"], policy);
        assert_eq!(outcome.code(), Some(1), "{outcome}");
        if untrusted {
            assert!(outcome.text().contains("amplification: unsafe"), "{outcome}");
        }
        // Its findings may be many: what counts is that it ends.
        let check = Outcome::of(&mut bench.command_under(
            &["prlimit", "--as=268435456", "--core=0"],
            ["check", "-q", "image"].iter().chain(*policy),
        ));
        check.is_civil().within(CHECKED);
    }
}

/// A qcow2 of `size` bytes in clusters of `1 << bits`, made of a header, an L1 table that leads to `tables` L2 tables in turn, and
/// those, all of them of the words of `entry`.
fn shared(bench: &Bench, bits: u32, size: u64, extended: bool, tables: u64, entry: [u64; 2]) {
    let cluster = 1_u64 << bits;
    let words = cluster / 8;
    let clusters = if extended { words / 2 } else { words };
    let entries = size / (clusters * cluster);
    let (l1, refcounts) = (2 * cluster, cluster);
    let first = (l1 + entries * 8).next_multiple_of(cluster);
    fs::write(bench.path("image"), b"QFI\xfb\0\0\0\x03").unwrap();
    let image = Crafted::open(&bench.path("image"));
    image
        .u32(field::CLUSTER_BITS, bits)
        .u64(field::SIZE, size)
        .u32(field::L1_SIZE, u32::try_from(entries).unwrap())
        .u64(field::L1_TABLE_OFFSET, l1)
        .u64(field::REFCOUNT_TABLE_OFFSET, refcounts)
        .u32(field::REFCOUNT_TABLE_CLUSTERS, 1)
        .u64(field::INCOMPATIBLE_FEATURES, if extended { 1 << 4 } else { 0 })
        .u32(field::REFCOUNT_ORDER, 4)
        .u32(field::HEADER_LENGTH, 112);
    let l1_entries = (0..entries).map(|index| (first + index % tables * cluster) | COPIED);
    let l1_bytes: Vec<u8> = l1_entries.flat_map(u64::to_be_bytes).collect();
    let l2_words = (0..words * tables).map(|index| entry[usize::from(index % 2 == 1)]);
    let l2_bytes: Vec<u8> = l2_words.flat_map(u64::to_be_bytes).collect();
    image.bytes(l1, &l1_bytes).bytes(first, &l2_bytes);
}

/// A sparse VMDK of a tebibyte in grains of a sector, whose directory leads to `tables` of `distance` grain tables in turn; their
/// entries say "zero" and "nothing" in turn.
fn grains(bench: &Bench, tables: u64, distance: u64) {
    let (span, bytes) = (512 * SECTOR, 512 * 4);
    let first = 21 * SECTOR;
    let directory = first + tables * distance * bytes;
    let count = TIB / span;
    let overhead = (directory + count * 4).next_multiple_of(64 << 10);
    let text = format!(
        "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"monolithicSparse\"\nRW {} SPARSE \"image\"\nddb.adapterType = \"ide\"\n",
        TIB / SECTOR
    );
    let mut file = vec![0; usize::try_from(overhead).unwrap()];
    let mut put = |at: u64, bytes: &[u8]| {
        let at = usize::try_from(at).unwrap();
        file[at..at + bytes.len()].copy_from_slice(bytes);
    };
    put(0, b"KDMV");
    for (at, value) in [(4, 2_u32), (8, 7), (44, 512)] {
        put(at, &value.to_le_bytes());
    }
    let words =
        [(12, TIB / SECTOR), (20, 1), (28, 1), (36, 20), (56, directory / SECTOR), (64, overhead / SECTOR)];
    for (at, value) in words {
        put(at, &value.to_le_bytes());
    }
    put(73, b"\n \r\n");
    put(SECTOR, text.as_bytes());
    let entries: Vec<u8> = [1_u32, 0].repeat(256).into_iter().flat_map(u32::to_le_bytes).collect();
    for number in 0..tables {
        put(first + number * distance * bytes, &entries);
    }
    for number in 0..count {
        let table = first + number % tables * distance * bytes;
        put(directory + number * 4, &u32::try_from(table / SECTOR).unwrap().to_le_bytes());
    }
    fs::write(bench.path("image"), file).unwrap();
}

both_sandboxes!(
    c3_every_verb_gives_up_on_subclusters_in_turn,
    c3_every_verb_gives_up_on_small_clusters_in_turn,
    c3_every_verb_gives_up_on_empty_tables_that_are_one,
    c3_every_verb_gives_up_on_the_largest_l1_table,
    c3_every_verb_gives_up_on_grains_of_a_sector,
    c3_every_verb_gives_up_on_grain_tables_on_more_pages_than_are_kept,
    c3_max_output_lifts_the_limits_for_a_trusted_image,
    c3_a_sparse_file_buys_no_more_tables_than_it_stores,
);

fn c3_every_verb_gives_up_on_subclusters_in_turn(bench: &Bench) {
    shared(bench, 14, TIB, true, 1, [0, 0x5555_5555_0000_0000]);
    each_verb_gives_up(bench, true);
}

fn c3_every_verb_gives_up_on_small_clusters_in_turn(bench: &Bench) {
    shared(bench, 12, TIB, false, 1, [1, 0]);
    each_verb_gives_up(bench, true);
}

fn c3_every_verb_gives_up_on_empty_tables_that_are_one(bench: &Bench) {
    shared(bench, 12, TIB, false, 3, [0, 0]);
    each_verb_gives_up(bench, true);
}

fn c3_every_verb_gives_up_on_the_largest_l1_table(bench: &Bench) {
    shared(bench, 16, 1 << 51, false, 1, [1, 0]);
    each_verb_gives_up(bench, false);
}

fn c3_every_verb_gives_up_on_grains_of_a_sector(bench: &Bench) {
    grains(bench, 1, 1);
    each_verb_gives_up(bench, true);
}

fn c3_every_verb_gives_up_on_grain_tables_on_more_pages_than_are_kept(bench: &Bench) {
    grains(bench, 8, 16);
    each_verb_gives_up(bench, true);
    bench.instar(["check", "image"]).fails_with("more than one part of the disk");
}

fn c3_max_output_lifts_the_limits_for_a_trusted_image(bench: &Bench) {
    // 256 MiB by one table: little work, but nothing that a sound image has.
    shared(bench, 12, 256 << 20, false, 1, [1, 0]);
    let shared_tables = "more than one part of the disk";
    bench.instar(["convert", "-O", "raw", "image", "out"]).fails_with(shared_tables);
    bench
        .instar(["convert", "--untrusted", "--max-output", "1G", "-O", "raw", "image", "out"])
        .fails_with(shared_tables);
    assert!(!bench.path("out").exists());
    bench.instar(["convert", "--max-output", "1G", "-O", "raw", "image", "out"]).succeeds();
    bench.qemu(["convert", "-O", "raw", "image", "theirs"]).succeeds();
    same_bytes(bench, "theirs", "out", "one table for all");
}

fn c3_a_sparse_file_buys_no_more_tables_than_it_stores(bench: &Bench) {
    // Each L1 entry leads to a table of its own, and all of these stand in a hole: 256 GiB of zeros to read.
    shared(bench, 16, 1 << 51, false, 1, [0, 0]);
    let image = Crafted::open(&bench.path("image"));
    let tables: Vec<u8> =
        (0..4_u64 << 20).flat_map(|index| (((1 << 30) + (index << 16)) | COPIED).to_be_bytes()).collect();
    image.bytes(2 << 16, &tables).length((1 << 30) + (256 << 30));
    each_verb_gives_up(bench, false);
}
