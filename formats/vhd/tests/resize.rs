//! Disks made larger and smaller.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure is a test failure"
)]

use std::path::PathBuf;

use instar_disk::fault::resize as faults;
use instar_disk::job::Preallocation;
use instar_testkit::Bench;
use instar_testkit::oracle::qemu_io;
use instar_testkit::oracle::{qemu, text};
use instar_testkit::pattern::MIB;
use instar_testkit::resizing::{Resizer, To, to};

const VHD: Resizer = Resizer {
    format: "vpc",
    open: instar_vhd::open,
    edit: instar_vhd::edit,
};

/// An image of 5 MiB with data in some blocks, not in their order.
fn image(dir: &Bench, options: &str) -> PathBuf {
    let path = dir.path("image.vhd");
    qemu(&["create", "-q", "-f", "vpc", "-o", options, text(&path), "5M"]);
    for command in ["write -P 1 4M 900k", "write -P 2 100k 64k"] {
        qemu_io("vpc", &path, command);
    }
    path
}

/// The size that an image made with these options gets.
fn rounded(options: &str, size: u64) -> u64 {
    instar_vhd::rounded_size(size, options.contains("force_size=on"))
        .unwrap()
        .0
}

const OPTIONS: [&str; 4] = [
    "subformat=dynamic",
    "subformat=dynamic,force_size=on",
    "subformat=fixed",
    "subformat=fixed,force_size=on",
];

#[test]
fn a_power_cut_leaves_the_old_disk_or_the_new_one() {
    let mut states = 0;
    for options in OPTIONS {
        let dir = Bench::new();
        let path = image(&dir, options);
        // A table of more than a sector.
        let large = if options.contains("dynamic") {
            600 * MIB
        } else {
            9 * MIB
        };
        for size in [5 * MIB + 512, large, 3 * MIB + 1024] {
            states += VHD.survives(&path, &[], to(size), rounded(options, size));
        }
    }
    println!("{states} states of power cuts");
}

#[test]
fn a_failure_at_any_change_leaves_an_image_that_can_be_resized() {
    for options in ["subformat=dynamic", "subformat=fixed"] {
        let dir = Bench::new();
        let path = image(&dir, options);
        for size in [600 * MIB, 3 * MIB] {
            assert!(VHD.recovers(&path, &[], to(size), rounded(options, size)) > 3);
        }
    }
}

#[test]
fn the_image_goes_on_as_if_it_had_been_made_that_large() {
    for options in OPTIONS {
        let dir = Bench::new();
        let path = image(&dir, options);
        for (size, command) in [
            (2000 * MIB, "write -P 9 1990M 3M"),
            (3 * MIB, "write -P 8 1M 1M"),
            (20 * MIB, "write -P 7 10M 5M"),
        ] {
            let before = VHD.disk(&path).unwrap();
            VHD.resize(&path, &[], to(size)).unwrap();
            let after = VHD.disk(&path).unwrap();
            assert!(
                after == before.of_size(rounded(options, size)),
                "{options}, {size}"
            );
            qemu_io("vpc", &path, command);
        }
        let length = std::fs::metadata(&path).unwrap().len();
        assert!(
            length < 25 * MIB,
            "{options}, {length}: what was cut off was given back"
        );
    }
}

#[test]
fn a_fixed_disk_has_its_footer_behind_its_last_sector() {
    for preallocation in [Preallocation::Off, Preallocation::Falloc, Preallocation::Full] {
        let dir = Bench::new();
        let path = image(&dir, "subformat=fixed,force_size=on");
        for size in [20 * MIB, 20 * MIB + 512] {
            VHD.resize(&path, &[], To { size, preallocation }).unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().len(), size + 512);
        }
        VHD.resize(&path, &[], to(3 * MIB)).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 3 * MIB + 512);
    }
}

#[test]
fn what_cannot_be_done_changes_nothing() {
    let dir = Bench::new();
    for (options, size, preallocation, code) in [
        (
            "subformat=dynamic",
            20 * MIB,
            Preallocation::Falloc,
            faults::PREALLOCATION,
        ),
        (
            "subformat=fixed",
            20 * MIB,
            Preallocation::Metadata,
            faults::PREALLOCATION,
        ),
        (
            "subformat=dynamic",
            3 << 40,
            Preallocation::Off,
            instar_disk::fault::vhd::SIZE,
        ),
    ] {
        let path = image(&dir, options);
        let before = std::fs::read(&path).unwrap();
        let fault = VHD.resize(&path, &[], To { size, preallocation }).unwrap_err();
        assert_eq!(fault.code, code, "{options}");
        assert!(std::fs::read(&path).unwrap() == before, "{options}");
    }
}
