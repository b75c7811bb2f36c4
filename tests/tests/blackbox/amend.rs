//! `amend`: options, disks and messages are those of the installed qemu-img.

use std::fs;

use instar_tests::compare::{checks_clean, qemu_info, same_bytes};
use instar_tests::craft::Crafted;
use instar_tests::disk;
use instar_tests::holder::Holder;
use instar_tests::ledger::deviates;
use instar_tests::reference::Reference;
use instar_tests::variant::io;
use instar_tests::{Bench, Outcome, both_sandboxes, formats};

both_sandboxes!(
    what_we_amend_is_what_qemu_img_amends,
    an_amend_says_what_qemu_img_says,
    progress_and_quiet_and_cache_modes_are_taken,
    another_size_is_that_of_qemu_img,
    a_disk_gets_shorter_where_the_user_says_so,
    a_size_takes_what_is_below_and_beside_the_image,
    a_width_that_has_no_room_names_the_same_cluster,
    a_data_file_may_have_another_name,
    what_fails_late_leaves_nothing_of_what_came_before,
    bitmaps_leave_nothing_behind_in_version_2,
    a_snapshot_keeps_its_data_where_the_disk_is_zero_in_the_same_place,
    the_chain_below_is_not_needed,
    an_image_in_use_is_left_alone_by_amend,
    what_nobody_knows_in_the_header_stays,
);

fn what_we_amend_is_what_qemu_img_amends(bench: &Bench) {
    for (layout, below) in bench.share(LAYOUTS) {
        let bench = &Bench::new(bench.sandbox());
        for image in ["theirs", "ours"] {
            make(bench, image, layout, *below);
        }
        for (number, options) in STEPS.iter().enumerate() {
            let what = format!("{layout}, {below}, step {number}: {options}");
            let with = |image| ["amend", "-o", options, image];
            let (theirs, ours) = (bench.qemu(with("theirs")), bench.instar(with("ours")));
            // Where a cluster is by now, depends on who wrote it.
            let narrow =
                |outcome: &Outcome| outcome.message().starts_with("Cannot decrease refcount entry width");
            if !(narrow(&theirs) && narrow(&ours)) {
                same_words(&what, &theirs, &ours);
            }
            alike(bench, &what);
            for image in ["theirs", "ours"] {
                let offset = number * 100 + 5;
                io(bench, image, &[&format!("write -P {} {offset}k 7k", number + 1)]);
                if theirs.code() == Some(0)
                    && !options.contains("0.10")
                    && qemu_info(bench, image)["format-specific"]["data"]["compat"] == "1.1"
                {
                    io(bench, image, &[&format!("write -z -u {}k 64k", number * 128)]);
                }
            }
        }
    }
}

fn an_amend_says_what_qemu_img_says(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "qcow2", "image", "1M"]).succeeds();
    bench
        .qemu(["create", "-q", "-f", "qcow2", "-o", "extended_l2=on,compression_type=zstd", "parts", "1M"])
        .succeeds();
    bench.qemu(["create", "-q", "-f", "qcow2", "-o", "data_file=data", "apart", "1M"]).succeeds();
    disk::usual(&bench.path("disk.raw"));
    bench
        .qemu(["convert", "-c", "-O", "qcow2", "-o", "compression_type=zstd", "disk.raw", "packed"])
        .succeeds();
    bench.qemu(["create", "-q", "-f", "qcow2", "sized", "1M"]).succeeds();
    bench.qemu(["snapshot", "-c", "small", "sized"]).succeeds();
    bench.qemu(["resize", "-q", "sized", "2M"]).succeeds();
    bench.qemu(["create", "-q", "-f", "qcow2", "-o", "compat=0.10", "old", "1M"]).succeeds();
    bench.qemu(["snapshot", "-c", "first", "old"]).succeeds();
    bench
        .qemu([
            "create",
            "-q",
            "-f",
            "qcow2",
            "-o",
            "compat=0.10",
            "-b",
            "sized",
            "-F",
            "qcow2",
            "above",
            "1M",
        ])
        .succeeds();
    for format in formats::beside("qcow2") {
        bench.qemu(["create", "-q", "-f", format, format, "1M"]).succeeds();
    }
    let mut lines: Vec<Vec<&str>> = WRONG.iter().map(|line| line.split(' ').collect()).collect();
    for format in formats::beside("qcow2") {
        lines.push(vec!["-o", "size=2M", format]);
        lines.push(vec!["-o", "foo", format]);
        lines.push(vec!["-o", "help", format]);
        lines.push(vec!["-f", format, "-o", "compat=1.1", format]);
        lines.push(vec!["-f", format, "-o", "help"]);
    }
    for line in &lines {
        let words = [&["amend"], line.as_slice()].concat();
        let before = fs::read(bench.path("image")).unwrap();
        let ours = bench.instar(&words);
        assert_eq!(fs::read(bench.path("image")).unwrap(), before, "{line:?}");
        same_words(&line.join(" "), &bench.qemu(&words), &ours);
        fs::write(bench.path("image"), before).unwrap();
    }
}

