//! Disks made larger and smaller.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure is a test failure"
)]

use std::path::{Path, PathBuf};

use instar_disk::fault::resize as faults;
use instar_disk::job::Preallocation;
use instar_testkit::Bench;
use instar_testkit::oracle::qemu_io;
use instar_testkit::oracle::{qemu, text};
use instar_testkit::pattern::MIB;
use instar_testkit::resizing::{Resizer, To, to};

const VDI: Resizer = Resizer {
    format: "vdi",
    open: instar_vdi::open,
    edit: instar_vdi::edit,
};

/// An image of 4 MiB and a half with data in some blocks, not in their order.
fn image(dir: &Bench, options: &str) -> PathBuf {
    let path = dir.path("image.vdi");
    qemu(&["create", "-q", "-f", "vdi", "-o", options, text(&path), "4608k"]);
    let commands = ["write -P 1 4M 512k", "write -P 2 100k 64k", "write -P 3 2M 1M"];
    for command in commands {
        qemu_io("vdi", &path, command);
    }
    path
}

fn checks_clean(path: &Path) {
    qemu(&["check", "-f", "vdi", text(path)]);
}

#[test]
fn a_power_cut_leaves_the_old_disk_or_the_new_one() {
    let mut states = 0;
    for options in ["static=off", "static=on"] {
        let dir = Bench::new();
        let path = image(&dir, options);
        // 600 GiB need a map of more than 2 MiB: those blocks that are in its way move.
        let sizes: &[u64] = match options {
            "static=off" => &[5 * MIB + 512, 600_000 * MIB, 2 * MIB + 512],
            _ => &[6 * MIB, 3 * MIB + 512],
        };
        for &size in sizes {
            states += VDI.survives(&path, &[], to(size), size);
            checks_clean(&path);
        }
    }
    println!("{states} states of power cuts");
}

#[test]
fn a_failure_at_any_change_leaves_an_image_that_can_be_resized() {
    let dir = Bench::new();
    let path = image(&dir, "static=off");
    for size in [600_000 * MIB, 3 * MIB] {
        assert!(VDI.recovers(&path, &[], to(size), size) > 3);
        checks_clean(&path);
    }
}

#[test]
fn places_stay_dense_for_whoever_writes_next() {
    let dir = Bench::new();
    let path = image(&dir, "static=off");
    for (size, command) in [
        (600_000 * MIB, "write -P 9 599990M 3M"),
        (3 * MIB, "write -P 8 1M 1M"),
        (20 * MIB, "write -P 7 10M 5M"),
    ] {
        let before = VDI.disk(&path).unwrap();
        VDI.resize(&path, &[], to(size)).unwrap();
        assert_eq!(VDI.disk(&path).unwrap(), before.of_size(size));
        qemu_io("vdi", &path, command);
        checks_clean(&path);
    }
    let length = std::fs::metadata(&path).unwrap().len();
    assert!(length < 15 * MIB, "{length}: what was cut off was given back");
}

#[test]
fn a_static_image_has_a_place_for_every_block() {
    for preallocation in [
        Preallocation::Metadata,
        Preallocation::Falloc,
        Preallocation::Full,
    ] {
        let dir = Bench::new();
        let path = image(&dir, "static=on");
        let size = 20 * MIB;
        VDI.resize(&path, &[], To { size, preallocation }).unwrap();
        let length = std::fs::metadata(&path).unwrap().len();
        qemu_io("vdi", &path, "write -P 7 10M 10M");
        assert_eq!(std::fs::metadata(&path).unwrap().len(), length);
        checks_clean(&path);
    }
    let dir = Bench::new();
    let path = image(&dir, "static=off");
    let before = std::fs::read(&path).unwrap();
    let (size, preallocation) = (20 * MIB, Preallocation::Falloc);
    let fault = VDI.resize(&path, &[], To { size, preallocation }).unwrap_err();
    assert_eq!(fault.code, faults::PREALLOCATION);
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn two_blocks_in_one_place_are_found_before_anything_is_written() {
    let dir = Bench::new();
    let path = image(&dir, "static=off");
    let mut bytes = std::fs::read(&path).unwrap();
    // Blocks 0 and 1 get the place of block 2.
    let place: [u8; 4] = bytes[512 + 8..][..4].try_into().unwrap();
    bytes[512..516].copy_from_slice(&place);
    bytes[516..520].copy_from_slice(&place);
    std::fs::write(&path, &bytes).unwrap();
    let fault = VDI.resize(&path, &[], to(3 * MIB)).unwrap_err();
    assert_eq!(fault.code, faults::BLOCK_PLACE);
    // Places that no file has.
    bytes[512..516].copy_from_slice(&[0xff, 0xff, 0xff, 0x7f]);
    std::fs::write(&path, &bytes).unwrap();
    for size in [3 * MIB, 600_000 * MIB] {
        let fault = VDI.resize(&path, &[], to(size)).unwrap_err();
        assert_eq!(fault.code, faults::BLOCK_PLACE);
    }
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}
