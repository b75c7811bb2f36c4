//! vmdk, vhd, vhdx, vdi and qed: in and out, in all pairs, through `dd` as well.

use std::fs;

use instar_tests::compare::{agree, qemu_info, same_bytes};
use instar_tests::disk::{self, Piece};
use instar_tests::variant::{self, Make, Variant};
use instar_tests::{Bench, both_sandboxes, formats};

/// The format that a variant's words ask for.
fn format_of(variant: &Variant) -> &'static str {
    match variant.make {
        Make::Convert(words) => words[1],
        Make::By(_) => panic!("{} is not converted", variant.name),
    }
}

/// A fixed VHD has no header where formats are looked for, so it must be named.
fn named(variant: &Variant) -> [&'static str; 2] {
    ["-f", format_of(variant)]
}

/// Removes every file whose name starts with one of the words: the extents of a vmdk lie beside it.
fn clear(bench: &Bench, words: &[&str]) {
    for name in bench.names() {
        if words.iter().any(|word| name.starts_with(word)) {
            fs::remove_file(bench.path(&name)).unwrap();
        }
    }
}

/// Sizes in bytes, and what becomes of them in a VHD.
const VHD_SIZES: &[(u64, u64)] = &[
    (512, 34816),
    (1000, 34816),
    (3000, 34816),
    (34816, 34816),
    (34817, 69632),
    (65536, 69632),
    (131_072, 139_264),
    (1 << 20, 1_079_296),
    (35_651_584, 35_686_400),
    (1 << 30, 1_073_995_776),
    (10 << 30, 10_737_893_376),
    (104_349 * 512, 104_363 * 512),
];

both_sandboxes!(
    reads_every_foreign_layout,
    a_file_that_lost_part_of_its_last_sector_is_read_as_by_qemu_img,
    describes_every_foreign_layout,
    writes_every_foreign_layout,
    converts_between_all_pairs,
    a_longer_file_becomes_what_a_new_one_would_be,
    copies_windows_of_every_format,
    writes_windows_in_every_format,
    empty_windows_give_what_qemu_img_gives,
    rounds_sizes_of_vhds_as_qemu_img_does,
    keeps_data_at_the_edges_of_blocks_and_extents,
    a_snapshot_of_a_format_without_snapshots_is_refused_as_by_qemu_img,
    reads_chains_of_vmdk,
    a_snapshot_becomes_a_vmdk_in_pieces,
);

fn reads_every_foreign_layout(bench: &Bench) {
    for variant in variant::FOREIGN {
        let bench = &Bench::new(bench.sandbox());
        variant.make(bench);
        let words =
            |target| ["convert"].into_iter().chain(named(variant)).chain(["-O", "raw", "image", target]);
        bench.qemu(words("theirs")).succeeds();
        let ours = bench.instar(words("ours"));
        assert_eq!(ours.code(), Some(0), "{}: {ours}", variant.name);
        ours.succeeds();
        same_bytes(bench, "theirs", "ours", variant.name);
    }
}

/// A file is counted in sectors: the rest of the last one reads as zeros.
fn a_file_that_lost_part_of_its_last_sector_is_read_as_by_qemu_img(bench: &Bench) {
    for options in ["qcow2", "vmdk", "vdi", "vhdx -o block_size=1M", "vhdx -o subformat=fixed,block_size=1M"]
    {
        let words: Vec<&str> = options.split(' ').collect();
        fs::write(bench.path("disk"), disk::pattern(0, 4 << 20, 12)).unwrap();
        bench.qemu([&["convert", "-f", "raw", "-O"], &words[..], &["disk", "whole"]].concat()).succeeds();
        for lost in [1, 511, 512] {
            fs::copy(bench.path("whole"), bench.path("image")).unwrap();
            let file = fs::File::options().write(true).open(bench.path("image")).unwrap();
            file.set_len(file.metadata().unwrap().len() - lost).unwrap();
            let words = |target| ["convert", "-f", words[0], "-O", "raw", "image", target];
            let (theirs, ours) = (bench.qemu(words("theirs")), bench.instar(words("ours")));
            assert_eq!(theirs.code(), ours.code(), "{options}, {lost} bytes fewer: {ours}");
            if theirs.code() == Some(0) {
                same_bytes(bench, "theirs", "ours", options);
            }
            agree(bench, &["check", "-f", words("")[2], "image"], options);
        }
    }
}

