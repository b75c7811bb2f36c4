//! Images that take less space, and are the same disk.

use std::collections::BTreeMap;

use instar_codecs::Decoder;
use instar_disk::job::{Change, Compact};
use instar_disk::report::Compacted;
use instar_disk::{Compacting, Distant, Edit, Fault, File, Kind, ROUND, fault};
use instar_testkit::{Failing, Native};

use crate::bitmaps::bitmaps;
use crate::power::{act, assert_clean, change, survives_by};
use crate::support::{Bench, assert_same, fetch};

const ALL: Compact = Compact {
    trim: true,
    shorten: true,
};
const TRIM: Compact = Compact {
    trim: true,
    shorten: false,
};
pub(crate) const SHORTEN: Compact = Compact {
    trim: false,
    shorten: true,
};

/// Layouts of a small image that differ in where things stand and in how often they can be counted.
const LAYOUTS: [&str; 13] = [
    "cluster_size=512",
    "cluster_size=512,compat=0.10",
    "cluster_size=1k,refcount_bits=64",
    "cluster_size=4k",
    "cluster_size=4k,refcount_bits=1",
    "cluster_size=4k,refcount_bits=2",
    "cluster_size=4k,lazy_refcounts=on",
    "cluster_size=4k,compression_type=zstd",
    "cluster_size=16k,extended_l2=on",
    "cluster_size=64k",
    "cluster_size=64k,compat=0.10",
    "cluster_size=64k,extended_l2=on,compression_type=zstd",
    "cluster_size=2M",
];

/// Compacts an image with the codecs at hand.
pub(crate) fn with(edit: &mut dyn Edit, native: &Native, wanted: Compact) -> Result<Compacted, Fault> {
    in_rounds(edit, native, wanted, ROUND)
}

/// The same, so many bytes with each round.
fn in_rounds(edit: &mut dyn Edit, native: &Native, wanted: Compact, round: u64) -> Result<Compacted, Fault> {
    let mut decoder = Decoder::new();
    let mut bring = |from: Distant, into: &mut [u8]| match from {
        Distant::Encoded(encoded) => {
            fetch(native, &mut decoder, Kind::Encoded(encoded), into).unwrap();
            Ok(())
        }
        Distant::Below(_) => panic!("nothing below is looked at"),
    };
    edit.compact(&mut Compacting {
        wanted,
        round,
        fetch: &mut bring,
    })
}

fn compact(bench: &Bench, image: &str, wanted: Compact) -> Result<Compacted, Fault> {
    compact_in(bench, image, wanted, ROUND)
}

fn compact_in(bench: &Bench, image: &str, wanted: Compact, round: u64) -> Result<Compacted, Fault> {
    let native = Native::new(1);
    // The codecs read through it, by the slot that `act` has.
    native.existing(bench.path(image));
    let mut done = Err(Fault::new(fault::core::INTERNAL));
    act(bench, image, &mut |edit| {
        done = in_rounds(edit, &native, wanted, round);
        done.clone().map(drop)
    })?;
    done
}

/// An image with data, holes where data was, compressed data and zeros.
fn image(bench: &Bench, layout: &str, snapshots: bool) {
    bench.pattern("disk.raw", 600 << 10);
    // Compressed clusters share places, which few bits cannot count for a snapshot, too.
    let compress = if snapshots && layout.ends_with("refcount_bits=2") {
        ""
    } else {
        "-c"
    };
    bench.qemu_img(&format!(
        "convert {compress} -f raw -O qcow2 -o {layout} disk.raw image"
    ));
    bench.qemu_img("resize -q image 6M");
    bench.qemu_io(
        "image",
        &[
            "write -P 1 1M 900k",
            "write -P 2 2M 300k",
            "write -P 0 2400k 200k",
            "write -P 3 3M 1M",
            "write -P 4 0 100k",
        ],
    );
    if snapshots {
        bench.qemu_img("snapshot -c one image");
        bench.qemu_io("image", &["write -P 5 1100k 300k", "write -P 6 3200k 100k"]);
        bench.qemu_img("snapshot -c two image");
        bench.qemu_io("image", &["write -P 7 5M 256k", "discard 64k 128k"]);
        bench.qemu_img("snapshot -d one image");
    }
    bench.qemu_io(
        "image",
        &["write -P 8 5500k 64k", "write -P 0 4500k 100k", "discard 1M 800k"],
    );
    if layout.ends_with("2M") {
        bench.qemu_io("image", &["discard 2M 2M"]);
    }
}

