//! `commit`: disks and messages are those of the installed qemu-img; a kill at any moment leaves the disk that the image shows.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use instar_tests::compare::{checks_clean, qemu_info, same_bytes, same_outcome};
use instar_tests::holder::Holder;
use instar_tests::ledger::deviates;
use instar_tests::seal::Edited;
use instar_tests::variant;
use instar_tests::{Bench, both_sandboxes, disk};

use crate::layouts::attributes;

/// `below.raw`, `base` over it, `middle` over that, and `image` over that.
fn images(bench: &Bench, base: &str, image: &str) {
    disk::usual(&bench.path("below.raw"));
    let create = |options: &str, below: &str, format: &str, name: &str| {
        let words = ["create", "-q", "-f", "qcow2", "-o", options, "-b", below, "-F", format, name, "5M"];
        bench.qemu(words).succeeds();
    };
    create(base, "below.raw", "raw", "base");
    variant::io(bench, "base", &["write -P 3 100k 50k", "write -z 300k 100k"]);
    create("cluster_size=64k", "base", "qcow2", "middle");
    variant::io(bench, "middle", &["write -P 4 130k 50k", "write -z 700k 30k"]);
    create(image, "middle", "qcow2", "image");
    variant::io(bench, "image", &["write -P 7 64k 70k", "write -z 200k 64k", "write -P 9 3M 2k"]);
}

fn keep_disk(bench: &Bench, image: &str, name: &str) {
    bench.qemu(["convert", "-O", "raw", image, name]).succeeds();
}

fn copies(bench: &Bench, names: &[&str]) {
    fs::create_dir_all(bench.path("theirs")).unwrap();
    for name in names {
        fs::copy(bench.path(name), bench.path(&format!("theirs/{name}"))).unwrap();
    }
}

const ALL: [&str; 4] = ["below.raw", "base", "middle", "image"];

both_sandboxes!(
    an_image_goes_into_the_layer_below_as_with_qemu_img,
    a_base_of_any_format_takes_what_is_above_it,
    a_base_in_several_files_takes_what_is_above_it,
    a_flat_base_that_is_smaller_grows,
    extents_of_a_base_are_written_where_the_base_may_be,
    a_base_that_is_smaller_than_the_image_grows_first,
    a_base_that_qemu_img_cannot_make_larger_grows_too,
    a_base_that_cannot_grow_is_left_alone,
    data_of_an_emptied_image_in_another_file_goes_as_with_qemu_img,
    an_overlay_of_a_vmdk_is_readable_when_it_was_committed,
    commit_says_what_qemu_img_says,
    a_base_is_found_by_every_name_that_qemu_img_finds_it_by,
    an_image_in_use_is_not_committed_nor_is_one_over_a_base_in_use,
    no_image_makes_a_file_elsewhere_writable,
    a_base_elsewhere_that_this_machine_recorded_is_written_to,
    progress_ends_before_the_last_word,
    snapshots_and_bitmaps_are_kept,
    a_kill_at_any_moment_leaves_the_disk_that_the_image_shows,
);

