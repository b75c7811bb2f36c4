//! Images that we write, read and checked by qemu-img.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure is a test failure"
)]

mod common;

use std::path::PathBuf;

use instar_disk::fault::parallels as faults;
use instar_disk::job::{ParallelsCreate, Repair};
use instar_disk::{File, Findings};
use instar_testkit::image::write_disk;
use instar_testkit::oracle::{qemu, qemu_reads, run, text};
use instar_testkit::pattern::{MIB, assert_same, pattern};
use instar_testkit::{Bench, Failing, Native};

const fn clusters_of(cluster_size: u64) -> ParallelsCreate {
    ParallelsCreate { cluster_size }
}

fn write(dir: &Bench, disk: &[u8], cluster: u64, stride: u64) -> PathBuf {
    let path = dir.path("ours.hds");
    let native = Native::new(1);
    let file = File::new(&native, native.target(&path));
    let mut target = instar_parallels::create(file, &clusters_of(cluster), disk.len() as u64).unwrap();
    write_disk(&native, target.as_mut(), disk, stride).unwrap();
    path
}

/// Pattern, with holes of several sizes.
fn disk(size: u64) -> Vec<u8> {
    let mut bytes = pattern(0, size);
    for (index, block) in bytes.chunks_mut(1 << 17).enumerate() {
        if index % 5 == 1 {
            block.fill(0);
        }
    }
    bytes
}

fn is_clean(path: &std::path::Path, what: &str) {
    let said = qemu(&["check", "-f", "parallels", text(path)]);
    assert!(said.contains("No errors"), "{what}: {said}");
}

#[test]
fn qemu_img_reads_what_we_write_and_finds_nothing_to_say() {
    let dir = Bench::new();
    for size in [512, MIB - 512, MIB, MIB + 512, 10 * MIB + 1024] {
        for (cluster, stride) in [
            (512, 1),
            (512, 900),
            (4096, 7),
            (100_000, 1),
            (63 * 512, 64),
            (MIB, 3),
            (4 * MIB, 2),
        ] {
            let disk = disk(size);
            let ours = write(&dir, &disk, cluster, stride);
            let what = format!("{size} {cluster} {stride}");
            assert_same(&qemu_reads("parallels", &ours), &disk, &what);
            is_clean(&ours, &what);
        }
    }
}

#[test]
fn an_empty_image_is_that_of_qemu_img() {
    let dir = Bench::new();
    let (theirs, ours) = (dir.path("theirs.hds"), dir.path("ours.hds"));
    for (size, cluster) in [
        (0, MIB),
        (1, 512),
        (10 * MIB + 1, 100_000),
        (1 << 40, MIB),
        (1 << 30, 512),
    ] {
        let options = format!("cluster_size={cluster}");
        qemu(&[
            "create",
            "-q",
            "-f",
            "parallels",
            "-o",
            &options,
            text(&theirs),
            &size.to_string(),
        ]);
        let native = Native::new(1);
        let file = File::new(&native, native.target(&ours));
        let mut target = instar_parallels::create(file, &clusters_of(cluster), size).unwrap();
        target.finish().unwrap();
        assert_same(
            &std::fs::read(&ours).unwrap(),
            &std::fs::read(&theirs).unwrap(),
            &options,
        );
    }
}

#[test]
fn a_longer_file_is_overwritten() {
    let dir = Bench::new();
    let path = dir.path("ours.hds");
    std::fs::write(&path, vec![0xaa; 3 << 20]).unwrap();
    let disk = disk(MIB + 512);
    let native = Native::new(1);
    let file = File::new(&native, native.existing(&path));
    let mut target = instar_parallels::create(file, &clusters_of(100_000), disk.len() as u64).unwrap();
    write_disk(&native, target.as_mut(), &disk, 1).unwrap();
    assert_same(&qemu_reads("parallels", &path), &disk, "over a longer file");
    is_clean(&path, "over a longer file");
}

#[test]
fn an_unfinished_image_is_no_parallels_disk() {
    let dir = Bench::new();
    let path = dir.path("ours.hds");
    let native = Native::new(1);
    let file = File::new(&native, native.target(&path));
    let mut target = instar_parallels::create(file, &clusters_of(MIB), 3 * MIB).unwrap();
    target.allocate(0, MIB).unwrap();
    assert!(!run(&["info", "-f", "parallels", text(&path)]).status.success());
}

#[test]
fn refuses_what_no_reader_takes() {
    let dir = Bench::new();
    let native = Native::new(1);
    for (size, cluster, fault) in [
        (1 << 20, 3 << 30, faults::CREATE_CLUSTER),
        (1 << 20, 1 << 31, faults::CREATE_CLUSTER),
        (1 << 20, (1 << 31) - 512, faults::CLUSTER_LARGE),
        (1 << 20, 0, faults::CREATE_SIZE),
        (3 << 40, 512, faults::CREATE_SIZE),
        (1 << 40, 512, faults::CATALOG_LARGE),
    ] {
        let file = File::new(&native, native.target(dir.path("ours.hds")));
        let made = instar_parallels::create(file, &clusters_of(cluster), size);
        assert_eq!(made.err().unwrap().code, fault, "{size} {cluster}");
    }
}

/// An image with two entries for one cluster, one that leads nowhere, the mark of a writer, and a tail.
fn damaged(dir: &Bench) -> PathBuf {
    let path = write(dir, &disk(2 * MIB), 65536, 4);
    let mut bytes = std::fs::read(&path).unwrap();
    let first: [u8; 4] = bytes[64..68].try_into().unwrap();
    bytes[84..88].copy_from_slice(&first);
    bytes[88..92].copy_from_slice(&[0, 0, 1, 0]);
    bytes[44..48].copy_from_slice(b"Ynot");
    bytes.resize(bytes.len() + 70_000, 3);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_repair_that_fails_leaves_the_disk_and_the_next_one_ends_it() {
    let dir = Bench::new();
    let sound = damaged(&dir);
    let start = std::fs::read(&sound).unwrap();
    qemu_repairs(&sound);
    let expected = qemu_reads("parallels", &sound);
    let mut stops = 0;
    for allowed in 0.. {
        std::fs::write(&sound, &start).unwrap();
        let host = Failing::after(allowed);
        let file = File::new(&host, host.native.existing(&sound));
        let outcome = instar_parallels::check(file)
            .and_then(|mut image| image.repair(Repair::All, &mut Findings::unheard(&host)));
        if outcome.is_err() {
            stops += 1;
            let native = Native::new(1);
            let file = File::new(&native, native.existing(&sound));
            instar_parallels::check(file)
                .and_then(|mut image| image.repair(Repair::All, &mut Findings::unheard(&native)))
                .unwrap();
        }
        assert_same(&qemu_reads("parallels", &sound), &expected, &format!("{allowed}"));
        is_clean(&sound, &format!("{allowed}"));
        if outcome.is_ok() {
            break;
        }
    }
    assert!(stops > 4, "{stops}");
}

fn qemu_repairs(path: &std::path::Path) {
    // It says what it repairs.
    let output = run(&["check", "-r", "all", "-f", "parallels", text(path)]);
    assert!(output.status.success(), "{output:?}");
}
