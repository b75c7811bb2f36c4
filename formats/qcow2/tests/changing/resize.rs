//! Disks made larger and smaller.

use std::path::Path;

use instar_codecs::Decoder;
use instar_disk::job::Preallocation;
use instar_disk::{Distant, Edit, Fault, FileFacts, Resizing, fault};
use instar_testkit::oracle::{self, text};
use instar_testkit::{Failing, Native};

use crate::power::{act, assert_clean, disk, survives_by};
use crate::support::{self, Bench, KIB, MIB, assert_same};

/// Layouts that differ in what tables a disk of a few hundred KiB has.
const LAYOUTS: [&str; 10] = [
    "cluster_size=512",
    "cluster_size=512,compat=0.10",
    "cluster_size=4k",
    "cluster_size=4k,refcount_bits=64",
    "cluster_size=4k,refcount_bits=1",
    "cluster_size=64k",
    "cluster_size=64k,compat=0.10",
    "cluster_size=16k,extended_l2=on",
    "cluster_size=64k,extended_l2=on",
    "cluster_size=4k,lazy_refcounts=on",
];

/// What one test asks for.
#[derive(Clone, Copy)]
pub(crate) struct To {
    size: u64,
    preallocation: Preallocation,
}

pub(crate) const fn to(size: u64) -> To {
    To {
        size,
        preallocation: Preallocation::Off,
    }
}

/// Gives the disk of `image` another size; `below` is what the layer below shows.
fn resize(
    edit: &mut dyn Edit,
    to: To,
    below: &[u8],
    apart: Option<FileFacts>,
    bench: &Bench,
    image: &str,
) -> Result<(), Fault> {
    resizing(to, below, apart, &bench.path(image), &mut |to| edit.resize(to))
}