fn describes_every_foreign_layout(bench: &Bench) {
    for variant in variant::FOREIGN {
        let bench = &Bench::new(bench.sandbox());
        variant.make(bench);
        for words in [
            vec!["info"],
            vec!["info", "--output=json"],
            vec!["info", "-f", format_of(variant), "--output=json"],
        ] {
            let words: Vec<&str> = words.iter().copied().chain(["image"]).collect();
            agree(bench, &words, variant.name);
        }
    }
}

fn writes_every_foreign_layout(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    for variant in variant::FOREIGN {
        let Make::Convert(layout) = variant.make else {
            panic!("{} is not converted", variant.name)
        };
        let words = |target| {
            ["convert", "-f", "raw"].into_iter().chain(layout.iter().copied()).chain(["disk.raw", target])
        };
        bench.qemu(words("theirs")).succeeds();
        let ours = bench.instar(words("ours"));
        assert_eq!(ours.code(), Some(0), "{}: {ours}", variant.name);
        ours.succeeds();
        for image in ["theirs", "ours"] {
            let raw = format!("{image}.back");
            bench
                .qemu(["convert"].into_iter().chain(named(variant)).chain(["-O", "raw", image, &raw]))
                .succeeds();
        }
        same_bytes(bench, "theirs.back", "ours.back", variant.name);
        let format = format_of(variant);
        let read = |image: &str| {
            let outcome = bench.qemu(["info", "-f", format, "--output=json", image]);
            serde_json::from_slice::<serde_json::Value>(&outcome.succeeds().stdout).unwrap()
        };
        let (theirs, ours) = (read("theirs"), read("ours"));
        for key in ["virtual-size", "cluster-size", "compressed"] {
            assert_eq!(theirs[key], ours[key], "{}: {key}", variant.name);
        }
        if format == "vmdk" {
            let (theirs, ours) = (&theirs["format-specific"]["data"], &ours["format-specific"]["data"]);
            assert_eq!(theirs["create-type"], ours["create-type"], "{}", variant.name);
            let count = |data: &serde_json::Value| data["extents"].as_array().map(Vec::len);
            assert_eq!(count(theirs), count(ours), "{}", variant.name);
        }
        if ["vhdx", "vdi", "qed", "parallels"].contains(&format) {
            let check = bench.qemu(["check", "-f", format, "ours"]);
            assert_eq!(check.code(), Some(0), "{}: {check}", variant.name);
        }
        clear(bench, &["theirs", "ours"]);
    }
}

fn converts_between_all_pairs(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    for source in formats::WRITTEN {
        bench.qemu(["convert", "-f", "raw", "-O", source, "disk.raw", "source"]).succeeds();
        for target in formats::WRITTEN {
            let words = |image| ["convert", "-f", source, "-O", target, "source", image];
            bench.qemu(words("theirs")).succeeds();
            let ours = bench.instar(words("ours"));
            assert_eq!(ours.code(), Some(0), "{source} to {target}: {ours}");
            let outcome = bench.qemu(["compare", "-f", target, "-F", target, "theirs", "ours"]);
            assert_eq!(outcome.code(), Some(0), "{source} to {target}: {outcome}");
            let sizes = ["theirs", "ours"].map(|image| qemu_info(bench, image)["virtual-size"].clone());
            assert_eq!(sizes[0], sizes[1], "{source} to {target}");
            clear(bench, &["theirs", "ours"]);
        }
        clear(bench, &["source"]);
    }
}

/// The last cluster of the disk is in the file as a whole, and nothing behind it.
fn a_longer_file_becomes_what_a_new_one_would_be(bench: &Bench) {
    let size = (3 << 20) + 154_624;
    disk::make(
        &bench.path("disk.raw"),
        size,
        &[Piece::Data(0, 3_000_000, 1), Piece::Data(size - 600, 500, 2)],
    );
    for format in formats::WRITTEN {
        let longer = disk::pattern(0, 20 << 20, 3);
        for words in [
            ["convert", "-f", "raw", "-O", format, "disk.raw"].as_slice(),
            &["create", "-q", "-f", format, "-o", "size=3300352"],
        ] {
            fs::write(bench.path("over"), &longer).unwrap();
            let lengths = ["new", "over"].map(|image| {
                bench.instar(words.iter().copied().chain([image])).succeeds();
                let info = bench.qemu(["info", "-f", format, image]);
                assert_eq!(info.code(), Some(0), "{words:?} {image}: {info}");
                fs::metadata(bench.path(image)).unwrap().len()
            });
            assert_eq!(lengths[0], lengths[1], "{words:?}: over a longer file");
            if words[0] == "convert" {
                let outcome = bench.qemu(["compare", "-f", "raw", "-F", format, "disk.raw", "over"]);
                assert_eq!(outcome.code(), Some(0), "{format}: {outcome}");
            }
            clear(bench, &["new", "over"]);
        }
    }
}

