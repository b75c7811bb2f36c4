//! `rebase`: disks, names and messages are those of the installed qemu-img; a kill at any moment leaves the disk.

use std::fs;
use std::time::Duration;

use instar_tests::compare::{checks_clean, qemu_info, qemu_own_ranges, same_bytes};
use instar_tests::disk::Piece;
use instar_tests::holder::Holder;
use instar_tests::ledger::deviates;
use instar_tests::reference::lacks_option;
use instar_tests::variant;
use instar_tests::{Bench, both_sandboxes, disk};

use crate::layouts::attributes;

/// `old.raw`, `old` over it, `new.raw`, `new` over it, and `image` over `old`.
fn images(bench: &Bench, layout: &str) {
    disk::usual(&bench.path("old.raw"));
    fs::write(bench.path("new.raw"), disk::text(0, 3 << 20)).unwrap();
    let create = |options: &str, below: &str, format: &str, name: &str| {
        let words = ["create", "-q", "-f", "qcow2", "-o", options, "-b", below, "-F", format, name, "5M"];
        bench.qemu(words).succeeds();
    };
    create("cluster_size=4k", "old.raw", "raw", "old");
    create("cluster_size=64k", "new.raw", "raw", "new");
    variant::io(bench, "old", &["write -P 3 100k 50k", "write -z 300k 100k"]);
    variant::io(bench, "new", &["write -P 3 130k 50k", "write -P 4 300k 30k"]);
    create(layout, "old", "qcow2", "image");
    variant::io(bench, "image", &["write -P 7 64k 70k", "write -z 200k 64k", "write -P 9 3M 2k"]);
}

/// The disk of `image`, as qemu-img sees it.
fn keep_disk(bench: &Bench, image: &str, name: &str) {
    bench.qemu(["convert", "-f", "qcow2", "-O", "raw", image, name]).succeeds();
}

/// What `info` shows but for the sizes of files.
fn shown(bench: &Bench, image: &str) -> serde_json::Value {
    let mut info = qemu_info(bench, image);
    let object = info.as_object_mut().unwrap();
    for name in ["actual-size", "filename", "children"] {
        object.remove(name);
    }
    info
}

const LAYOUTS: &[&str] = &[
    "cluster_size=64k",
    "cluster_size=512,compat=0.10",
    "cluster_size=2M",
    "cluster_size=64k,extended_l2=on",
    "cluster_size=4k,compression_type=zstd",
];

both_sandboxes!(
    an_image_shows_the_same_disk_over_whatever_layer_as_with_qemu_img,
    zeros_that_are_copied_take_no_space,
    a_disk_of_version_2_keeps_its_zeros,
    only_the_name_is_changed_when_the_user_says_so,
    rebase_says_what_qemu_img_says,
    what_speaks_against_it_is_found_before_anything_is_copied,
    two_long_names_that_do_not_fit_side_by_side_are_refused,
    an_image_in_use_is_not_rebased_and_a_layer_in_use_only_when_told,
    an_image_that_the_user_calls_read_only_is_not_rebased,
    a_layer_elsewhere_that_the_user_names_is_recorded,
    names_in_untrusted_images_lead_nowhere,
    an_image_with_a_data_file_is_rebased_only_where_that_may_be_written,
    a_kill_at_any_moment_leaves_the_disk,
    a_format_that_names_another_driver_is_refused,
);

fn an_image_shows_the_same_disk_over_whatever_layer_as_with_qemu_img(bench: &Bench) {
    for (number, layout) in bench.share(LAYOUTS.iter().enumerate()) {
        let ways: &[&[&str]] = &[
            &["-b", "new", "-F", "qcow2"],
            &["-c", "-b", "new", "-F", "qcow2"],
            &["-b", ""],
            &["-b", "old.raw", "-F", "raw"],
            &["-b", "new.raw", "-F", "raw"],
            &["-t", "none", "-T", "none", "-b", "./new", "-F", "qcow2"],
        ];
        for options in ways.iter().copied().take(if number == 0 { 6 } else { 3 }) {
            let bench = &Bench::new(bench.sandbox());
            let what = format!("{layout} {options:?}");
            images(bench, layout);
            fs::copy(bench.path("image"), bench.path("theirs")).unwrap();
            keep_disk(bench, "image", "before.raw");
            let with = |image| [&["rebase", "-f", "qcow2"], options, &[image]].concat();
            let (theirs, ours) = (bench.qemu(with("theirs")), bench.instar(with("image")));
            ours.succeeds();
            if lacks_option(&theirs, &ours) {
                fs::copy(bench.path("image"), bench.path("theirs")).unwrap();
            } else if theirs.errors().contains("Assertion") {
                deviates("rebase-aborts", &theirs.code(), &ours.code());
                fs::copy(bench.path("image"), bench.path("theirs")).unwrap();
            } else {
                assert_eq!((ours.code(), ours.message()), (theirs.code(), theirs.message()), "{what}");
                assert_eq!(ours.text(), theirs.text(), "{what}");
            }
            keep_disk(bench, "image", "after.raw");
            same_bytes(bench, "before.raw", "after.raw", &what);
            checks_clean(bench, "image", &what);
            assert_eq!(shown(bench, "image"), shown(bench, "theirs"), "{what}");
            let bytes = |image| qemu_own_ranges(bench, image).iter().map(|(_, length)| length).sum::<u64>();
            assert!(bytes("image") <= bytes("theirs"), "{what}: more was copied");
        }
    }
}

