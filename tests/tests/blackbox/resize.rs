//! `resize`: sizes, messages and images are those of the installed qemu-img.

use std::fs;

use instar_tests::compare::{checks_clean, checks_clean_as, qemu_info, qemu_map, same_bytes};
use instar_tests::disk::Piece;
use instar_tests::holder::Holder;
use instar_tests::reference::{Reference, VARIABLE};
use instar_tests::{Bench, Outcome, both_sandboxes, disk, ledger, variant};

both_sandboxes!(
    a_limit_on_the_size_of_files_is_an_error_and_not_the_end,
    a_command_line_of_resize_means_what_qemu_img_takes_it_for,
    disks_that_we_resize_are_those_that_qemu_img_resizes,
    what_is_added_over_a_longer_layer_below_is_zero,
    space_is_reserved_as_qemu_img_reserves_it,
    bitmaps_have_the_bits_that_qemu_img_gives_them,
    a_bitmap_that_was_not_saved_cleanly_is_in_the_way,
    a_layer_below_that_is_missing_is_missed,
    a_data_file_elsewhere_is_written_to_only_where_that_is_allowed,
    an_image_in_use_or_read_only_is_not_resized,
    disks_of_other_formats_are_read_by_qemu_img,
    an_extent_elsewhere_is_resized_only_where_that_is_allowed,
    what_a_smaller_disk_left_behind_does_not_come_back,
    what_was_in_freed_clusters_does_not_come_back,
);

fn a_command_line_of_resize_means_what_qemu_img_takes_it_for(bench: &Bench) {
    for reference in bench.share(Reference::live()) {
        material(bench);
        for line in LINES {
            let words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
            let words: Vec<&str> = words.iter().map(|word| word.trim_matches('_')).collect();
            let (theirs, ours) = both(bench, reference, &words);
            let what = format!("{}: {line}", reference.series);
            assert_eq!(theirs.code(), ours.code(), "{what}: {theirs}{ours}");
            assert_eq!(plain(&theirs), plain(&ours), "{what}");
            assert_eq!(theirs.text(), ours.text(), "{what}");
            for name in IMAGES {
                let size = |who: &str| qemu_info(bench, &format!("{who}/{name}"))["virtual-size"].clone();
                assert_eq!(size("theirs"), size("ours"), "{what}: {name}");
            }
        }
        ledger::compared("resize", &reference.series);
    }
}

fn disks_that_we_resize_are_those_that_qemu_img_resizes(bench: &Bench) {
    for (layout, compress) in bench.share(LAYOUTS) {
        let bench = &Bench::new(bench.sandbox());
        disk::usual(&bench.path("disk.raw"));
        for image in ["theirs", "ours"] {
            let mut words = vec!["convert", "-O", "qcow2", "-o", layout, "disk.raw", image];
            if *compress {
                words.insert(1, "-c");
            }
            bench.qemu(&words).succeeds();
            if !layout.contains("0.10") && !layout.contains("refcount_bits=1,") {
                variant::io(bench, image, &["write -P 7 64k 70k"]);
                bench.qemu(["snapshot", "-c", "old", image]).succeeds();
            }
            variant::io(bench, image, &["write -P 7 1M 200k", "write -z 2M 300k"]);
        }
        for step in STEPS {
            let line = |image: &'static str| -> Vec<&str> {
                let (size, options) = step.split_last().unwrap();
                // Another L1 table; the smallest clusters take qemu-img minutes.
                let more = if layout.contains("64k") { "1100M" } else { "50M" };
                let size = if *size == "more" { &more } else { size };
                // The last word is the size in every release.
                [["resize", "-f", "qcow2"].as_slice(), options, &[image, *size]].concat()
            };
            let what = format!("{layout}: {step:?}");
            let (theirs, ours) = (bench.qemu(line("theirs")), bench.instar(line("ours")));
            assert_eq!(theirs.code(), ours.code(), "{what}: {theirs}{ours}");
            assert_eq!(theirs.message(), ours.message(), "{what}");
            assert_eq!(theirs.text(), ours.text(), "{what}");
            alike(bench, &what);
        }
    }
}