/// The disk and each snapshot, as qemu-img reads them.
fn disks(bench: &Bench) -> BTreeMap<String, Vec<u8>> {
    let ids = bench.qemu_img("snapshot -l image");
    let ids = ids
        .lines()
        .skip(2)
        .filter_map(|line| line.split_whitespace().next());
    let mut all: BTreeMap<String, Vec<u8>> = ids
        .map(|id| {
            let disk = bench.reference("image", &format!("-f qcow2 -l snapshot.id={id}"));
            (id.to_owned(), disk)
        })
        .collect();
    all.insert("disk".to_owned(), bench.reference("image", "-f qcow2"));
    all
}

fn assert_disks(bench: &Bench, before: &BTreeMap<String, Vec<u8>>, what: &str) {
    let after = disks(bench);
    assert!(after.keys().eq(before.keys()), "{what}");
    for (name, disk) in before {
        assert_same(&after[name], disk, &format!("{what}, {name}"));
    }
}

fn size(bench: &Bench) -> u64 {
    std::fs::metadata(bench.path("image")).unwrap().len()
}

/// Bytes of the clusters that qemu-img finds in use.
fn in_use(bench: &Bench) -> u64 {
    let bytes = bench.bytes("image");
    let header = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
    let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let cluster = 1_usize << word(20);
    let order = if word(4) < 3 { 4 } else { word(96) };
    let (table, clusters) = (header(48) as usize, word(56) as usize);
    let mut used = 0;
    for at in 0..clusters * cluster / 8 {
        let block = header(table + at * 8) as usize;
        if block == 0 {
            continue;
        }
        let block = &bytes[block..block + cluster];
        used += match order {
            0..3 => {
                let bits = 1_u32 << order;
                let each = |byte: &u8| {
                    (0..8 / bits)
                        .filter(|n| byte >> (n * bits) & ((1 << bits) - 1) != 0)
                        .count()
                };
                block.iter().map(each).sum()
            }
            _ => block
                .chunks(1 << (order - 3))
                .filter(|count| count.iter().any(|byte| *byte != 0))
                .count(),
        };
    }
    (used * cluster) as u64
}

#[test]
fn an_image_ends_behind_as_many_clusters_as_it_uses_and_is_the_same_disk() {
    for layout in LAYOUTS {
        for snapshots in [false, true] {
            if snapshots && layout.ends_with("refcount_bits=1") {
                continue;
            }
            let bench = Bench::new();
            image(&bench, layout, snapshots);
            let what = format!("{layout}, {snapshots}");
            let before = disks(&bench);
            let was = size(&bench);
            let done = compact(&bench, "image", SHORTEN).unwrap();
            assert_clean(&bench, "image");
            assert_disks(&bench, &before, &what);
            assert_eq!((done.before, done.after), (was, size(&bench)), "{what}");
            assert!(done.moved > 0 && done.after < was, "{what}: {done:?}");
            // A refcount block may have its place behind a hole.
            let slack = size(&bench) - in_use(&bench);
            assert!(slack <= was / 50, "{what}: {slack} of {was} are free");
            // It goes on being an image that is written to.
            bench.qemu_io("image", &["write -P 77 500k 2M"]);
            assert_clean(&bench, "image");
        }
    }
}

#[test]
fn many_rounds_come_to_the_same() {
    for layout in LAYOUTS {
        for snapshots in [false, true] {
            if snapshots && layout.ends_with("refcount_bits=1") {
                continue;
            }
            let bench = Bench::new();
            image(&bench, layout, snapshots);
            if !layout.ends_with("0.10") {
                bench.qemu_img("bitmap --add -g 512 image spots");
                bench.qemu_io("image", &["write -P 9 300k 200k"]);
            }
            let what = format!("{layout}, {snapshots}");
            let before = (disks(&bench), bitmaps(&bench.bytes("image")));
            let (bytes, mut ends) = (bench.bytes("image"), Vec::new());
            for round in [ROUND, 1, 20_000] {
                bench.put("image", &bytes);
                ends.push(compact_in(&bench, "image", ALL, round).unwrap().after);
                assert_clean(&bench, "image");
                assert_disks(&bench, &before.0, &what);
                assert!(bitmaps(&bench.bytes("image")) == before.1, "{what}");
            }
            let most = ends[0] + ends[0] / 50;
            assert!(ends.iter().all(|end| *end <= most), "{what}: {ends:?}");
        }
    }
}

