//! Images that are hostile to the verbs that change images: refused in words, or changed into an image, within bounds of time and memory.

use std::fs;

use instar_tests::craft::{COPIED, Crafted, field};
use instar_tests::variant::io;
use instar_tests::{Bench, both_sandboxes};

use crate::changes::changed;
use crate::check::of_one_refcount_block;

const CLUSTER: u64 = 65536;

/// An image of 64 MiB with three bitmaps, and the offset of their directory.
fn with_bitmaps(bench: &Bench) -> (Crafted, u64) {
    let image = Crafted::image(bench, "image", "64M", "", 3 * CLUSTER);
    for name in ["one", "two", "three"] {
        bench.qemu(["bitmap", "--add", "image", name]).succeeds();
    }
    io(bench, "image", &["write 1M 1M"]);
    let bytes = fs::read(bench.path("image")).unwrap();
    let magic = 0x2385_2875_u32.to_be_bytes();
    let found = bytes[..4096].windows(4).position(|word| word == magic).unwrap() as u64;
    let directory = image.get(found + 24);
    (image, directory)
}

both_sandboxes!(
    c2_tables_of_bitmaps_that_are_very_long,
    c2_tables_of_bitmaps_that_lead_to_everything_else,
    c2_very_many_bitmaps_with_one_table,
    c2_a_refcount_table_whose_blocks_are_all_one,
    c2_a_refcount_table_with_its_only_block_at_its_end,
    c2_snapshots_whose_tables_are_all_the_same_and_large,
    c4_a_header_that_fills_its_cluster,
);

fn c2_tables_of_bitmaps_that_are_very_long(bench: &Bench) {
    let (image, directory) = with_bitmaps(bench);
    for entries in [8192, 0x0800_0000] {
        for entry in 0..3 {
            image.u32(directory + entry * 32 + 8, entries);
        }
        image.length(1 << 40);
        changed(bench, "image");
    }
}

fn c2_tables_of_bitmaps_that_lead_to_everything_else(bench: &Bench) {
    let (image, directory) = with_bitmaps(bench);
    let table = image.get(directory);
    for place in [1, 0, CLUSTER, 2 * CLUSTER, 3 * CLUSTER, 3, 1 << 56, 1 << 63, u64::MAX, table] {
        image.u64(table, place);
        changed(bench, "image");
    }
    // And the tables are other tables.
    image.u64(table, 0);
    for place in [CLUSTER, 2 * CLUSTER, 3 * CLUSTER, directory, 1 << 40, 1 << 62] {
        image.u64(directory, place);
        changed(bench, "image");
    }
}

fn c2_very_many_bitmaps_with_one_table(bench: &Bench) {
    let (image, directory) = with_bitmaps(bench);
    let head = fs::read(bench.path("image")).unwrap()[..4096].to_vec();
    let found = head.windows(4).position(|word| word == 0x2385_2875_u32.to_be_bytes()).unwrap() as u64;
    let moved = image.end().next_multiple_of(CLUSTER);
    let (table, tail) = (image.get(directory), image.get(directory + 16));
    let mut entries = Vec::new();
    for number in 0..65535_u32 {
        entries.extend_from_slice(&table.to_be_bytes());
        entries.extend_from_slice(&[0, 0, 0x20, 0, 0, 0, 0, 2]);
        let name_size = 5_u64 << 32;
        let kinds = tail & 0xffff_0000_0000_0000;
        entries.extend_from_slice(&(kinds | name_size).to_be_bytes());
        entries.extend_from_slice(format!("{number:05}").as_bytes());
        entries.extend_from_slice(&[0; 3]);
    }
    image.bytes(moved, &entries);
    image.u32(found + 8, 65535).u64(found + 16, entries.len() as u64).u64(found + 24, moved);
    changed(bench, "image");
}

fn c2_a_refcount_table_whose_blocks_are_all_one(bench: &Bench) {
    of_one_refcount_block(bench);
    changed(bench, "image");
}

fn c2_a_refcount_table_with_its_only_block_at_its_end(bench: &Bench) {
    let image = Crafted::image(bench, "image", "4M", "", 3 * CLUSTER);
    let table = image.get(field::REFCOUNT_TABLE_OFFSET);
    let block = image.get(table);
    let moved = image.end().next_multiple_of(CLUSTER);
    image.u64(moved, block).u64(moved + (8 << 20) - 8, block);
    image.u64(field::REFCOUNT_TABLE_OFFSET, moved).u32(field::REFCOUNT_TABLE_CLUSTERS, 128);
    changed(bench, "image");
}

fn c2_snapshots_whose_tables_are_all_the_same_and_large(bench: &Bench) {
    let image = Crafted::image(bench, "image", "4M", "", 3 * CLUSTER);
    io(bench, "image", &["write -z 1M 1M"]);
    let moved = image.end().next_multiple_of(CLUSTER);
    let l1 = moved + (4 << 20);
    let l2 = image.get(image.get(field::L1_TABLE_OFFSET)) & !COPIED;
    let mut entries = Vec::new();
    for _ in 0..65536_u32 {
        entries.extend_from_slice(&l1.to_be_bytes());
        entries.extend_from_slice(&(4_u32 << 20).to_be_bytes());
        entries.extend_from_slice(&[0; 28]);
    }
    image.bytes(moved, &entries).u64(l1, l2).u64(l1 + 8, l2 | COPIED);
    image.u32(field::NB_SNAPSHOTS, 65536).u64(field::SNAPSHOTS_OFFSET, moved);
    image.length(1 << 40);
    changed(bench, "image");
}

fn c4_a_header_that_fills_its_cluster(bench: &Bench) {
    for (name, length) in [("2M", (2 << 20) - 512), ("4k", 3500), ("64k", 65000)] {
        bench
            .qemu(["create", "-q", "-f", "qcow2", "-o", &format!("cluster_size={name}"), "image", "4M"])
            .succeeds();
        let image = Crafted::open(&bench.path("image"));
        image.extensions(&[(0x1234_5678, &vec![7; length])]);
        changed(bench, "image");
    }
}
