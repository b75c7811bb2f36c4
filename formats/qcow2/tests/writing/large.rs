//! Disks of terabytes, of which only the tables exist.

use std::time::Instant;

use instar_disk::job::{Preallocation, Qcow2Create};
use instar_testkit::Native;

use crate::made::target;
use crate::reference;

const TIB: u64 = 1 << 40;

#[test]
fn preallocated_metadata_of_a_large_disk_is_right() {
    preallocate(TIB >> 4);
}

/// For figures: `cargo test --release -p instar-qcow2 --test writing -- --ignored --nocapture`.
#[test]
#[ignore = "takes long on a busy machine"]
fn a_terabyte_of_preallocated_metadata_is_right() {
    preallocate(TIB);
}

fn preallocate(size: u64) {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("image.qcow2");
    let options = Qcow2Create {
        preallocation: Preallocation::Metadata,
        ..Qcow2Create::default()
    };
    let started = Instant::now();
    let host = Native::new(1);
    target(&host, &image, &options, size).finish().unwrap();
    let ours = started.elapsed();
    let started = Instant::now();
    let model = reference::create(directory.path(), &options, size);
    println!("{ours:?}, and {:?} by qemu-img", started.elapsed());
    assert_eq!(reference::facts(&image), reference::facts(&model));
    std::fs::remove_file(model).unwrap();
    let report = reference::check(&image);
    assert_eq!(report["allocated-clusters"], size >> 16);
}

#[test]
fn tables_far_apart_are_found_again() {
    // One cluster in the reach of every other L2 table, and the last.
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("image.qcow2");
    let host = Native::new(1);
    let mut target = target(&host, &image, &Qcow2Create::default(), TIB);
    for table in 0..40 {
        target.allocate(table << 30, 65536).unwrap();
    }
    target.allocate(TIB - 65536, 65536).unwrap();
    target.finish().unwrap();
    drop(target);
    let report = reference::check(&image);
    assert_eq!(report["allocated-clusters"], 41);
    let map = reference::succeed(
        directory.path(),
        &["map", "--output=json", "-f", "qcow2", "image.qcow2"],
    );
    let map: Vec<serde_json::Value> = serde_json::from_str(&map).unwrap();
    let starts: Vec<u64> = map
        .iter()
        .filter(|piece| piece["present"] == true && piece.get("offset").is_some())
        .map(|piece| piece["start"].as_u64().unwrap())
        .collect();
    let expected: Vec<u64> = (0..40).map(|table| table << 30).chain([TIB - 65536]).collect();
    assert_eq!(starts, expected);
}
