//! QED beside qemu-img, where the lists of formats of other tests do not reach: options, messages, chains, changes in place.

use std::fs;

use instar_tests::compare::{checks_clean_as, same_bytes, same_outcome};
use instar_tests::seal::Edited;
use instar_tests::{Bench, Pair, both_sandboxes, disk, variant};

/// `old.raw`, `old` over it, `new.raw`, `new` over it, and `image`, a QED image over `old`.
fn images(bench: &Bench, options: &str) {
    disk::usual(&bench.path("old.raw"));
    fs::write(bench.path("new.raw"), disk::text(0, 3 << 20)).unwrap();
    for (format, options, below, of, name) in [
        ("qcow2", "cluster_size=4k", "old.raw", "raw", "old"),
        ("qed", "cluster_size=16k", "new.raw", "raw", "new"),
        ("qed", options, "old", "qcow2", "image"),
    ] {
        bench
            .qemu(["create", "-q", "-f", format, "-o", options, "-b", below, "-F", of, name, "5M"])
            .succeeds();
    }
    let commands = ["write -P 7 64k 70k", "write -z 200k 64k", "write -P 9 3M 2k"];
    variant::io_as(bench, "qed", "image", &commands);
    variant::io_as(bench, "qed", "new", &["write -P 3 130k 50k", "write -z 300k 400k"]);
}

const LAYOUTS: &[&str] =
    &["cluster_size=64k", "cluster_size=4k,table_size=2", "cluster_size=1M,table_size=16"];

fn keep_disk(bench: &Bench, image: &str, name: &str) {
    bench.qemu(["convert", "-f", "qed", "-O", "raw", image, name]).succeeds();
}

fn lines(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    bench.qemu(["convert", "-f", "raw", "-O", "qed", "disk.raw", "base"]).succeeds();
    bench.qemu(["create", "-q", "-f", "qed", "-b", "base", "-F", "qed", "image", "3M"]).succeeds();
    bench.qemu(["create", "-q", "-f", "qed", "empty", "3M"]).succeeds();
    bench
        .qemu(["create", "-q", "-f", "qed", "small", "-o", "cluster_size=4k,table_size=2", "3M"])
        .succeeds();
}

/// `_` stands for an empty word.
const LINES: &[&str] = &[
    "create -f qed -o help",
    "create -f qed -o help new",
    "create -f qed -o cluster_size=0 new 1M",
    "create -f qed -o cluster_size=5000 new 1M",
    "create -f qed -o cluster_size=2048 new 1M",
    "create -f qed -o cluster_size=128M new 1M",
    "create -f qed -o cluster_size=8M new 1M",
    "create -f qed -o cluster_size=x new 1M",
    "create -f qed -o table_size=0 new 1M",
    "create -f qed -o table_size=3 new 1M",
    "create -f qed -o table_size=32 new 1M",
    "create -f qed -o table_size=2,cluster_size=4k new 5G",
    "create -f qed -o table_size=2,cluster_size=4k new 4G",
    "create -f qed -o backing_fmt=foo new 1M",
    "create -f qed -o backing_fmt=raw new 1M",
    "create -f qed -o preallocation=metadata new 1M",
    "create -f qed -o preallocation=foo new 1M",
    "create -f qed -o compat=1.1 new 1M",
    "create -f qed -b base new 1M",
    "create -f qed -b missing -F raw new 1M",
    "create -f qed -b base -F foo new 1M",
    "create -f qed new",
    "create -f qed new 8E",
    "info image",
    "info --output=json small",
    "info --backing-chain image",
    "map image",
    "map --output=json image",
    "check image",
    "check --output=json small",
    "check -r all image",
    "measure -O raw image",
    "measure -O qcow2 image",
    "amend -o cluster_size=4k image",
    "amend -f qed -o help",
    "amend -o help image",
    "snapshot -l image",
    "snapshot -c a image",
    "snapshot -a a image",
    "snapshot -d a image",
    "bitmap --add image x",
    "bitmap --remove image x",
    "convert -l a -O raw image new",
    "convert -c -O qed disk.raw new",
    "convert -n -O qed disk.raw empty",
    "convert -n -c -O qed disk.raw small",
    "convert --bitmaps -O qed image new",
    "convert -O qed -o backing_file=base image new",
    "resize empty 1000000",
    "resize empty 4000000",
    "resize empty 3000001",
    "resize --shrink empty 1M",
    "resize --shrink empty 1000001",
    "resize --preallocation=metadata empty 20M",
    "resize --preallocation=falloc empty 20M",
    "resize --preallocation=full empty 20M",
    "resize empty +1M",
    "resize small 1T",
    "resize small 5G",
    "resize image 4M",
    "resize image 3000001",
    "commit base",
    "rebase -b base image",
    "rebase -u -b base -F foo image",
    "rebase -c -b base -F qed image",
    "rebase -b missing -F raw image",
    "rebase -u -b gone -F vmdk image",
    "info image",
    "rebase -u -b nbd://server/export -F raw image",
    "info --output=json image",
    "rebase -u -b _ image",
    "info image",
];

