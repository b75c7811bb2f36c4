//! `snapshot`: lists, changes and messages are those of the installed qemu-img.

use instar_tests::compare::{checks_clean, qemu_info, same_bytes, same_outcome};
use instar_tests::holder::Holder;
use instar_tests::ledger::{deviates, skip};
use instar_tests::reference::lacks_option;
use instar_tests::variant;
use instar_tests::{Bench, both_sandboxes, disk};

both_sandboxes!(
    a_snapshot_without_a_count_of_instructions_is_listed_as_by_each_release,
    lists_snapshots_as_the_reference_does,
    lists_many_snapshots_with_odd_names,
    snapshots_that_we_make_apply_and_delete_are_those_of_qemu_img,
    a_snapshot_verb_says_what_qemu_img_says,
    an_image_that_the_user_calls_read_only_is_not_changed,
    a_snapshot_of_an_image_in_use_is_refused_and_changes_nothing,
    listing_snapshots_opens_no_layer_below,
);

fn lists_snapshots_as_the_reference_does(bench: &Bench) {
    for variants in [variant::STATES, variant::RAW, variant::FOREIGN, variant::READ_ONLY] {
        for variant in bench.share(variants) {
            let bench = &Bench::new(bench.sandbox());
            variant.make(bench);
            for words in [
                ["snapshot", "-l", "image"].as_slice(),
                &["snapshot", "-q", "-l", "image"],
                &["snapshot", "--list", "-U", "image"],
            ] {
                same_outcome(bench, words, variant.name);
            }
            lists_without_being_asked(bench, &["snapshot", "image"], variant.name);
        }
    }
}

fn lists_many_snapshots_with_odd_names(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "qcow2", "image", "1M"]).succeeds();
    for number in 0..40 {
        let name = match number % 4 {
            0 => format!("snapshot {number}"),
            1 => format!("näme-{number}"),
            2 => "x".repeat(number),
            _ => format!("{number}"),
        };
        bench.qemu(["snapshot", "-c", &name, "image"]).succeeds();
    }
    let ours = same_outcome(bench, &["snapshot", "-l", "image"], "forty");
    assert_eq!(ours.text().lines().count(), 42);
    for words in [
        ["snapshot", "-l", "-f", "qcow2", "image"].as_slice(),
        &["snapshot", "-l", "-f", "raw", "image"],
        &["info", "image"],
    ] {
        same_outcome(bench, words, "ways to ask");
    }
    let words = ["snapshot", "--image-opts", "driver=qcow2,file.filename=image"];
    lists_without_being_asked(bench, &words, "ways to ask");
}

fn snapshots_that_we_make_apply_and_delete_are_those_of_qemu_img(bench: &Bench) {
    for (layout, compress) in bench.share(LAYOUTS) {
        let bench = &Bench::new(bench.sandbox());
        disk::usual(&bench.path("disk.raw"));
        for image in ["theirs", "ours"] {
            let mut words = vec!["convert", "-O", "qcow2", "-o", layout, "disk.raw", image];
            if *compress {
                words.insert(1, "-c");
            }
            bench.qemu(&words).succeeds();
        }
        for (number, step) in STEPS.iter().enumerate() {
            let what = format!("{layout}, step {number}: {step:?}");
            if let ["write", command] = step {
                for image in ["theirs", "ours"] {
                    variant::io(bench, image, &[*command]);
                }
                continue;
            }
            let with = |image| [&["snapshot"], *step, &[image]].concat();
            let (theirs, ours) = (bench.qemu(with("theirs")), bench.instar(with("ours")));
            assert_eq!(theirs.code(), ours.code(), "{what}: {ours}");
            assert_eq!(theirs.message(), ours.message(), "{what}");
            assert_eq!(theirs.text(), ours.text(), "{what}");
            alike(bench, &what);
        }
    }
}

