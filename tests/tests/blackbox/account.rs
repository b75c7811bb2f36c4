//! Sound images that look expensive but are not: no verb may refuse them as attacks. The suite `hostile` has the hostile ones.

use std::fs;

use instar_tests::compare::{agree, qemu_info, same_bytes, same_outcome};
use instar_tests::craft::{COPIED, Crafted, field};
use instar_tests::variant::io;
use instar_tests::{Bench, both_sandboxes};

const CLUSTER: u64 = 65536;
const COMPRESSED: u64 = 1 << 62;
const L2: u64 = 0x00ff_ffff_ffff_fe00;

/// `map` and `measure` say what qemu-img says.
#[track_caller]
fn is_welcome(bench: &Bench, image: &str) {
    for words in [
        ["map", "--output=json", image].as_slice(),
        &["measure", "--output=json", "-O", "qcow2", image],
        &["measure", "-O", "raw", image],
    ] {
        same_outcome(bench, words, image);
    }
    // The reference has no answer here; ours walks through the map as a conversion does.
    bench.instar(["measure", "-O", "vdi", image]).succeeds();
    bench.instar(["measure", "-O", "qcow2", image]).succeeds();
}

#[track_caller]
fn is_safe(bench: &Bench, words: &[&str]) {
    let outcome = bench.instar(["info", "--safety"].iter().chain(words));
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    assert!(outcome.text().contains("verdict: safe"), "{outcome}");
}

/// A qcow2 of `clusters` clusters of bytes 0xff, each a stream of its own, packed one after the other as qemu-img packs them.
fn monotonous(bench: &Bench, method: &str, clusters: u64) {
    fs::write(bench.path("ff"), vec![0xff; 65536]).unwrap();
    let option = format!("compression_type={method}");
    let size = (clusters * CLUSTER).to_string();
    bench.qemu(["create", "-q", "-f", "qcow2", "-o", &option, "image", &size]).succeeds();
    io(bench, "image", &["write -c -s ff 0 64k", "write -c -s ff 64k 64k"]);
    let image = Crafted::open(&bench.path("image"));
    let l1 = image.get(field::L1_TABLE_OFFSET);
    let l2 = image.get(l1) & L2;
    let place = |entry: u64| entry & ((1 << 54) - 1);
    let first = place(image.get(l2));
    // Where the second begins the first has ended.
    let length = place(image.get(l2 + 8)) - first;
    assert!((8..256).contains(&length), "{length} bytes");
    let stream = {
        let bytes = fs::read(bench.path("image")).unwrap();
        let start = usize::try_from(first).unwrap();
        bytes[start..start + usize::try_from(length).unwrap()].to_vec()
    };
    let tables = image.end().next_multiple_of(CLUSTER);
    let count = clusters.div_ceil(8192);
    let data = tables + count * CLUSTER;
    let streams: Vec<u8> =
        stream.iter().copied().cycle().take(stream.len() * usize::try_from(clusters).unwrap()).collect();
    let entries = (0..clusters).map(|number| {
        let start = data + number * length;
        let more = (start + length - 1) / 512 - start / 512;
        COMPRESSED | (more << 54) | start
    });
    let table: Vec<u8> = entries.flat_map(u64::to_be_bytes).collect();
    image.bytes(tables, &table).bytes(data, &streams);
    for number in 0..count {
        image.u64(l1 + number * 8, (tables + number * CLUSTER) | COPIED);
    }
    image.length(image.end().next_multiple_of(CLUSTER));
}

both_sandboxes!(
    empty_vhdx_images_of_any_size_are_mapped_and_measured,
    an_overlay_above_a_large_empty_vhdx_is_mapped_and_measured,
    gigabytes_of_one_byte_in_a_few_megabytes_are_not_an_attack,
    monotonous_streams_are_read_as_qemu_img_reads_them,
    erased_flash_that_qemu_img_compressed_is_safe,
    a_terabyte_of_preallocated_tables_is_not_an_attack,
    clusters_in_holes_between_others_cost_what_they_store,
    a_refcount_table_beyond_the_end_of_any_file_does_not_matter_to_map_and_measure,
    a_raw_image_larger_than_any_file_is_refused_as_by_qemu_img,
);

fn empty_vhdx_images_of_any_size_are_mapped_and_measured(bench: &Bench) {
    for size in ["100M", "10G", "1T", "63T"] {
        bench.qemu(["create", "-q", "-f", "vhdx", "image", size]).succeeds();
        is_welcome(bench, "image");
        fs::remove_file(bench.path("image")).unwrap();
    }
    for (format, size) in [("qcow2", "1T"), ("vmdk", "1T"), ("vpc", "1T"), ("vdi", "1T")] {
        bench.qemu(["create", "-q", "-f", format, "image", size]).succeeds();
        is_welcome(bench, "image");
        fs::remove_file(bench.path("image")).unwrap();
    }
}