both_sandboxes!(
    qed_is_handled_in_the_words_of_qemu_img,
    a_qed_shows_the_same_disk_over_whatever_layer,
    a_qed_and_what_is_above_it_are_committed,
    an_image_that_asks_for_a_check_is_repaired_before_it_is_changed,
    a_chain_of_qed_follows_the_rules_for_names,
    a_last_sector_that_is_cut_short_counts_as_whole,
);

fn qed_is_handled_in_the_words_of_qemu_img(bench: &Bench) {
    let pair = Pair::new(bench, &lines);
    let mut done = 0;
    for line in LINES {
        let words: Vec<&str> = line.split(' ').map(|word| if word == "_" { "" } else { word }).collect();
        if !line.contains("image x") || line.contains("--remove") {
            done += usize::from(pair.agree(&words));
        } else {
            // The message has the number of a node in it.
            assert_eq!(pair.ours.instar(&words).code(), pair.theirs.qemu(&words).code());
        }
    }
    assert!(done > 20, "{done}");
    let pair = Pair::new(bench, &lines);
    let long = "x".repeat(4090);
    assert!(!pair.agree(&["rebase", "-u", "-b", &long, "-F", "raw", "small"]));
    let other = "y".repeat(1023);
    assert!(pair.agree(&["rebase", "-u", "-b", &other, "-F", "raw", "small"]));
    assert!(pair.agree(&["info", "small"]));
    for bench in [&pair.theirs, &pair.ours] {
        Edited::open(&bench.path("small")).put(24, &[1]);
    }
    assert!(!pair.agree(&["rebase", "-u", "-b", "base", "-F", "raw", "small"]));
    assert!(pair.agree(&["rebase", "-u", "-b", "", "small"]));
}

fn a_qed_shows_the_same_disk_over_whatever_layer(bench: &Bench) {
    for layout in LAYOUTS {
        for options in [
            ["-b", "new", "-F", "qed"].as_slice(),
            &["-b", ""],
            &["-b", "new.raw", "-F", "raw"],
            &["-b", "old.raw", "-F", "raw"],
        ] {
            let what = format!("{layout} {options:?}");
            let bench = &Bench::new(bench.sandbox());
            images(bench, layout);
            fs::copy(bench.path("image"), bench.path("theirs")).unwrap();
            keep_disk(bench, "image", "before.raw");
            let with = |image| [&["rebase", "-f", "qed"], options, &[image]].concat();
            bench.qemu(with("theirs")).succeeds();
            bench.instar(with("image")).succeeds();
            keep_disk(bench, "image", "after.raw");
            same_bytes(bench, "before.raw", "after.raw", &what);
            checks_clean_as(bench, "qed", "image", &what);
            let length = |image: &str| fs::metadata(bench.path(image)).unwrap().len();
            // Their L2 tables may be one more: they have none for zeros that need none.
            assert!(length("image") <= length("theirs") + (20 << 20), "{what}");
            let named = |image: &str| {
                let info = bench.qemu(["info", "--output=json", image]);
                let info: serde_json::Value = serde_json::from_slice(&info.succeeds().stdout).unwrap();
                (info["backing-filename"].clone(), info["backing-filename-format"].clone())
            };
            assert_eq!(named("image"), named("theirs"), "{what}");
        }
    }
}

fn a_qed_and_what_is_above_it_are_committed(bench: &Bench) {
    for layout in LAYOUTS {
        for below in [
            ["qed", "-o", "cluster_size=16k"],
            ["qcow2", "-o", "cluster_size=4k"],
            ["raw", "-o", "preallocation=off"],
        ] {
            let bench = &Bench::new(bench.sandbox());
            let what = format!("{layout} into {below:?}");
            disk::usual(&bench.path("disk.raw"));
            bench
                .qemu(["convert", "-f", "raw", "-O"].iter().chain(&below).chain(&["disk.raw", "base"]))
                .succeeds();
            bench
                .qemu([
                    "create", "-q", "-f", "qed", "-o", layout, "-b", "base", "-F", below[0], "image", "6M",
                ])
                .succeeds();
            let commands = ["write -P 7 64k 70k", "write -z 200k 1500k", "write -P 9 5M 2k"];
            variant::io_as(bench, "qed", "image", &commands);
            keep_disk(bench, "image", "before.raw");
            let overlay = fs::read(bench.path("image")).unwrap();
            assert_eq!(bench.instar(["commit", "image"]).succeeds().text(), "Image committed.\n");
            assert!(fs::read(bench.path("image")).unwrap() == overlay, "{what}: the image stays");
            keep_disk(bench, "image", "after.raw");
            same_bytes(bench, "before.raw", "after.raw", &what);
            bench.qemu(["convert", "-f", below[0], "-O", "raw", "base", "base.raw"]).succeeds();
            same_bytes(bench, "before.raw", "base.raw", &what);
            if below[0] != "raw" {
                checks_clean_as(bench, below[0], "base", &what);
            }
        }
    }
}