fn progress_and_quiet_and_cache_modes_are_taken(bench: &Bench) {
    for words in [
        ["-p", "-o", "lazy_refcounts=on"].as_slice(),
        &["-p", "-q", "-o", "lazy_refcounts=off"],
        &["-p", "-o", "refcount_bits=3"],
        &["-p", "-o", "foo=3"],
        &["-q", "-o", "compat=0.10"],
        &["--progress", "--options", "lazy_refcounts=on", "--format", "qcow2", "--cache", "writethrough"],
    ] {
        for image in ["theirs", "ours"] {
            bench.qemu(["create", "-q", "-f", "qcow2", image, "1M"]).succeeds();
        }
        let with = |image| [&["amend"], words, &[image]].concat();
        same_words(&words.join(" "), &bench.qemu(with("theirs")), &bench.instar(with("ours")));
    }
    for cache in ["none", "writeback", "writethrough", "directsync", "unsafe"] {
        make(bench, "image", "cluster_size=4k", false);
        bench.qemu(["convert", "-O", "raw", "image", "before.raw"]).succeeds();
        bench.instar(["amend", "-t", cache, "-o", "refcount_bits=64", "image"]).succeeds();
        bench.instar(["amend", "-t", cache, "-o", "refcount_bits=16,compat=0.10", "image"]).succeeds();
        checks_clean(bench, "image", cache);
        bench.qemu(["convert", "-O", "raw", "image", "after.raw"]).succeeds();
        same_bytes(bench, "before.raw", "after.raw", cache);
    }
}

fn another_size_is_that_of_qemu_img(bench: &Bench) {
    for (layout, more) in bench.share(SIZED) {
        let bench = &Bench::new(bench.sandbox());
        for who in ["theirs", "ours"] {
            let home = bench.path(who);
            fs::create_dir(&home).unwrap();
            disk::usual(&home.join("base.raw"));
            let mut words = vec!["create", "-q", "-f", "qcow2", "-o", layout, "image", "3M"];
            if *more == "below" {
                words.splice(4..4, ["-b", "base.raw", "-F", "raw"]);
            }
            qemu_in(bench, who, &words).succeeds();
            if *more == "bitmap" {
                qemu_in(bench, who, &["bitmap", "--add", "-g", "512", "image", "fine"]).succeeds();
            }
            let image = format!("{who}/image");
            if !layout.contains("data_file") {
                io(bench, &image, &["write -P 7 64k 700k", "write -P 8 2900k 172k"]);
            }
            if *more == "snapshot" {
                qemu_in(bench, who, &["snapshot", "-c", "first", "image"]).succeeds();
            }
        }
        for options in SIZES {
            // Bitmaps that qemu-img leaves in version 2 are the deviation `amend-bitmaps`.
            if *more == "bitmap" && options.contains("compat=0.10") {
                continue;
            }
            let what = format!("{layout}, {more}: {options}");
            let words = ["amend", "--force", "-o", options, "image"];
            let theirs = qemu_in(bench, "theirs", &words);
            let ours = Outcome::of(bench.command(words).current_dir(bench.path("ours")));
            same_words(&what, &theirs, &ours);
            qemu_in(bench, "ours", &["check", "image"]).succeeds();
            let json = |who| -> serde_json::Value {
                let shown = qemu_in(bench, who, &["info", "--output=json", "image"]).succeeds().text();
                serde_json::from_str(&shown).unwrap()
            };
            if ours.code() != Some(0) {
                // Theirs may have got something of it.
                let size = format!("size={}", json("ours")["virtual-size"]);
                qemu_in(bench, "theirs", &["amend", "-o", &size, "image"]);
                continue;
            }
            let (their, our) = (json("theirs"), json("ours"));
            for place in ["/virtual-size", "/format-specific/data"] {
                assert_eq!(their.pointer(place), our.pointer(place), "{what}");
            }
            for (who, copy) in [("theirs", "../theirs.raw"), ("ours", "../ours.raw")] {
                qemu_in(bench, who, &["convert", "-O", "raw", "image", copy]).succeeds();
            }
            same_bytes(bench, "theirs.raw", "ours.raw", &what);
            if layout.contains("data_file") {
                same_bytes(bench, "theirs/data", "ours/data", &what);
            }
        }
    }
}