fn what_is_added_over_a_longer_layer_below_is_zero(bench: &Bench) {
    for layout in ["cluster_size=64k", "cluster_size=4k", "extended_l2=on", "compat=0.10"] {
        for preallocation in ["off", "metadata", "falloc", "full"] {
            for below in ["4M", "900k", "1100k"] {
                let bench = &Bench::new(bench.sandbox());
                disk::usual(&bench.path("disk.raw"));
                bench.qemu(["resize", "-q", "--shrink", "-f", "raw", "disk.raw", below]).succeeds();
                for image in ["theirs", "ours"] {
                    bench
                        .qemu([
                            "create", "-q", "-f", "qcow2", "-b", "disk.raw", "-F", "raw", "-o", layout,
                            image, "1000k",
                        ])
                        .succeeds();
                    variant::io(bench, image, &["write -P 7 64k 128k"]);
                }
                let mode = format!("--preallocation={preallocation}");
                let what = format!("{layout}, {preallocation}, {below}");
                let (theirs, ours) = (
                    bench.qemu(["resize", &mode, "theirs", "3M"]),
                    bench.instar(["resize", &mode, "ours", "3M"]),
                );
                assert_eq!(theirs.code(), ours.code(), "{what}: {theirs}{ours}");
                assert_eq!(theirs.message(), ours.message(), "{what}");
                if theirs.code() == Some(0) {
                    alike(bench, &what);
                } else {
                    checks_clean(bench, "ours", &what);
                }
            }
        }
    }
}

fn space_is_reserved_as_qemu_img_reserves_it(bench: &Bench) {
    for layout in [
        "cluster_size=64k",
        "cluster_size=4k",
        "cluster_size=512",
        "extended_l2=on",
        "compat=0.10",
        "data_file=data",
        "data_file=data,data_file_raw=on",
    ] {
        for preallocation in ["off", "metadata", "falloc", "full"] {
            for old in ["1M", "1000k"] {
                let mode = format!("--preallocation={preallocation}");
                let what = format!("{layout}, {preallocation}, {old}");
                let outcomes = ["theirs", "ours"].map(|who| {
                    let home = bench.path(who);
                    let _ = fs::remove_dir_all(&home);
                    fs::create_dir(&home).unwrap();
                    // A relative data file is looked for from where one stands, by qemu-img.
                    let qemu = |words: &[&str]| {
                        Outcome::of(Reference::installed().program("qemu-img").args(words).current_dir(&home))
                    };
                    qemu(&["create", "-q", "-f", "qcow2", "-o", layout, "image", old]).succeeds();
                    let words = ["resize", &mode, "image", "3M"];
                    let outcome = match who {
                        "theirs" => qemu(&words),
                        _ => Outcome::of(bench.command(words).current_dir(&home)),
                    };
                    assert_eq!(outcome.succeeds().text(), "Image resized.\n", "{what}");
                    qemu(&["check", "image"]).succeeds();
                    (outcome, mapped(&qemu(&["map", "--output=json", "image"])))
                });
                assert_eq!(outcomes[0].0.message(), outcomes[1].0.message(), "{what}");
                assert_eq!(outcomes[0].1, outcomes[1].1, "{what}");
                if layout.contains("data_file") {
                    same_bytes(bench, "theirs/data", "ours/data", &what);
                }
                // What was not reserved where it was asked for would be missed here.
                let space = |who: &str| {
                    instar_tests::compare::allocated(&bench.path(&format!(
                        "{who}/{}",
                        if layout.contains("data_file") {
                            "data"
                        } else {
                            "image"
                        }
                    )))
                };
                let (theirs, ours) = (space("theirs"), space("ours"));
                if matches!(preallocation, "falloc" | "full") {
                    assert!(ours >= 2 << 20, "{what}: {ours}");
                }
                assert!(ours <= theirs + (512 << 10), "{what}: {theirs} and {ours}");
            }
        }
    }
}