fn an_image_that_asks_for_a_check_is_repaired_before_it_is_changed(bench: &Bench) {
    for words in [
        ["convert", "-n", "-f", "raw", "-O", "qed", "disk.raw", "image"].as_slice(),
        &["resize", "image", "9M"],
        &["rebase", "-u", "-b", "base", "-F", "qed", "image"],
        &["check", "-r", "leaks", "image"],
    ] {
        let pair = Pair::new(bench, &lines);
        for bench in [&pair.theirs, &pair.ours] {
            fs::copy(bench.path("base"), bench.path("image")).unwrap();
            let image = Edited::open(&bench.path("image"));
            // The mark, a feature of somebody else's, a table that is none.
            image.put(16, &[2]).put(32, &[4]).put(65536 + 8, &[1]);
        }
        for looks in [
            ["info", "image"].as_slice(),
            &["info", "--output=json", "image"],
            &["check", "image"],
            &["map", "image"],
        ] {
            if looks[1] != "--output=json" {
                pair.agree(looks);
            }
            assert_eq!(Edited::open(&pair.ours.path("image")).get(16, 1), [2], "only looked at");
        }
        assert!(pair.agree(words), "{words:?}");
        for bench in [&pair.theirs, &pair.ours] {
            let image = Edited::open(&bench.path("image"));
            assert_eq!(
                (image.get(16, 1)[0] & 2, image.get(32, 1), image.get(65536 + 8, 1)),
                (0, vec![0], vec![0]),
                "{words:?}"
            );
        }
        checks_clean_as(&pair.theirs, "qed", "image", "theirs");
        checks_clean_as(&pair.ours, "qed", "image", "ours");
    }
}

fn a_chain_of_qed_follows_the_rules_for_names(bench: &Bench) {
    fs::create_dir(bench.path("elsewhere")).unwrap();
    disk::usual(&bench.path("elsewhere/base.raw"));
    bench
        .qemu(["create", "-q", "-f", "qed", "-b", "elsewhere/../elsewhere/base.raw", "-F", "raw", "image"])
        .succeeds();
    fs::create_dir(bench.path("in")).unwrap();
    fs::rename(bench.path("image"), bench.path("in/image")).unwrap();
    bench.qemu(["rebase", "-u", "-b", "../elsewhere/base.raw", "-F", "raw", "in/image"]).succeeds();
    bench.instar(["convert", "-O", "raw", "in/image", "out"]).fails_with("no rule lets it open");
    bench.instar(["convert", "--allow-dir", "elsewhere", "-O", "raw", "in/image", "out"]).succeeds();
    same_bytes(bench, "elsewhere/base.raw", "out", "allowed");
    // The format is not remembered: the layer is probed.
    bench.qemu(["convert", "-f", "raw", "-O", "qcow2", "elsewhere/base.raw", "in/base"]).succeeds();
    bench.qemu(["create", "-q", "-f", "qed", "-b", "base", "-F", "qcow2", "in/image"]).succeeds();
    same_outcome(bench, &["compare", "-F", "raw", "in/image", "elsewhere/base.raw"], "probed");
}

/// Both with a table at the end of the file and with a cluster there.
fn a_last_sector_that_is_cut_short_counts_as_whole(bench: &Bench) {
    for commands in [["write -P 1 0 12288", "read 0 1"], ["write -P 1 0 4096", "write -P 2 4096 8192"]] {
        for cut in [0, 1, 511, 512, 700] {
            let what = format!("{commands:?}, {cut} bytes are missing");
            let options = ["-o", "cluster_size=4096,table_size=2"];
            bench
                .qemu(["create", "-q", "-f", "qed"].iter().chain(&options).chain(&["image", "10M"]))
                .succeeds();
            variant::io_as(bench, "qed", "image", &commands);
            let image = Edited::open(&bench.path("image"));
            image.length(image.end() - cut);
            same_outcome(bench, &["check", "-f", "qed", "image"], &what);
            if cut < 512 {
                same_outcome(bench, &["map", "--output=json", "-f", "qed", "image"], &what);
            }
            if cut < 512 {
                let convert = |to| ["convert", "-f", "qed", "-O", "raw", "image", to];
                bench.qemu(convert("theirs")).succeeds();
                bench.instar(convert("ours")).succeeds();
                same_bytes(bench, "theirs", "ours", &what);
            }
            for name in ["theirs", "ours"] {
                fs::copy(bench.path("image"), bench.path(name)).unwrap();
            }
            let repair = |name| ["check", "-q", "-f", "qed", "-r", "all", name];
            let (theirs, ours) = (bench.qemu(repair("theirs")), bench.instar(repair("ours")));
            assert_eq!(theirs.code(), ours.code(), "{what}: {ours}");
            same_bytes(bench, "theirs", "ours", &what);
        }
    }
}