fn copies_windows_of_every_format(bench: &Bench) {
    for variant in variant::FOREIGN {
        let bench = &Bench::new(bench.sandbox());
        variant.make(bench);
        for window in [
            "bs=65536 skip=2 count=4",
            "bs=777 skip=3 count=900",
            "bs=1M",
            "bs=100 count=77 skip=5",
            "bs=1M skip=1 count=1",
        ] {
            let words = |target| {
                ["dd"].into_iter().chain(named(variant)).chain(["if=image", target]).chain(window.split(' '))
            };
            bench.qemu(words("of=theirs")).succeeds();
            bench.instar(words("of=ours")).succeeds();
            same_bytes(bench, "theirs", "ours", &format!("{}: {window}", variant.name));
        }
    }
}

fn writes_windows_in_every_format(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    for format in formats::WRITTEN {
        for window in
            ["bs=64k skip=2 count=9", "bs=1000 skip=1 count=77", "bs=100 count=77 skip=5", "bs=1M skip=1"]
        {
            let words = |target| {
                ["dd", "-f", "raw", "-O", format, "if=disk.raw", target].into_iter().chain(window.split(' '))
            };
            bench.qemu(words("of=theirs")).succeeds();
            let ours = bench.instar(words("of=ours"));
            assert_eq!(ours.code(), Some(0), "{format}: {window}: {ours}");
            let sizes = ["theirs", "ours"].map(|image| {
                let outcome = bench.qemu(["info", "-f", format, "--output=json", image]);
                serde_json::from_slice::<serde_json::Value>(&outcome.succeeds().stdout).unwrap()["virtual-size"].clone()
            });
            assert_eq!(sizes[0], sizes[1], "{format}: {window}");
            for image in ["theirs", "ours"] {
                let raw = format!("{image}.back");
                bench.qemu(["convert", "-f", format, "-O", "raw", image, &raw]).succeeds();
            }
            same_bytes(bench, "theirs.back", "ours.back", &format!("{format}: {window}"));
            clear(bench, &["theirs", "ours"]);
        }
    }
}

fn empty_windows_give_what_qemu_img_gives(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    for format in formats::WRITTEN {
        let words = |target| ["dd", "-f", "raw", "-O", format, "if=disk.raw", target, "count=0"];
        let theirs = bench.qemu(words("of=theirs"));
        let ours = bench.instar(words("of=ours"));
        assert_eq!(theirs.code(), ours.code(), "{format}:\n{theirs}{ours}");
        if ours.code() == Some(0) {
            let outcome = bench.qemu(["info", "-f", format, "--output=json", "ours"]);
            let info: serde_json::Value = serde_json::from_slice(&outcome.succeeds().stdout).unwrap();
            assert_eq!(info["virtual-size"], 0, "{format}");
        }
        clear(bench, &["theirs", "ours"]);
    }
}

fn rounds_sizes_of_vhds_as_qemu_img_does(bench: &Bench) {
    for (wanted, size) in VHD_SIZES {
        disk::make(&bench.path("disk.raw"), *wanted, &[Piece::Data(0, 512, 1)]);
        bench.instar(["convert", "-f", "raw", "-O", "vpc", "disk.raw", "ours"]).succeeds();
        assert_eq!(qemu_info(bench, "ours")["virtual-size"], *size, "{wanted} bytes");
        bench.qemu(["convert", "-f", "raw", "-O", "vpc", "disk.raw", "theirs"]).succeeds();
        assert_eq!(qemu_info(bench, "theirs")["virtual-size"], *size, "{wanted} bytes");
    }
}