fn bitmaps_have_the_bits_that_qemu_img_gives_them(bench: &Bench) {
    for options in ["cluster_size=64k", "cluster_size=4k", "cluster_size=512,data_file=data"] {
        let bench = &Bench::new(bench.sandbox());
        bench.qemu(["create", "-q", "-f", "qcow2", "-o", options, "ours", "3M"]).succeeds();
        for (name, granularity, more) in
            [("fine", "512", "--enable"), ("coarse", "64k", "--enable"), ("off", "4k", "--disable")]
        {
            bench.qemu(["bitmap", "--add", "-g", granularity, more, "ours", name]).succeeds();
        }
        variant::io(bench, "ours", &["write -P 7 64k 70k", "write -P 9 2900k 100k"]);
        bench.qemu(["bitmap", "--merge", "fine", "ours", "off"]).succeeds();
        for size in ["40M", "2950k", "200M", "3M", "100k"] {
            fs::copy(bench.path("ours"), bench.path("theirs")).unwrap();
            bench.qemu(["resize", "-q", "--shrink", "theirs", size]).succeeds();
            bench.instar(["resize", "-q", "--shrink", "ours", size]).succeeds();
            let what = format!("{options}, {size}");
            checks_clean(bench, "ours", &what);
            let listed = |image| qemu_info(bench, image)["format-specific"]["data"]["bitmaps"].clone();
            assert_eq!(listed("ours"), listed("theirs"), "{what}");
            for name in ["fine", "coarse", "off"] {
                // Alike bits make alike images.
                for image in ["theirs", "ours"] {
                    let copy = format!("{image}.copy");
                    bench.qemu(["create", "-q", "-f", "qcow2", &copy, size]).succeeds();
                    bench.qemu(["bitmap", "--add", "-g", "512", &copy, "b"]).succeeds();
                    bench
                        .qemu(["bitmap", "--merge", name, "-b", image, "-F", "qcow2", &copy, "b"])
                        .succeeds();
                }
                same_bytes(bench, "theirs.copy", "ours.copy", &format!("{what}, {name}"));
            }
        }
    }
}

fn a_bitmap_that_was_not_saved_cleanly_is_in_the_way(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "qcow2", "image", "1M"]).succeeds();
    bench.qemu(["bitmap", "--add", "image", "b"]).succeeds();
    let mut bytes = fs::read(bench.path("image")).unwrap();
    let entry = bytes.windows(2).rposition(|pair| pair == b"b\0").unwrap() - 24;
    bytes[entry + 15] |= 1;
    fs::write(bench.path("image"), &bytes).unwrap();
    let (theirs, ours) = (bench.qemu(["resize", "image", "2M"]), bench.instar(["resize", "image", "2M"]));
    assert_eq!(theirs.code(), ours.code(), "{theirs}{ours}");
    assert_eq!(theirs.message(), ours.message());
    fs::write(bench.path("image"), &bytes).unwrap();
    bench.instar(["resize", "image", "2M"]).fails();
    assert_eq!(fs::read(bench.path("image")).unwrap(), bytes);
}

fn a_layer_below_that_is_missing_is_missed(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "raw", "base", "1M"]).succeeds();
    bench.qemu(["create", "-q", "-f", "qcow2", "-b", "base", "-F", "raw", "middle"]).succeeds();
    bench.qemu(["create", "-q", "-f", "qcow2", "-b", "middle", "-F", "qcow2", "top"]).succeeds();
    fs::remove_file(bench.path("base")).unwrap();
    let before = fs::read(bench.path("top")).unwrap();
    for words in
        [["resize", "top", "2M"].as_slice(), &["resize", "--shrink", "top", "512k"], &["resize", "top", "0"]]
    {
        let (theirs, ours) = (bench.qemu(words), bench.instar(words));
        assert_eq!(theirs.code(), ours.code(), "{words:?}: {ours}");
        assert_eq!(theirs.message(), ours.message(), "{words:?}");
        assert_eq!(fs::read(bench.path("top")).unwrap(), before, "{words:?}");
    }
}

fn a_data_file_elsewhere_is_written_to_only_where_that_is_allowed(bench: &Bench) {
    let elsewhere = bench.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let name = elsewhere.join("data");
    let options = format!("data_file={}", name.display());
    bench.qemu(["create", "-q", "-f", "qcow2", "-o", &options, "image", "1M"]).succeeds();
    bench.instar(["resize", "image", "2M"]).fails_with("allow");
    bench.instar(["resize", "--untrusted", "image", "2M"]).fails();
    assert_eq!(name.metadata().unwrap().len(), 1 << 20);
    bench.instar(["resize", "--allow-dir", elsewhere.to_str().unwrap(), "image", "2M"]).succeeds();
    assert_eq!(name.metadata().unwrap().len(), 2 << 20);
    checks_clean(bench, "image", "data elsewhere");
}

