//! `bitmap`: bitmaps and messages are those of the installed qemu-img.

use std::fs;
use std::process::Command;

use instar_tests::compare::{called, checks_clean, qemu_info};
use instar_tests::holder::Holder;
use instar_tests::ledger::deviates;
use instar_tests::variant::io;
use instar_tests::{Bench, both_sandboxes, formats};

use crate::bitmaps::{bitmaps, entry};

both_sandboxes!(
    bitmaps_that_we_make_and_change_are_those_of_qemu_img,
    what_they_say_is_what_qemu_nbd_reads_of_them,
    bitmaps_of_another_image_are_joined_as_qemu_img_joins_them,
    a_bitmap_verb_says_what_qemu_img_says,
    an_inconsistent_bitmap_can_be_removed_and_nothing_else,
    stale_bitmaps_are_none,
    earlier_actions_are_kept_where_a_later_one_fails,
    all_bitmaps_are_removed_at_once,
    an_image_in_use_is_left_alone,
    a_granularity_that_has_more_than_32_bits_is_not_cut,
    the_file_that_has_the_data_is_not_needed,
    a_damaged_bitmap_can_be_removed,
);

fn bitmaps_that_we_make_and_change_are_those_of_qemu_img(bench: &Bench) {
    for layout in bench.share(LAYOUTS) {
        let bench = &Bench::new(bench.sandbox());
        let (words, size) = layout.rsplit_once(' ').unwrap();
        for image in ["theirs", "ours"] {
            bench.qemu(["create", "-q", "-f", "qcow2", "-o", words, image, size]).succeeds();
        }
        for (number, step) in STEPS.iter().enumerate() {
            let what = format!("{layout}, step {number}: {step:?}");
            if let ["write", command] = step {
                for image in ["theirs", "ours"] {
                    io(bench, image, &[*command]);
                }
                continue;
            }
            let with = |image| {
                let (name, actions) = step.split_last().unwrap();
                [&["bitmap"], actions, &[image, name]].concat()
            };
            let (theirs, ours) = (bench.qemu(with("theirs")), bench.instar(with("ours")));
            same_words(&with("ours"), &theirs, &ours);
            alike(bench, &what);
        }
    }
}

fn what_they_say_is_what_qemu_nbd_reads_of_them(bench: &Bench) {
    for (cluster, granularity) in [("64k", "4k"), ("512", "512"), ("2M", "1M"), ("4k", "64k")] {
        let bench = &Bench::new(bench.sandbox());
        let options = format!("cluster_size={cluster}");
        bench.qemu(["create", "-q", "-f", "qcow2", "-o", &options, "image", "20001K"]).succeeds();
        bench.instar(["bitmap", "--add", "-g", "512", "image", "exact"]).succeeds();
        io(bench, "image", &["write 100k 33k", "write 5000k 3M", "write 20000K 1k"]);
        bench.instar(["bitmap", "--disable", "image", "exact"]).succeeds();
        bench
            .instar(["bitmap", "--add", "--disable", "-g", granularity, "--merge", "exact", "image", "copy"])
            .succeeds();
        let unit = if granularity.ends_with('M') {
            1 << 20
        } else {
            granularity.trim_end_matches('k').parse::<u64>().unwrap_or(512) << 10
        };
        let unit = if granularity == "512" { 512 } else { unit };
        let exact = dirty(bench, "exact");
        assert_eq!(exact, [(100 << 10, 133 << 10), (5000 << 10, 8072 << 10), (20000 << 10, 20001 << 10)]);
        let mut wanted: Vec<(u64, u64)> = Vec::new();
        for (start, end) in exact {
            let (start, end) = (start / unit * unit, end.next_multiple_of(unit).min(20001 << 10));
            match wanted.last_mut() {
                Some(last) if last.1 >= start => last.1 = end,
                _ => wanted.push((start, end)),
            }
        }
        assert_eq!(dirty(bench, "copy"), wanted, "{cluster}, {granularity}");
    }
}