fn an_image_goes_into_the_layer_below_as_with_qemu_img(bench: &Bench) {
    for (number, base) in [
        "cluster_size=64k",
        "cluster_size=512,compat=0.10",
        "cluster_size=2M",
        "cluster_size=64k,extended_l2=on",
    ]
    .into_iter()
    .enumerate()
    {
        for image in
            ["cluster_size=64k", "cluster_size=4k,lazy_refcounts=on", "cluster_size=64k,extended_l2=on"]
        {
            let ways: &[&[&str]] =
                &[&[], &["-b", "base"], &["-d"], &["-q", "-t", "none"], &["-r", "1G", "-b", "below.raw"]];
            for options in ways.iter().copied().take(if number == 0 { 5 } else { 2 }) {
                let bench = &Bench::new(bench.sandbox());
                let what = format!("{image} into {base}, {options:?}");
                images(bench, base, image);
                copies(bench, &ALL);
                keep_disk(bench, "image", "before.raw");
                let ours = bench.instar([&["commit"], options, &["image"]].concat());
                let theirs = bench.qemu([&["commit"], options, &["theirs/image"]].concat());
                assert_eq!((ours.code(), ours.message()), (theirs.code(), theirs.message()), "{what}");
                assert_eq!(ours.succeeds().text(), theirs.text(), "{what}");
                for name in ALL {
                    keep_disk(bench, name, "ours.raw");
                    keep_disk(bench, &format!("theirs/{name}"), "theirs.raw");
                    same_bytes(bench, "theirs.raw", "ours.raw", &format!("{what}: {name}"));
                    if name != "below.raw" {
                        checks_clean(bench, name, &what);
                    }
                }
                keep_disk(bench, "image", "after.raw");
                same_bytes(bench, "before.raw", "after.raw", &what);
                let length = |name: &str| fs::metadata(bench.path(name)).unwrap().len();
                // qemu-img does not write all of the last cluster.
                let most = length("theirs/base").next_multiple_of(2 << 20);
                assert!(length("base") <= most, "{what}: {} bytes", length("base"));
                assert!(length("image") <= length("theirs/image"), "{what}: {} bytes", length("image"));
            }
        }
    }
}

fn a_base_of_any_format_takes_what_is_above_it(bench: &Bench) {
    for (format, options) in [
        ("raw", ""),
        ("vdi", ""),
        ("qed", ""),
        ("qcow", ""),
        ("parallels", ""),
        ("vpc", "subformat=dynamic"),
        ("vpc", "subformat=fixed"),
        ("vhdx", ""),
        ("vmdk", ""),
    ] {
        let bench = &Bench::new(bench.sandbox());
        let what = format!("{format} {options}");
        fs::write(bench.path("content.raw"), disk::text(0, 4 << 20)).unwrap();
        let convert = ["convert", "-f", "raw", "-O", format, "-o", options, "content.raw", "base"];
        bench
            .qemu(convert.into_iter().filter(|word| !options.is_empty() || !["-o", ""].contains(word)))
            .succeeds();
        bench.qemu(["create", "-q", "-f", "qcow2", "-b", "base", "-F", format, "image"]).succeeds();
        variant::io(bench, "image", &["write -P 7 64k 70k", "write -z 1M 1M", "write -P 9 3M 2k"]);
        keep_disk(bench, "image", "before.raw");
        let ours = bench.instar(["commit", "image"]);
        assert_eq!(ours.succeeds().text(), "Image committed.\n", "{what}");
        bench.qemu(["convert", "-f", format, "-O", "raw", "base", "after.raw"]).succeeds();
        same_bytes(bench, "before.raw", "after.raw", &what);
        keep_disk(bench, "image", "after.raw");
        same_bytes(bench, "before.raw", "after.raw", &what);
    }
}

fn a_base_in_several_files_takes_what_is_above_it(bench: &Bench) {
    for (subformat, size) in [
        ("monolithicFlat", "5M"),
        ("twoGbMaxExtentFlat", "5M"),
        ("twoGbMaxExtentSparse", "5M"),
        ("twoGbMaxExtentFlat", "4100M"),
        ("twoGbMaxExtentSparse", "4100M"),
    ] {
        for overlay in ["qcow2", "vmdk"] {
            let bench = &Bench::new(bench.sandbox());
            let what = format!("{overlay} over {subformat}, {size}");
            let options = format!("subformat={subformat}");
            bench.qemu(["create", "-q", "-f", "vmdk", "-o", &options, "base.vmdk", size]).succeeds();
            let below = ["write -P 1 0 300k", "write -P 2 4M 100k"];
            variant::io_as(bench, "vmdk", "base.vmdk", &below);
            if size != "5M" {
                variant::io_as(bench, "vmdk", "base.vmdk", &["write -P 3 2047M 2M"]);
            }
            bench.qemu(["create", "-q", "-f", overlay, "-b", "base.vmdk", "-F", "vmdk", "image"]).succeeds();
            variant::io_as(bench, overlay, "image", &["write -P 7 64k 70k", "write -P 9 3M 2k"]);
            if size != "5M" {
                variant::io_as(bench, overlay, "image", &["write -P 8 2048M 3k", "write -P 6 4095M 4M"]);
            }
            bench.qemu(["convert", "-O", "qcow2", "image", "before"]).succeeds();
            let ours = bench.instar(["commit", "image"]);
            assert_eq!(ours.succeeds().text(), "Image committed.\n", "{what}");
            for image in ["base.vmdk", "image"] {
                bench.qemu(["compare", "before", image]).succeeds();
            }
            bench.instar(["compare", "-F", "vmdk", "before", "base.vmdk"]).succeeds();
        }
    }
}