#[test]
fn clusters_of_zeros_are_given_up_whether_they_are_compressed_or_not() {
    for layout in LAYOUTS {
        for snapshots in [false, true] {
            if snapshots && layout.ends_with("refcount_bits=1") {
                continue;
            }
            let bench = Bench::new();
            image(&bench, layout, snapshots);
            let what = format!("{layout}, {snapshots}");
            let before = disks(&bench);
            let used = in_use(&bench);
            let done = compact(&bench, "image", TRIM).unwrap();
            assert_clean(&bench, "image");
            assert_disks(&bench, &before, &what);
            // A cluster so large has something else in it, too.
            let some = !layout.ends_with("2M");
            assert_eq!(done.trimmed > 0, some, "{what}: {done:?}");
            assert_eq!(in_use(&bench) < used, some, "{what}: {done:?}");
            assert_eq!(done.moved, 0);
            let again = compact(&bench, "image", TRIM).unwrap();
            assert_eq!(again.trimmed, 0, "{what}");
        }
    }
}

#[test]
fn both_together_are_both() {
    for layout in LAYOUTS {
        let bench = Bench::new();
        image(&bench, layout, false);
        let before = disks(&bench);
        let shortened = compact(&bench, "image", ALL).unwrap();
        assert_clean(&bench, "image");
        assert_disks(&bench, &before, layout);
        assert!(shortened.after < shortened.before, "{layout}");
    }
}

#[test]
fn bitmaps_keep_their_bits() {
    for layout in [
        "cluster_size=512",
        "cluster_size=4k",
        "cluster_size=64k,extended_l2=on",
    ] {
        let bench = Bench::new();
        image(&bench, layout, true);
        bench.qemu_img("bitmap --add -g 512 image fine");
        bench.qemu_img("bitmap --add --disable image still");
        bench.qemu_io(
            "image",
            &["write -P 9 300k 200k", "write -P 10 4M 600k", "discard 3M 900k"],
        );
        let before = (disks(&bench), bitmaps(&bench.bytes("image")));
        assert_eq!(before.1.len(), 2);
        let done = compact(&bench, "image", ALL).unwrap();
        assert!(done.after < done.before, "{layout}: {done:?}");
        assert_clean(&bench, "image");
        assert_disks(&bench, &before.0, layout);
        assert!(bitmaps(&bench.bytes("image")) == before.1, "{layout}");
    }
}

#[test]
fn a_layer_keeps_hiding_what_is_below() {
    for layout in [
        "cluster_size=4k",
        "cluster_size=4k,compat=0.10",
        "cluster_size=16k,extended_l2=on",
    ] {
        let bench = Bench::new();
        bench.pattern("below", 2 << 20);
        bench.qemu_img(&format!("create -q -f qcow2 -o {layout} -b below -F raw image"));
        bench.qemu_io(
            "image",
            &["write -P 0 0 300k", "write -P 5 1M 512k", "discard 1M 300k"],
        );
        let before = disks(&bench);
        compact(&bench, "image", ALL).unwrap();
        assert_clean(&bench, "image");
        assert_disks(&bench, &before, layout);
    }
}

#[test]
fn a_power_cut_leaves_the_same_disk_and_at_worst_leaks() {
    let mut states = 0;
    for layout in [
        "cluster_size=512",
        "cluster_size=4k,compat=0.10",
        "cluster_size=4k,refcount_bits=4",
        "cluster_size=16k,extended_l2=on",
        "cluster_size=64k,compression_type=zstd",
    ] {
        for (wanted, marks, round) in [(ALL, true, ROUND), (SHORTEN, false, 1)] {
            let bench = Bench::new();
            bench.pattern("disk.raw", 100 << 10);
            let compress = if layout.ends_with("refcount_bits=4") {
                ""
            } else {
                "-c"
            };
            bench.qemu_img(&format!(
                "convert {compress} -f raw -O qcow2 -o {layout} disk.raw image"
            ));
            bench.qemu_io("image", &["write -P 3 0 40k", "write -P 0 44k 6k"]);
            bench.qemu_img("snapshot -c one image");
            bench.qemu_io("image", &["write -P 5 20k 40k"]);
            bench.qemu_img("snapshot -c two image");
            if marks && !layout.ends_with("compat=0.10") {
                bench.qemu_img("bitmap --add -g 512 image spots");
            }
            bench.qemu_io("image", &["write -P 6 60k 30k", "discard 0 16k"]);
            bench.qemu_img("snapshot -d one image");
            states += survives_by(&bench, "image", None, &mut |edit, _| {
                let native = Native::new(1);
                native.existing(bench.path("image"));
                in_rounds(edit, &native, wanted, round).map(drop)
            });
        }
    }
    assert!(states > 1000, "{states}");
}