fn bitmaps_of_another_image_are_joined_as_qemu_img_joins_them(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "qcow2", "-o", "cluster_size=4k", "other", "8M"]).succeeds();
    bench.qemu(["create", "-q", "-f", "qcow2", "short", "4M"]).succeeds();
    bench.qemu(["create", "-q", "-f", "vmdk", "foreign", "8M"]).succeeds();
    for image in ["other", "short"] {
        bench.qemu(["bitmap", "--add", "-g", "1k", image, "x"]).succeeds();
    }
    io(bench, "other", &["write 5k 1k", "write 64k 700k", "write 8191k 1k"]);
    for image in ["theirs", "ours"] {
        bench.qemu(["create", "-q", "-f", "qcow2", image, "8M"]).succeeds();
        bench.qemu(["bitmap", "--add", image, "a"]).succeeds();
        bench.qemu(["bitmap", "--add", "-g", "512", image, "b"]).succeeds();
    }
    for words in [
        ["--merge", "x", "-b", "other", "IMAGE", "a"].as_slice(),
        &["--merge", "x", "-b", "other", "-F", "qcow2", "IMAGE", "b"],
        &["--merge", "x", "-b", "short", "IMAGE", "a"],
        &["--merge", "x", "-b", "foreign", "IMAGE", "a"],
        &["--merge", "y", "-b", "other", "IMAGE", "a"],
        &["--merge", "x", "-b", "other", "IMAGE", "missing"],
        &["--merge", "x", "-b", "absent", "IMAGE", "a"],
        &["--merge", "x", "-b", "other", "-F", "raw", "IMAGE", "a"],
        &["--merge", "x", "-b", "other", "-F", "foo", "IMAGE", "a"],
        &["--merge", "x", "-b", "other", "-F", "vmdk", "IMAGE", "a"],
        &["--add", "--merge", "x", "--merge", "y", "-b", "other", "IMAGE", "kept"],
    ] {
        let with = |image: &'static str| {
            let named = words.iter().map(|word| if *word == "IMAGE" { image } else { word });
            std::iter::once("bitmap").chain(named).collect::<Vec<_>>()
        };
        let (theirs, ours) = (bench.qemu(with("theirs")), bench.instar(with("ours")));
        same_words(words, &theirs, &ours);
        alike(bench, &format!("{words:?}"));
    }
}

fn a_bitmap_verb_says_what_qemu_img_says(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "qcow2", "image", "1M"]).succeeds();
    bench.qemu(["create", "-q", "-f", "qcow2", "large", "4T"]).succeeds();
    bench.qemu(["create", "-q", "-f", "qcow2", "-o", "compat=0.10", "old", "1M"]).succeeds();
    for format in formats::beside("qcow2") {
        bench.qemu(["create", "-q", "-f", format, format, "1M"]).succeeds();
    }
    bench.qemu(["bitmap", "--add", "image", "there"]).succeeds();
    let long = "n".repeat(1024);
    let mut lines: Vec<Vec<&str>> = [
        ["--add", "image", ""].as_slice(),
        &["--add", "image", "there"],
        &["--add", "-g", "300", "image", "x"],
        &["--add", "-g", "256", "image", "x"],
        &["--add", "-g", "1536", "image", "x"],
        &["--add", "-g", "4G", "image", "x"],
        &["--add", "-g", "3G", "image", "x"],
        &["--add", "-g", "512", "large", "x"],
        &["--add", "old", "x"],
        &["--add", "-g", "1", "old", ""],
        &["--add", "-g", "1", "old", "x"],
        &["--remove", "old", "x"],
        &["--add", "image", &long],
        &["--remove", "image", "x"],
        &["--clear", "image", "x"],
        &["--enable", "image", "x"],
        &["--disable", "image", "x"],
        &["--merge", "there", "image", "x"],
        &["--merge", "x", "image", "there"],
        &["--merge", "x", "image", "y"],
        &["--add", "absent", "x"],
        &["--add", "-f", "foo", "image", "x"],
        &["--add", "-f", "vmdk", "image", "x"],
        &["--add", "-f", "raw", "image", "x"],
        &["--add", "image", "x", "y"],
        &["--add", "image"],
        &["--add", "--image-opts", "driver=qcow2,file.filename=image,read-only=on", "x"],
        &["--add", "--image-opts", "driver=qcow2,file.filename=image,force-share=on", "x"],
        &["--add", "--image-opts", "-f", "qcow2", "driver=qcow2,file.filename=image", "x"],
    ]
    .map(<[&str]>::to_vec)
    .to_vec();
    // A Parallels disk that qemu-img fails to change is marked as open from then on, and the next command repairs it.
    for format in formats::beside("qcow2").filter(|format| *format != "parallels") {
        lines.push(vec!["--add", format, "x"]);
        lines.push(vec!["--add", format, ""]);
        lines.push(vec!["--add", "-g", "3", format, "x"]);
        lines.push(vec!["--remove", format, "x"]);
        lines.push(vec!["--merge", "x", format, "y"]);
    }
    for line in &lines {
        let words = [&["bitmap"], line.as_slice()].concat();
        let before = fs::read(bench.path("image")).unwrap();
        let ours = bench.instar(&words);
        assert_eq!(fs::read(bench.path("image")).unwrap(), before, "{line:?}");
        same_words(&words, &bench.qemu(&words), &ours);
    }
}