fn a_flat_base_that_is_smaller_grows(bench: &Bench) {
    bench
        .qemu(["create", "-q", "-f", "vmdk", "-o", "subformat=monolithicFlat", "base.vmdk", "1000k"])
        .succeeds();
    variant::io_as(bench, "vmdk", "base.vmdk", &["write -P 3 100k 50k", "write -P 4 980k 20k"]);
    bench.qemu(["create", "-q", "-f", "qcow2", "-b", "base.vmdk", "-F", "vmdk", "image", "9M"]).succeeds();
    variant::io(bench, "image", &["write -P 7 64k 70k", "write -P 9 8M 1k"]);
    keep_disk(bench, "image", "before.raw");
    let (theirs, ours) = (bench.qemu(["commit", "image"]), bench.instar(["commit", "image"]));
    deviates("commit-grows", &theirs.code(), &ours.code());
    ours.succeeds();
    for image in ["base.vmdk", "image"] {
        keep_disk(bench, image, "after.raw");
        same_bytes(bench, "before.raw", "after.raw", image);
    }
}

fn extents_of_a_base_are_written_where_the_base_may_be(bench: &Bench) {
    fs::create_dir(bench.path("elsewhere")).unwrap();
    bench
        .qemu(["create", "-q", "-f", "vmdk", "-o", "subformat=monolithicFlat", "base.vmdk", "1M"])
        .succeeds();
    fs::rename(bench.path("base-flat.vmdk"), bench.path("elsewhere/base-flat.vmdk")).unwrap();
    symlink("elsewhere/base-flat.vmdk", bench.path("base-flat.vmdk")).unwrap();
    bench.qemu(["create", "-q", "-f", "qcow2", "-b", "base.vmdk", "-F", "vmdk", "image"]).succeeds();
    variant::io(bench, "image", &["write -P 7 64k 70k"]);
    let before = fs::read(bench.path("elsewhere/base-flat.vmdk")).unwrap();
    let refused = bench.instar(["commit", "image"]);
    refused.fails_with("--allow-dir");
    assert!(!refused.message().contains("--untrusted"), "{refused}");
    assert!(fs::read(bench.path("elsewhere/base-flat.vmdk")).unwrap() == before);
    bench.instar(["commit", "--allow-dir", "elsewhere", "image"]).succeeds();
    bench.qemu(["compare", "image", "base.vmdk"]).succeeds();
    let held = bench.instar(["commit", "--untrusted", "image"]);
    held.fails_with("--untrusted");
}