fn an_overlay_above_a_large_empty_vhdx_is_mapped_and_measured(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "vhdx", "base", "1T"]).succeeds();
    bench.qemu(["create", "-q", "-f", "qcow2", "-b", "base", "-F", "vhdx", "top"]).succeeds();
    io(bench, "top", &["write -P 7 1M 64k", "write -P 8 900G 1M"]);
    is_welcome(bench, "top");
    agree(bench, &["compare", "top", "base"], "an overlay");
}

fn gigabytes_of_one_byte_in_a_few_megabytes_are_not_an_attack(bench: &Bench) {
    // 16 GiB, as erased flash reads: zstd makes 17 bytes of 64 KiB, zlib some 80.
    for method in ["zstd", "zlib"] {
        monotonous(bench, method, 1 << 18);
        assert!(bench.path("image").metadata().unwrap().len() < 32 << 20);
        is_welcome(bench, "image");
        is_safe(bench, &["image"]);
        bench.qemu(["create", "-q", "-f", "qcow2", "-b", "image", "-F", "qcow2", "top"]).succeeds();
        io(bench, "top", &["write -P 7 1M 64k"]);
        is_welcome(bench, "top");
        fs::remove_file(bench.path("image")).unwrap();
    }
}

fn monotonous_streams_are_read_as_qemu_img_reads_them(bench: &Bench) {
    for method in ["zstd", "zlib"] {
        monotonous(bench, method, 1 << 10);
        bench.qemu(["convert", "-O", "raw", "image", "theirs"]).succeeds();
        bench.instar(["convert", "-O", "raw", "image", "ours"]).succeeds();
        same_bytes(bench, "theirs", "ours", method);
    }
}

fn erased_flash_that_qemu_img_compressed_is_safe(bench: &Bench) {
    fs::write(bench.path("disk.raw"), vec![0xff; 96 << 20]).unwrap();
    for method in ["zstd", "zlib"] {
        let option = format!("compression_type={method}");
        bench
            .qemu(["convert", "-f", "raw", "-O", "qcow2", "-c", "-o", &option, "disk.raw", "image"])
            .succeeds();
        is_safe(bench, &["image"]);
        is_welcome(bench, "image");
    }
    bench
        .qemu([
            "convert",
            "-f",
            "raw",
            "-O",
            "vmdk",
            "-o",
            "subformat=streamOptimized",
            "disk.raw",
            "image.vmdk",
        ])
        .succeeds();
    is_safe(bench, &["image.vmdk"]);
    bench.instar(["measure", "-O", "vdi", "image.vmdk"]).succeeds();
}

fn a_terabyte_of_preallocated_tables_is_not_an_attack(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "qcow2", "-o", "preallocation=metadata", "image", "1T"]).succeeds();
    is_welcome(bench, "image");
    bench.instar(["convert", "-O", "raw", "image", "out"]).succeeds();
    assert!(instar_tests::compare::allocated(&bench.path("out")) < 1 << 20);
    bench.instar(["checksum", "image"]).succeeds();
    is_safe(bench, &["image"]);
}

fn clusters_in_holes_between_others_cost_what_they_store(bench: &Bench) {
    // Tables made in advance of which every eighth entry was given up: runs too short for a question each, all in one hole.
    bench.qemu(["create", "-q", "-f", "qcow2", "-o", "preallocation=metadata", "image", "4G"]).succeeds();
    let image = Crafted::open(&bench.path("image"));
    let l1 = image.get(field::L1_TABLE_OFFSET);
    for table in 0..8 {
        let l2 = image.get(l1 + table * 8) & L2;
        for entry in (0..8192).step_by(8) {
            image.u64(l2 + entry * 8, 0);
        }
    }
    drop(image);
    is_welcome(bench, "image");
    agree(bench, &["compare", "image", "image"], "clusters in holes");
    bench.instar(["checksum", "image"]).succeeds();
    bench.instar(["convert", "-O", "raw", "image", "out"]).succeeds();
    assert_eq!(qemu_info(bench, "out")["virtual-size"], 4_u64 << 30);
    agree(bench, &["compare", "image", "out"], "clusters in holes");
}

fn a_refcount_table_beyond_the_end_of_any_file_does_not_matter_to_map_and_measure(bench: &Bench) {
    for entry in [1_u64 << 63, u64::MAX << 9, (1 << 63) - 512] {
        let image = Crafted::image(bench, "image", "4M", "", 3 * CLUSTER);
        let table = image.get(field::REFCOUNT_TABLE_OFFSET);
        image.u64(table + 8, entry);
        for words in [
            ["map", "--output=json", "image"].as_slice(),
            &["measure", "-O", "qcow2", "image"],
            &["map", "image"],
        ] {
            same_outcome(bench, words, "a refcount table");
        }
    }
}

fn a_raw_image_larger_than_any_file_is_refused_as_by_qemu_img(bench: &Bench) {
    for size in ["9223372036854775807", "9223372036854775297", "8E"] {
        let theirs = bench.qemu(["create", "-q", "-f", "raw", "x", size]);
        let _ = fs::remove_file(bench.path("x"));
        let ours = bench.instar(["create", "-q", "-f", "raw", "x", size]);
        assert_eq!((ours.code(), ours.message()), (theirs.code(), theirs.message()), "{size}");
    }
}
