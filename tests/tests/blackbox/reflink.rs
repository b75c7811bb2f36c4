//! Conversions on a filesystem that can share extents: they cost no space. Needs root, a loop device and mkfs.xfs.

use std::fs;

use instar_tests::compare::{allocated_ranges, checks_clean, same_bytes};
use instar_tests::disk::{self, Piece};
use instar_tests::ledger::deviates;
use instar_tests::variant::io;
use instar_tests::xfs::Xfs;
use instar_tests::{Bench, both_sandboxes};

const MIB: u64 = 1 << 20;
const DATA: u64 = 48 << 20;

both_sandboxes!(
    conversions_to_raw_share_extents,
    conversions_to_formats_share_extents,
    a_chain_is_shared_layer_by_layer,
    a_layer_over_another_base_is_shared,
    what_cannot_be_shared_is_copied_beside_it,
    zeros_are_looked_for_where_the_user_says_so,
    a_filesystem_that_shares_nothing_gets_what_any_other_gets,
    a_full_disk_leaves_no_target,
);

/// Data in the middle of a disk whose size is no multiple of anything.
fn make(bench: &Bench) {
    let pieces = [Piece::Data(MIB, DATA, 7), Piece::Data(DATA + 6 * MIB + 512, 70_000, 3)];
    disk::make(&bench.path("disk.raw"), DATA + 8 * MIB + 512, &pieces);
    fs::copy(bench.path("disk.raw"), bench.path("xfs/disk.raw")).unwrap();
}

/// Runs instar and gives the space that it took.
fn cost(bench: &Bench, xfs: &Xfs, words: &[&str]) -> u64 {
    let before = xfs.free();
    bench.instar(words).succeeds();
    before.saturating_sub(xfs.free())
}

fn remove(bench: &Bench, names: &[&str]) {
    for name in names {
        fs::remove_file(bench.path(name)).unwrap();
    }
}

/// `xfs/out` shows the disk of `image`, and qemu-img finds nothing wrong with it.
#[track_caller]
fn is_sound(bench: &Bench, image: &str, what: &str) {
    bench.qemu(["compare", "-f", "qcow2", "-F", "qcow2", image, "xfs/out"]).succeeds();
    checks_clean(bench, "xfs/out", what);
}

fn conversions_to_raw_share_extents(bench: &Bench) {
    let Some(xfs) = Xfs::mounted(bench, true) else {
        return;
    };
    make(bench);
    for (format, options) in
        [("raw", "-S4k"), ("qcow2", "-S4k"), ("qcow2", "-C"), ("raw", "--checksum"), ("qcow2", "--checksum")]
    {
        bench.qemu(["convert", "-f", "raw", "-O", format, "disk.raw", "xfs/image"]).succeeds();
        // -S cannot stand beside -C, and 4k is its default.
        let cost = |option| {
            cost(bench, &xfs, &["convert", option, "-f", format, "-O", "raw", "xfs/image", "xfs/out"])
        };
        let shared = cost(options);
        assert!(shared < DATA / 8, "{format} {options}: {shared} bytes of new space");
        same_bytes(bench, "disk.raw", "xfs/out", format);
        remove(bench, &["xfs/out"]);
        // Space of its own is what `-S 0` asks for.
        assert!(cost("-S0") >= DATA, "{format}: -S 0 shares extents");
        same_bytes(bench, "disk.raw", "xfs/out", format);
        remove(bench, &["xfs/out", "xfs/image"]);
    }
}

/// Targets whose data stands on whole blocks.
const SHARING: &[(&str, &str)] = &[
    ("qcow2", "compat=1.1"),
    ("qcow2", "cluster_size=4k"),
    ("qcow2", "cluster_size=2M"),
    ("qcow2", "extended_l2=on,cluster_size=128k"),
    ("qcow2", "data_file=HERE/out.data,data_file_raw=on"),
    ("vdi", "static=off"),
    ("vdi", "static=on"),
    ("vhdx", "subformat=dynamic"),
    ("vhdx", "subformat=fixed"),
    ("vpc", "subformat=fixed"),
    ("vmdk", "subformat=monolithicSparse"),
    ("vmdk", "subformat=monolithicFlat"),
    ("vmdk", "subformat=twoGbMaxExtentSparse"),
    ("qed", "cluster_size=64k"),
    ("parallels", "cluster_size=1M"),
];