fn zeros_that_are_copied_take_no_space(bench: &Bench) {
    images(bench, "cluster_size=64k");
    // Zeros below, data in the new layer.
    fs::write(bench.path("new.raw"), vec![7; 5 << 20]).unwrap();
    fs::copy(bench.path("image"), bench.path("theirs")).unwrap();
    fs::write(bench.path("old.raw"), vec![0; 5 << 20]).unwrap();
    let with = |image| ["rebase", "-f", "qcow2", "-b", "new.raw", "-F", "raw", image];
    bench.qemu(with("theirs")).succeeds();
    bench.instar(with("image")).succeeds();
    let length = |image| fs::metadata(bench.path(image)).unwrap().len();
    assert!(length("image") < length("theirs"));
    deviates("layers-zeros", &length("theirs"), &length("image"));
}

fn a_disk_of_version_2_keeps_its_zeros(bench: &Bench) {
    fs::write(bench.path("below.raw"), vec![9; 1 << 20]).unwrap();
    for image in ["theirs", "ours"] {
        bench.qemu(["create", "-q", "-f", "qcow2", "-o", "compat=0.10", image, "1M"]).succeeds();
        instar_tests::variant::io(bench, image, &["write -P 7 256k 128k"]);
    }
    bench.qemu(["convert", "-O", "raw", "ours", "before.raw"]).succeeds();
    let with = |image| ["rebase", "-b", "below.raw", "-F", "raw", image];
    bench.qemu(with("theirs")).succeeds();
    bench.instar(with("ours")).succeeds();
    let kept = |image| bench.qemu(["compare", "-q", "-f", "raw", "before.raw", image]).code();
    assert_eq!(kept("ours"), Some(0));
    deviates("rebase-zeros", &kept("theirs"), &kept("ours"));
}

fn only_the_name_is_changed_when_the_user_says_so(bench: &Bench) {
    images(bench, "cluster_size=64k");
    for options in [
        ["-u", "-b", "new", "-F", "qcow2"].as_slice(),
        &["-u", "-b", "gone", "-F", "raw"],
        &["-u", "-b", "/no/such/file with spaces", "-F", "vmdk"],
        &["-u", "-b", "nbd://server/export", "-F", "raw"],
        &["-u", "-b", "", "-F", "raw"],
        &["-u", "-b", "image", "-F", "qcow2"],
        &["-u", "-F", "raw"],
        &["-u"],
        &["-p", "-u", "-b", "old", "-F", "qcow2"],
    ] {
        fs::copy(bench.path("image"), bench.path("theirs")).unwrap();
        let with = |image| [&["rebase"], options, &[image]].concat();
        let (theirs, ours) = (bench.qemu(with("theirs")), bench.instar(with("image")));
        assert_eq!((ours.code(), ours.message()), (theirs.code(), theirs.message()), "{options:?}");
        assert_eq!(ours.text(), theirs.text(), "{options:?}");
        let named = |image| {
            let outcome = bench.qemu(["info", "-U", "--output=json", image]);
            let info: serde_json::Value = serde_json::from_slice(&outcome.stdout).unwrap_or_default();
            (info["backing-filename"].clone(), info["backing-filename-format"].clone())
        };
        assert_eq!(named("image"), named("theirs"), "{options:?}");
    }
    checks_clean(bench, "image", "at the end");
}

