//! C2, C3, C4, C5, F1 for the verbs that only read: `map`, `compare`, `snapshot -l`, `info --safety`, `bench`; and for those that change
//! images.

use std::fs;
use std::time::Duration;

use instar_tests::craft::{COPIED, Crafted, field};
use instar_tests::{Bench, Outcome, both_sandboxes};

use crate::changes::changed;

const CLUSTER: u64 = 65536;
/// What a table may at most be told for: its file has less than 2 MiB.
const OUTPUT: usize = 64 << 20;

/// Every verb that looks at `image` ends in time, and what programs read of it is valid.
fn looked_at(bench: &Bench, image: &str) {
    for words in [
        ["map", image].as_slice(),
        &["map", "--output=json", image],
        &["compare", image, image],
        &["compare", "-s", image, "plain"],
        &["compare", "plain", image],
        &["snapshot", "-l", image],
        &["info", "--safety", image],
        &["info", "--safety", "--output=json", image],
        &["bench", "-c", "2000", image],
        &["bench", "-c", "200", "-s", "1M", "-S", "1G", image],
        &["bench", "-w", "-c", "200", "-s", "5000", "-S", "70000", "written"],
    ] {
        fs::copy(bench.path(image), bench.path("written")).unwrap();
        let mut command = bench.command_under(&["prlimit", "--as=268435456", "--core=0"], words);
        let outcome = Outcome::of(&mut command);
        outcome.is_civil().within(Duration::from_secs(20));
        assert!(outcome.stderr.len() < 8192, "{words:?}: too many words");
        assert!(outcome.stdout.len() < OUTPUT, "{words:?}: too much output");
        let json = words.contains(&"--output=json") && !outcome.stdout.is_empty();
        if json && let Err(error) = serde_json::from_slice::<serde_json::Value>(&outcome.stdout) {
            panic!("{words:?}: {error}");
        }
    }
    changed(bench, image);
}

fn plain(bench: &Bench) {
    fs::File::create(bench.path("plain")).unwrap().set_len(1 << 30).unwrap();
}

/// All L1 entries share one L2 table, whose entries come from `entry`.
fn shared_table(bench: &Bench, options: &str, entries: u32, entry: impl Fn(u64, u64) -> u64) {
    let image = Crafted::image(bench, "image", "4M", options, CLUSTER);
    let l1 = image.end().next_multiple_of(CLUSTER);
    let l2 = image.get(image.get(field::L1_TABLE_OFFSET)) & 0x00ff_ffff_ffff_fe00;
    let data = image.get(l2) & 0x00ff_ffff_ffff_fe00;
    for index in 0..u64::from(entries) {
        image.u64(l1 + index * 8, l2 | COPIED);
    }
    for index in 0..8192 {
        image.u64(l2 + index * 8, entry(index, data));
    }
    let bits = if options.is_empty() { 29 } else { 28 };
    image
        .u64(field::L1_TABLE_OFFSET, l1)
        .u32(field::L1_SIZE, entries)
        .u64(field::SIZE, u64::from(entries) << bits);
    assert!(image.end() < 2 << 20, "the file is small");
}

both_sandboxes!(
    c2_tables_that_claim_to_be_huge,
    c3_one_table_of_data_for_all,
    c3_one_table_of_zeros_and_nothing_in_turn,
    c3_one_table_of_nothing,
    c3_one_table_of_subclusters_in_turn,
    c4_one_compressed_cluster_for_all,
    c5_loops_and_chains_without_end,
    f1_a_name_with_control_characters_cannot_forge_a_line,
    a_map_that_fails_half_way_is_valid_and_says_so,
);

fn c2_tables_that_claim_to_be_huge(bench: &Bench) {
    plain(bench);
    for (offset, value) in
        [(field::L1_SIZE, 4 << 20), (field::REFCOUNT_TABLE_CLUSTERS, 128), (field::NB_SNAPSHOTS, 65_535)]
    {
        let image = Crafted::image(bench, "image", "4M", "", CLUSTER);
        image.u32(offset, value).u64(field::SIZE, 1 << 51).u64(field::SNAPSHOTS_OFFSET, 5 * CLUSTER);
        looked_at(bench, "image");
    }
}

