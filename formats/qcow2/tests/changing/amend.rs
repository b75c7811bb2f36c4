//! Other versions, widths of counts and features, beside qemu-img.

use std::path::Path;

use instar_disk::job::{Amend, Change};
use instar_disk::{Edit, Fault, File, FileFacts, fault};
use instar_testkit::Failing;

use crate::power::{act, assert_clean, change, disk, survives, survives_by};
use crate::resize::{resizing, to};
use crate::support::{Bench, assert_same};

/// What is wanted, by an option list of qemu-img.
fn amend(options: &str) -> Change {
    Change::Amend(Some(wanted(options)))
}

fn wanted(options: &str) -> Amend {
    let mut wanted = Amend::default();
    for option in options.split(',') {
        let (name, value) = option.split_once('=').unwrap();
        let bytes = Some(value.as_bytes().to_vec());
        let flag = Some(value == "on");
        match name {
            "compat" => wanted.compat = bytes,
            "refcount_bits" => wanted.refcount_bits = Some(value.parse().unwrap()),
            "lazy_refcounts" => wanted.lazy_refcounts = flag,
            "data_file" => wanted.data_file = bytes,
            "data_file_raw" => wanted.data_file_raw = flag,
            "backing_file" => wanted.backing_file = bytes,
            "backing_fmt" => wanted.backing_format = bytes,
            "size" => wanted.size = Some(value.parse().unwrap()),
            "force" => wanted.force = true,
            other => panic!("{other}"),
        }
    }
    wanted
}

/// Carries out options of which the size is one; `below` is what the layer below shows.
fn sized(
    edit: &mut dyn Edit,
    options: &str,
    below: &[u8],
    apart: Option<FileFacts>,
    image: &Path,
) -> Result<(), Fault> {
    let options = wanted(options);
    resizing(to(options.size.unwrap()), below, apart, image, &mut |to| {
        edit.amend(&options, Some(to))
    })
}

/// Layouts that differ in what counts and zeros have to do with.
const LAYOUTS: [&str; 6] = [
    "cluster_size=512",
    "cluster_size=512,refcount_bits=64",
    "cluster_size=4k",
    "cluster_size=4k,refcount_bits=8",
    "cluster_size=64k",
    "cluster_size=2M",
];

/// An image of 1 MiB in which clusters of a snapshot and of the disk are data, zero, and zero where they had data before.
fn image(bench: &Bench, layout: &str, below: bool) {
    bench.put("below.raw", &vec![0xbb; 1 << 20]);
    let below = if below { "-b below.raw -F raw" } else { "" };
    bench.qemu_img(&format!("create -q -f qcow2 -o {layout} {below} image 1M"));
    bench.qemu_io(
        "image",
        &[
            "write -P 7 64k 200k",
            "write -P 8 500k 70k",
            "write -z 300k 40k",
            "write -z -u 700k 20k",
        ],
    );
    bench.qemu_img("snapshot -c first image");
    // Zero with a place that the snapshot has data in, zero with a place of its own, zero without one.
    bench.qemu_io(
        "image",
        &[
            "write -z 100k 70k",
            "write -P 9 510k 10k",
            "write -z 512k 8k",
            "write -z -u 520k 8k",
            "write -z 900k 64k",
        ],
    );
    bench.qemu_img("snapshot -c second image");
    bench.qemu_io(
        "image",
        &["write -P 10 0 30k", "write -z 0 20k", "write -P 11 905k 1k"],
    );
}

/// The disk and both snapshots.
fn states(bench: &Bench) -> [Vec<u8>; 3] {
    ["", "-l first", "-l second"].map(|state| bench.reference("image", &format!("-f qcow2 {state}")))
}

fn same_states(bench: &Bench, before: &[Vec<u8>; 3], what: &str) {
    assert_clean(bench, "image");
    for (found, wanted) in states(bench).iter().zip(before) {
        assert_same(found, wanted, what);
    }
}

fn info(bench: &Bench) -> String {
    bench.qemu_img("info image")
}

#[test]
fn counts_of_any_width_become_counts_of_any_other() {
    for cluster in ["512", "4k", "64k"] {
        for old in [2, 16, 64] {
            let bench = Bench::new();
            image(
                &bench,
                &format!("cluster_size={cluster},refcount_bits={old}"),
                false,
            );
            let before = states(&bench);
            for new in [64, 2, 32, 4, 16, 8] {
                change(&bench, "image", &amend(&format!("refcount_bits={new}"))).unwrap();
                let what = format!("{cluster}, {old} to {new}");
                assert!(
                    info(&bench).contains(&format!("refcount bits: {new}\n")),
                    "{what}"
                );
                same_states(&bench, &before, &what);
            }
            bench.qemu_io("image", &["write -P 99 0 1M"]);
            assert_clean(&bench, "image");
        }
    }
}