fn an_inconsistent_bitmap_can_be_removed_and_nothing_else(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "qcow2", "image", "1M"]).succeeds();
    for name in ["good", "torn"] {
        bench.qemu(["bitmap", "--add", "image", name]).succeeds();
    }
    let (crafted, place) = entry(bench, 1);
    let flags = crafted.get(place + 8);
    crafted.u64(place + 8, flags | 1);
    for words in [
        ["--clear", "image", "torn"].as_slice(),
        &["--enable", "image", "torn"],
        &["--disable", "image", "torn"],
        &["--add", "image", "torn"],
        &["--merge", "good", "image", "torn"],
        &["--merge", "torn", "image", "good"],
        &["--merge", "torn", "image", "absent"],
        &["--merge", "torn", "image", "torn"],
    ] {
        let words = [&["bitmap"], words].concat();
        let ours = bench.instar(&words);
        same_words(&words, &bench.qemu(&words), &ours);
    }
    bench.instar(["bitmap", "--add", "image", "new"]).succeeds();
    let flags = |bench: &Bench| {
        let all = bitmaps(bench, "image");
        all.into_iter().map(|bitmap| (bitmap.0, bitmap.1)).collect::<Vec<_>>()
    };
    let owned = |name: &str, flags| (name.to_owned(), flags);
    assert_eq!(flags(bench), [owned("good", 2), owned("torn", 3), owned("new", 2)]);
    bench.instar(["bitmap", "--remove", "image", "torn"]).succeeds();
    assert_eq!(flags(bench), [owned("good", 2), owned("new", 2)]);
    checks_clean(bench, "image", "the inconsistent one is gone");
}

fn stale_bitmaps_are_none(bench: &Bench) {
    for image in ["theirs", "ours"] {
        bench.qemu(["create", "-q", "-f", "qcow2", image, "1M"]).succeeds();
        bench.qemu(["bitmap", "--add", image, "old"]).succeeds();
        let mut bytes = fs::read(bench.path(image)).unwrap();
        bytes[95] = 0;
        fs::write(bench.path(image), bytes).unwrap();
    }
    for step in [["--remove", "old"], ["--add", "new"], ["--add", "second"]] {
        let with = |image| ["bitmap", step[0], image, step[1]];
        let (theirs, ours) = (bench.qemu(with("theirs")), bench.instar(with("ours")));
        // Theirs has forgotten them by now although it changed nothing.
        assert_eq!(theirs.code(), ours.code(), "{step:?}");
    }
    let names = |image| bitmaps(bench, image).into_iter().map(|bitmap| bitmap.0).collect::<Vec<_>>();
    assert_eq!(names("ours"), ["new", "second"]);
    assert_eq!(names("theirs"), names("ours"));
}

fn earlier_actions_are_kept_where_a_later_one_fails(bench: &Bench) {
    for image in ["theirs", "ours"] {
        bench.qemu(["create", "-q", "-f", "qcow2", image, "1M"]).succeeds();
    }
    for words in [
        ["--add", "--merge", "nope", "--disable", "a"].as_slice(),
        &["--disable", "--add", "--enable", "a"],
        &["--remove", "--remove", "a"],
        &["--add", "--disable", "--remove", "--add", "-g", "4k", "--add", "a"],
    ] {
        let (name, actions) = words.split_last().unwrap();
        let with = |image| [&["bitmap"], actions, &[image, name]].concat();
        let (theirs, ours) = (bench.qemu(with("theirs")), bench.instar(with("ours")));
        same_words(words, &theirs, &ours);
        alike(bench, &format!("{words:?}"));
    }
}