/// Each target holds the disk, as qemu-img reads it, and is sound; its metadata is all that it costs.
fn conversions_to_formats_share_extents(bench: &Bench) {
    let Some(xfs) = Xfs::mounted(bench, true) else {
        return;
    };
    make(bench);
    bench.qemu(["convert", "-f", "raw", "-O", "qcow2", "disk.raw", "xfs/disk.qcow2"]).succeeds();
    for (format, options) in SHARING {
        let options = &options.replace("HERE", bench.path("xfs").to_str().unwrap());
        for source in ["raw", "qcow2"] {
            let image = format!("xfs/disk.{source}");
            let what = format!("{source} to {format} {options}");
            let words = ["convert", "-f", source, "-O", format, "-o", options, &image, "xfs/out"];
            let cost = cost(bench, &xfs, &words);
            assert!(cost < DATA / 4, "{what}: {cost} bytes of new space");
            bench.qemu(["convert", "-f", format, "-O", "raw", "xfs/out", "back.raw"]).succeeds();
            fs::OpenOptions::new()
                .write(true)
                .open(bench.path("back.raw"))
                .unwrap()
                .set_len(fs::metadata(bench.path("disk.raw")).unwrap().len())
                .unwrap();
            same_bytes(bench, "disk.raw", "back.raw", &what);
            if ["qcow2", "vdi", "qed", "parallels", "vhdx"].contains(format) {
                bench.qemu(["check", "-q", "-f", format, "xfs/out"]).succeeds();
            }
            for entry in fs::read_dir(bench.path("xfs")).unwrap() {
                let path = entry.unwrap().path();
                if path.file_name().unwrap().to_str().unwrap().starts_with("out") {
                    fs::remove_file(path).unwrap();
                }
            }
        }
    }
}

fn a_chain_is_shared_layer_by_layer(bench: &Bench) {
    let Some(xfs) = Xfs::mounted(bench, true) else {
        return;
    };
    make(bench);
    let layer = |base: &str, format: &str, image: &str| {
        bench.qemu(["create", "-q", "-f", "qcow2", "-F", format, "-b", base, image]).succeeds();
    };
    layer("disk.raw", "raw", "xfs/one");
    io(bench, "xfs/one", &["write -P 1 5M 9M", "write -P 2 20001k 3k", "write -z 30M 1M"]);
    layer("one", "qcow2", "xfs/top");
    io(bench, "xfs/top", &["write -P 3 9M 2M", "write -P 4 40M 512"]);
    let words = ["convert", "--allow-dir", "xfs", "-f", "qcow2", "-O", "qcow2", "xfs/top", "xfs/out"];
    let cost = cost(bench, &xfs, &words);
    assert!(cost < DATA / 8, "{cost} bytes of new space");
    is_sound(bench, "xfs/top", "a chain");
    // Half a cluster from one layer, half from another; and writing to either image leaves the other alone.
    bench.qemu(["convert", "-f", "qcow2", "-O", "raw", "xfs/top", "before.raw"]).succeeds();
    io(bench, "xfs/out", &["write -P 9 0 20M"]);
    bench.qemu(["convert", "-f", "qcow2", "-O", "raw", "xfs/top", "after.raw"]).succeeds();
    same_bytes(bench, "before.raw", "after.raw", "the source");
}