fn an_image_in_use_or_read_only_is_not_resized(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "qcow2", "image", "1M"]).succeeds();
    let before = fs::read(bench.path("image")).unwrap();
    let options = "driver=qcow2,read-only=on,file.filename=image";
    for (words, held) in
        [(["resize", "--image-opts", options, "2M"], false), (["resize", "-q", "image", "2M"], true)]
    {
        let holder = held.then(|| Holder::of(bench, "qcow2", "image"));
        let (theirs, ours) = (bench.qemu(words), bench.instar(words));
        assert_eq!(theirs.code(), ours.code(), "{words:?}: {ours}");
        assert_eq!(theirs.message(), ours.message(), "{words:?}");
        drop(holder);
        assert_eq!(fs::read(bench.path("image")).unwrap(), before, "{words:?}");
    }
}

/// Formats that qemu-img does not resize: it reads the disk that was there, cut or with zeros behind it.
fn disks_of_other_formats_are_read_by_qemu_img(bench: &Bench) {
    for (format, options) in OTHERS {
        let bench = &Bench::new(bench.sandbox());
        let mut size = 20 << 20;
        disk::make(
            &bench.path("disk.raw"),
            size,
            &[Piece::Data(0, 70_000, 1), Piece::Data(5 << 20, 300_000, 2), Piece::Data(size - 4096, 4096, 3)],
        );
        bench.qemu(["convert", "-f", "raw", "-O", format, "-o", options, "disk.raw", "image"]).succeeds();
        let theirs = bench.qemu(["resize", "-f", format, "image", "+1M"]);
        theirs.fails_with("does not support resize");
        ledger::deviates("resize-every-format", &theirs.code(), &Some(0));
        // More tables, and fewer; ends inside a block, a grain and a track.
        for (step, next) in
            [(20 << 20) + 512, 3000 << 20, (5 << 20) + 70_144, 30 << 20, 1 << 20].into_iter().enumerate()
        {
            let what = format!("{format} {options}, step {step}: {next}");
            let bytes = next.to_string();
            let words = ["image", &bytes];
            if next < size {
                bench.instar([&["resize", "-f", format][..], &words].concat()).fails_with("--shrink");
            }
            let ours = bench.instar([&["resize", "-f", format, "--shrink"][..], &words].concat());
            assert_eq!(ours.code(), Some(0), "{what}: {ours}");
            assert_eq!(ours.text(), "Image resized.\n", "{what}");
            let info = bench.qemu(["info", "-f", format, "--output=json", "image"]);
            let info: serde_json::Value = serde_json::from_slice(&info.succeeds().stdout).unwrap();
            size = info["virtual-size"].as_u64().unwrap();
            // The geometry of a VHD says which sizes there are.
            assert!(
                size == next || (*format == "vpc" && !options.contains("force_size") && size > next),
                "{what}: {size}"
            );
            fs::OpenOptions::new().write(true).open(bench.path("disk.raw")).unwrap().set_len(size).unwrap();
            let compared = bench.qemu(["compare", "-f", "raw", "-F", format, "disk.raw", "image"]);
            assert_eq!(compared.code(), Some(0), "{what}: {compared}");
            if *format != "vpc" {
                checks_clean_as(bench, format, "image", &what);
            }
        }
    }
}