/// Calls `act` with what it takes to give the disk in the file `image` another size.
pub(crate) fn resizing(
    to: To,
    below: &[u8],
    apart: Option<FileFacts>,
    image: &Path,
    act: &mut dyn FnMut(&mut Resizing<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut fetch = |from: Distant, into: &mut [u8]| {
        match from {
            Distant::Below(at) => {
                let at = usize::try_from(at).unwrap().min(below.len());
                let length = into.len().min(below.len() - at);
                into[..length].copy_from_slice(&below[at..][..length]);
            }
            Distant::Encoded(encoded) => {
                let native = Native::new(1);
                native.source(image);
                support::fetch(
                    &native,
                    &mut Decoder::new(),
                    instar_disk::Kind::Encoded(encoded),
                    into,
                )
                .unwrap();
            }
        }
        Ok(())
    };
    act(&mut Resizing {
        size: to.size,
        preallocation: to.preallocation,
        below: below.len() as u64,
        fetch: &mut fetch,
        apart: apart.into_iter().collect(),
    })
}

fn resized(bench: &Bench, image: &str, to: To, below: &[u8]) -> Result<(), Fault> {
    act(bench, image, &mut |edit| {
        resize(edit, to, below, None, bench, image)
    })
}

/// An image of 300.5 KiB with plain, zero and compressed clusters.
fn image(bench: &Bench, layout: &str) {
    bench.pattern("disk.raw", OLD);
    let narrow = layout.contains("refcount_bits=1");
    let compress = if narrow { "" } else { "-c" };
    bench.qemu_img(&format!(
        "convert {compress} -f raw -O qcow2 -o {layout} disk.raw image"
    ));
    bench.qemu_io(
        "image",
        &["write -P 7 64k 70k", "write -P 8 250k 8k", "write -z 128k 64k"],
    );
}

const OLD: u64 = 300 * KIB + 512;

/// The disk of `image` becomes as it was, cut or with zeros behind it, whatever moment the power is cut at.
fn becomes(bench: &Bench, to: To, below: &[u8], data: Option<&str>, what: &str) -> usize {
    let before = disk(bench, "image").unwrap();
    let states = survives_by(bench, "image", data, &mut |edit, apart| {
        resize(edit, to, below, apart, bench, "image")
    });
    assert_clean(bench, "image");
    bench.put_sparse("expected.raw", &before.of_size(to.size));
    assert!(
        bench.is_disk_of("image", "expected.raw"),
        "{what}, {}, {:?}: another disk",
        to.size,
        to.preallocation
    );
    states
}

#[test]
fn a_power_cut_leaves_the_old_disk_or_the_new_one() {
    let mut states = 0;
    for layout in LAYOUTS {
        for snapshot in [false, true] {
            // Version 2 has no room for it, one bit counts no more than one.
            if snapshot && (layout.contains("0.10") || layout.contains("refcount_bits")) {
                continue;
            }
            let bench = Bench::new();
            image(&bench, layout);
            if snapshot {
                bench.qemu_img("snapshot -c old image");
                bench.qemu_io("image", &["write -P 9 70k 8k", "write -P 10 280k 10k"]);
            }
            let old = snapshot.then(|| bench.reference("image", "-f qcow2 -l old"));
            // More than one L1 entry, of the largest clusters here too; of the smallest, less would do.
            let large = if layout.contains("64k") {
                600 * MIB
            } else {
                20 * MIB
            };
            let what = format!("{layout}, {snapshot}");
            for size in [301 * KIB, 2 * MIB, 200 * KIB, large, 130 * KIB] {
                states += becomes(&bench, to(size), &[], None, &what);
            }
            if let Some(old) = old {
                bench.qemu_img("resize -q image 1M");
                let now = bench.reference("image", "-f qcow2 -l old");
                assert_same(&now[..OLD as usize], &old[..OLD as usize], layout);
            }
        }
    }
    println!("{states} states of power cuts");
}

#[test]
fn space_is_reserved_for_what_is_added() {
    let mut states = 0;
    for layout in LAYOUTS {
        for preallocation in [
            Preallocation::Metadata,
            Preallocation::Falloc,
            Preallocation::Full,
        ] {
            let bench = Bench::new();
            image(&bench, layout);
            let size = MIB;
            states += becomes(&bench, To { size, preallocation }, &[], None, layout);
            let length = bench.bytes("image").len();
            bench.qemu_io("image", &["write -P 99 320k 704k"]);
            assert_clean(&bench, "image");
            assert_eq!(bench.bytes("image").len(), length, "{layout}: space was reserved");
        }
    }
    println!("{states} states of power cuts");
}

/// Blocks for clusters behind the end stand behind space that is set apart, which takes a longer table.
#[test]
fn a_stop_while_the_refcount_table_grows_leaves_nothing_uncounted() {
    let mut refused = 0;
    for allowed in 0.. {
        let bench = Bench::new();
        image(&bench, "cluster_size=512");
        let host = Failing::after(allowed);
        let path = bench.path("image");
        let file = instar_disk::File::new(&host, host.native.existing(&path));
        let to = To {
            size: 9 * MIB,
            preallocation: Preallocation::Metadata,
        };
        let mut edit = instar_qcow2::edit(file).unwrap();
        let outcome = resize(&mut *edit, to, &[], None, &bench, "image");
        drop(edit);
        let checked = oracle::run(&["check", "-f", "qcow2", text(&path)]);
        assert!(
            matches!(checked.status.code(), Some(0 | 3)),
            "after {allowed} changes: {}",
            String::from_utf8_lossy(&checked.stderr)
        );
        if outcome.is_ok() {
            break;
        }
        refused += 1;
    }
    assert!(refused > 10, "{refused}");
}

#[test]
fn what_is_added_hides_a_longer_layer_below() {
    let mut states = 0;
    for layout in LAYOUTS {
        for preallocation in [Preallocation::Off, Preallocation::Metadata, Preallocation::Falloc] {
            let bench = Bench::new();
            bench.pattern("base.raw", MIB);
            let base = bench.bytes("base.raw");
            bench.qemu_img(&format!(
                "create -f qcow2 -o {layout} -b base.raw -F raw image {OLD}"
            ));
            bench.qemu_io("image", &["write -P 7 64k 70k"]);
            let size = 1200 * KIB;
            let grown = To { size, preallocation };
            if layout.contains("0.10") && preallocation != Preallocation::Falloc {
                let before = bench.bytes("image");
                let fault = resized(&bench, "image", grown, &base).unwrap_err();
                assert_eq!(fault.code, fault::resize::V2_ZEROING);
                assert!(bench.bytes("image") == before);
                continue;
            }
            states += becomes(&bench, grown, &base, None, layout);
            becomes(&bench, to(100 * KIB), &base, None, layout);
            if !layout.contains("0.10") {
                states += becomes(&bench, to(400 * KIB), &base, None, layout);
            }
        }
    }
    println!("{states} states of power cuts");
}

#[test]
fn data_in_a_file_of_its_own_goes_with_the_disk() {
    let mut states = 0;
    for (layout, raw) in [
        ("cluster_size=4k", "off"),
        ("cluster_size=4k", "on"),
        ("cluster_size=16k,extended_l2=on", "off"),
        ("cluster_size=16k,extended_l2=on", "on"),
    ] {
        for preallocation in [Preallocation::Off, Preallocation::Metadata] {
            let bench = Bench::new();
            bench.qemu_img(&format!(
                "create -f qcow2 -o {layout},data_file=data,data_file_raw={raw} image {OLD}"
            ));
            bench.qemu_io("image", &["write -P 7 64k 70k", "write -P 9 290k 10k"]);
            let grow = |size| To { size, preallocation };
            for wanted in [grow(MIB), to(301 * KIB), to(295 * KIB), grow(600 * KIB)] {
                let what = format!("{layout}, {raw}");
                states += becomes(&bench, wanted, &[], Some("data"), &what);
                let data = bench.bytes("data");
                assert_eq!(data.len() as u64, wanted.size);
                if raw == "on" {
                    assert_same(&data, &bench.reference("image", "-f qcow2"), &what);
                }
            }
        }
    }
    println!("{states} states of power cuts");
}

/// What qemu-img makes of a bitmap in a new image, where alike bits are alike bytes.
fn bits(bench: &Bench, image: &str, name: &str, size: u64) -> Vec<u8> {
    bench.qemu_img(&format!("create -q -f qcow2 copy {size}"));
    bench.qemu_img("bitmap --add -g 512 copy copied");
    bench.qemu_img(&format!("bitmap --merge {name} -b {image} -F qcow2 copy copied"));
    bench.bytes("copy")
}

#[test]
fn bitmaps_are_as_long_as_the_disk() {
    let mut states = 0;
    for layout in [
        "cluster_size=512",
        "cluster_size=4k",
        "cluster_size=64k",
        "cluster_size=4k,data_file=data",
    ] {
        let bench = Bench::new();
        bench.qemu_img(&format!("create -f qcow2 -o {layout} image {OLD}"));
        for (name, granularity) in [("fine", "512"), ("coarse", "64k")] {
            bench.qemu_img(&format!("bitmap --add -g {granularity} image {name}"));
        }
        bench.qemu_io("image", &["write -P 7 64k 70k", "write -P 9 290k 10k"]);
        let data = layout.contains("data_file").then_some("data");
        for size in [5 * MIB, 200 * KIB, 40 * MIB, 100 * KIB, MIB] {
            bench.put("theirs", &bench.bytes("image"));
            let before = data.map(|data| bench.bytes(data));
            bench.qemu_img(&format!("resize -q --shrink theirs {size}"));
            before
                .iter()
                .zip(data)
                .for_each(|(bytes, data)| drop(bench.put(data, bytes)));
            states += becomes(&bench, to(size), &[], data, layout);
            for name in ["fine", "coarse"] {
                let (ours, theirs) = (
                    bits(&bench, "image", name, size),
                    bits(&bench, "theirs", name, size),
                );
                assert!(ours == theirs, "{layout}, {size}, {name}: other bits");
            }
            let info = bench.qemu_img("info image");
            assert!(
                info.contains("fine") && info.contains("coarse"),
                "{layout}: {info}"
            );
            assert!(!info.contains("in-use"), "{layout}: {info}");
        }
    }
    println!("{states} states of power cuts");
}
