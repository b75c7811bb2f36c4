//! Snapshots made, applied and deleted.

use instar_disk::fault;
use instar_disk::job::{Change, NewSnapshot};

use crate::power::{assert_clean, change, survives};
use crate::support::{Bench, assert_same};

/// Layouts of a small image that differ in what snapshots have to do with.
const LAYOUTS: [&str; 9] = [
    "cluster_size=512",
    "cluster_size=512,compat=0.10",
    "cluster_size=4k",
    "cluster_size=4k,refcount_bits=64",
    "cluster_size=4k,refcount_bits=4",
    "cluster_size=64k",
    "cluster_size=64k,compat=0.10",
    "cluster_size=16k,extended_l2=on",
    "cluster_size=4k,lazy_refcounts=on",
];

fn create(name: &str) -> Change {
    Change::CreateSnapshot(NewSnapshot {
        name: name.into(),
        seconds: 1_700_000_000,
        nanoseconds: 5,
    })
}

fn apply(name: &str) -> Change {
    Change::ApplySnapshot(name.into())
}

fn delete(name: &str) -> Change {
    Change::DeleteSnapshot(name.into())
}

/// An image of 600 KiB with plain, zero and compressed clusters, some of them written again after a snapshot `old`.
fn image(bench: &Bench, layout: &str) {
    bench.pattern("disk.raw", 600 << 10);
    // Compressed clusters share places, which few bits cannot count.
    let narrow = layout.ends_with("refcount_bits=2") || layout.ends_with("refcount_bits=4");
    let compress = if narrow { "" } else { "-c" };
    bench.qemu_img(&format!(
        "convert {compress} -f raw -O qcow2 -o {layout} disk.raw image"
    ));
    bench.qemu_io("image", &["write -P 7 64k 70k", "write -P 8 300k 8k"]);
    bench.qemu_img("snapshot -c old image");
    bench.qemu_io(
        "image",
        &["write -P 9 70k 8k", "write -z 128k 64k", "write -P 10 500k 100k"],
    );
}

/// What qemu-img lists, without the dates.
fn listed(bench: &Bench) -> Vec<Vec<String>> {
    let text = bench.qemu_img("snapshot -l image");
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let lines = text.lines().skip(2).map(words);
    lines
        .map(|line| [&line[..2], &line[line.len() - 1..]].concat())
        .collect()
}

#[test]
fn a_new_snapshot_holds_the_disk_and_the_disk_goes_on() {
    for layout in LAYOUTS {
        let bench = Bench::new();
        image(&bench, layout);
        let before = bench.reference("image", "-f qcow2");
        let old = bench.reference("image", "-f qcow2 -l old");
        change(&bench, "image", &create("new")).unwrap();
        assert_clean(&bench, "image");
        assert_eq!(listed(&bench), [["1", "old", "0"], ["2", "new", "0"]], "{layout}");
        bench.qemu_io("image", &["write -P 99 0 600k"]);
        assert_clean(&bench, "image");
        assert_same(&bench.reference("image", "-f qcow2 -l new"), &before, layout);
        assert_same(&bench.reference("image", "-f qcow2 -l old"), &old, layout);
    }
}

#[test]
fn an_applied_snapshot_is_the_disk() {
    for layout in LAYOUTS {
        let bench = Bench::new();
        image(&bench, layout);
        let old = bench.reference("image", "-f qcow2 -l old");
        change(&bench, "image", &apply("1")).unwrap();
        assert_clean(&bench, "image");
        assert_same(&bench.reference("image", "-f qcow2"), &old, layout);
        bench.qemu_io("image", &["write -P 99 0 600k"]);
        assert_clean(&bench, "image");
        assert_same(&bench.reference("image", "-f qcow2 -l old"), &old, layout);
    }
}

#[test]
fn a_deleted_snapshot_leaves_nothing_and_harms_nothing() {
    for layout in LAYOUTS {
        let bench = Bench::new();
        image(&bench, layout);
        bench.qemu_img("snapshot -c second image");
        bench.qemu_io("image", &["write -P 11 200k 30k"]);
        let before = bench.reference("image", "-f qcow2");
        let second = bench.reference("image", "-f qcow2 -l second");
        change(&bench, "image", &delete("old")).unwrap();
        assert_clean(&bench, "image");
        assert_eq!(listed(&bench), [["2", "second", "0"]], "{layout}");
        assert_same(&bench.reference("image", "-f qcow2"), &before, layout);
        assert_same(&bench.reference("image", "-f qcow2 -l second"), &second, layout);
        change(&bench, "image", &delete("second")).unwrap();
        assert_clean(&bench, "image");
        assert!(listed(&bench).is_empty());
        assert_same(&bench.reference("image", "-f qcow2"), &before, layout);
    }
}