fn an_extent_elsewhere_is_resized_only_where_that_is_allowed(bench: &Bench) {
    fs::create_dir(bench.path("elsewhere")).unwrap();
    bench
        .qemu(["create", "-q", "-f", "vmdk", "-o", "subformat=monolithicFlat", "image.vmdk", "1M"])
        .succeeds();
    fs::rename(bench.path("image-flat.vmdk"), bench.path("elsewhere/image-flat.vmdk")).unwrap();
    let text =
        fs::read_to_string(bench.path("image.vmdk")).unwrap().replace("image-flat", "elsewhere/image-flat");
    fs::write(bench.path("image.vmdk"), &text).unwrap();
    let length = || bench.path("elsewhere/image-flat.vmdk").metadata().unwrap().len();
    bench.instar(["resize", "image.vmdk", "2M"]).fails_with("allow");
    assert_eq!((length(), fs::read_to_string(bench.path("image.vmdk")).unwrap()), (1 << 20, text));
    bench.instar(["resize", "--allow-dir", "elsewhere", "image.vmdk", "2M"]).succeeds();
    assert_eq!(length(), 2 << 20);
    bench.qemu(["convert", "-f", "vmdk", "-O", "raw", "image.vmdk", "back.raw"]).succeeds();
    assert_eq!(bench.path("back.raw").metadata().unwrap().len(), 2 << 20);
}

fn what_a_smaller_disk_left_behind_does_not_come_back(bench: &Bench) {
    for image in ["theirs", "ours"] {
        bench.qemu(["create", "-q", "-f", "qcow2", image, "1M"]).succeeds();
        variant::io(bench, image, &["write -P 7 0 1M"]);
    }
    for size in ["100k", "1M"] {
        bench.qemu(["resize", "-q", "--shrink", "theirs", size]).succeeds();
        bench.instar(["resize", "-q", "--shrink", "ours", size]).succeeds();
    }
    let end = ["theirs", "ours"].map(|image| {
        bench.qemu(["convert", "-O", "raw", image, "disk.raw"]).succeeds();
        let bytes = fs::read(bench.path("disk.raw")).unwrap();
        bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1
    });
    assert_eq!(end[1], 100 << 10, "what was added is zero");
    checks_clean(bench, "ours", "cut and grown");
    ledger::deviates("resize-adds-zeros", &end[0], &end[1]);
}

fn what_was_in_freed_clusters_does_not_come_back(bench: &Bench) {
    for image in ["theirs", "ours"] {
        bench.qemu(["create", "-q", "-f", "qcow2", image, "8M"]).succeeds();
        bench.qemu(["bitmap", "--add", "-g", "512", image, "bits"]).succeeds();
        variant::io(bench, image, &["write -P 7 0 2M"]);
        bench.qemu(["bitmap", "--remove", image, "bits"]).succeeds();
    }
    let with = |image| ["resize", "-q", "--preallocation=metadata", image, "12M"];
    bench.qemu(with("theirs")).succeeds();
    bench.instar(with("ours")).succeeds();
    let shown = ["theirs", "ours"].map(|image| {
        bench.qemu(["convert", "-O", "raw", image, "disk.raw"]).succeeds();
        let bytes = fs::read(bench.path("disk.raw")).unwrap();
        bytes[8 << 20..].iter().filter(|byte| **byte != 0).count()
    });
    assert_eq!(shown[1], 0, "what was added is zero");
    checks_clean(bench, "ours", "freed and grown");
    ledger::deviates("resize-freed", &shown[0], &shown[1]);
}

/// Formats that qemu-img does not resize, and ways in which their images are made.
const OTHERS: &[(&str, &str)] = &[
    ("vmdk", "subformat=monolithicSparse"),
    ("vmdk", "subformat=monolithicSparse,zeroed_grain=on"),
    ("vmdk", "subformat=monolithicFlat"),
    ("vdi", "static=off"),
    ("vdi", "static=on"),
    ("vpc", "subformat=dynamic"),
    ("vpc", "subformat=fixed,force_size=on"),
    ("vhdx", "block_size=1M"),
    ("vhdx", "subformat=fixed"),
];

/// Images that lines name.
const IMAGES: &[&str] = &["q", "r", "v2"];

