//! `check` of images that are made to exhaust their reader: C2, C3, C4, F1.

use std::time::Duration;

use instar_tests::craft::{COMPRESSED, COPIED, Crafted, field};
use instar_tests::variant::io;
use instar_tests::{Bench, Outcome, both_sandboxes};

const CLUSTER: u64 = 65536;
/// Messages that are written at most, and what they may take.
const MESSAGES: usize = 65_536;
const BYTES: usize = 12 << 20;

/// Checks `image` in 256 MiB of address space; it must end in time, with few words and valid JSON.
#[track_caller]
fn examine(bench: &Bench, image: &str) -> Outcome {
    let words = ["check", "--output=json", "-f", "qcow2", image];
    let outcome = Outcome::of(&mut bench.command_under(&["prlimit", "--as=268435456", "--core=0"], words));
    assert!(outcome.stderr.len() < BYTES, "{} bytes of words", outcome.stderr.len());
    let lines = outcome.stderr.iter().filter(|byte| **byte == b'\n').count();
    // A message may have a hint on a line of its own; the last one says how many were left out.
    assert!(lines <= 2 * MESSAGES + 2, "{lines} lines");
    outcome.is_civil().within(Duration::from_secs(25));
    if outcome.stdout.is_empty() {
        assert_eq!(outcome.code(), Some(1));
    } else {
        serde_json::from_slice::<serde_json::Value>(&outcome.stdout).unwrap();
    }
    repaired(bench, image);
    outcome
}

/// Repairs a copy of `image`, which takes no more than that, and the file grows by no more than new refcounts.
#[track_caller]
fn repaired(bench: &Bench, image: &str) {
    let copy = bench.path("repaired");
    let mut cp = std::process::Command::new("cp");
    cp.arg("--sparse=always").args([bench.path(image), copy.clone()]);
    assert!(cp.status().unwrap().success());
    let before = copy.metadata().unwrap().len();
    for mode in ["leaks", "all"] {
        let words = ["check", "-r", mode, "--output=json", "-f", "qcow2", "repaired"];
        let outcome =
            Outcome::of(&mut bench.command_under(&["prlimit", "--as=268435456", "--core=0"], words));
        // It looks twice.
        assert!(outcome.stderr.len() < 2 * BYTES, "{mode}: {} bytes of words", outcome.stderr.len());
        outcome.is_civil().within(Duration::from_secs(50));
        if !outcome.stdout.is_empty() {
            serde_json::from_slice::<serde_json::Value>(&outcome.stdout).unwrap();
        }
    }
    let after = copy.metadata().unwrap().len();
    assert!(after <= before + before / 32 + (32 << 20), "{before} bytes, {after} afterwards");
    std::fs::remove_file(copy).unwrap();
}

/// The exit code is `code`.
#[track_caller]
fn ends(bench: &Bench, code: i32) {
    let outcome = examine(bench, "image");
    let errors = outcome.errors();
    let last = errors.lines().last().unwrap_or_default();
    assert_eq!(outcome.code(), Some(code), "{}{last}", outcome.text());
}

fn count(outcome: &Outcome, key: &str) -> u64 {
    let value: serde_json::Value = serde_json::from_slice(&outcome.stdout).unwrap();
    value[key].as_u64().unwrap()
}

/// An image whose L1 table has `entries` entries, all of them `value`, behind what was there.
fn with_l1(bench: &Bench, entries: u32, value: impl Fn(u64) -> u64) -> Crafted {
    let image = Crafted::image(bench, "image", "4M", "", 3 * CLUSTER);
    let l1 = image.end().next_multiple_of(CLUSTER);
    let table: Vec<u8> = (0..u64::from(entries)).flat_map(|entry| value(entry).to_be_bytes()).collect();
    image.bytes(l1, &table);
    image.length((l1 + table.len() as u64).next_multiple_of(CLUSTER));
    image.u64(field::L1_TABLE_OFFSET, l1).u32(field::L1_SIZE, entries);
    image
}

both_sandboxes!(
    c3_all_l1_entries_share_one_l2_table,
    c3_every_entry_is_compressed_data_somewhere,
    c2_l2_tables_between_clusters,
    c2_snapshots_with_overlapping_tables,
    c2_a_file_of_eight_tebibytes_with_nothing_in_it,
    c2_all_refcount_blocks_are_one,
    c2_very_large_bitmaps,
    c4_data_clusters_in_no_order,
    f1_names_of_snapshots_cannot_speak_for_us,
    c3_messages_are_capped_where_qemu_img_has_no_end,
);