fn all_bitmaps_are_removed_at_once(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "qcow2", "-o", "cluster_size=4k", "image", "8M"]).succeeds();
    bench.instar(["bitmap", "--remove-all", "image"]).succeeds();
    for name in ["a", "b", "c"] {
        bench.qemu(["bitmap", "--add", "image", name]).succeeds();
    }
    io(bench, "image", &["write 5k 1M"]);
    bench.instar(["bitmap", "--remove-all", "image", "a"]).fails_with("Expecting filename");
    bench
        .instar(["bitmap", "--remove-all", "--add", "image"])
        .fails_with("Expecting filename and bitmap name");
    bench.instar(["bitmap", "--remove-all", "--add", "image", "b"]).succeeds();
    let names =
        |bench: &Bench| bitmaps(bench, "image").into_iter().map(|bitmap| bitmap.0).collect::<Vec<_>>();
    assert_eq!(names(bench), ["b"]);
    checks_clean(bench, "image", "two gone");
    bench.instar(["bitmap", "--remove-all", "image"]).succeeds();
    assert!(names(bench).is_empty());
    checks_clean(bench, "image", "all gone");
    bench.qemu(["create", "-q", "-f", "vdi", "other", "1M"]).succeeds();
    bench.instar(["bitmap", "--remove-all", "other"]).succeeds();
}

fn an_image_in_use_is_left_alone(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "qcow2", "image", "1M"]).succeeds();
    let holder = Holder::of(bench, "qcow2", "image");
    let before = fs::read(bench.path("image")).unwrap();
    let ours = bench.instar(["bitmap", "--add", "image", "x"]);
    assert_eq!(ours.message(), bench.qemu(["bitmap", "--add", "image", "x"]).message());
    ours.fails_with("Is another process using the image");
    assert_eq!(fs::read(bench.path("image")).unwrap(), before);
    drop(holder);
    bench.instar(["bitmap", "--add", "image", "x"]).succeeds();
}

fn a_granularity_that_has_more_than_32_bits_is_not_cut(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "qcow2", "image", "1M"]).succeeds();
    let words = ["bitmap", "--add", "-g", "5G", "image", "x"];
    let ours = bench.instar(words);
    ours.fails_with("Granularity must be power of 2 and at least 512");
    deviates("bitmap-granularity", &bench.qemu(words).code(), &ours.code());
}

fn the_file_that_has_the_data_is_not_needed(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "qcow2", "-o", "data_file=data", "image", "1M"]).succeeds();
    fs::rename(bench.path("data"), bench.path("elsewhere")).unwrap();
    let words = ["bitmap", "--add", "image", "x"];
    let theirs = bench.qemu(words);
    let ours = bench.instar(words);
    deviates("bitmap-alone", &theirs.code(), &ours.code());
    ours.succeeds();
    fs::rename(bench.path("elsewhere"), bench.path("data")).unwrap();
    assert_eq!(bitmaps(bench, "image").len(), 1);
    checks_clean(bench, "image", "with its data file");
}

fn a_damaged_bitmap_can_be_removed(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "qcow2", "image", "1M"]).succeeds();
    for name in ["good", "damaged"] {
        bench.qemu(["bitmap", "--add", "image", name]).succeeds();
    }
    let (crafted, place) = entry(bench, 1);
    crafted.u64(crafted.get(place), 0x12345);
    let words = ["bitmap", "--remove", "image", "damaged"];
    let theirs = bench.qemu(words);
    bench.instar(["bitmap", "--merge", "damaged", "image", "good"]).fails_with("damaged");
    let ours = bench.instar(words);
    deviates("bitmap-damaged", &theirs.code(), &ours.code());
    ours.succeeds();
    checks_clean(bench, "image", "without it");
    let names: Vec<_> = bitmaps(bench, "image").into_iter().map(|bitmap| bitmap.0).collect();
    assert_eq!(names, ["good"]);
}

