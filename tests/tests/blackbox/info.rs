//! `info`: its output is that of the installed qemu-img, for people and as JSON.

use instar_tests::compare::agree;
use instar_tests::craft::Crafted;
use instar_tests::variant::{self, Variant};
use instar_tests::{Bench, Outcome, both_sandboxes, disk, reference};

/// Asks both programs about each variant.
fn all(bench: &Bench, variants: &[Variant]) {
    assert!(!variants.is_empty());
    for variant in variants {
        let bench = &Bench::new(bench.sandbox());
        variant.make(bench);
        for words in [
            ["info", "image"].as_slice(),
            &["info", "--output=json", "image"],
            &["info", "image", "--force-share", "--output", "json"],
            &["info", "-U", "--backing-chain", "image"],
            &["info", "--backing-chain", "--output=json", "image"],
        ] {
            agree(bench, words, variant.name);
        }
    }
}

both_sandboxes!(
    describes_every_layout,
    describes_every_kind_of_cluster,
    describes_chains,
    describes_images_in_every_state,
    describes_raw_files,
    describes_with_the_format_given,
    describes_files_named_in_every_way,
    rounds_sizes_as_qemu_img_does,
    info_fails_as_qemu_img_does,
    names_a_backing_file_without_opening_it,
    info_prints_json_that_can_be_parsed,
);

fn describes_every_layout(bench: &Bench) {
    all(bench, variant::LAYOUTS);
}

fn describes_every_kind_of_cluster(bench: &Bench) {
    all(bench, variant::CLUSTERS);
}

fn describes_chains(bench: &Bench) {
    all(bench, variant::CHAINS);
}

fn describes_images_in_every_state(bench: &Bench) {
    all(bench, variant::STATES);
}

fn describes_raw_files(bench: &Bench) {
    all(bench, variant::RAW);
}

fn describes_with_the_format_given(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    bench.qemu(["convert", "-O", "qcow2", "disk.raw", "image"]).succeeds();
    for words in [
        ["info", "-f", "qcow2", "image"].as_slice(),
        &["info", "image", "--output=json", "-f", "qcow2"],
        &["info", "-f", "raw", "--output=json", "image"],
        &["info", "-f", "raw", "image"],
    ] {
        agree(bench, words, "format given");
    }
}

fn describes_files_named_in_every_way(bench: &Bench) {
    disk::usual(&bench.path("a:b"));
    disk::usual(&bench.path("name with blanks"));
    let absolute = bench.path("name with blanks");
    for name in [
        "./a:b",
        "name with blanks",
        "./name with blanks",
        "file:name with blanks",
        absolute.to_str().unwrap(),
    ] {
        agree(bench, &["info", name], name);
        agree(bench, &["info", "--output=json", name], name);
    }
}

fn rounds_sizes_as_qemu_img_does(bench: &Bench) {
    for size in [
        "0", "512", "999424", "1000448", "1023488", "1M", "1049088", "1047552", "10485248", "999M", "1000M",
        "1023M", "1G", "1536M", "10G", "999G", "1T", "1500G", "8T", "100T", "1P",
    ] {
        bench.qemu(["create", "-q", "-f", "qcow2", "-o", "cluster_size=2M", "image", size]).succeeds();
        agree(bench, &["info", "image"], size);
    }
}

fn info_fails_as_qemu_img_does(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    for words in [
        ["info", "absent"].as_slice(),
        &["info"],
        &["info", "disk.raw", "disk.raw"],
        &["info", "-f", "qcow2", "disk.raw"],
        &["info", "-f", "nonsense", "disk.raw"],
        &["info", "--output=xml", "disk.raw"],
        &["info", "--nonsense", "disk.raw"],
        &["info", "nonsense:disk.raw"],
    ] {
        let theirs = bench.qemu(words);
        let ours = bench.instar(words);
        assert_eq!(theirs.code(), Some(1), "{theirs}");
        ours.fails();
        assert_eq!(theirs.message(), ours.message(), "{words:?}");
    }
}

fn names_a_backing_file_without_opening_it(bench: &Bench) {
    let image = Crafted::image(bench, "image", "1M", "", 0);
    image.backing(b"/nowhere/at/all.raw");
    agree(bench, &["info", "image"], "backing file that does not exist");
    agree(bench, &["info", "--output=json", "image"], "backing file that does not exist");
}

fn info_prints_json_that_can_be_parsed(bench: &Bench) {
    variant::CHAINS[0].make(bench);
    let mut command = bench.command(["info", "--output=json", "--backing-chain", "image"]);
    let outcome = Outcome::of(command.env(reference::VARIABLE, "10.0"));
    let value: serde_json::Value = serde_json::from_slice(&outcome.succeeds().stdout).unwrap();
    assert_eq!(value.as_array().map(Vec::len), Some(2));
    assert_eq!(value[0]["children"][0]["info"]["filename"], "image");
}