fn a_disk_gets_shorter_where_the_user_says_so(bench: &Bench) {
    for image in ["theirs", "ours"] {
        bench.qemu(["create", "-q", "-f", "qcow2", image, "2M"]).succeeds();
    }
    let before = fs::read(bench.path("ours")).unwrap();
    let (theirs, ours) =
        (bench.qemu(["amend", "-o", "size=1M", "theirs"]), bench.instar(["amend", "-o", "size=1M", "ours"]));
    ours.fails_with(
        "size= would make the disk shorter: what is behind its new end would be lost; --force does so",
    );
    assert!(fs::read(bench.path("ours")).unwrap() == before);
    deviates("amend-shorter", &theirs.code(), &ours.code());
    bench.instar(["amend", "--force", "-o", "size=1M", "ours"]).succeeds();
    assert_eq!(qemu_info(bench, "ours")["virtual-size"], 1 << 20);
    checks_clean(bench, "ours", "shorter");
}

fn a_size_takes_what_is_below_and_beside_the_image(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "raw", "base", "1M"]).succeeds();
    bench.qemu(["create", "-q", "-f", "qcow2", "-b", "base", "-F", "raw", "image"]).succeeds();
    bench.qemu(["create", "-q", "-f", "qcow2", "-o", "data_file=data", "apart", "1M"]).succeeds();
    fs::remove_file(bench.path("base")).unwrap();
    let words = ["amend", "-o", "size=2M", "image"];
    let before = fs::read(bench.path("image")).unwrap();
    let ours = bench.instar(words);
    same_words("without its base", &bench.qemu(words), &ours);
    assert!(fs::read(bench.path("image")).unwrap() == before);
    // Nothing besides the image is opened for an image that is not trusted.
    let before = fs::read(bench.path("apart")).unwrap();
    let words = ["amend", "--untrusted", "-o", "size=2M", "apart"];
    bench.instar(words).fails_with("which --untrusted does not allow it to open");
    assert!(fs::read(bench.path("apart")).unwrap() == before);
    bench.instar(["amend", "--untrusted", "-o", "lazy_refcounts=on", "apart"]).succeeds();
}

fn a_width_that_has_no_room_names_the_same_cluster(bench: &Bench) {
    for (layout, bits) in
        [("cluster_size=4k", "1"), ("cluster_size=512,refcount_bits=64", "1"), ("refcount_bits=8", "1")]
    {
        make(bench, "image", layout, false);
        let option = format!("refcount_bits={bits}");
        let words = ["amend", "-o", &option, "image"];
        let before = fs::read(bench.path("image")).unwrap();
        let ours = bench.instar(words);
        assert_eq!(fs::read(bench.path("image")).unwrap(), before, "{layout}");
        same_words(layout, &bench.qemu(words), &ours);
        fs::remove_file(bench.path("image")).unwrap();
    }
}

fn a_data_file_may_have_another_name(bench: &Bench) {
    for image in ["theirs", "ours"] {
        let options = format!("data_file={image}.data,data_file_raw=on");
        bench.qemu(["create", "-q", "-f", "qcow2", "-o", &options, image, "1M"]).succeeds();
        io(bench, image, &["write -P 5 100k 100k"]);
    }
    for options in [
        "data_file_raw=on",
        "data_file=IMAGE,, moved",
        "data_file_raw=off",
        "data_file_raw=on",
        "compat=0.10",
    ] {
        let with =
            |image| ["amend".to_owned(), "-o".to_owned(), options.replace("IMAGE", image), image.to_owned()];
        let (theirs, ours) = (bench.qemu(with("theirs")), bench.instar(with("ours")));
        same_words(options, &theirs, &ours);
        if options.starts_with("data_file=") {
            for image in ["theirs", "ours"] {
                fs::rename(bench.path(&format!("{image}.data")), bench.path(&format!("{image}, moved")))
                    .unwrap();
            }
        }
    }
    let data = &qemu_info(bench, "ours")["format-specific"]["data"];
    assert_eq!(
        (data["data-file"].as_str(), data["data-file-raw"].as_bool()),
        (Some("ours, moved"), Some(false))
    );
    checks_clean(bench, "ours", "with another name");
    bench.instar(["convert", "-O", "raw", "ours", "out.raw"]).succeeds();
    same_bytes(bench, "ours, moved", "out.raw", "through the new name");
    let words = |image| ["amend", "-o", "data_file=", image];
    let (theirs, ours) = (bench.qemu(words("theirs")), bench.instar(words("ours")));
    ours.fails_with("'data-file' is required for this image");
    deviates("amend-data-file", &theirs.code(), &ours.code());
}