fn keeps_data_at_the_edges_of_blocks_and_extents(bench: &Bench) {
    const GIB: u64 = 1 << 30;
    let edges =
        [65_536, 1 << 20, 2 << 20, 8 << 20, 16 << 20, 32 << 20, GIB, 2 * GIB, 2 * GIB + (32 << 20), 4 * GIB];
    let pieces: Vec<Piece> = edges.iter().map(|edge| Piece::Data(edge - 1024, 2048, *edge)).collect();
    disk::make(&bench.path("disk.raw"), 4 * GIB + (1 << 20), &pieces);
    for words in bench.share([
        ["-O", "vmdk"].as_slice(),
        &["-O", "vmdk", "-o", "subformat=twoGbMaxExtentSparse"],
        &["-O", "vmdk", "-o", "subformat=streamOptimized"],
        &["-O", "vpc"],
        &["-O", "vhdx"],
        &["-O", "vdi"],
        &["-O", "qed"],
        &["-O", "qcow"],
        &["-O", "parallels"],
    ]) {
        let what = words.join(" ");
        let all = |target| {
            ["convert", "-f", "raw"].into_iter().chain(words.iter().copied()).chain(["disk.raw", target])
        };
        bench.qemu(all("theirs")).succeeds();
        bench.instar(all("ours")).succeeds();
        let format = words[1];
        for image in ["theirs", "ours"] {
            let outcome = bench.qemu(["compare", "-f", "raw", "-F", format, "disk.raw", image]);
            assert_eq!(outcome.code(), Some(0), "{what}: {image}: {outcome}");
        }
        bench.instar(["convert", "-f", format, "-O", "raw", "theirs", "back"]).succeeds();
        let outcome = bench.qemu(["compare", "-f", "raw", "-F", "raw", "disk.raw", "back"]);
        assert_eq!(outcome.code(), Some(0), "{what}: {outcome}");
        clear(bench, &["theirs", "ours", "back"]);
    }
}

fn a_snapshot_of_a_format_without_snapshots_is_refused_as_by_qemu_img(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    for (format, options) in [
        ("vmdk", "subformat=monolithicSparse"),
        ("vmdk", "subformat=twoGbMaxExtentSparse"),
        ("vmdk", "subformat=twoGbMaxExtentFlat"),
        ("vpc", "subformat=dynamic"),
        ("vhdx", "subformat=dynamic"),
        ("vdi", "static=off"),
        ("qed", "table_size=4"),
        ("qcow", "nocow=off"),
        ("parallels", "cluster_size=64k"),
    ] {
        bench.qemu(["convert", "-f", "raw", "-O", format, "-o", options, "disk.raw", "image"]).succeeds();
        let words = ["convert", "-l", "1", "-f", format, "-O", "raw", "image", "out"];
        let (theirs, ours) = (bench.qemu(words), bench.instar(words));
        assert_eq!(ours.fails().message(), theirs.fails().message(), "{format} {options}");
        clear(bench, &["image"]);
    }
}

fn reads_chains_of_vmdk(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    bench.qemu(["convert", "-f", "raw", "-O", "vmdk", "disk.raw", "base.vmdk"]).succeeds();
    bench.qemu(["create", "-q", "-f", "vmdk", "-b", "base.vmdk", "-F", "vmdk", "image"]).succeeds();
    fs::write(bench.path("piece"), disk::pattern(0, 70_000 / 512 * 512, 77)).unwrap();
    bench.qemu_io(["-f", "vmdk", "-c", "write -s piece 1M 69632", "image"]).succeeds();
    for words in [["-O", "raw"].as_slice(), &["-O", "qcow2"], &["-O", "vmdk"]] {
        let all = |target| ["convert"].into_iter().chain(words.iter().copied()).chain(["image", target]);
        bench.qemu(all("theirs")).succeeds();
        bench.instar(all("ours")).succeeds();
        assert_eq!(bench.qemu(["compare", "theirs", "ours"]).code(), Some(0), "{words:?}");
    }
    for words in [["info", "image"].as_slice(), &["info", "--backing-chain", "--output=json", "image"]] {
        let theirs = bench.qemu(words);
        assert_eq!(bench.instar(words).succeeds().text(), theirs.text());
    }
}

fn a_snapshot_becomes_a_vmdk_in_pieces(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "qcow2", "image", "3G"]).succeeds();
    fs::write(bench.path("piece"), disk::pattern(0, 65536, 5)).unwrap();
    variant::io(bench, "image", &["write -s piece 0 64k"]);
    bench.qemu(["snapshot", "-c", "one, two", "image"]).succeeds();
    variant::io(bench, "image", &["write -z 0 64k"]);
    for name in ["one, two", "1", "snapshot.name=one,, two", "snapshot.id=1"] {
        let words = |target| {
            ["convert", "-l", name, "-O", "vmdk", "-o", "subformat=twoGbMaxExtentSparse", "image", target]
        };
        bench.qemu(words("theirs.vmdk")).succeeds();
        bench.instar(words("ours.vmdk")).succeeds();
        assert!(bench.path("ours-s002.vmdk").exists(), "{name}");
        let outcome = bench.qemu(["compare", "theirs.vmdk", "ours.vmdk"]);
        assert_eq!(outcome.code(), Some(0), "{name}: {outcome}");
    }
}
