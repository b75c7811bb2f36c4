//! `map`: its output is that of the installed qemu-img, byte for byte on both streams.

use std::fs::File;
use std::time::Duration;

use instar_tests::compare::same_outcome;
use instar_tests::craft::Crafted;
use instar_tests::holder::Holder;
use instar_tests::variant::{self, Variant, io};
use instar_tests::{Bench, Outcome, both_sandboxes, disk};

/// Ways to ask for a map.
const QUESTIONS: &[&[&str]] = &[
    &["map", "image"],
    &["map", "--output=json", "image"],
    &["map", "image", "--output", "json", "-s", "70001", "-l", "3000000"],
    &["map", "--start-offset=1M", "image", "--max-length=1M"],
    &["map", "-s", "1T", "--output=json", "image"],
    &["map", "-U", "-l", "0", "--output=json", "image"],
];

/// Asks both programs about each variant; gives the number of answers compared.
fn all(bench: &Bench, variants: &[Variant]) {
    assert!(!variants.is_empty());
    let mut compared = 0;
    for variant in variants {
        let bench = &Bench::new(bench.sandbox());
        variant.make(bench);
        for words in QUESTIONS {
            same_outcome(bench, words, variant.name);
            compared += 1;
        }
    }
    eprintln!("{compared} maps compared");
}

/// Images whose tables were made before their data, in part written since.
const PREALLOCATED: &[(&str, &str, &str)] = &[
    ("metadata", "preallocation=metadata", "100M"),
    ("metadata, clusters of 512", "preallocation=metadata,cluster_size=512", "3M"),
    ("metadata, clusters of 2M", "preallocation=metadata,cluster_size=2M", "1G"),
    ("metadata, subclusters", "preallocation=metadata,extended_l2=on", "64M"),
    ("metadata, refcounts of 1 bit", "preallocation=metadata,refcount_bits=1", "64M"),
    ("metadata, refcounts of 64 bits", "preallocation=metadata,refcount_bits=64", "64M"),
    ("metadata, version 2", "preallocation=metadata,compat=0.10", "64M"),
    ("metadata, an odd size", "preallocation=metadata", "1300992"),
    ("falloc", "preallocation=falloc", "32M"),
    ("full", "preallocation=full", "4M"),
    ("metadata, data file", "preallocation=metadata,data_file=data", "16M"),
    ("raw data file", "data_file_raw=on,data_file=data", "16M"),
];

both_sandboxes!(
    maps_every_layout,
    maps_every_kind_of_cluster,
    maps_chains,
    maps_images_in_every_state,
    maps_raw_files,
    maps_foreign_formats,
    maps_tables_made_in_advance,
    maps_a_chain_of_four_with_every_kind_of_layer,
    names_files_as_they_are_reached,
    a_million_answers_are_printed_as_they_come,
    a_terabyte_of_nothing_is_mapped_at_once,
    reads_a_raw_image_while_another_writes_to_it,
);

fn maps_every_layout(bench: &Bench) {
    all(bench, variant::LAYOUTS);
}

fn maps_every_kind_of_cluster(bench: &Bench) {
    all(bench, variant::CLUSTERS);
}

fn maps_chains(bench: &Bench) {
    all(bench, variant::CHAINS);
}

fn maps_images_in_every_state(bench: &Bench) {
    all(bench, variant::STATES);
}

fn maps_raw_files(bench: &Bench) {
    all(bench, variant::RAW);
}

fn maps_foreign_formats(bench: &Bench) {
    all(bench, variant::FOREIGN);
    all(bench, variant::READ_ONLY);
}

fn maps_tables_made_in_advance(bench: &Bench) {
    for (what, options, size) in PREALLOCATED {
        let bench = &Bench::new(bench.sandbox());
        bench.qemu(["create", "-q", "-f", "qcow2", "-o", options, "image", size]).succeeds();
        for words in [["map", "image"].as_slice(), &["map", "--output=json", "image"]] {
            same_outcome(bench, words, what);
        }
        io(bench, "image", &["write 64k 3k", "write -z 300k 64k", "write 1M 100k", "discard 128k 64k"]);
        for words in QUESTIONS {
            same_outcome(bench, words, what);
        }
    }
}

fn maps_a_chain_of_four_with_every_kind_of_layer(bench: &Bench) {
    disk::usual(&bench.path("base.raw"));
    for (name, options, below, format, size, writes) in [
        ("one", "cluster_size=64k", "base.raw", "raw", "5M", "write 100k 100k"),
        ("two", "extended_l2=on", "one", "qcow2", "3M", "write 2k 2k"),
        ("three", "cluster_size=4k", "two", "qcow2", "6M", "write -z 12k 4k"),
        ("image", "preallocation=metadata,extended_l2=on", "three", "qcow2", "8M", "write 33k 4k"),
    ] {
        bench
            .qemu(["create", "-q", "-f", "qcow2", "-o", options, "-b", below, "-F", format, name, size])
            .succeeds();
        io(bench, name, &[writes, "write -z 1M 200k", "write 2M 5k"]);
    }
    for image in ["one", "two", "three", "image"] {
        for words in [
            ["map", image].as_slice(),
            &["map", "--output=json", image],
            &["map", "-s", "2M", "-l", "7000", image],
        ] {
            same_outcome(bench, words, image);
        }
    }
}