fn what_fails_late_leaves_nothing_of_what_came_before(bench: &Bench) {
    let options = "refcount_bits=64,lazy_refcounts=on,backing_file=other,backing_fmt=raw";
    for image in ["theirs", "ours"] {
        bench.qemu(["create", "-q", "-f", "qcow2", image, "1M"]).succeeds();
    }
    let with = |image| ["amend", "-o", options, image];
    let (theirs, ours) = (bench.qemu(with("theirs")), bench.instar(with("ours")));
    same_words(options, &theirs, &ours);
    let bits = |image| qemu_info(bench, image)["format-specific"]["data"]["refcount-bits"].clone();
    assert_eq!(bits("ours"), 16);
    deviates("amend-all-or-nothing", &bits("theirs"), &bits("ours"));
}

fn bitmaps_leave_nothing_behind_in_version_2(bench: &Bench) {
    for image in ["theirs", "ours"] {
        bench.qemu(["create", "-q", "-f", "qcow2", image, "1M"]).succeeds();
        bench.qemu(["bitmap", "--add", image, "a"]).succeeds();
        io(bench, image, &["write 0 100k"]);
    }
    let with = |image| ["amend", "-o", "compat=0.10", image];
    bench.qemu(with("theirs"));
    bench.instar(with("ours")).succeeds();
    checks_clean(bench, "ours", "bitmaps are gone");
    deviates("amend-bitmaps", &bench.qemu(["check", "theirs"]).code(), &bench.qemu(["check", "ours"]).code());
}

fn a_snapshot_keeps_its_data_where_the_disk_is_zero_in_the_same_place(bench: &Bench) {
    for image in ["theirs", "ours"] {
        bench.qemu(["create", "-q", "-f", "qcow2", image, "1M"]).succeeds();
        io(bench, image, &["write -P 7 0 128k"]);
        bench.qemu(["snapshot", "-c", "s", image]).succeeds();
        io(bench, image, &["write -z 0 64k"]);
    }
    let read = |image, out| {
        bench.qemu(["convert", "-l", "s", "-O", "raw", image, out]).succeeds();
        fs::read(bench.path(out)).unwrap()
    };
    let before = read("ours", "before.raw");
    let with = |image| ["amend", "-o", "compat=0.10", image];
    bench.qemu(with("theirs")).succeeds();
    bench.instar(with("ours")).succeeds();
    let ours = read("ours", "ours.raw");
    assert!(ours == before, "the snapshot is another one");
    checks_clean(bench, "ours", "with its snapshot");
    deviates("amend-shared-zeros", &(read("theirs", "theirs.raw") == before), &(ours == before));
}

fn the_chain_below_is_not_needed(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "raw", "base", "1M"]).succeeds();
    bench.qemu(["create", "-q", "-f", "qcow2", "-b", "base", "-F", "raw", "image"]).succeeds();
    io(bench, "image", &["write -z 0 100k"]);
    fs::rename(bench.path("base"), bench.path("elsewhere")).unwrap();
    let words = ["amend", "-o", "compat=0.10", "image"];
    let theirs = bench.qemu(words);
    let ours = bench.instar(words);
    deviates("amend-alone", &theirs.code(), &ours.code());
    ours.succeeds();
    fs::rename(bench.path("elsewhere"), bench.path("base")).unwrap();
    checks_clean(bench, "image", "with its base");
}

fn an_image_in_use_is_left_alone_by_amend(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "qcow2", "image", "1M"]).succeeds();
    let holder = Holder::of(bench, "qcow2", "image");
    let before = fs::read(bench.path("image")).unwrap();
    let words = ["amend", "-o", "lazy_refcounts=on", "image"];
    let ours = bench.instar(words);
    assert_eq!(ours.message(), bench.qemu(words).message());
    ours.fails_with("Is another process using the image");
    assert_eq!(fs::read(bench.path("image")).unwrap(), before);
    drop(holder);
    bench.instar(words).succeeds();
}

