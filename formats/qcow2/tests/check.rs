//! What the check counts, beside `qemu-img check`, in one window and in many.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests"
)]

mod support;

use instar_disk::report::Checked;
use instar_disk::{Fault, File, Findings};
use instar_testkit::{Native, Report};
use serde_json::{Map, Value};
use support::Bench;

/// What we count and say of `image`, with so many bytes for the counts.
fn ours(bench: &Bench, image: &str, memory: Option<u64>) -> (Checked, Vec<Fault>) {
    let native = Native::new(1);
    let file = File::new(&native, native.source(bench.path(image)));
    let mut findings = Findings::new(&native);
    let mut image = match memory {
        Some(bytes) => instar_qcow2::check_within(file, bytes),
        None => instar_qcow2::check(file),
    }
    .unwrap();
    let checked = image.run(&mut findings).unwrap();
    findings.flush();
    let said = native.reports().into_iter().flat_map(|report| match report {
        Report::Findings(found) => found,
        _ => Vec::new(),
    });
    (checked, said.collect())
}

/// The counters as qemu-img prints them.
fn printed(checked: &Checked) -> Map<String, Value> {
    let mut all = Map::new();
    all.insert("check-errors".into(), checked.check_errors.into());
    for (key, count) in [
        ("corruptions", checked.corruptions),
        ("leaks", checked.leaks),
        ("total-clusters", checked.total_clusters),
        ("allocated-clusters", checked.allocated_clusters),
        ("fragmented-clusters", checked.fragmented_clusters),
        ("compressed-clusters", checked.compressed_clusters),
        ("image-end-offset", checked.image_end_offset),
    ] {
        if count != 0 {
            all.insert(key.into(), count.into());
        }
    }
    all
}

/// Counters are qemu-img's, whatever the window; findings are as many, and the same.
fn agree(bench: &Bench, image: &str) -> Checked {
    let output = bench.try_qemu_img(&format!("check --output=json {image}"));
    let mut theirs: Map<String, Value> = serde_json::from_slice(&output.stdout).unwrap();
    theirs.remove("filename");
    theirs.remove("format");
    let (checked, said) = ours(bench, image, None);
    assert_eq!(printed(&checked), theirs, "{image}");
    let lines = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines = lines
        .lines()
        .filter(|line| !line.starts_with("Use qemu-img amend"))
        .count();
    assert_eq!(said.len(), lines, "{image}");
    for memory in [64, 256, 4096] {
        let (windows, again) = ours(bench, image, Some(memory));
        assert_eq!(windows, checked, "{image} in windows of {memory} bytes");
        let sorted = |mut faults: Vec<Fault>| {
            faults.sort_by_key(|fault| (fault.code.0, fault.numbers));
            faults
        };
        assert_eq!(
            sorted(again),
            sorted(said.clone()),
            "{image} in windows of {memory} bytes"
        );
    }
    checked
}

fn made(options: &str) -> Bench {
    let bench = Bench::new();
    bench.qemu_img(&format!("create -q -f qcow2 -o {options} image 8M"));
    bench.qemu_io(
        "image",
        &["write -P 1 0 1M", "write -P 2 3M 300k", "write -z 5M 64k"],
    );
    // Streams share clusters, which narrow refcounts cannot say, and do not replace what is there.
    let refused = ["refcount_bits=1", "refcount_bits=2", "preallocation"];
    if !refused.iter().any(|word| options.contains(word)) {
        bench.qemu_io("image", &["write -c -P 3 6M 64k"]);
    }
    bench
}

fn poke(bench: &Bench, at: u64, value: u64) {
    let mut bytes = bench.bytes("image");
    let at = usize::try_from(at).unwrap();
    bytes[at..at + 8].copy_from_slice(&value.to_be_bytes());
    bench.put("image", &bytes);
}

fn get(bench: &Bench, at: u64) -> u64 {
    let at = usize::try_from(at).unwrap();
    u64::from_be_bytes(bench.bytes("image")[at..at + 8].try_into().unwrap())
}

#[test]
fn sound_images_are_sound_in_windows_of_any_size() {
    for options in [
        "cluster_size=512",
        "cluster_size=64k",
        "cluster_size=4k,refcount_bits=1",
        "cluster_size=4k,refcount_bits=2",
        "cluster_size=512,refcount_bits=8",
        "cluster_size=1k,refcount_bits=32",
        "cluster_size=2k,refcount_bits=64",
        "cluster_size=16k,extended_l2=on",
        "cluster_size=512,compat=0.10",
        "cluster_size=512,preallocation=metadata",
    ] {
        let checked = agree(&made(options), "image");
        assert_eq!((checked.corruptions, checked.leaks), (0, 0), "{options}");
    }
}

#[test]
fn counts_grow_with_snapshots_and_cells_with_them() {
    let bench = made("cluster_size=4k");
    for number in 0..70 {
        bench.qemu_img(&format!("snapshot -c s{number} image"));
        if number % 20 == 0 {
            bench.qemu_io("image", &[&format!("write -P 9 {number}k 64k")]);
        }
    }
    assert_eq!(agree(&bench, "image").corruptions, 0);
}

#[test]
fn damage_is_the_same_in_windows_of_any_size() {
    const COPIED: u64 = 1 << 63;
    for (entry, value) in [
        (0, 0),
        (0, 1 << 40 | COPIED),
        (3, COPIED | 0x1000),
        (4, COPIED | 0x1200),
        (5, u64::MAX),
        (6, 1 << 62 | 0x7fff),
        (7, 0x0140_0000_0000_0200),
    ] {
        let bench = made("cluster_size=4k");
        let l2 = get(&bench, get(&bench, 40)) & !COPIED;
        poke(&bench, l2 + entry * 8, value);
        agree(&bench, "image");
        poke(&bench, get(&bench, 40) + 8, value);
        agree(&bench, "image");
    }
    let bench = made("cluster_size=512,refcount_bits=2");
    let l2 = get(&bench, get(&bench, 40)) & !COPIED;
    for entry in 1..20 {
        poke(&bench, l2 + entry * 8, get(&bench, l2));
    }
    agree(&bench, "image");
}