fn a_base_that_is_smaller_than_the_image_grows_first(bench: &Bench) {
    disk::usual(&bench.path("usual.raw"));
    for options in [
        &["-f", "raw"][..],
        &["-f", "qcow2"],
        &["-f", "qcow2", "-o", "cluster_size=512"],
        &["-f", "qcow2", "-o", "compat=0.10"],
        &["-f", "qcow2", "-o", "extended_l2=on"],
        &["-f", "qcow2", "-o", "data_file=data"],
        // The layer below is longer than the base.
        &["-f", "qcow2", "-b", "usual.raw", "-F", "raw"],
    ] {
        let what = format!("{options:?}");
        let bench = &Bench::new(bench.sandbox());
        disk::usual(&bench.path("usual.raw"));
        bench.qemu([&["create", "-q"], options, &["base", "1000k"]].concat()).succeeds();
        let [_, format, ..] = options else { unreachable!() };
        variant::io_as(bench, format, "base", &["write -P 3 100k 50k", "write -P 4 980k 20k"]);
        bench.qemu(["create", "-q", "-f", "qcow2", "-b", "base", "-F", format, "image", "9M"]).succeeds();
        variant::io(bench, "image", &["write -P 7 64k 70k", "write -P 9 8M 1k"]);
        keep_disk(bench, "image", "before.raw");
        let data = options.contains(&"data_file=data").then_some("data");
        let names: Vec<&str> = ["usual.raw", "base", "image"].into_iter().chain(data).collect();
        copies(bench, &names);
        let (ours, theirs) = (bench.instar(["commit", "image"]), bench.qemu(["commit", "theirs/image"]));
        assert_eq!(ours.succeeds().text(), theirs.succeeds().text(), "{what}");
        for name in ["base", "image"] {
            keep_disk(bench, name, "ours.raw");
            same_bytes(bench, "before.raw", "ours.raw", &format!("{what}: {name}"));
            let length = |name: &str| fs::metadata(bench.path(name)).unwrap().len();
            let (ours, theirs) = (length(name), length(&format!("theirs/{name}")));
            assert!(ours <= theirs, "{what}: {name} has {ours} bytes, with qemu-img {theirs}");
        }
        if *format == "qcow2" {
            checks_clean(bench, "base", &what);
        }
    }
}

fn a_base_that_qemu_img_cannot_make_larger_grows_too(bench: &Bench) {
    for (format, options) in [
        ("vdi", "static=off"),
        ("vdi", "static=on"),
        ("vpc", "subformat=dynamic"),
        ("vpc", "subformat=fixed"),
        ("vhdx", "subformat=dynamic"),
        ("vhdx", "subformat=fixed"),
        ("vmdk", "subformat=monolithicSparse"),
    ] {
        let what = format!("{format} {options}");
        let bench = &Bench::new(bench.sandbox());
        bench.qemu(["create", "-q", "-f", format, "-o", options, "base", "1000k"]).succeeds();
        variant::io_as(bench, format, "base", &["write -P 3 100k 50k", "write -P 4 980k 20k"]);
        bench.qemu(["create", "-q", "-f", "qcow2", "-b", "base", "-F", format, "image", "9M"]).succeeds();
        variant::io(bench, "image", &["write -P 7 64k 70k", "write -P 9 8M 1k"]);
        keep_disk(bench, "image", "before.raw");
        let theirs = bench.qemu(["commit", "image"]);
        let ours = bench.instar(["commit", "image"]);
        deviates("commit-grows", &theirs.code(), &ours.code());
        assert_eq!(theirs.message(), "Block job failed: Operation not supported");
        assert_eq!(ours.succeeds().text(), "Image committed.\n", "{what}");
        bench.qemu(["convert", "-f", format, "-O", "raw", "base", "after.raw"]).succeeds();
        // A VHD has whole cylinders.
        fs::File::options().write(true).open(bench.path("after.raw")).unwrap().set_len(9 << 20).unwrap();
        same_bytes(bench, "before.raw", "after.raw", &what);
        keep_disk(bench, "image", "after.raw");
        same_bytes(bench, "before.raw", "after.raw", &what);
        if format != "vpc" {
            bench.qemu(["check", "-f", format, "base"]).succeeds();
        }
    }
}

fn a_base_that_cannot_grow_is_left_alone(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "qcow2", "-o", "compat=0.10", "base", "1M"]).succeeds();
    bench.qemu(["snapshot", "-c", "old", "base"]).succeeds();
    bench.qemu(["create", "-q", "-f", "qcow2", "-b", "base", "-F", "qcow2", "image", "4M"]).succeeds();
    variant::io(bench, "image", &["write -P 7 64k 70k"]);
    let before = fs::read(bench.path("base")).unwrap();
    let (ours, theirs) = (bench.instar(["commit", "image"]), bench.qemu(["commit", "image"]));
    assert_eq!(ours.code(), theirs.code());
    deviates("plainer-words", &theirs.message(), &ours.message());
    assert_eq!(ours.message(), "Block job failed: Can't resize a v2 image which has snapshots (in 'base')");
    assert!(fs::read(bench.path("base")).unwrap() == before);
}