fn what_nobody_knows_in_the_header_stays(bench: &Bench) {
    let image = Crafted::image(bench, "image", "1M", "", 100_000);
    image.extensions(&[(0x1234_5678, b"something"), (0x8765_4321, b"")]);
    // An autoclear feature that nobody keeps up here.
    image.u64(88, 1 << 20);
    bench.instar(["amend", "-o", "lazy_refcounts=on,refcount_bits=32", "image"]).succeeds();
    checks_clean(bench, "image", "amended");
    let bytes = fs::read(bench.path("image")).unwrap();
    assert_eq!(bytes[88..96], [0; 8]);
    let has = |wanted: &[u8]| bytes[..4096].windows(wanted.len()).any(|window| window == wanted);
    assert!(has(b"\x12\x34\x56\x78\0\0\0\x09something") && has(b"\x87\x65\x43\x21\0\0\0\0"));
    bench.instar(["amend", "-o", "compat=0.10,refcount_bits=16", "image"]).succeeds();
    checks_clean(bench, "image", "downgraded");
    let bytes = fs::read(bench.path("image")).unwrap();
    let has = |wanted: &[u8]| bytes[..4096].windows(wanted.len()).any(|window| window == wanted);
    assert!(has(b"\x12\x34\x56\x78\0\0\0\x09something") && !has(b"dirty bit"));
}

/// Options of an image, and whether it has something below. With larger clusters qemu-img needs minutes for another width.
const LAYOUTS: &[(&str, bool)] = &[
    ("cluster_size=16k", false),
    ("cluster_size=16k", true),
    ("cluster_size=512", true),
    ("cluster_size=32k", false),
    ("cluster_size=4k,compat=0.10", true),
    ("cluster_size=4k,refcount_bits=32,lazy_refcounts=on", false),
    ("cluster_size=16k,compression_type=zstd", true),
];

/// What is asked for, one after the other; some of it cannot be.
const STEPS: &[&str] = &[
    "lazy_refcounts=on",
    "compat=1.1",
    "compat=v3,lazy_refcounts=on",
    "refcount_bits=64",
    "compat=0.10",
    "refcount_bits=4",
    "refcount_bits=8,lazy_refcounts=off",
    "compat=0.10,refcount_bits=16",
    "compat=0.10",
    "compat=1.1,refcount_bits=2",
    "refcount_bits=1",
    "compat=v2,refcount_bits=16",
    "refcount_bits=32",
    "compat=v3",
];

/// Options of an image, and what it has besides.
const SIZED: &[(&str, &str)] = &[
    ("cluster_size=16k", ""),
    ("cluster_size=16k", "below"),
    ("cluster_size=16k", "snapshot"),
    ("cluster_size=4k", "bitmap"),
    ("cluster_size=16k,compat=0.10", "snapshot"),
    ("cluster_size=16k,compat=0.10", "below"),
    ("cluster_size=32k,extended_l2=on", "below"),
    ("cluster_size=16k,data_file=data", ""),
    ("cluster_size=16k,data_file=data,data_file_raw=on", ""),
];

/// What is asked for, one after the other.
const SIZES: &[&str] = &[
    "size=3M",
    "size=0",
    "size=5M,lazy_refcounts=on",
    "size=4000256",
    "size=4000257",
    "size=6M,compat=1.1",
    "size=2M,refcount_bits=64",
    "size=20M,refcount_bits=16",
    "size=5M,compat=0.10,refcount_bits=16",
    "size=3M,compat=0.10",
    "size=40M,compat=v3,refcount_bits=8",
    "size=9223372036854775807",
];

