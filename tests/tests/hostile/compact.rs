//! `compact` on images that would have it do more than they hold, or write where it must not.

use std::fs;
use std::time::Duration;

use instar_tests::craft::{Crafted, field};
use instar_tests::{Bench, both_sandboxes};

both_sandboxes!(
    c3_one_compressed_cluster_for_everything_is_not_decoded_for_ever,
    c2_tables_in_the_place_of_other_things_are_not_written_to,
);

/// What a run may take, on a busy machine and without optimisation. To decode everything would be minutes.
const BOUND: Duration = Duration::from_secs(30);

fn c3_one_compressed_cluster_for_everything_is_not_decoded_for_ever(bench: &Bench) {
    let options = "cluster_size=2M,refcount_bits=64";
    let words = ["create", "-q", "-f", "qcow2", "-o", options, "image", "512G"];
    bench.qemu(words).succeeds();
    let io = ["-f", "qcow2", "-c", "write -c -P 7 0 2M", "image"];
    bench.qemu_io(io).succeeds();
    let image = Crafted::open(&bench.path("image"));
    let l2 = image.get(image.get(field::L1_TABLE_OFFSET)) & 0x00ff_ffff_ffff_fe00;
    let entry = image.get(l2);
    assert!(entry >> 62 & 1 == 1, "{entry:x} is not compressed");
    let entries = (2_u64 << 20) / 8;
    let all: Vec<u8> = (0..entries).flat_map(|_| entry.to_be_bytes()).collect();
    image.bytes(l2, &all);
    let block = image.get(image.get(field::REFCOUNT_TABLE_OFFSET));
    let cluster = (entry & ((1 << 49) - 1)) >> 21;
    image.u64(block + cluster * 8, entries);
    bench.qemu(["check", "image"]).succeeds();
    for words in [&["compact", "image"][..], &["compact", "--trim", "image"]] {
        bench.instar(words).is_civil().within(BOUND);
        bench.qemu(["check", "image"]).succeeds();
    }
}

fn c2_tables_in_the_place_of_other_things_are_not_written_to(bench: &Bench) {
    // What each L1, L2 or snapshot entry is made to lead to, and a count that agrees with it.
    for (what, target) in [
        ("the header", 0),
        ("the refcount table", 1),
        ("a refcount block", 2),
        ("the L1 table", 3),
        ("an L2 table", 4),
    ] {
        let image = Crafted::image(bench, "image", "1M", "", 200_000);
        let l1 = image.get(field::L1_TABLE_OFFSET);
        let l2 = image.get(l1) & 0x00ff_ffff_ffff_fe00;
        let table = image.get(field::REFCOUNT_TABLE_OFFSET);
        let block = image.get(table);
        let place = [0, table, block, l1, l2][target];
        if place == 0 {
            // An entry cannot say so: a compressed cluster can.
            image.u64(l2 + 7 * 8, 1 << 62 | 600);
        } else {
            image.u64(l2 + 7 * 8, place);
        }
        let at = block + (place >> 16) * 2;
        let shift = 48 - (at & 7) * 8;
        let counts = image.get(at & !7) & !(0xffff << shift) | 2 << shift;
        image.u64(at & !7, counts);
        if place == l2 {
            image.u64(l1, l2);
        }
        let before = fs::read(bench.path("image")).unwrap();
        let outcome = bench.instar(["compact", "image"]);
        outcome.is_civil();
        assert_eq!(outcome.code(), Some(1), "{what}: {outcome}");
        assert!(fs::read(bench.path("image")).unwrap() == before, "{what} was written to");
    }
}