#[test]
fn an_image_with_errors_is_refused_and_one_with_leaks_is_freed_of_them() {
    let bench = Bench::new();
    image(&bench, "cluster_size=4k", false);
    let bytes = bench.bytes("image");
    let word = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
    let l1 = word(40);
    let l2 = word(l1) & 0x00ff_ffff_ffff_fe00;
    // A cluster of the disk is the L1 table.
    let mut crossed = bytes.clone();
    crossed[l2..l2 + 8].copy_from_slice(&(l1 as u64 | 1 << 63).to_be_bytes());
    bench.put("image", &crossed);
    let refused = compact(&bench, "image", ALL).unwrap_err();
    assert_eq!(refused.code, fault::compact::UNSOUND);
    assert!(bench.bytes("image") == crossed);
    // The same, counted twice as it is used twice, which no check finds fault with.
    let block = word(word(48));
    let place = block + (l1 >> 12) * 2;
    let entry = word(l2);
    crossed[place..place + 2].copy_from_slice(&2_u16.to_be_bytes());
    crossed[l2..l2 + 8].copy_from_slice(&(l1 as u64).to_be_bytes());
    bench.put("image", &crossed);
    let output = bench.try_qemu_img("check image");
    assert!(output.status.code() != Some(1), "{output:?}");
    let refused = compact(&bench, "image", ALL).unwrap_err();
    assert_eq!(refused.code, fault::compact::OVERLAP, "{entry:x}");
    assert!(bench.bytes("image") == crossed);
    // An entry that is gone is a leak.
    let mut leaking = bytes;
    leaking[l2..l2 + 8].fill(0);
    bench.put("image", &leaking);
    let before = disks(&bench);
    compact(&bench, "image", SHORTEN).unwrap();
    assert_clean(&bench, "image");
    assert_disks(&bench, &before, "a leak");
}

#[test]
fn data_in_another_file_stays_there() {
    let bench = Bench::new();
    bench.qemu_img("create -q -f qcow2 -o data_file=data image 1M");
    let before = bench.bytes("image");
    let refused = compact(&bench, "image", ALL).unwrap_err();
    assert_eq!(refused.code, fault::compact::DATA_FILE);
    assert!(bench.bytes("image") == before);
    let misled = change(&bench, "image", &Change::Compact(ALL)).unwrap_err();
    assert_eq!(misled.code, fault::core::INTERNAL);
}

#[test]
fn a_failure_at_any_change_leaves_the_same_disk_and_at_worst_leaks() {
    for layout in [
        "cluster_size=512",
        "cluster_size=4k,compat=0.10",
        "cluster_size=64k,extended_l2=on",
    ] {
        let bench = Bench::new();
        bench.pattern("disk.raw", 60 << 10);
        bench.qemu_img(&format!("convert -c -f raw -O qcow2 -o {layout} disk.raw image"));
        bench.qemu_io("image", &["write -P 3 0 30k", "write -P 0 40k 6k"]);
        bench.qemu_img("snapshot -c one image");
        bench.qemu_io("image", &["write -P 5 20k 40k", "discard 0 16k"]);
        let (bytes, before) = (bench.bytes("image"), disks(&bench));
        for allowed in 0.. {
            bench.put("image", &bytes);
            let host = Failing::after(allowed);
            let file = File::new(&host, host.native.existing(bench.path("image")));
            let native = Native::new(1);
            native.existing(bench.path("image"));
            let outcome = instar_qcow2::edit(file).and_then(|mut edit| with(&mut *edit, &native, ALL));
            let what = format!("{layout}, {allowed}: {outcome:?}");
            let code = bench.try_qemu_img("check image").status.code();
            assert!(matches!(code, Some(0 | 3)), "{what}: {code:?}");
            assert_disks(&bench, &before, &what);
            if outcome.is_ok() {
                break;
            }
            assert!(allowed < 500);
        }
    }
}