fn c3_all_l1_entries_share_one_l2_table(bench: &Bench) {
    let l2 = {
        let image = Crafted::image(bench, "image", "4M", "", 3 * CLUSTER);
        image.get(image.get(field::L1_TABLE_OFFSET)) & !COPIED
    };
    let image = with_l1(bench, 8192, |_| l2 | COPIED);
    let data = image.get(l2);
    for entry in 0..8192 {
        image.u64(l2 + entry * 8, data);
    }
    let outcome = examine(bench, "image");
    assert_eq!(outcome.code(), Some(2));
    assert!(outcome.errors().ends_with(" further messages were left out\n"), "not capped");
    // As often as the walk of qemu-img would meet it.
    assert!(count(&outcome, "corruptions") > 60 << 20);
}

fn c3_every_entry_is_compressed_data_somewhere(bench: &Bench) {
    let l2 = {
        let image = Crafted::image(bench, "image", "4M", "", 3 * CLUSTER);
        image.get(image.get(field::L1_TABLE_OFFSET)) & !COPIED
    };
    let image = with_l1(bench, 65_536, |_| l2);
    for entry in 0..8192 {
        image.u64(l2 + entry * 8, COMPRESSED | (0x7f << 54) | (entry * 7));
    }
    ends(bench, 2);
}

fn c2_l2_tables_between_clusters(bench: &Bench) {
    // Each entry leads to a table of its own, half a kilobyte further: 4 GiB of tables in a megabyte.
    with_l1(bench, 65_536, |entry| (entry % 4096) * 512 + 512);
    assert_ne!(examine(bench, "image").code(), Some(0));
    with_l1(bench, 4 << 20, |entry| (entry * 512) & 0x00ff_ffff_ffff_fe00);
    assert_ne!(examine(bench, "image").code(), Some(0));
}

fn c2_snapshots_with_overlapping_tables(bench: &Bench) {
    let image = Crafted::image(bench, "image", "4M", "", 3 * CLUSTER);
    let start = image.end().next_multiple_of(CLUSTER);
    let count = 65_536_u32;
    // The largest tables there are, each a cluster behind the one before, all of them holes.
    let tables = start + u64::from(count) * 56 + CLUSTER;
    let mut entries = Vec::new();
    for number in 0..u64::from(count) {
        let mut entry = [0_u8; 56];
        entry[..8].copy_from_slice(&((tables.next_multiple_of(CLUSTER)) + number * CLUSTER).to_be_bytes());
        entry[8..12].copy_from_slice(&(4_u32 << 20).to_be_bytes());
        entry[39] = 16;
        entries.extend_from_slice(&entry);
    }
    image.bytes(start, &entries).u32(field::NB_SNAPSHOTS, count).u64(field::SNAPSHOTS_OFFSET, start);
    image.length(tables.next_multiple_of(CLUSTER) + u64::from(count) * CLUSTER + (32 << 20));
    ends(bench, 2);
    // The same with something in them.
    for place in 0..64 {
        image.u64(tables.next_multiple_of(CLUSTER) + (40 << 20) + place * 8, COPIED | (place * CLUSTER));
    }
    assert_ne!(examine(bench, "image").code(), Some(0));
}

fn c2_a_file_of_eight_tebibytes_with_nothing_in_it(bench: &Bench) {
    let image = Crafted::image(bench, "image", "4M", "", 3 * CLUSTER);
    image.length(8 << 40);
    ends(bench, 0);
    image.u32(field::CLUSTER_BITS, 9);
    examine(bench, "image");
    image.u32(field::CLUSTER_BITS, 12);
    examine(bench, "image");
}