#[test]
fn a_count_without_room_is_refused_as_by_qemu_img() {
    for (cluster, bits, from) in [("4k", 1, 16), ("512", 1, 8), ("64k", 1, 64)] {
        let bench = Bench::new();
        image(
            &bench,
            &format!("cluster_size={cluster},refcount_bits={from}"),
            false,
        );
        let before = bench.bytes("image");
        let fault = change(&bench, "image", &amend(&format!("refcount_bits={bits}"))).unwrap_err();
        assert_eq!(fault.code, fault::amend::WIDTH_NARROW);
        assert!(bench.bytes("image") == before);
        let said = bench.refusal(&format!("amend -o refcount_bits={bits} image"));
        let wanted = format!(
            "Cluster at offset {:#x} has a refcount of {}",
            fault.numbers[1], fault.numbers[2]
        );
        assert!(said.contains(&wanted), "{said} {wanted}");
    }
}

#[test]
fn versions_go_up_and_down_and_up() {
    for layout in LAYOUTS {
        for below in [false, true] {
            let bench = Bench::new();
            image(&bench, layout, below);
            let before = states(&bench);
            let what = format!("{layout}, {below}");
            let bits = if layout.contains("refcount") {
                ",refcount_bits=16"
            } else {
                ""
            };
            change(&bench, "image", &amend(&format!("compat=0.10{bits}"))).unwrap();
            assert!(info(&bench).contains("compat: 0.10"), "{what}");
            same_states(&bench, &before, &what);
            bench.put("old", &bench.bytes("image"));
            for up in ["compat=1.1", "compat=v3,refcount_bits=32,lazy_refcounts=on"] {
                bench.put("image", &bench.bytes("old"));
                change(&bench, "image", &amend(up)).unwrap();
                let shown = info(&bench);
                assert!(shown.contains("compat: 1.1"), "{what}");
                assert_eq!(shown.contains("refcount bits: 32"), up.contains("32"), "{what}");
                assert_eq!(
                    shown.contains("lazy refcounts: true"),
                    up.contains("lazy"),
                    "{what}"
                );
                same_states(&bench, &before, &what);
                bench.qemu_io("image", &["write -P 99 0 1M", "write -z 0 100k"]);
                assert_clean(&bench, "image");
            }
        }
    }
}

#[test]
fn a_snapshot_table_says_how_large_the_disk_is_in_version_3() {
    let bench = Bench::new();
    bench.qemu_img("create -q -f qcow2 -o compat=0.10,cluster_size=4k image 1M");
    for name in ["a", "bb", "ccc"] {
        bench.qemu_img(&format!("snapshot -c {name} image"));
    }
    // Entries as old programs wrote them: nothing extra.
    let mut bytes = bench.bytes("image");
    let table = u64::from_be_bytes(bytes[64..72].try_into().unwrap()) as usize;
    let mut old = Vec::new();
    let mut at = table;
    for _ in 0..3 {
        let extra = u32::from_be_bytes(bytes[at + 36..at + 40].try_into().unwrap()) as usize;
        let names = usize::from(bytes[at + 13]) + usize::from(bytes[at + 15]);
        let start = old.len();
        old.extend_from_slice(&bytes[at..at + 40]);
        old[start + 36..start + 40].fill(0);
        old.extend_from_slice(&bytes[at + 40 + extra..at + 40 + extra + names]);
        old.resize(old.len().next_multiple_of(8), 0);
        at = (at + 40 + extra + names).next_multiple_of(8);
    }
    bytes.resize(bytes.len().next_multiple_of(4096), 0);
    bytes[table..at].fill(0);
    bytes[table..table + old.len()].copy_from_slice(&old);
    bench.put("image", &bytes);
    let listed = bench.qemu_img("snapshot -l image");
    bench.put("theirs", &bytes);
    bench.qemu_img("amend -o compat=1.1 theirs");
    survives(&bench, "image", &amend("compat=1.1"));
    assert_clean(&bench, "image");
    assert_eq!(bench.qemu_img("snapshot -l image"), listed);
    // Byte for byte the table of qemu-img, but for where the L1 tables are: the same.
    let entries = |bytes: &[u8]| {
        let table = u64::from_be_bytes(bytes[64..72].try_into().unwrap()) as usize;
        bytes[table..table + 3 * 72].to_vec()
    };
    assert_eq!(entries(&bench.bytes("image")), entries(&bench.bytes("theirs")));
}