/// `_` stands for nothing: an empty word.
const LINES: &[&str] = &[
    "resize",
    "resize q",
    "resize q 1M 2M",
    "resize q 2M",
    "resize r 2M",
    "resize -f raw r 2M",
    "resize -f raw r +1M",
    "resize -f raw r +0",
    "resize -f raw r -1M",
    "resize -f raw r -1M --shrink",
    "resize -f raw --shrink r -1M",
    "resize -f raw r --shrink -1M",
    "resize -f raw -- r -1M",
    "resize -f raw --shrink -- r -1k",
    "resize -f raw -- -1M r",
    "resize -1M r",
    "resize -f raw r 8E",
    "resize -f raw r 16E",
    "resize -f raw r 7E",
    "resize -f raw r +8E",
    "resize -f raw r -8E",
    "resize -f raw r 0",
    "resize -f raw r -- -0",
    "resize -f raw r 1000",
    "resize -f raw --shrink r 1000",
    "resize -f raw r 1001",
    "resize -f raw r 1023",
    "resize -f raw r 1024",
    "resize -f raw r _",
    "resize -f raw r x",
    "resize -f raw r +x",
    "resize -f raw r +-1",
    "resize -f raw r 1.5",
    "resize -f raw r 1.5M",
    "resize -f raw r 9223372035781033984",
    "resize -f raw r 9223372035781033985",
    "resize -f raw r 9223372035781034496",
    "resize -f raw r +9223372036854775807",
    "resize -f raw --preallocation=metadata r 3M",
    "resize -f raw --preallocation=falloc r 3M",
    "resize -f raw --preallocation=full r 4M",
    "resize -f raw --preallocation=full r 1M",
    "resize -f raw --preallocation=full --shrink r 1M",
    "resize -f raw --preallocation=foo r 1M",
    "resize -f raw --preallocation r 1M",
    "resize --preallocation",
    "resize -f qcow2 q 8E",
    "resize -f qcow2 q 7E",
    "resize -f qcow2 q 1000",
    "resize -f qcow2 --shrink q 1000",
    "resize -f qcow2 q +1",
    "resize -f qcow2 q -1M",
    "resize -f qcow2 --shr q 1M",
    "resize -q q 3M",
    "resize q 3M -q",
    "resize -qf qcow2 q 3M",
    "resize -f foo q 1M",
    "resize -f foo q x",
    "resize absent 1M",
    "resize absent x",
    "resize -f qcow2 r 1M",
    "resize -U q 3M",
    "resize -p q 3M",
    "resize --foo q 3M",
    "resize --image-opts driver=qcow2,file.filename=q 4M",
    "resize --image-opts driver=qcow2,file.filename=q,foo=bar 4M",
    "resize --image-opts -f qcow2 q 4M",
    "resize --object secret,id=s,data=x q 5M",
    "resize --object foo q 5M",
    "resize v2 2M",
    "resize -f qcow2 --shrink v2 512k",
];

const LAYOUTS: &[(&str, bool)] = &[
    ("cluster_size=64k", true),
    ("cluster_size=512", false),
    ("cluster_size=2M", false),
    ("cluster_size=4k,compat=0.10", true),
    ("cluster_size=64k,extended_l2=on", false),
    ("cluster_size=4k,refcount_bits=8", false),
    ("cluster_size=4k,lazy_refcounts=on", true),
    ("refcount_bits=1,cluster_size=4k", false),
    ("refcount_bits=64,cluster_size=512", false),
];

/// Options and a size, one after the other. No disk grows on from an end that is not one of a cluster: that is for a test of its own.
const STEPS: &[&[&str]] = &[
    &["+2M"],
    &["--preallocation=metadata", "+4M"],
    &["-4M"],
    &["--shrink", "-4M"],
    &["20M"],
    &["--preallocation=falloc", "22M"],
    &["--shrink", "2M"],
    &["40M"],
    &["+0"],
    &["--preallocation=off", "more"],
    &["--shrink", "4M"],
    &["--preallocation=full", "+2M"],
    &["--shrink", "2M"],
];

fn material(bench: &Bench) {
    for who in ["theirs", "ours"] {
        let home = bench.path(who);
        let _ = fs::remove_dir_all(&home);
        fs::create_dir(&home).unwrap();
        for (name, format, options) in
            [("q", "qcow2", "compat=1.1"), ("v2", "qcow2", "compat=0.10"), ("r", "raw", "preallocation=off")]
        {
            let image = format!("{who}/{name}");
            bench.qemu(["create", "-q", "-f", format, "-o", options, &image, "1M"]).succeeds();
        }
        bench.qemu(["snapshot", "-c", "one", &format!("{who}/v2")]).succeeds();
    }
}