/// An image whose refcount table has a million entries that lead to one block; where the table is, and the block.
pub(crate) fn of_one_refcount_block(bench: &Bench) -> (Crafted, u64, u64) {
    let image = Crafted::image(bench, "image", "4M", "", 3 * CLUSTER);
    let table = image.get(field::REFCOUNT_TABLE_OFFSET);
    let block = image.get(table);
    let moved = image.end().next_multiple_of(CLUSTER);
    let entries: Vec<u8> = (0..1 << 20).flat_map(|_| block.to_be_bytes()).collect();
    image
        .bytes(moved, &entries)
        .u64(field::REFCOUNT_TABLE_OFFSET, moved)
        .u32(field::REFCOUNT_TABLE_CLUSTERS, 128);
    image.length(1 << 40);
    (image, moved, block)
}

fn c2_all_refcount_blocks_are_one(bench: &Bench) {
    let (image, moved, block) = of_one_refcount_block(bench);
    ends(bench, 2);
    // And none of them can be read.
    let entries: Vec<u8> = (0..1 << 20).flat_map(|_| (block + 512).to_be_bytes()).collect();
    image.bytes(moved, &entries);
    ends(bench, 1);
}

fn c2_very_large_bitmaps(bench: &Bench) {
    let image = Crafted::image(bench, "image", "64M", "", 3 * CLUSTER);
    for name in ["one", "two", "three"] {
        bench.qemu(["bitmap", "--add", "image", name]).succeeds();
    }
    io(bench, "image", &["write 1M 1M"]);
    let bytes = std::fs::read(bench.path("image")).unwrap();
    let magic = 0x2385_2875_u32.to_be_bytes();
    let found = bytes[..4096].windows(4).position(|word| word == magic).unwrap() as u64;
    let directory = image.get(found + 24);
    for entry in 0..3 {
        image.u32(directory + entry * 32 + 8, 8192);
    }
    examine(bench, "image");
    image.u32(directory + 8, 0x0800_0000);
    examine(bench, "image");
}

fn c4_data_clusters_in_no_order(bench: &Bench) {
    // Each L2 entry leads to another refcount block.
    let l2 = {
        let image = Crafted::image(bench, "image", "4M", "", 3 * CLUSTER);
        image.get(image.get(field::L1_TABLE_OFFSET)) & !COPIED
    };
    let image = with_l1(bench, 512, |_| l2 | COPIED);
    for entry in 0..8192_u64 {
        image.u64(l2 + entry * 8, COPIED | ((entry.wrapping_mul(0x9e37_79b9) % (1 << 24)) * CLUSTER));
    }
    image.length(1 << 40);
    ends(bench, 2);
}

fn f1_names_of_snapshots_cannot_speak_for_us(bench: &Bench) {
    Crafted::image(bench, "image", "1M", "", CLUSTER);
    bench.qemu(["snapshot", "-c", "evil\u{1b}[31m\nNo errors were found", "image"]).succeeds();
    let image = Crafted::open(&bench.path("image"));
    image.u64(image.get(field::SNAPSHOTS_OFFSET), 0x200);
    let outcome = examine(bench, "image");
    assert_eq!(outcome.code(), Some(2));
    assert!(!outcome.errors().contains('\u{1b}'), "{outcome}");
    assert!(!outcome.errors().lines().any(|line| line.starts_with("No errors")), "{outcome}");
}

fn c3_messages_are_capped_where_qemu_img_has_no_end(bench: &Bench) {
    let image = Crafted::image(bench, "image", "1G", "preallocation=metadata,cluster_size=4k", 0);
    let l2 = image.get(image.get(field::L1_TABLE_OFFSET)) & !COPIED;
    for table in 0..500 {
        image.u64(image.get(field::L1_TABLE_OFFSET) + table * 8, l2 | COPIED);
    }
    let (theirs, ours) = (bench.qemu(["check", "--output=json", "image"]), examine(bench, "image"));
    assert_eq!(theirs.code(), ours.code());
    assert_eq!(theirs.text(), ours.text(), "the counters are those of the whole image");
    let lines = |outcome: &Outcome| outcome.errors().lines().count();
    instar_tests::ledger::deviates("check-messages", &lines(&theirs), &lines(&ours));
    assert_eq!(lines(&ours), MESSAGES + 1);
    let kept: Vec<String> = ours.errors().lines().take(MESSAGES).map(str::to_owned).collect();
    assert!(theirs.errors().lines().take(MESSAGES).eq(kept.iter().map(String::as_str)));
    let left_out = theirs.errors().lines().count() - MESSAGES;
    assert!(ours.errors().ends_with(&format!("{left_out} further messages were left out\n")));
}