fn names_files_as_they_are_reached(bench: &Bench) {
    std::fs::create_dir(bench.path("sub")).unwrap();
    disk::usual(&bench.path("disk.raw"));
    disk::usual(&bench.path("a:b"));
    bench.qemu(["convert", "-O", "qcow2", "disk.raw", "sub/base"]).succeeds();
    bench.qemu(["create", "-q", "-f", "qcow2", "-b", "./base", "-F", "qcow2", "sub/top"]).succeeds();
    bench
        .qemu(["convert", "-O", "qcow2", "-o", "data_file=sub/data", "disk.raw", "sub/external"])
        .succeeds();
    bench
        .qemu(["convert", "-O", "vmdk", "-o", "subformat=twoGbMaxExtentFlat", "disk.raw", "sub/split.vmdk"])
        .succeeds();
    let absolute = bench.path("sub/top");
    for name in
        ["./a:b", "file:a:b", "sub/top", "./sub/../sub/top", absolute.to_str().unwrap(), "sub/split.vmdk"]
    {
        same_outcome(bench, &["map", name], name);
    }
    for words in [
        ["map", "--image-opts", "driver=qcow2,file.filename=sub/top"].as_slice(),
        &["map", r#"json:{"driver":"qcow2","file":{"driver":"file","filename":"sub/top"}}"#],
        &["map", "-f", "raw", "sub/top"],
        &["map", "-f", "file", "sub/top"],
        &["map", "-f", "raw", "--output=json", "sub/split.vmdk"],
    ] {
        same_outcome(bench, words, "ways to name a file");
    }
}

fn a_million_answers_are_printed_as_they_come(bench: &Bench) {
    // Every cluster's neighbour stands elsewhere: no two can be told together.
    bench.qemu(["create", "-q", "-f", "qcow2", "-o", "preallocation=metadata", "image", "16G"]).succeeds();
    let image = Crafted::open(&bench.path("image"));
    let l1 = image.get(40);
    for table in 0..32 {
        let l2 = image.get(l1 + table * 8) & 0x00ff_ffff_ffff_fe00;
        let mut entries: Vec<u64> = (0..8192).map(|index| image.get(l2 + index * 8)).collect();
        entries.reverse();
        let bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.to_be_bytes()).collect();
        image.bytes(l2, &bytes);
    }
    let theirs = bench.qemu(["map", "--output=json", "image"]);
    let mut command = bench.command_under(&["prlimit", "--as=268435456"], ["map", "--output=json", "image"]);
    let ours = Outcome::of(&mut command);
    ours.succeeds().within(Duration::from_secs(30));
    assert!(theirs.stdout == ours.stdout, "the maps differ");
    assert!(ours.text().lines().count() > 250_000);
    same_outcome(bench, &["map", "image"], "a fragmented image");
}

fn a_terabyte_of_nothing_is_mapped_at_once(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "qcow2", "image", "64T"]).succeeds();
    File::create(bench.path("raw")).unwrap().set_len(1 << 40).unwrap();
    for image in ["image", "raw"] {
        for words in [["map", image].as_slice(), &["map", "--output=json", image]] {
            same_outcome(bench, words, image).within(Duration::from_secs(5));
        }
    }
}

fn reads_a_raw_image_while_another_writes_to_it(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    bench.qemu(["convert", "-O", "qcow2", "disk.raw", "image"]).succeeds();
    for (name, format) in [("disk.raw", "raw"), ("image", "qcow2")] {
        let holder = Holder::of(bench, format, name);
        for words in [
            ["map", name].as_slice(),
            &["map", "-f", "raw", name],
            &["info", name],
            &["info", "-f", "raw", name],
            &["info", "-U", name],
            &["info", "--backing-chain", name],
            &["snapshot", "-l", name],
            &["snapshot", "-U", "-l", name],
            &["compare", name, name],
            &["compare", "-U", name, name],
            &["measure", "-O", "qcow2", name],
            &["measure", "-O", "raw", "-f", format, name],
            &["check", "-f", format, name],
            &["check", "-U", name],
        ] {
            same_outcome(bench, words, "in use");
        }
        bench.qemu(["create", "-q", "-u", "-f", "qcow2", "-b", name, "-F", format, "over", "8M"]).succeeds();
        for words in [
            ["map", "over"].as_slice(),
            &["check", "over"],
            &["measure", "-O", "raw", "over"],
            &["measure", "-O", "qcow2", "over"],
            &["info", "--backing-chain", "over"],
            &["compare", "over", "over"],
        ] {
            let (theirs, ours) = (bench.qemu(words), bench.instar(words));
            assert_eq!(theirs.code(), ours.code(), "{words:?} over {name} in use: {ours}");
            assert_eq!(theirs.text(), ours.text(), "{words:?} over {name} in use");
        }
        drop(holder);
        same_outcome(bench, &["map", name], "no longer in use");
    }
}