fn a_snapshot_verb_says_what_qemu_img_says(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "qcow2", "image", "1M"]).succeeds();
    bench.qemu(["create", "-q", "-f", "vmdk", "other", "1M"]).succeeds();
    bench.qemu(["create", "-q", "-f", "qcow2", "-o", "data_file=data", "apart", "1M"]).succeeds();
    bench.qemu(["create", "-q", "-f", "raw", "plain", "1M"]).succeeds();
    for words in [
        ["snapshot", "-c", "x", "other"].as_slice(),
        &["snapshot", "-a", "x", "other"],
        &["snapshot", "-d", "x", "other"],
        &["snapshot", "-c", "x", "apart"],
        &["snapshot", "-a", "x", "apart"],
        &["snapshot", "-d", "x", "apart"],
        &["snapshot", "-c", "x", "-f", "raw", "plain"],
        &["snapshot", "-c", "x", "plain"],
        &["snapshot", "-d", "x", "plain"],
        &["snapshot", "-a", "missing", "image"],
        &["snapshot", "-d", "missing", "image"],
        &["snapshot", "-U", "-c", "x", "image"],
        &["snapshot", "-c", "x", "absent"],
        &["snapshot", "-c", "x", "-d", "y", "image"],
        &["snapshot", "-c", "x"],
    ] {
        let (theirs, ours) = (bench.qemu(words), bench.instar(words));
        if lacks_option(&theirs, &ours) {
            continue;
        }
        assert_eq!(theirs.code(), ours.code(), "{words:?}: {ours}");
        assert_eq!(theirs.message(), ours.message(), "{words:?}");
    }
}

fn an_image_that_the_user_calls_read_only_is_not_changed(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "qcow2", "image", "1M"]).succeeds();
    bench.qemu(["snapshot", "-c", "old", "image"]).succeeds();
    let before = std::fs::read(bench.path("image")).unwrap();
    let list = |options: &str| format!("driver=qcow2,{options},file.driver=file,file.filename=image");
    let json = r#"json:{"driver":"qcow2","read-only":true,"file":{"driver":"file","filename":"image"}}"#;
    let (read_only, shared) = (list("read-only=on"), list("force-share=on"));
    let (below, both) = (list("file.read-only=on"), list("read-only=on,force-share=on"));
    for words in [
        ["snapshot", "--image-opts", "-c", "new", &read_only].as_slice(),
        &["snapshot", "--image-opts", "-a", "old", &read_only],
        &["snapshot", "--image-opts", "-d", "old", &read_only],
        &["snapshot", "--image-opts", "-U", "-c", "new", &read_only],
        &["snapshot", "--image-opts", "-c", "new", &below],
        &["snapshot", "--image-opts", "-c", "new", &both],
        &["snapshot", "--image-opts", "-c", "new", &shared],
        &["snapshot", "--image-opts", "-U", "-c", "new", &list("read-only=off")],
        &["snapshot", "-c", "new", json],
    ] {
        let (theirs, ours) = (bench.qemu(words), bench.instar(words));
        assert_eq!(theirs.code(), ours.code(), "{words:?}: {ours}");
        assert_eq!(theirs.message(), ours.message(), "{words:?}");
        assert_eq!(std::fs::read(bench.path("image")).unwrap(), before, "{words:?}");
    }
    // Turning off locks does not declare the image read-only.
    let words = ["snapshot", "--image-opts", "-c", "new", &list("file.locking=off")];
    bench.qemu(words).succeeds();
    bench.instar(words).succeeds();
    checks_clean(bench, "image", "without locks");
}

fn a_snapshot_of_an_image_in_use_is_refused_and_changes_nothing(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "qcow2", "image", "1M"]).succeeds();
    let before = std::fs::read(bench.path("image")).unwrap();
    let holder = Holder::of(bench, "qcow2", "image");
    let ours = bench.instar(["snapshot", "-c", "x", "image"]);
    assert_eq!(ours.message(), bench.qemu(["snapshot", "-c", "x", "image"]).message());
    ours.fails_with("Is another process using the image");
    assert_eq!(std::fs::read(bench.path("image")).unwrap(), before);
    drop(holder);
    bench.instar(["snapshot", "-c", "x", "image"]).succeeds();
}

fn listing_snapshots_opens_no_layer_below(bench: &Bench) {
    disk::usual(&bench.path("base.raw"));
    bench.qemu(["create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", "image"]).succeeds();
    bench.qemu(["snapshot", "-c", "one", "image"]).succeeds();
    same_outcome(bench, &["snapshot", "-l", "image"], "with the layer below");
    std::fs::remove_file(bench.path("base.raw")).unwrap();
    let (theirs, ours) = (bench.qemu(["snapshot", "-l", "image"]), bench.instar(["snapshot", "-l", "image"]));
    assert!(ours.succeeds().text().contains("one"), "{ours}");
    deviates("snapshot-list-alone", &theirs.code(), &ours.code());
}