fn data_of_an_emptied_image_in_another_file_goes_as_with_qemu_img(bench: &Bench) {
    disk::usual(&bench.path("base"));
    let options = "data_file=data";
    bench
        .qemu(["create", "-q", "-f", "qcow2", "-o", options, "-b", "base", "-F", "raw", "image"])
        .succeeds();
    variant::io(bench, "image", &["write -P 7 64k 70k", "write -P 9 300k 1k"]);
    for words in [&["commit", "-d", "image"][..], &["commit", "image"]] {
        copies(bench, &["base", "image", "data"]);
        bench.instar(words).succeeds();
        for (name, there) in [("base", "ours.base"), ("data", "ours.data")] {
            fs::copy(bench.path(name), bench.path(there)).unwrap();
            fs::copy(bench.path(&format!("theirs/{name}")), bench.path(name)).unwrap();
        }
        fs::copy(bench.path("theirs/image"), bench.path("image")).unwrap();
        bench.qemu(words).succeeds();
        same_bytes(bench, "base", "ours.base", &format!("{words:?}"));
        same_bytes(bench, "data", "ours.data", &format!("{words:?}"));
    }
    assert!(fs::read(bench.path("data")).unwrap().iter().all(|byte| *byte == 0));
}

fn an_overlay_of_a_vmdk_is_readable_when_it_was_committed(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "vmdk", "base", "2M"]).succeeds();
    bench.qemu(["create", "-q", "-f", "vmdk", "-b", "base", "-F", "vmdk", "image"]).succeeds();
    bench.qemu_io(["-f", "vmdk", "-c", "write -P 7 64k 70k", "image"]).succeeds();
    copies(bench, &["base", "image"]);
    keep_disk(bench, "image", "before.raw");
    bench.instar(["commit", "image"]).succeeds();
    bench.qemu(["commit", "theirs/image"]).succeeds();
    keep_disk(bench, "image", "after.raw");
    same_bytes(bench, "before.raw", "after.raw", "through the overlay");
    // What remembers the content of the base finds what it remembers.
    bench.instar(["convert", "-O", "raw", "image", "after.raw"]).succeeds();
    same_bytes(bench, "before.raw", "after.raw", "as instar sees it");
}

fn commit_says_what_qemu_img_says(bench: &Bench) {
    images(bench, "cluster_size=64k", "cluster_size=64k");
    for words in [
        ["commit"].as_slice(),
        &["commit", "image", "extra"],
        &["commit", "-t", "foo", "image"],
        &["commit", "-t", "foo", "absent"],
        &["commit", "absent"],
        &["commit", "below.raw"],
        &["commit", "-f", "raw", "below.raw"],
        &["commit", "-b", "nothere", "image"],
        &["commit", "-b", "image", "image"],
        &["commit", "-r", "foo", "image"],
        &["commit", "-U", "image"],
        &["commit", "-f", "vmdk", "image"],
        &["commit", "--object", "foo,id=x", "image"],
    ] {
        let (theirs, ours) = (bench.qemu(words), bench.instar(words));
        assert_eq!(theirs.code(), ours.code(), "{words:?}: {ours}");
        assert_eq!(ours.message(), theirs.message(), "{words:?}");
    }
    // Names as the user gave them, whoever found out that the image is none.
    for name in ["bad\nname", "bad"] {
        fs::copy(bench.path("image"), bench.path(name)).unwrap();
        Edited::open(&bench.path(name)).put(4, &[0, 0, 0, 9]);
        let file = format!("file:{name}");
        for words in [["commit", name], ["commit", &file]] {
            same_outcome(bench, &words, "no image").fails_with("Unsupported qcow2 version 9");
        }
    }
    // And what lies below has no name.
    Edited::open(&bench.path("middle")).put(4, &[0, 0, 0, 9]);
    same_outcome(bench, &["commit", "image"], "no layer").fails_with("Could not open backing file: ");
    Edited::open(&bench.path("middle")).put(4, &[0, 0, 0, 3]);
    fs::remove_file(bench.path("below.raw")).unwrap();
    let words = ["commit", "image"];
    let (theirs, ours) = (bench.qemu(words), bench.instar(words));
    assert_eq!((ours.code(), ours.message()), (theirs.code(), theirs.message()));
}