/// Lines that are wrong, or change nothing.
const WRONG: &[&str] = &[
    "-o compat=2 image",
    "-o compat= image",
    "-o compat image",
    "-o refcount_bits=0 image",
    "-o refcount_bits=3 image",
    "-o refcount_bits=128 image",
    "-o refcount_bits=x image",
    "-o lazy_refcounts=x image",
    "-o size=x image",
    "-o size=-1 image",
    "-o size=0 image",
    "-o size=513 image",
    "-o size=4E image",
    "-o size=18446744073709551104 image",
    "-o size=9223372036854775296 image",
    "-o size=9223372035781033984 image",
    "-o size=513,lazy_refcounts=on,compat=0.10 image",
    "-o size=513,compat=0.10,refcount_bits=8 image",
    "-o size=2M old",
    "-o size=1M old",
    "-o size=2M,refcount_bits=8 old",
    "-o size=2M above",
    "-o foo=1 image",
    "-o cluster_size=4k image",
    "-o cluster_size=4k,foo=1 image",
    "-o lazy_refcounts=on,preallocation=off image",
    "-o nocow=on image",
    "-o encryption=on image",
    "-o encrypt.format=luks image",
    "-o encrypt.state=active image",
    "-o encrypt.keyslot=x image",
    "-o encrypt.new-secret=x,compat=9 image",
    "-o data_file=x image",
    "-o data_file= image",
    "-o data_file_raw=on image",
    "-o data_file_raw=off image",
    "-o backing_file=x image",
    "-o backing_file= image",
    "-o backing_fmt=raw image",
    "-o compat=0.10,lazy_refcounts=on image",
    "-o compat=0.10,refcount_bits=8 image",
    "-o compat=0.10,refcount_bits=8,lazy_refcounts=on,backing_file=x image",
    "-o compat=0.10 parts",
    "-o compat=0.10 apart",
    "-o compat=0.10 packed",
    "-o compat=0.10 sized",
    "-o compat=1.1 absent",
    "-o foo=1 absent",
    "-o help absent",
    "-o help image",
    "-o ? image",
    "-o compat=1.1,help image",
    "-o help=1 image",
    "-f qcow2 -o help",
    "-f qcow2 -o foo,?",
    "-f luks -o help",
    "-f foo -o help",
    "-f bochs -o help",
    "-f foo -o compat=1.1 image",
    "-f vmdk -o compat=1.1 image",
    "-f raw -o compat=1.1 image",
    "-t foo -o compat=1.1 image",
    "--image-opts -o compat=1.1 driver=qcow2,file.filename=image,read-only=on",
    "--image-opts -f qcow2 -o compat=1.1 driver=qcow2,file.filename=image",
];

/// An image of 3 MiB with data, zeros with and without a place, compressed clusters, and a snapshot that shares some of them.
fn make(bench: &Bench, image: &str, layout: &str, below: bool) {
    fs::write(bench.path("base.raw"), vec![0xbb; 3 << 20]).unwrap();
    let mut words = vec!["create", "-q", "-f", "qcow2", "-o", layout, image, "3M"];
    if below {
        words.splice(4..4, ["-b", "base.raw", "-F", "raw"]);
    }
    bench.qemu(words).succeeds();
    let old = layout.contains("0.10");
    io(bench, image, &["write -P 7 64k 700k", "write -P 8 1500k 70k"]);
    if !old {
        io(bench, image, &["write -z 300k 140k", "write -z -u 700k 20k"]);
    }
    bench.qemu(["snapshot", "-c", "first", image]).succeeds();
    // Zeros in places that the snapshot has data in are another matter: qemu-img destroys it.
    if !old {
        io(bench, image, &["write -z 2M 300k", "write -P 9 2100k 4k"]);
    }
    io(bench, image, &["write -P 9 1510k 10k"]);
}

/// Runs qemu-img where that image stands: a relative data file is looked for from where one stands.
fn qemu_in(bench: &Bench, who: &str, words: &[&str]) -> Outcome {
    let mut command = Reference::installed().program("qemu-img");
    Outcome::of(command.args(words).current_dir(bench.path(who)))
}

/// Both end alike and say the same.
#[track_caller]
fn same_words(what: &str, theirs: &Outcome, ours: &Outcome) {
    if instar_tests::reference::lacks_option(theirs, ours) {
        return;
    }
    let plain =
        |text: String| text.replace("instar: ", "qemu-img: ").replace("instar amend", "qemu-img amend");
    assert_eq!(plain(ours.errors()), plain(theirs.errors()), "{what}");
    assert_eq!(ours.text(), theirs.text(), "{what}");
    assert_eq!(ours.code(), theirs.code(), "{what}");
}

/// The images are the same to a reader, and `check` finds nothing.
fn alike(bench: &Bench, what: &str) {
    checks_clean(bench, "ours", what);
    let shown = |image| qemu_info(bench, image)["format-specific"]["data"].clone();
    assert_eq!(shown("theirs"), shown("ours"), "{what}");
    for state in [&[][..], &["-l", "first"]] {
        for (image, copy) in [("theirs", "theirs.raw"), ("ours", "ours.raw")] {
            let words = [&["convert"], state, &["-O", "raw", image, copy]].concat();
            bench.qemu(words).succeeds();
        }
        same_bytes(bench, "theirs.raw", "ours.raw", &format!("{what}, {state:?}"));
    }
}