/// Layouts, and whether the image is made of compressed clusters.
const LAYOUTS: &[(&str, bool)] = &[
    ("cluster_size=64k", true),
    ("cluster_size=512", false),
    ("cluster_size=2M", false),
    ("cluster_size=4k,compat=0.10", true),
    ("cluster_size=64k,extended_l2=on", false),
    ("cluster_size=4k,refcount_bits=8", false),
    ("cluster_size=4k,lazy_refcounts=on", true),
];

/// What is done to the image of qemu-img and to ours, one after the other.
const STEPS: &[&[&str]] = &[
    &["-c", "first"],
    &["write", "write -P 7 1M 200k"],
    &["-c", "second"],
    &["write", "write -z 2M 300k"],
    &["-c", "first"],
    &["write", "write -P 8 100k 64k"],
    &["-a", "first"],
    &["write", "write -P 9 1M 10k"],
    &["-d", "missing"],
    &["-d", "first"],
    &["-a", "2"],
    &["-c", ""],
    &["-d", "second"],
    &["write", "write -P 10 0 4M"],
    &["-a", "3"],
    &["-d", "first"],
    &["-d", ""],
];

/// The disk and each snapshot of `theirs` and `ours` are the same, the lists too, and `check` finds nothing.
fn alike(bench: &Bench, what: &str) {
    checks_clean(bench, "ours", what);
    let snapshots = |image| {
        let info = qemu_info(bench, image);
        let all = info["snapshots"].as_array().cloned().unwrap_or_default();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        all.iter()
            .map(|one| (text(&one["id"]), text(&one["name"]), one["icount"].clone()))
            .collect::<Vec<_>>()
    };
    let listed = snapshots("theirs");
    assert_eq!(listed, snapshots("ours"), "{what}");
    let mut states = vec![None];
    states.extend(listed.iter().map(|(id, ..)| Some(format!("snapshot.id={id}"))));
    for state in states {
        for (image, copy) in [("theirs", "theirs.raw"), ("ours", "ours.raw")] {
            let mut words = vec!["convert", "-O", "raw", image, copy];
            if let Some(state) = &state {
                words.splice(1..1, ["-l", state]);
            }
            bench.qemu(&words).succeeds();
        }
        same_bytes(bench, "theirs.raw", "ours.raw", &format!("{what}, {state:?}"));
    }
}

/// `words` list the snapshots, though no action is named.
fn lists_without_being_asked(bench: &Bench, words: &[&str], what: &str) {
    let explicit = [&["snapshot", "-l"], &words[1..]].concat();
    let (asked, theirs) = (bench.qemu(&explicit), bench.qemu(words));
    if theirs.text() == asked.text() && theirs.errors() == asked.errors() {
        same_outcome(bench, words, what);
        return;
    }
    let ours = bench.instar(words);
    assert_eq!(
        (ours.code(), ours.text(), ours.message()),
        (asked.code(), asked.text(), asked.message()),
        "{what}: {words:?}"
    );
    skip("qemu-img of Debian 12 lists snapshots only with -l");
}

fn a_snapshot_without_a_count_of_instructions_is_listed_as_by_each_release(bench: &Bench) {
    let image = instar_tests::craft::Crafted::image(bench, "image", "1M", "", 0);
    bench.qemu(["snapshot", "-c", "first", "image"]).succeeds();
    // Extra data of 16 bytes, as old writers have it: what is behind it is the ID then.
    let table = image.get(instar_tests::craft::field::SNAPSHOTS_OFFSET);
    image.u32(table + 36, 16);
    for reference in instar_tests::Reference::live() {
        let words = ["snapshot", "-l", "image"];
        let theirs = instar_tests::Outcome::of(
            reference.program("qemu-img").current_dir(bench.directory()).env("TZ", "UTC").args(words),
        );
        let mut ours = bench.command(words);
        ours.env(instar_tests::reference::VARIABLE, reference.profile()).env("TZ", "UTC");
        let ours = instar_tests::Outcome::of(&mut ours);
        assert_eq!(theirs.succeeds().text(), ours.succeeds().text(), "{}", reference.version);
    }
}