/// Options of an image, and its size.
const LAYOUTS: &[&str] = &[
    "cluster_size=64k 8M",
    "cluster_size=512 3000K",
    "cluster_size=2M 100M",
    "cluster_size=64k,extended_l2=on 8M",
    "cluster_size=4k,refcount_bits=1 8M",
    "cluster_size=4k,lazy_refcounts=on 8M",
    "cluster_size=64k,data_file=data,data_file_raw=on 8M",
    "backing_fmt=raw,backing_file=/dev/null,cluster_size=64k 8M",
    "compat=1.1,cluster_size=4k 512",
];

/// What is done to the image of qemu-img and to ours, one after the other.
const STEPS: &[&[&str]] = &[
    &["--add", "first"],
    &["write", "write -P 7 0 300"],
    &["--add", "--disable", "-g", "512", "fine"],
    &["--enable", "fine"],
    &["write", "write -P 8 100 200"],
    &["--merge", "first", "fine"],
    &["--disable", "first"],
    &["--add", "-g", "1M", "with a space, and a comma=x"],
    &["--merge", "fine", "with a space, and a comma=x"],
    &["--add", "-g", "2G", "naïve"],
    &["--merge", "with a space, and a comma=x", "--disable", "naïve"],
    &["--clear", "fine"],
    &["write", "write -P 9 256 128"],
    &["--remove", "first"],
    &["--add", "--merge", "fine", "--merge", "naïve", "first"],
    &["--remove", "--add", "naïve"],
    &["--remove", "missing"],
    &["--remove", "fine"],
    &["--remove", "naïve"],
    &["--remove", "first"],
    &["--clear", "--disable", "with a space, and a comma=x"],
    &["--remove", "with a space, and a comma=x"],
    &["--add", "again"],
];

/// Both end alike and say the same, but for the number by which qemu-img calls the image here.
#[track_caller]
fn same_words(words: &[&str], theirs: &instar_tests::Outcome, ours: &instar_tests::Outcome) {
    if instar_tests::reference::lacks_option(theirs, ours) {
        return;
    }
    let plain =
        |text: String| text.replace("instar: ", "qemu-img: ").replace("instar bitmap", "qemu-img bitmap");
    let (wanted, found) = (plain(theirs.errors()), plain(ours.errors()));
    let image = words.iter().rev().nth(1).copied().unwrap_or_default();
    let wanted = called(wanted, image);
    assert_eq!(found, wanted, "{words:?}");
    assert_eq!(theirs.text(), ours.text(), "{words:?}");
    assert_eq!(theirs.code(), ours.code(), "{words:?}");
}

/// The bitmaps of `theirs` and `ours` are the same, and `check` finds nothing.
fn alike(bench: &Bench, what: &str) {
    checks_clean(bench, "ours", what);
    let shown = |image| qemu_info(bench, image)["format-specific"]["data"]["bitmaps"].clone();
    assert_eq!(shown("theirs"), shown("ours"), "{what}");
    assert_eq!(bitmaps(bench, "theirs"), bitmaps(bench, "ours"), "{what}");
}

/// The parts of the disk that a bitmap calls dirty, as qemu-nbd tells its clients.
fn dirty(bench: &Bench, name: &str) -> Vec<(u64, u64)> {
    // One for each: a server that ends removes its own, and may do so after the next has started.
    let socket = bench.path(&format!("{name}.socket"));
    let started = Command::new("qemu-nbd")
        .current_dir(bench.directory())
        .args(["-f", "qcow2", "-r", "--fork", "-B", name, "-k"])
        .arg(&socket)
        .arg("image")
        .status()
        .unwrap();
    assert!(started.success(), "{name}: qemu-nbd");
    let image = format!(
        "driver=nbd,server.type=unix,server.path={},x-dirty-bitmap=qemu:dirty-bitmap:{name}",
        socket.display()
    );
    let map = bench.qemu(["map", "--output=json", "--image-opts", &image]);
    let map: serde_json::Value = serde_json::from_slice(&map.succeeds().stdout).unwrap();
    let number = |extent: &serde_json::Value, key: &str| extent[key].as_u64().unwrap();
    let all = map.as_array().unwrap().iter();
    all.filter(|extent| !extent["data"].as_bool().unwrap())
        .map(|extent| (number(extent, "start"), number(extent, "start") + number(extent, "length")))
        .collect()
}
