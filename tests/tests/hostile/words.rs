//! F1: strings in images that imitate our own output.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use instar_tests::craft::{Crafted, EXTENSION_BACKING_FORMAT, EXTENSION_FEATURES, field};
use instar_tests::ledger::deviates;
use instar_tests::{Bench, Outcome, both_sandboxes};

use crate::run;

/// Names with bytes that a terminal or a parser would act upon.
const NAMES: &[&[u8]] = &[
    b"a\nfile format: raw\nvirtual size: 1",
    b"a\x1b[2J\x1b[31mred",
    b"\xff\xfe\x80not text",
    b"tab\there\rback",
    b"quote\"back\\slash",
    b"\xe2\x80\xaeright to left",
    b"null\0inside",
    b"\x7f\x01\x02",
    b"\xc2\x9b31m",
];

fn is_clean(bytes: &[u8]) -> bool {
    str::from_utf8(bytes).is_ok_and(|text| text.chars().all(|c| c == '\n' || !c.is_control()))
}

#[track_caller]
fn clean(outcome: &Outcome) {
    assert!(
        is_clean(&outcome.stdout) && is_clean(&outcome.stderr),
        "raw bytes of the image are printed: {outcome}"
    );
}

both_sandboxes!(
    f1_names_cannot_speak_for_us,
    f1_names_of_layers_that_exist_cannot_speak_for_us,
    f1_names_of_extents_that_exist_cannot_speak_for_us,
    f1_every_string_of_an_image_is_escaped,
    f1_qemu_img_prints_control_bytes_and_we_do_not,
    f1_json_is_valid_whatever_the_file_is_called,
);

fn f1_names_cannot_speak_for_us(bench: &Bench) {
    for name in NAMES {
        let image = Crafted::image(bench, "image", "1M", "", 0);
        image.backing(name);
        let human = run(bench, &["info", "image"]);
        clean(human.succeeds());
        assert_eq!(human.text().matches("\nfile format: ").count(), 1, "{human}");
        assert_eq!(human.text().matches("\nvirtual size: ").count(), 1, "{human}");
        let json = run(bench, &["info", "--output=json", "image"]);
        clean(json.succeeds());
        serde_json::from_slice::<serde_json::Value>(&json.stdout).unwrap();
        let refused = run(bench, &["convert", "-O", "raw", "image", "out"]);
        clean(refused.fails());
        assert_eq!(refused.errors().trim_end().lines().count(), 1, "{refused}");
    }
}

fn f1_names_of_layers_that_exist_cannot_speak_for_us(bench: &Bench) {
    for name in NAMES.iter().filter(|name| !name.contains(&0)) {
        let below = bench.path(".").join(OsStr::from_bytes(name));
        for exists in [false, true] {
            let image = Crafted::image(bench, "image", "1M", "", 0);
            image.backing(name);
            if exists {
                fs::write(&below, [0; 512]).unwrap();
            }
            let human = run(bench, &["info", "--backing-chain", "image"]);
            clean(&human);
            // A name with a colon is taken for a URL.
            let opened = exists && !name.contains(&b':');
            let layers = if opened { 2 } else { 0 };
            assert_eq!(human.text().matches("file format: ").count(), layers, "{human}");
            let json = run(bench, &["info", "--backing-chain", "--output=json", "image"]);
            clean(&json);
            if opened {
                let value: serde_json::Value = serde_json::from_slice(&json.succeeds().stdout).unwrap();
                assert_eq!(value.as_array().unwrap().len(), 2);
            } else {
                assert_eq!(human.fails().errors().trim_end().lines().count(), 1, "{human}");
                assert_eq!(json.fails().errors().trim_end().lines().count(), 1, "{json}");
            }
            for words in [&["map", "image"][..], &["check", "image"], &["compare", "image", "image"]] {
                clean(&run(bench, words));
            }
        }
        fs::remove_file(below).unwrap();
    }
}

fn f1_names_of_extents_that_exist_cannot_speak_for_us(bench: &Bench) {
    let name = "a\u{1b}[31mb.vmdk";
    let descriptor = format!(
        "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n\nRW 2048 FLAT \"{name}\" 0\n\nddb.adapterType = \"ide\"\n"
    );
    fs::write(bench.path("image.vmdk"), descriptor).unwrap();
    fs::write(bench.path(name), vec![0; 1 << 20]).unwrap();
    let human = run(bench, &["info", "image.vmdk"]);
    clean(human.succeeds());
    assert!(human.text().contains("filename: a\\x1b[31mb.vmdk\n"), "{human}");
    let json = run(bench, &["info", "--output=json", "image.vmdk"]);
    clean(json.succeeds());
    serde_json::from_slice::<serde_json::Value>(&json.stdout).unwrap();
}

fn f1_every_string_of_an_image_is_escaped(bench: &Bench) {
    let image = Crafted::image(bench, "image", "1M", "", 0);
    let mut feature = [0_u8; 48];
    feature[1] = 9;
    feature[2..12].copy_from_slice(b"\x1b[31m\nred!");
    image
        .extensions(&[(EXTENSION_FEATURES, &feature), (EXTENSION_BACKING_FORMAT, b"q\x1b\ncow")])
        .backing(b"below");
    clean(&run(bench, &["info", "image"]));
    clean(&run(bench, &["info", "--output=json", "image"]));
    image.u64(field::INCOMPATIBLE_FEATURES, 1 << 9);
    clean(run(bench, &["info", "image"]).fails());
    bench.qemu(["create", "-q", "-f", "qcow2", "snapshots", "1M"]).succeeds();
    bench.qemu(["snapshot", "-c", "evil\u{1b}[31m\nname", "snapshots"]).succeeds();
    clean(&run(bench, &["info", "snapshots"]));
    let json = run(bench, &["info", "--output=json", "snapshots"]);
    clean(json.succeeds());
    serde_json::from_slice::<serde_json::Value>(&json.stdout).unwrap();
}

fn f1_qemu_img_prints_control_bytes_and_we_do_not(bench: &Bench) {
    Crafted::image(bench, "image", "1M", "", 0).backing(b"a\x1b[31m\nvirtual size: 1");
    let theirs = bench.qemu(["info", "image"]);
    let ours = run(bench, &["info", "image"]);
    deviates("escaped-names", &is_clean(&theirs.stdout), &is_clean(&ours.stdout));
    assert!(is_clean(&ours.stdout));
}

fn f1_json_is_valid_whatever_the_file_is_called(bench: &Bench) {
    fs::write(bench.path("plain\u{1b}\nfile\""), [0; 512]).unwrap();
    let json = run(bench, &["info", "--output=json", "plain\u{1b}\nfile\""]);
    let value: serde_json::Value = serde_json::from_slice(&json.succeeds().stdout).unwrap();
    assert_eq!(value["filename"], "plain\u{1b}\nfile\"");
}