/// Units of which the layer holds a part are whole in the new one, with what lies below them.
fn a_layer_over_another_base_is_shared(bench: &Bench) {
    let Some(xfs) = Xfs::mounted(bench, true) else {
        return;
    };
    make(bench);
    fs::copy(bench.path("disk.raw"), bench.path("xfs/base.raw")).unwrap();
    let create = ["create", "-q", "-f", "qcow2", "-F", "raw", "-b", "disk.raw", "xfs/top"];
    bench.qemu(create).succeeds();
    io(
        bench,
        "xfs/top",
        &[
            "write -P 1 5M 16M",
            "write -P 2 30001k 3k",
            "write -z 35M 1M",
            "write -z 40010k 7k",
            "write -P 3 54M 2M",
        ],
    );
    for options in ["cluster_size=64k", "cluster_size=2M", "cluster_size=4k"] {
        let words =
            ["convert", "-O", "qcow2", "-o", options, "-B", "base.raw", "-F", "raw", "xfs/top", "xfs/out"];
        let cost = cost(bench, &xfs, &words);
        assert!(cost < 12 * MIB, "{options}: {cost} bytes of new space");
        is_sound(bench, "xfs/top", options);
        let theirs =
            ["convert", "-O", "qcow2", "-o", options, "-B", "base.raw", "-F", "raw", "xfs/top", "xfs/theirs"];
        bench.qemu(theirs).succeeds();
        let map = |image: &str| bench.qemu(["map", "--output=json", image]).succeeds().text();
        let depths = |text: String| {
            let map: serde_json::Value = serde_json::from_str(&text).unwrap();
            let extents = map.as_array().unwrap().iter();
            extents
                .map(|extent| {
                    [&extent["start"], &extent["length"], &extent["depth"]].map(|v| v.as_u64().unwrap())
                })
                .filter(|[_, _, depth]| *depth == 0)
                .map(|[start, length, _]| (start, length))
                .fold(Vec::new(), |mut merged: Vec<(u64, u64)>, (start, length)| {
                    match merged.last_mut() {
                        Some(last) if last.0 + last.1 == start => last.1 += length,
                        _ => merged.push((start, length)),
                    }
                    merged
                })
        };
        assert_eq!(depths(map("xfs/out")), depths(map("xfs/theirs")), "{options}: what the layer holds");
        remove(bench, &["xfs/out", "xfs/theirs"]);
    }
    // Past the end of a shorter base, everything is in the layer.
    fs::File::options()
        .write(true)
        .open(bench.path("xfs/base.raw"))
        .unwrap()
        .set_len(20 * MIB + 512)
        .unwrap();
    for options in ["cluster_size=64k", "cluster_size=2M"] {
        let words =
            ["convert", "-O", "qcow2", "-o", options, "-B", "base.raw", "-F", "raw", "xfs/top", "xfs/out"];
        let cost = cost(bench, &xfs, &words);
        assert!(cost < 12 * MIB, "{options}: {cost} bytes of new space");
        is_sound(bench, "xfs/top", options);
    }
}

/// Compressed clusters and plain ones by turns, and a source that begins inside a block of the filesystem.
fn what_cannot_be_shared_is_copied_beside_it(bench: &Bench) {
    let Some(_xfs) = Xfs::mounted(bench, true) else {
        return;
    };
    make(bench);
    bench.qemu(["convert", "-c", "-f", "raw", "-O", "qcow2", "disk.raw", "xfs/mixed"]).succeeds();
    for at in (1..48).step_by(3) {
        io(bench, "xfs/mixed", &[&format!("write -P {at} {at}M 100k")]);
    }
    for options in ["cluster_size=64k", "cluster_size=2M", "cluster_size=4k"] {
        bench
            .instar(["convert", "-f", "qcow2", "-O", "qcow2", "-o", options, "xfs/mixed", "xfs/out"])
            .succeeds();
        is_sound(bench, "xfs/mixed", options);
    }
    for offset in [512, 4096, 5120] {
        let part = format!("driver=raw,file.filename=xfs/disk.raw,offset={offset},size=40M");
        bench.instar(["convert", "--image-opts", "-O", "qcow2", &part, "xfs/out"]).succeeds();
        bench.qemu(["convert", "--image-opts", "-O", "raw", &part, "part.raw"]).succeeds();
        bench.qemu(["convert", "-f", "qcow2", "-O", "raw", "xfs/out", "back.raw"]).succeeds();
        same_bytes(bench, "part.raw", "back.raw", &part);
    }
    let words = ["convert", "-f", "raw", "-O", "qcow2", "xfs/disk.raw", "xfs/disk.raw", "xfs/out"];
    bench.instar(words).succeeds();
    bench
        .qemu(["convert", "-f", "raw", "-O", "raw", "xfs/disk.raw", "xfs/disk.raw", "twice.raw"])
        .succeeds();
    bench.qemu(["compare", "-f", "raw", "-F", "qcow2", "twice.raw", "xfs/out"]).succeeds();
}