fn a_base_is_found_by_every_name_that_qemu_img_finds_it_by(bench: &Bench) {
    images(bench, "cluster_size=64k", "cluster_size=64k");
    fs::create_dir(bench.path("sub")).unwrap();
    for name in ALL {
        fs::rename(bench.path(name), bench.path(&format!("sub/{name}"))).unwrap();
    }
    let absolute = bench.path("sub/base").display().to_string();
    for name in ["base", "./base", "sub/base", &absolute, "../sub/base", "middle", "below.raw", "image"] {
        let words = ["commit", "-b", name, "sub/image"];
        let (theirs, ours) = (bench.qemu(words), bench.instar(words));
        assert_eq!((ours.code(), ours.message()), (theirs.code(), theirs.message()), "{name}");
        assert_eq!(ours.text(), theirs.text(), "{name}");
    }
}

fn an_image_in_use_is_not_committed_nor_is_one_over_a_base_in_use(bench: &Bench) {
    images(bench, "cluster_size=64k", "cluster_size=64k");
    for held in ["image", "middle", "base"] {
        let before: Vec<_> = ALL.iter().map(|name| fs::read(bench.path(name)).unwrap()).collect();
        let holder = Holder::of(bench, "qcow2", held);
        let ours = bench.instar(["commit", "-b", "base", "image"]);
        let theirs = bench.qemu(["commit", "-b", "base", "image"]);
        assert_eq!((ours.code(), ours.message()), (theirs.code(), theirs.message()), "{held}");
        ours.fails_with("Is another process using the image");
        drop(holder);
        for (name, bytes) in ALL.iter().zip(&before) {
            assert!(fs::read(bench.path(name)).unwrap() == *bytes, "{held}: {name}");
        }
    }
}

fn no_image_makes_a_file_elsewhere_writable(bench: &Bench) {
    fs::create_dir(bench.path("a")).unwrap();
    fs::create_dir(bench.path("b")).unwrap();
    disk::usual(&bench.path("a/base.raw"));
    let before = fs::read(bench.path("a/base.raw")).unwrap();
    let same = || fs::read(bench.path("a/base.raw")).unwrap() == before;
    bench.qemu(["create", "-q", "-f", "qcow2", "-b", "../a/base.raw", "-F", "raw", "b/image"]).succeeds();
    variant::io(bench, "b/image", &["write -P 7 64k 70k"]);
    bench.instar(["commit", "b/image"]).fails_with("--allow-dir");
    assert!(same());
    // A link beside the image leads there, too.
    symlink("../a/base.raw", bench.path("b/link")).unwrap();
    bench.qemu(["create", "-q", "-f", "qcow2", "-b", "link", "-F", "raw", "b/linked"]).succeeds();
    variant::io(bench, "b/linked", &["write -P 7 64k 70k"]);
    bench.instar(["commit", "b/linked"]).fails_with("--allow-dir");
    assert!(same());
    for strict in
        [["--untrusted"].as_slice(), &["--untrusted-dir", "b"], &["--untrusted", "--allow-dir", "a"]]
    {
        bench.instar([&["commit"], strict, &["b/image"]].concat()).fails();
        assert!(same(), "{strict:?}");
    }
    // Beside the image: so an upload must not stand beside what is precious, or be called untrusted.
    fs::copy(bench.path("a/base.raw"), bench.path("b/base.raw")).unwrap();
    bench.qemu(["create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", "b/beside"]).succeeds();
    variant::io(bench, "b/beside", &["write -P 7 64k 70k"]);
    bench.instar(["commit", "--untrusted", "b/beside"]).fails_with("--untrusted");
    assert!(fs::read(bench.path("b/base.raw")).unwrap() == before);
    bench.instar(["commit", "b/beside"]).succeeds();
    assert!(fs::read(bench.path("b/base.raw")).unwrap() != before);
    // What the user allows.
    bench.instar(["commit", "--allow-dir", "a", "b/image"]).succeeds();
    assert!(!same());
}

