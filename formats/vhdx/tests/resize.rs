//! Disks made larger and smaller.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure is a test failure"
)]

use std::path::{Path, PathBuf};

use instar_disk::fault::resize as faults;
use instar_disk::job::{Preallocation, Seed, VhdxCreate};
use instar_disk::{Edit, File, Result};
use instar_testkit::oracle::qemu_io;
use instar_testkit::oracle::{qemu, text};
use instar_testkit::pattern::MIB;
use instar_testkit::resizing::{Resizer, To, to};
use instar_testkit::{Bench, Native};

fn edit<'h>(file: File<'h>) -> Result<Box<dyn Edit + 'h>> {
    instar_vhdx::edit(file, &SEED)
}

const SEED: Seed = Seed {
    random: [7; 32],
    unix_seconds: 1_700_000_000,
};

const VHDX: Resizer = Resizer {
    format: "vhdx",
    open: instar_vhdx::open,
    edit,
};

/// An image of 4 MiB and a half, in blocks of 1 MiB, with data in some of them, not in their order.
fn image(dir: &Bench) -> PathBuf {
    let path = dir.path("image.vhdx");
    qemu(&[
        "create",
        "-q",
        "-f",
        "vhdx",
        "-o",
        "block_size=1M",
        text(&path),
        "4608k",
    ]);
    for command in ["write -P 1 4M 512k", "write -P 2 100k 64k"] {
        qemu_io("vhdx", &path, command);
    }
    path
}

/// A fixed one, which qemu-img makes in another way.
fn fixed(dir: &Bench) -> PathBuf {
    let path = dir.path("fixed.vhdx");
    let native = Native::new(1);
    let options = VhdxCreate {
        fixed: true,
        block_size: MIB,
        log_size: MIB,
        block_state_zero: false,
    };
    let file = File::new(&native, native.target(&path));
    let mut target = instar_vhdx::create(file, &options, 4608 << 10, &SEED).unwrap();
    target.finish().unwrap();
    qemu_io("vhdx", &path, "write -P 1 4M 512k");
    path
}

fn checks_clean(path: &Path) {
    qemu(&["check", "-f", "vhdx", text(path)]);
}

#[test]
fn a_power_cut_leaves_the_old_disk_or_the_new_one() {
    let mut states = 0;
    let dir = Bench::new();
    let path = image(&dir);
    // 200,000 blocks need a longer table.
    for size in [200_000 * MIB, 2 * MIB + 512] {
        states += VHDX.survives(&path, &[], to(size), size);
        checks_clean(&path);
    }
    let path = fixed(&dir);
    let size = 6 * MIB;
    states += VHDX.survives(&path, &[], to(size), size);
    checks_clean(&path);
    println!("{states} states of power cuts");
}

#[test]
fn a_failure_at_any_change_leaves_an_image_that_can_be_resized() {
    let dir = Bench::new();
    let path = image(&dir);
    for size in [200_000 * MIB, 3 * MIB] {
        assert!(VHDX.recovers(&path, &[], to(size), size) > 3);
        checks_clean(&path);
    }
}

#[test]
fn the_image_goes_on_as_if_it_had_been_made_that_large() {
    let dir = Bench::new();
    let path = image(&dir);
    for (size, command) in [
        (200_000 * MIB, "write -P 9 199990M 3M"),
        (300_000 * MIB, "write -P 9 299990M 3M"),
        (3 * MIB, "write -P 8 1M 1M"),
        (20 * MIB, "write -P 7 10M 5M"),
    ] {
        let before = VHDX.disk(&path).unwrap();
        VHDX.resize(&path, &[], to(size)).unwrap();
        assert!(VHDX.disk(&path).unwrap() == before.of_size(size), "{size}");
        qemu_io("vhdx", &path, command);
        checks_clean(&path);
    }
}

#[test]
fn a_fixed_image_has_a_place_for_every_block() {
    for preallocation in [Preallocation::Off, Preallocation::Falloc, Preallocation::Full] {
        let dir = Bench::new();
        let path = fixed(&dir);
        let size = 20 * MIB;
        VHDX.resize(&path, &[], To { size, preallocation }).unwrap();
        let length = std::fs::metadata(&path).unwrap().len();
        qemu_io("vhdx", &path, "write -P 7 10M 10M");
        assert_eq!(std::fs::metadata(&path).unwrap().len(), length);
        checks_clean(&path);
    }
}

#[test]
fn what_cannot_be_done_changes_nothing() {
    let dir = Bench::new();
    for (size, preallocation, code) in [
        (20 * MIB, Preallocation::Falloc, faults::PREALLOCATION),
        (65 << 40, Preallocation::Off, instar_disk::fault::vhdx::SIZE),
    ] {
        let path = image(&dir);
        let before = std::fs::read(&path).unwrap();
        let fault = VHDX.resize(&path, &[], To { size, preallocation }).unwrap_err();
        assert_eq!(fault.code, code);
        assert!(std::fs::read(&path).unwrap() == before);
    }
}