#[test]
fn bitmaps_go_with_version_3() {
    let bench = Bench::new();
    bench.qemu_img("create -q -f qcow2 -o cluster_size=4k image 1M");
    for name in ["a", "b"] {
        bench.qemu_img(&format!("bitmap --add -g 512 image {name}"));
    }
    bench.qemu_io("image", &["write 0 100k", "write 500k 50k"]);
    survives(&bench, "image", &amend("compat=0.10"));
    // Nothing leaks, and nobody finds bitmaps that are none.
    assert_clean(&bench, "image");
    let output = bench.try_qemu_img("check image");
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn an_image_with_a_data_file_names_another_one() {
    let bench = Bench::new();
    bench.qemu_img("create -q -f qcow2 -o data_file=data,data_file_raw=on image 1M");
    bench.qemu_io("image", &["write -P 5 0 100k"]);
    let before = bench.reference("image", "-f qcow2");
    std::fs::rename(bench.path("data"), bench.path("another name")).unwrap();
    change(
        &bench,
        "image",
        &amend("data_file=another name,data_file_raw=off"),
    )
    .unwrap();
    let shown = info(&bench);
    assert!(
        shown.contains("data file: another name\n") && shown.contains("data file raw: false"),
        "{shown}"
    );
    assert_same(&bench.reference("image", "-f qcow2"), &before, "renamed");
    assert_clean(&bench, "image");
    let before = bench.bytes("image");
    let fault = change(&bench, "image", &amend("data_file=,data_file_raw=off")).unwrap_err();
    assert_eq!(fault.code, fault::amend::DATA_FILE_EMPTY);
    assert!(bench.bytes("image") == before);
}

#[test]
fn what_goes_wrong_in_one_option_leaves_all_of_them() {
    let bench = Bench::new();
    image(&bench, "cluster_size=4k,refcount_bits=8", true);
    let before = bench.bytes("image");
    for (options, code) in [
        ("compat=0.10,lazy_refcounts=on", fault::amend::LAZY_VERSION),
        ("compat=0.10", fault::amend::DOWN_WIDTH),
        ("compat=0.10,refcount_bits=32", fault::amend::WIDTH_VERSION),
        ("lazy_refcounts=on,refcount_bits=1", fault::amend::WIDTH_NARROW),
        (
            "refcount_bits=64,backing_file=other,backing_fmt=raw",
            fault::amend::BACKING,
        ),
        ("refcount_bits=64,backing_file=below.raw", fault::amend::BACKING),
        ("refcount_bits=64,backing_fmt=raw", fault::amend::BACKING),
        ("refcount_bits=64,compat=2", fault::amend::COMPAT),
        ("lazy_refcounts=on,refcount_bits=3", fault::amend::WIDTH),
        ("lazy_refcounts=on,data_file=x", fault::amend::NO_DATA_FILE),
        ("lazy_refcounts=on,data_file_raw=on", fault::amend::DATA_FILE_RAW),
    ] {
        let fault = change(&bench, "image", &amend(options)).unwrap_err();
        assert_eq!(fault.code, code, "{options}");
        assert!(bench.bytes("image") == before, "{options}: something was written");
        let template = code.template().unwrap();
        let first = template.split(['{', '\n']).next().unwrap();
        let said = bench.refusal(&format!("amend -o {options} image"));
        assert!(said.contains(first), "{options}: {said}");
        bench.put("image", &before);
    }
    change(
        &bench,
        "image",
        &amend("backing_file=below.raw,backing_fmt=raw,lazy_refcounts=on"),
    )
    .unwrap();
    assert!(info(&bench).contains("lazy refcounts: true"));
}

#[test]
fn a_power_cut_leaves_the_same_disk_and_all_options_or_none() {
    let mut states = 0;
    for (layout, below) in [
        ("cluster_size=4k,refcount_bits=8", true),
        ("cluster_size=16k", false),
        ("cluster_size=64k", true),
    ] {
        let bench = Bench::new();
        image(&bench, layout, below);
        for options in [
            "refcount_bits=32",
            "refcount_bits=4,lazy_refcounts=on",
            "compat=0.10,refcount_bits=16",
            "compat=1.1,refcount_bits=64,lazy_refcounts=on",
            "lazy_refcounts=off",
        ] {
            states += survives(&bench, "image", &amend(options));
        }
    }
    println!("{states} states of power cuts");
}

#[test]
fn a_failure_at_any_write_leaves_the_same_disk_and_snapshots() {
    for (layout, below) in [("cluster_size=512", true), ("cluster_size=4k", false)] {
        let bench = Bench::new();
        image(&bench, layout, below);
        let (bytes, before) = (bench.bytes("image"), states(&bench));
        for options in ["refcount_bits=64", "compat=0.10"] {
            for allowed in 0.. {
                bench.put("image", &bytes);
                let host = Failing::after(allowed);
                let file = File::new(&host, host.native.existing(bench.path("image")));
                let outcome = instar_qcow2::edit(file).and_then(|mut image| image.change(&amend(options)));
                let check = bench.try_qemu_img("check image");
                let marked = bench.bytes("image")[79] & 1 != 0 && bench.bytes("image")[7] == 3;
                let what = format!("{layout}, {options}, {allowed}: {check:?}");
                assert!(matches!(check.status.code(), Some(0 | 3)) || marked, "{what}");
                if outcome.is_ok() {
                    same_states(&bench, &before, &what);
                    break;
                }
                if allowed % 5 == 0 {
                    for (found, wanted) in states(&bench).iter().zip(&before) {
                        assert_same(found, wanted, &what);
                    }
                }
                assert!(allowed < 5000);
            }
        }
    }
}

/// qemu-img says of the image what these options are.
fn shows(bench: &Bench, options: &str, layout: &str) {
    let shown = info(bench);
    for option in options.split(',') {
        let expected = match option.split_once('=').unwrap() {
            ("compat", version) => format!("compat: {version}\n"),
            ("refcount_bits", bits) => format!("refcount bits: {bits}\n"),
            _ => continue,
        };
        assert!(shown.contains(&expected), "{layout}, {options}: {shown}");
    }
}

#[test]
fn a_power_cut_leaves_the_disk_of_before_or_that_of_the_new_size() {
    let mut states = 0;
    // Version 2 has no snapshots of another size, and nothing that hides a longer layer below.
    for (layout, snapshot, below, steps) in [
        (
            "cluster_size=4k",
            false,
            true,
            [
                "size=1536000,refcount_bits=64,lazy_refcounts=on",
                "size=3000320,compat=0.10,refcount_bits=16",
                "size=2000896,force=,compat=0.10",
                "size=4000256,compat=1.1,refcount_bits=8",
            ],
        ),
        (
            "cluster_size=64k,compat=0.10",
            true,
            false,
            [
                "size=1536000,compat=1.1",
                "size=600000512,refcount_bits=32",
                "size=1000448,force=,refcount_bits=4",
                "size=1048576,compat=0.10,refcount_bits=16",
            ],
        ),
        (
            "cluster_size=16k,data_file=data",
            false,
            false,
            [
                "size=1536000,refcount_bits=64",
                "size=1000448,force=,lazy_refcounts=on",
                "size=3000320",
                "size=3000320,data_file_raw=off,refcount_bits=1",
            ],
        ),
    ] {
        let bench = Bench::new();
        bench.pattern("base.raw", 1 << 22);
        let base = if below {
            bench.bytes("base.raw")
        } else {
            Vec::new()
        };
        let below = if below { "-b base.raw -F raw" } else { "" };
        bench.qemu_img(&format!("create -q -f qcow2 -o {layout} {below} image 1M"));
        bench.qemu_io("image", &["write -P 7 64k 200k", "write -P 8 500k 524k"]);
        let data = layout.contains("data_file").then_some("data");
        if snapshot {
            bench.qemu_img("snapshot -c old image");
            bench.qemu_io("image", &["write -P 9 100k 70k"]);
        }
        let old = snapshot.then(|| bench.reference("image", "-f qcow2 -l old"));
        for options in steps {
            let before = disk(&bench, "image").unwrap();
            states += survives_by(&bench, "image", data, &mut |edit, apart| {
                sized(edit, options, &base, apart, &bench.path("image"))
            });
            let size = wanted(options).size.unwrap();
            bench.put_sparse("expected.raw", &before.of_size(size));
            assert!(bench.is_disk_of("image", "expected.raw"), "{layout}, {options}");
            shows(&bench, options, layout);
        }
        if let Some(old) = old {
            assert_same(&bench.reference("image", "-f qcow2 -l old"), &old, layout);
        }
    }
    println!("{states} states of power cuts");
}

#[test]
fn a_size_that_cannot_be_leaves_all_options() {
    let bench = Bench::new();
    bench.qemu_img("create -q -f qcow2 -o cluster_size=4k image 1M");
    bench.qemu_img("create -q -f qcow2 -o compat=0.10 old 1M");
    bench.qemu_img("snapshot -c first old");
    bench.put("base.raw", &vec![0xbb; 1 << 21]);
    bench.qemu_img("create -q -f qcow2 -o compat=0.10 -b base.raw -F raw above 1M");
    for (image, options, code) in [
        ("image", "lazy_refcounts=on,size=513", fault::resize::SECTORS),
        ("image", "lazy_refcounts=on,size=512", fault::amend::SHORTER),
        (
            "image",
            "lazy_refcounts=on,size=17592186044416",
            fault::resize::L1,
        ),
        (
            "image",
            "refcount_bits=64,size=9223372036854775807",
            fault::resize::BEYOND,
        ),
        (
            "image",
            "refcount_bits=64,size=9223372036854775808",
            fault::amend::SIZE_NEGATIVE,
        ),
        (
            "image",
            "size=2097152,refcount_bits=8,compat=0.10",
            fault::amend::WIDTH_VERSION,
        ),
        ("old", "size=2097152", fault::resize::V2_SNAPSHOTS),
        (
            "old",
            "size=2097152,lazy_refcounts=on",
            fault::amend::LAZY_VERSION,
        ),
        ("above", "size=2097152", fault::resize::V2_ZEROING),
    ] {
        let before = bench.bytes(image);
        let below = vec![0xbb; if image == "above" { 1 << 21 } else { 0 }];
        let fault = act(&bench, image, &mut |edit| {
            sized(edit, options, &below, None, &bench.path(image))
        });
        assert_eq!(fault.unwrap_err().code, code, "{image}, {options}");
        assert!(
            bench.bytes(image) == before,
            "{image}, {options}: something was written"
        );
        if code != fault::amend::SHORTER {
            let template = code.template().unwrap();
            let first = template.split(['{', '\n']).next().unwrap();
            let said = bench.refusal(&format!("amend -o {options} {image}"));
            assert!(said.contains(first), "{image}, {options}: {said}");
            bench.put(image, &before);
        }
    }
    // Snapshots of the size that the disk is to have are no obstacle.
    bench.qemu_img("amend -o compat=1.1,size=2M old");
    act(&bench, "old", &mut |edit| {
        sized(
            edit,
            "compat=0.10,size=1048576,force=",
            &[],
            None,
            &bench.path("old"),
        )
    })
    .unwrap();
    assert_clean(&bench, "old");
}

#[test]
fn a_failure_at_any_write_leaves_a_disk_of_either_size() {
    for options in [
        "size=2097152,refcount_bits=64",
        "size=1048576,force=,compat=0.10",
        "size=3145728,compat=0.10",
    ] {
        let bench = Bench::new();
        bench.pattern("base.raw", 1 << 21);
        let base = bench.bytes("base.raw");
        bench.qemu_img("create -q -f qcow2 -o cluster_size=4k -b base.raw -F raw image 1200k");
        bench.qemu_io(
            "image",
            &["write -P 7 64k 200k", "write -z 300k 100k", "write -P 9 1M 150k"],
        );
        let (bytes, before) = (bench.bytes("image"), disk(&bench, "image").unwrap());
        let size = wanted(options).size.unwrap();
        bench.put_sparse("before.raw", &before);
        bench.put_sparse("after.raw", &before.of_size(size));
        for allowed in 0.. {
            bench.put("image", &bytes);
            let host = Failing::after(allowed);
            let file = File::new(&host, host.native.existing(bench.path("image")));
            let outcome = instar_qcow2::edit(file)
                .and_then(|mut image| sized(&mut *image, options, &base, None, &bench.path("image")));
            let check = bench.try_qemu_img("check image");
            let marked = bench.bytes("image")[79] & 1 != 0 && bench.bytes("image")[7] == 3;
            let what = format!("{options}, {allowed}: {check:?}");
            assert!(matches!(check.status.code(), Some(0 | 3)) || marked, "{what}");
            if outcome.is_ok() {
                assert_clean(&bench, "image");
                assert!(bench.is_disk_of("image", "after.raw"), "{what}");
                break;
            }
            if allowed % 5 == 0 {
                let either = ["before.raw", "after.raw"];
                assert!(either.iter().any(|raw| bench.is_disk_of("image", raw)), "{what}");
            }
            assert!(allowed < 5000);
        }
    }
}