fn a_base_elsewhere_that_this_machine_recorded_is_written_to(bench: &Bench) {
    if !attributes(bench) {
        return;
    }
    fs::create_dir(bench.path("a")).unwrap();
    fs::create_dir(bench.path("b")).unwrap();
    disk::usual(&bench.path("a/base.raw"));
    bench.instar(["create", "-q", "-f", "qcow2", "-b", "../a/base.raw", "-F", "raw", "b/image"]).succeeds();
    variant::io(bench, "b/image", &["write -P 7 64k 70k"]);
    keep_disk(bench, "b/image", "before.raw");
    bench.instar(["commit", "b/image"]).succeeds();
    same_bytes(bench, "before.raw", "a/base.raw", "recorded");
    // And the record is still there.
    bench.instar(["convert", "-O", "raw", "b/image", "after.raw"]).succeeds();
    same_bytes(bench, "before.raw", "after.raw", "afterwards");
}

fn progress_ends_before_the_last_word(bench: &Bench) {
    images(bench, "cluster_size=64k", "cluster_size=64k");
    let text = bench.instar(["commit", "-p", "image"]).succeeds().text();
    assert!(text.starts_with("    (0.00/100%)\r"), "{text:?}");
    assert!(text.ends_with("    (100.00/100%)\r\nImage committed.\n"), "{text:?}");
    assert_eq!(bench.instar(["commit", "-p", "-q", "image"]).succeeds().text(), "");
}

fn snapshots_and_bitmaps_are_kept(bench: &Bench) {
    images(bench, "cluster_size=64k", "cluster_size=64k");
    bench.qemu(["snapshot", "-c", "old", "image"]).succeeds();
    bench.qemu(["bitmap", "--add", "image", "spots"]).succeeds();
    variant::io(bench, "image", &["write -P 8 400k 64k"]);
    keep_disk(bench, "image", "before.raw");
    bench.instar(["commit", "image"]).succeeds();
    keep_disk(bench, "image", "after.raw");
    same_bytes(bench, "before.raw", "after.raw", "with a snapshot");
    checks_clean(bench, "image", "with a snapshot");
    let info = qemu_info(bench, "image");
    assert_eq!(info["snapshots"][0]["name"], "old");
    assert_eq!(info["format-specific"]["data"]["bitmaps"][0]["name"], "spots");
}

fn a_kill_at_any_moment_leaves_the_disk_that_the_image_shows(bench: &Bench) {
    for format in ["qcow2", "raw", "vmdk"] {
        fs::write(bench.path("content.raw"), disk::text(0, 48 << 20)).unwrap();
        bench.qemu(["convert", "-f", "raw", "-O", format, "content.raw", "fresh.base"]).succeeds();
        let create = [
            "create",
            "-q",
            "-f",
            "qcow2",
            "-o",
            "cluster_size=4k",
            "-b",
            "base",
            "-F",
            format,
            "fresh",
            "48M",
        ];
        fs::copy(bench.path("fresh.base"), bench.path("base")).unwrap();
        bench.qemu(create).succeeds();
        variant::io(bench, "fresh", &["write -P 7 1M 30M", "write -z 40M 4M"]);
        keep_disk(bench, "fresh", "before.raw");
        for delay in [5_u64, 15, 30, 50, 80, 120] {
            for (from, to) in [("fresh.base", "base"), ("fresh", "image")] {
                fs::copy(bench.path(from), bench.path(to)).unwrap();
            }
            let running = bench.start(["commit", "image"]);
            std::thread::sleep(Duration::from_millis(delay));
            running.signal("KILL");
            running.finish();
            bench.wait_for_lock("qcow2", "image");
            keep_disk(bench, "image", "after.raw");
            same_bytes(bench, "before.raw", "after.raw", "killed");
            let code = bench.qemu(["check", "-f", "qcow2", "image"]).code();
            assert!(matches!(code, Some(0 | 3)), "check gives {code:?}");
            bench.instar(["commit", "image"]).succeeds();
            keep_disk(bench, "image", "after.raw");
            same_bytes(bench, "before.raw", "after.raw", "done after a kill");
        }
    }
}