fn c3_one_table_of_data_for_all(bench: &Bench) {
    plain(bench);
    shared_table(bench, "", 131_072, |_, data| data | COPIED);
    looked_at(bench, "image");
}

fn c3_one_table_of_zeros_and_nothing_in_turn(bench: &Bench) {
    plain(bench);
    shared_table(bench, "", 131_072, |index, _| index & 1);
    looked_at(bench, "image");
}

fn c3_one_table_of_nothing(bench: &Bench) {
    plain(bench);
    shared_table(bench, "", 131_072, |_, _| 0);
    looked_at(bench, "image");
}

fn c3_one_table_of_subclusters_in_turn(bench: &Bench) {
    plain(bench);
    shared_table(
        bench,
        "extended_l2=on",
        131_072,
        |index, _| {
            if index & 1 == 0 { 0 } else { 0x5555_5555_0000_0000 }
        },
    );
    looked_at(bench, "image");
}

fn c4_one_compressed_cluster_for_all(bench: &Bench) {
    plain(bench);
    bench.qemu(["create", "-q", "-f", "qcow2", "image", "256G"]).succeeds();
    fs::write(bench.path("piece"), vec![b'A'; 65536]).unwrap();
    instar_tests::variant::io(bench, "image", &["write -c -s piece 0 64k"]);
    let image = Crafted::open(&bench.path("image"));
    let l2 = image.get(image.get(field::L1_TABLE_OFFSET)) & 0x00ff_ffff_ffff_fe00;
    let packed = image.get(l2);
    for entry in 0..8192 {
        image.u64(l2 + entry * 8, packed);
    }
    looked_at(bench, "image");
    let outcome = bench.instar(["info", "--safety", "image"]);
    assert!(outcome.text().contains("amplification: unsafe"), "{outcome}");
}

fn c5_loops_and_chains_without_end(bench: &Bench) {
    plain(bench);
    for (name, below) in [("image", "two"), ("two", "image")] {
        Crafted::image(bench, name, "1M", "", 0).backing(below.as_bytes());
    }
    looked_at(bench, "image");
    bench.instar(["map", "image"]).fails_with("infinite loop");
    let outcome = bench.instar(["compare", "image", "plain"]);
    assert_eq!(outcome.code(), Some(2), "{outcome}");
    assert!(outcome.errors().contains("infinite loop"), "{outcome}");
    Crafted::image(bench, "layer0", "1M", "", 4096);
    for number in 1..=300 {
        let name = format!("layer{number}");
        fs::copy(bench.path("layer0"), bench.path(&name)).unwrap();
        Crafted::open(&bench.path(&name)).backing(format!("layer{}", number - 1).as_bytes());
    }
    bench.instar(["map", "layer300"]).fails_with("--max-chain");
    looked_at(bench, "layer300");
}

fn f1_a_name_with_control_characters_cannot_forge_a_line(bench: &Bench) {
    let name = b"a\n0               0x10000\x1b[2J";
    fs::write(bench.path(str::from_utf8(name).unwrap()), vec![7; 65536]).unwrap();
    Crafted::image(bench, "image", "1M", "", 0).backing(name);
    let outcome = bench.instar(["map", "image"]);
    assert_eq!(outcome.succeeds().text().lines().count(), 2, "{outcome}");
    assert!(!outcome.stdout.contains(&0x1b));
}

fn a_map_that_fails_half_way_is_valid_and_says_so(bench: &Bench) {
    let image = Crafted::image(bench, "image", "1M", "", 4 * CLUSTER);
    let l2 = image.get(image.get(field::L1_TABLE_OFFSET)) & 0x00ff_ffff_ffff_fe00;
    image.u64(l2 + 16, COPIED | 0x600);
    let ours = bench.instar(["map", "--output=json", "image"]);
    ours.fails_with("Could not read image metadata");
    let value: serde_json::Value = serde_json::from_slice(&ours.stdout).unwrap();
    assert_eq!(value.as_array().map(Vec::len), Some(1), "{ours}");
    let theirs = bench.qemu(["map", "--output=json", "image"]);
    assert_eq!(theirs.code(), Some(1));
    instar_tests::ledger::deviates("map-json-is-whole", &theirs.text(), &ours.text());
}