fn rebase_says_what_qemu_img_says(bench: &Bench) {
    images(bench, "cluster_size=64k");
    bench.qemu(["create", "-q", "-f", "vmdk", "other", "1M"]).succeeds();
    bench.qemu(["create", "-q", "-f", "vdi", "third", "1M"]).succeeds();
    disk::usual(&bench.path("alone.raw"));
    let long = "x".repeat(1024);
    for words in [
        ["rebase"].as_slice(),
        &["rebase", "image"],
        &["rebase", "-u"],
        &["rebase", "-b", "x"],
        &["rebase", "-u", "image", "extra"],
        &["rebase", "-t", "foo", "-b", "new", "image"],
        &["rebase", "-T", "foo", "-b", "new", "image"],
        &["rebase", "-T", "foo", "image"],
        &["rebase", "-b", "new", "-F", "qcow2", "absent"],
        &["rebase", "-b", "missing", "-F", "raw", "image"],
        &["rebase", "-b", "missing", "-F", "foo", "image"],
        &["rebase", "-b", "new", "-F", "foo", "image"],
        &["rebase", "-u", "-b", "new", "-F", "foo", "image"],
        &["rebase", "-u", "-b", "", "-F", "foo", "image"],
        &["rebase", "-u", "-b", "new", "image"],
        &["rebase", "-u", "-b", &long, "-F", "raw", "image"],
        &["rebase", "-c", "-b", "new", "-F", "qcow2", "alone.raw"],
        // That the image was taken for raw is said before.
        &["rebase", "-b", "missing", "alone.raw"],
        &["rebase", "-b", "missing", "-F", "raw", "alone.raw"],
        &["rebase", "-f", "raw", "-b", "missing", "alone.raw"],
        &["rebase", "-u", "-b", "missing", "alone.raw"],
        &["rebase", "-c", "-f", "raw", "-b", "new", "-F", "qcow2", "alone.raw"],
        &["rebase", "-f", "raw", "-b", "new", "-F", "qcow2", "alone.raw"],
        &["rebase", "-f", "raw", "-u", "-b", "new", "-F", "qcow2", "alone.raw"],
        &["rebase", "-u", "-b", "new", "-F", "qcow2", "alone.raw"],
        &["rebase", "-u", "-c", "-b", "new", "-F", "qcow2", "alone.raw"],
        &["rebase", "-u", "-b", "x", "-F", "raw", "other"],
        &["rebase", "-b", "new", "-F", "qcow2", "other"],
        &["rebase", "-u", "-b", "x", "third"],
        &["rebase", "-u", "-b", "", "third"],
        &["rebase", "-u", "third"],
        &["rebase", "-f", "qcow2", "-b", "new", "-F", "qcow2", "third"],
        &["rebase", "-b", "new.raw", "-F", "qcow2", "image"],
        &[
            "rebase",
            "--image-opts",
            "-b",
            "driver=qcow2,file.filename=new",
            "driver=qcow2,file.filename=image",
        ],
        &["rebase", "--object", "foo,id=x", "-b", "new", "-F", "qcow2", "image"],
    ] {
        let (theirs, ours) = (bench.qemu(words), bench.instar(words));
        if lacks_option(&theirs, &ours) {
            continue;
        }
        assert_eq!(theirs.code(), ours.code(), "{words:?}: {ours}");
        assert_eq!(ours.message(), theirs.message(), "{words:?}");
    }
    fs::remove_file(bench.path("old.raw")).unwrap();
    let words = ["rebase", "-b", "new", "-F", "qcow2", "image"];
    let (theirs, ours) = (bench.qemu(words), bench.instar(words));
    assert_eq!((ours.code(), ours.message()), (theirs.code(), theirs.message()));
}

fn what_speaks_against_it_is_found_before_anything_is_copied(bench: &Bench) {
    images(bench, "cluster_size=64k");
    fs::copy(bench.path("image"), bench.path("theirs")).unwrap();
    let before = fs::read(bench.path("image")).unwrap();
    let with = |image| ["rebase", "-b", "new", image];
    let (theirs, ours) = (bench.qemu(with("theirs")), bench.instar(with("image")));
    assert_eq!((ours.code(), ours.message()), (theirs.code(), theirs.message()));
    assert!(fs::read(bench.path("image")).unwrap() == before);
    let changed = |image| fs::read(bench.path(image)).unwrap() != before;
    deviates("rebase-looks-first", &changed("theirs"), &changed("image"));
}