/// Zeros that the source has space for.
fn zeros(bench: &Bench) {
    let mut bytes = disk::pattern(0, 4 * MIB, 5);
    bytes[MIB as usize..3 * MIB as usize].fill(0);
    fs::write(bench.path("xfs/zeros.raw"), bytes).unwrap();
}

fn zeros_are_looked_for_where_the_user_says_so(bench: &Bench) {
    let Some(_xfs) = Xfs::mounted(bench, true) else {
        return;
    };
    zeros(bench);
    let convert = |target: &str, options: &[&str]| {
        let words = ["convert", "-f", "raw", "-O", "qcow2"];
        bench.instar([&words[..], options, &["xfs/zeros.raw", target]].concat()).succeeds();
        allocated_ranges(bench, "qcow2", target)
    };
    bench.qemu(["convert", "-f", "raw", "-O", "qcow2", "xfs/zeros.raw", "theirs"]).succeeds();
    let theirs = allocated_ranges(bench, "qcow2", "theirs");
    let shared = convert("xfs/all", &[]);
    assert_eq!(shared, [(0, 4 * MIB)]);
    for options in [&["-S", "4k"][..], &["-S", "64k"], &["-c"], &["--salvage"], &["--checksum"]] {
        assert_eq!(convert("xfs/found", options), theirs, "{options:?}");
    }
    deviates("convert-shares", &theirs, &shared);
}

fn a_filesystem_that_shares_nothing_gets_what_any_other_gets(bench: &Bench) {
    let Some(_xfs) = Xfs::mounted(bench, false) else {
        return;
    };
    zeros(bench);
    for (format, target) in [("qcow2", "xfs/out"), ("vdi", "xfs/vdi")] {
        bench.instar(["convert", "-f", "raw", "-O", format, "xfs/zeros.raw", target]).succeeds();
        bench.qemu(["convert", "-f", "raw", "-O", format, "xfs/zeros.raw", "theirs"]).succeeds();
        assert_eq!(allocated_ranges(bench, format, target), allocated_ranges(bench, format, "theirs"));
        let [ours, theirs] = [target, "theirs"].map(|name| fs::metadata(bench.path(name)).unwrap().len());
        assert_eq!(ours, theirs, "{format}");
    }
    // Nor does a source on another filesystem.
    fs::copy(bench.path("xfs/zeros.raw"), bench.path("zeros.raw")).unwrap();
    bench.instar(["convert", "-f", "raw", "-O", "qcow2", "zeros.raw", "xfs/out"]).succeeds();
    assert_eq!(allocated_ranges(bench, "qcow2", "xfs/out"), [(0, MIB), (3 * MIB, MIB)]);
}

/// Metadata takes space, too.
fn a_full_disk_leaves_no_target(bench: &Bench) {
    let Some(xfs) = Xfs::mounted(bench, true) else {
        return;
    };
    make(bench);
    let filler = fs::File::create(bench.path("xfs/filler")).unwrap();
    let mut step = xfs.free();
    let mut length = 0;
    while step >= 4096 {
        match rustix::fs::fallocate(&filler, rustix::fs::FallocateFlags::empty(), length, step) {
            Ok(()) => length += step,
            Err(_) => step /= 2,
        }
    }
    let outcome = bench.instar([
        "convert",
        "-f",
        "raw",
        "-O",
        "qcow2",
        "-o",
        "cluster_size=4k",
        "xfs/disk.raw",
        "xfs/out",
    ]);
    outcome.fails_with("No space left on device");
    assert!(!bench.path("xfs/out").exists());
}