/// Both programs, each in its own directory.
fn both(bench: &Bench, reference: &Reference, words: &[&str]) -> (Outcome, Outcome) {
    let mut theirs = reference.program("qemu-img");
    theirs.args(words).current_dir(bench.path("theirs")).env("LC_ALL", "C");
    // What the sandbox is stands in front of the verb: to old releases the last word is the size.
    let mut ours = bench.command::<&str>([]);
    ours.args(words).current_dir(bench.path("ours")).env(VARIABLE, reference.profile());
    (Outcome::of(&mut theirs), Outcome::of(&mut ours))
}

/// What was said, whatever the programs are called.
fn plain(outcome: &Outcome) -> String {
    let text = outcome.errors();
    let words = text.split_inclusive(['\'', ' ', ':', '\n']);
    let words = words.map(|word| {
        let end = word.find(['\'', ' ', ':', '\n']).unwrap_or(word.len());
        let is_program = ["qemu-img", "instar"].contains(&word[..end].rsplit('/').next().unwrap());
        if is_program {
            format!("qemu-img{}", &word[end..])
        } else {
            word.to_owned()
        }
    });
    words.collect()
}

/// What `map` says of each extent but for the place, and whether there is one.
fn mapped(outcome: &Outcome) -> Vec<(u64, u64, bool, bool, bool, bool)> {
    let map: serde_json::Value = serde_json::from_slice(&outcome.succeeds().stdout).unwrap();
    let mut extents: Vec<(u64, u64, bool, bool, bool, bool)> = Vec::new();
    for extent in map.as_array().unwrap() {
        let flag = |key: &str| extent[key].as_bool().unwrap();
        let number = |key: &str| extent[key].as_u64().unwrap();
        // Data that happens to be a hole of the file is data.
        let zero = flag("zero") && !flag("data");
        let next = (
            number("start"),
            number("length"),
            flag("present"),
            zero,
            flag("data"),
            extent.get("offset").is_some(),
        );
        match extents.last_mut() {
            Some(last) if (last.2, last.3, last.4, last.5) == (next.2, next.3, next.4, next.5) => {
                last.1 += next.1
            }
            _ => extents.push(next),
        }
    }
    extents
}

/// The disks of `theirs` and `ours` are the same, and so is what is allocated; `check` finds nothing.
fn alike(bench: &Bench, what: &str) {
    checks_clean(bench, "ours", what);
    let facts = |image| {
        let info = qemu_info(bench, image);
        (info["virtual-size"].clone(), info["snapshots"].as_array().map(Vec::len), info["dirty-flag"].clone())
    };
    assert_eq!(facts("theirs"), facts("ours"), "{what}");
    assert_eq!(qemu_map(bench, "theirs"), qemu_map(bench, "ours"), "{what}");
    bench.qemu(["compare", "theirs", "ours"]).succeeds();
    let states: &[&[&str]] = if facts("ours").1.is_some() {
        &[&["-l", "old"]]
    } else {
        &[]
    };
    for state in states {
        for (image, copy) in [("theirs", "theirs.raw"), ("ours", "ours.raw")] {
            bench.qemu([&["convert"], *state, &["-O", "raw", image, copy]].concat()).succeeds();
        }
        same_bytes(bench, "theirs.raw", "ours.raw", &format!("{what}, {state:?}"));
    }
}

fn a_limit_on_the_size_of_files_is_an_error_and_not_the_end(bench: &Bench) {
    for (format, option) in [("raw", "--preallocation=off"), ("qcow2", "--preallocation=falloc")] {
        bench.qemu(["create", "-q", "-f", format, "image", "1M"]).succeeds();
        let small = ["prlimit", "--fsize=8388608"];
        let words = ["resize", "-f", format, option, "image", "64M"];
        let ours = Outcome::of(&mut bench.command_under(&small, words));
        ours.fails_with("File too large");
        assert_eq!(qemu_info(bench, "image")["virtual-size"], 1 << 20, "{format}");
        if format == "qcow2" {
            checks_clean(bench, "image", format);
        }
    }
}