fn two_long_names_that_do_not_fit_side_by_side_are_refused(bench: &Bench) {
    fs::write(bench.path("base.raw"), [1; 512]).unwrap();
    let long = format!("{}base.raw", "./".repeat(250));
    let create = ["create", "-q", "-f", "qcow2", "-o", "cluster_size=1k", "-b", &long, "-F", "raw", "image"];
    bench.qemu(create).succeeds();
    fs::copy(bench.path("image"), bench.path("theirs")).unwrap();
    let other = format!("/{}base.raw", "./".repeat(250));
    let with = |image| ["rebase", "-u", "-b", other.as_str(), "-F", "raw", image].map(str::to_owned);
    let (theirs, ours) = (bench.qemu(with("theirs")), bench.instar(with("image")));
    ours.fails_with("No space left in the file header");
    deviates("rebase-long-names", &theirs.code(), &ours.code());
    keep_disk(bench, "image", "before.raw");
}

fn an_image_in_use_is_not_rebased_and_a_layer_in_use_only_when_told(bench: &Bench) {
    images(bench, "cluster_size=64k");
    let before = fs::read(bench.path("image")).unwrap();
    let words = ["rebase", "-f", "qcow2", "-b", "new", "-F", "qcow2", "image"];
    for held in ["image", "new", "old"] {
        let holder = Holder::of(bench, "qcow2", held);
        let (theirs, ours) = (bench.qemu(words), bench.instar(words));
        assert_eq!((ours.code(), ours.message()), (theirs.code(), theirs.message()), "{held}");
        ours.fails_with("Is another process using the image");
        assert!(fs::read(bench.path("image")).unwrap() == before, "{held}");
        drop(holder);
    }
    keep_disk(bench, "image", "before.raw");
    let holder = Holder::of(bench, "raw", "new.raw");
    let words = ["rebase", "-U", "-f", "qcow2", "-b", "new.raw", "-F", "raw", "image"];
    fs::copy(bench.path("image"), bench.path("theirs")).unwrap();
    let mut theirs = words;
    theirs[8] = "theirs";
    assert_eq!(bench.qemu(theirs).code(), bench.instar(words).code());
    drop(holder);
    keep_disk(bench, "image", "after.raw");
    same_bytes(bench, "before.raw", "after.raw", "a layer in use");
}

fn an_image_that_the_user_calls_read_only_is_not_rebased(bench: &Bench) {
    images(bench, "cluster_size=64k");
    let before = fs::read(bench.path("image")).unwrap();
    let list = |options: &str| format!("driver=qcow2,{options},file.driver=file,file.filename=image");
    for options in ["read-only=on", "force-share=on", "file.read-only=on"] {
        let image = list(options);
        for unchecked in [["-u"].as_slice(), &[]] {
            let words =
                [&["rebase", "--image-opts"], unchecked, &["-b", "new", "-F", "qcow2", &image]].concat();
            let (theirs, ours) = (bench.qemu(&words), bench.instar(&words));
            assert_eq!((ours.code(), ours.message()), (theirs.code(), theirs.message()), "{words:?}");
        }
    }
    assert!(fs::read(bench.path("image")).unwrap() == before);
}

fn a_layer_elsewhere_that_the_user_names_is_recorded(bench: &Bench) {
    if !attributes(bench) {
        return;
    }
    images(bench, "cluster_size=64k");
    fs::create_dir(bench.path("a")).unwrap();
    fs::create_dir(bench.path("b")).unwrap();
    for name in ["new", "new.raw"] {
        fs::rename(bench.path(name), bench.path(&format!("a/{name}"))).unwrap();
    }
    for name in ["old", "old.raw", "image"] {
        fs::rename(bench.path(name), bench.path(&format!("b/{name}"))).unwrap();
    }
    keep_disk(bench, "b/image", "before.raw");
    let reads = |what: &str| {
        bench.instar(["convert", "-O", "raw", "b/image", "after.raw"]).succeeds();
        same_bytes(bench, "before.raw", "after.raw", what);
    };
    bench.instar(["rebase", "-b", "../a/new", "-F", "qcow2", "b/image"]).succeeds();
    reads("over a layer elsewhere");
    // Another program that does the same leaves nothing to go by.
    bench
        .qemu(["rebase", "-u", "-b", &bench.path("a/new").display().to_string(), "-F", "qcow2", "b/image"])
        .succeeds();
    bench.instar(["convert", "-O", "raw", "b/image", "stolen"]).fails_with("instar trust");
    bench.instar(["rebase", "-u", "-b", "../a/new", "-F", "qcow2", "b/image"]).succeeds();
    reads("named anew");
    bench.instar(["snapshot", "-c", "one", "b/image"]).succeeds();
    reads("after a snapshot");
    bench.instar(["rebase", "-b", "", "b/image"]).succeeds();
    reads("alone");
    bench.qemu(["rebase", "-u", "-b", "../a/new", "-F", "qcow2", "b/image"]).succeeds();
    bench.instar(["convert", "-O", "raw", "b/image", "stolen"]).fails_with("instar trust");
}