#[test]
fn a_power_cut_leaves_the_disk_from_before_or_the_disk_from_after() {
    let mut states = 0;
    for layout in LAYOUTS {
        let bench = Bench::new();
        image(&bench, layout);
        states += survives(&bench, "image", &create("new"));
        states += survives(&bench, "image", &apply("old"));
        states += survives(&bench, "image", &delete("old"));
        states += survives(&bench, "image", &delete("new"));
    }
    println!("{states} states of power cuts");
}

#[test]
fn a_snapshot_of_another_size_brings_its_size() {
    let bench = Bench::new();
    image(&bench, "cluster_size=512");
    bench.qemu_img("resize -q image 3M");
    let old = bench.reference("image", "-f qcow2 -l old");
    survives(&bench, "image", &apply("old"));
    assert_clean(&bench, "image");
    // `-l` reads a snapshot with the size that the disk has now.
    assert_same(
        &bench.reference("image", "-f qcow2"),
        &old[..600 << 10],
        "applied",
    );
}

#[test]
fn impossible_snapshot_changes_are_refused_and_change_nothing() {
    let bench = Bench::new();
    image(&bench, "cluster_size=4k,refcount_bits=2");
    for name in ["b", "c"] {
        change(&bench, "image", &create(name)).ok();
    }
    let before = bench.bytes("image");
    let wrong = |wanted: &Change| change(&bench, "image", wanted).unwrap_err();
    // Two bits count to three: the disk and two snapshots.
    let full = wrong(&create("d"));
    assert_eq!((full.code, full.numbers[0]), (fault::core::IO, 22));
    assert!(bench.refusal("snapshot -c d image").contains("Invalid argument"));
    bench.put("image", &before);
    assert_eq!(wrong(&apply("none")).code, fault::qcow2_write::APPLY_MISSING);
    assert_eq!(wrong(&delete("none")).code, fault::qcow2_write::DELETE_MISSING);
    // By name only, as with qemu-img.
    assert_eq!(wrong(&delete("1")).code, fault::qcow2_write::DELETE_MISSING);
    assert_eq!(bench.bytes("image"), before);
}

fn word(bytes: &[u8], at: u64) -> u64 {
    u64::from_be_bytes(bytes[at as usize..][..8].try_into().unwrap())
}

/// Says of the cluster at `offset` that nothing uses it.
fn uncount(bytes: &mut [u8], offset: u64) {
    const CLUSTER: u64 = 4096;
    let block = word(bytes, word(bytes, 48));
    let at = (block + offset / CLUSTER * 2) as usize;
    assert_ne!(bytes[at..][..2], [0, 0], "it was counted");
    bytes[at..][..2].fill(0);
}

/// Counts go down after the switch: what cannot is to be found before, or the change takes effect and fails.
#[test]
fn tables_that_are_not_counted_are_found_before_anything_is_written() {
    let bench = Bench::new();
    image(&bench, "cluster_size=4k");
    let sound = bench.bytes("image");
    let (active, table) = (word(&sound, 40), word(&sound, 64));
    let snapshot = word(&sound, table);
    for (what, offset, wanted) in [
        ("the old snapshot table", table, create("new")),
        ("the old snapshot table", table, delete("old")),
        ("the snapshot's L1 table", snapshot, delete("old")),
        ("the active L1 table", active, apply("old")),
    ] {
        let mut lie = sound.clone();
        uncount(&mut lie, offset);
        bench.put("image", &lie);
        assert_eq!(bench.try_qemu_img("check image").status.code(), Some(2), "{what}");
        let fault = change(&bench, "image", &wanted).unwrap_err();
        assert_eq!(fault.code, fault::qcow2_write::TARGET_REFCOUNT, "{what}");
        assert_eq!(fault.numbers[..2], [offset / 4096, 0], "{what}");
        assert!(bench.bytes("image") == lie, "{what}: something was written");
    }
}