fn names_in_untrusted_images_lead_nowhere(bench: &Bench) {
    images(bench, "cluster_size=64k");
    let before = fs::read(bench.path("image")).unwrap();
    bench.instar(["rebase", "--untrusted", "-b", "new", "-F", "qcow2", "image"]).fails_with("--untrusted");
    assert!(fs::read(bench.path("image")).unwrap() == before);
    bench
        .instar(["rebase", "-b", "new", "-F", "qcow2", "--untrusted-dir", ".", "image"])
        .fails_with("untrusted-dir");
    assert!(fs::read(bench.path("image")).unwrap() == before);
}

fn an_image_with_a_data_file_is_rebased_only_where_that_may_be_written(bench: &Bench) {
    images(bench, "cluster_size=64k");
    fs::create_dir(bench.path("sub")).unwrap();
    for (data, allowed) in [("data", true), ("sub/data", false)] {
        let options = format!("data_file={data}");
        bench
            .qemu(["create", "-q", "-f", "qcow2", "-o", &options, "-b", "old", "-F", "qcow2", "apart", "5M"])
            .succeeds();
        variant::io(bench, "apart", &["write -P 7 64k 70k", "write -P 8 2M 64k"]);
        keep_disk(bench, "apart", "before.raw");
        let ours = bench.instar(["rebase", "-b", "new", "-F", "qcow2", "apart"]);
        if allowed {
            ours.succeeds();
        } else {
            ours.fails_with("--allow-dir");
            bench.instar(["rebase", "-b", "new", "-F", "qcow2", "--allow-dir", "sub", "apart"]).succeeds();
        }
        keep_disk(bench, "apart", "after.raw");
        same_bytes(bench, "before.raw", "after.raw", data);
        checks_clean(bench, "apart", data);
        fs::remove_file(bench.path("apart")).unwrap();
    }
}

fn a_kill_at_any_moment_leaves_the_disk(bench: &Bench) {
    disk::make(&bench.path("old.raw"), 48 << 20, &disk::usual_pieces(1));
    fs::write(bench.path("old.raw"), disk::pattern(0, 48 << 20, 1)).unwrap();
    fs::write(bench.path("new.raw"), disk::pattern(0, 48 << 20, 2)).unwrap();
    let create =
        ["create", "-q", "-f", "qcow2", "-o", "cluster_size=4k", "-b", "old.raw", "-F", "raw", "fresh"];
    bench.qemu(create).succeeds();
    variant::io(bench, "fresh", &["write -P 7 1M 3M"]);
    keep_disk(bench, "fresh", "before.raw");
    let words = ["rebase", "-f", "qcow2", "-b", "new.raw", "-F", "raw", "image"];
    for delay in [2_u64, 5, 10, 20, 30, 45, 60, 90, 130, 200] {
        fs::copy(bench.path("fresh"), bench.path("image")).unwrap();
        let running = bench.start(words);
        std::thread::sleep(Duration::from_millis(delay));
        running.signal("KILL");
        running.finish();
        bench.wait_for_lock("qcow2", "image");
        keep_disk(bench, "image", "after.raw");
        same_bytes(bench, "before.raw", "after.raw", "killed");
        let code = bench.qemu(["check", "-f", "qcow2", "image"]).code();
        assert!(matches!(code, Some(0 | 3)), "check gives {code:?}");
        // What was begun can be begun anew.
        bench.instar(words).succeeds();
        keep_disk(bench, "image", "after.raw");
        same_bytes(bench, "before.raw", "after.raw", "done after a kill");
    }
}

fn a_format_that_names_another_driver_is_refused(bench: &Bench) {
    for name in ["old.raw", "new.raw"] {
        disk::make(&bench.path(name), 1 << 20, &[Piece::Data(0, 4096, 1)]);
    }
    bench.qemu(["create", "-q", "-f", "qcow2", "-b", "old.raw", "-F", "raw", "image"]).succeeds();
    let before = fs::read(bench.path("image")).unwrap();
    for format in ["null-co", "nbd"] {
        let words = ["rebase", "-b", "new.raw", "-F", format, "image"];
        for outcome in [bench.qemu(words), bench.instar(words)] {
            outcome.fails_with("Could not open new backing file 'new.raw': ");
        }
        assert!(fs::read(bench.path("image")).unwrap() == before, "{format}");
    }
}
